"""Spaces, devices, pairing, sync and health over HTTP: two devices are paired by two clients, and nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")

import httpx2

import memcrdt
from memcrdt.server.listening import HttpServer, ServerOptions
from tests.server.conftest import bearer

if TYPE_CHECKING:
    from starlette.testclient import TestClient

PATIENCE_S = 60
STRANGER = "TEK3PDZ-XWC5XYR-6IRMXNC-LW4PZKZ-K5XQ2YC-BSPA3VM-TCDB42Z-5RA"


@asynccontextmanager
async def _device(home: Path, spaces: list[str]) -> AsyncIterator[tuple[memcrdt.Memory, httpx2.AsyncClient, str]]:
    """Serve a home with its node, and yield its memory, a client with all rights, and the token of an agent."""
    _configure(home)
    with memcrdt.open(home, device_name=home.name) as memory:
        for space in spaces[1:]:
            memory.space(space).create()
        admin = memory.tokens.create("admin", spaces=spaces, rights=["write", "forget", "admin"])
        agent = memory.tokens.create("agent", spaces=spaces)
        async with (
            memcrdt.Node(memory, host="127.0.0.1", port=0),
            HttpServer(memory, ServerOptions(address="127.0.0.1:0")) as server,
            httpx2.AsyncClient(base_url=server.url, headers=bearer(admin), timeout=PATIENCE_S) as http,
        ):
            yield memory, http, agent


def _configure(home: Path) -> None:
    """Make a home that announces nothing on the network of the machine."""
    home.mkdir()
    (home / "config.toml").write_text('embedder = "none"\nmdns = false\ntailscale = false\n', encoding="utf-8")


async def test_two_devices_are_paired_by_a_code_and_sync(tmp_path: Path) -> None:
    """What one adds, the other one has. Then the device is revoked, and it is said of whom that holds."""
    spaces = ["personal", "team"]
    async with (
        _device(tmp_path / "laptop", spaces) as (laptop, one, _),
        _device(tmp_path / "desktop", spaces) as (desktop, other, agent),
        asyncio.timeout(PATIENCE_S),
    ):
        offered = await one.post("/v1/pairing", json={"spaces": ["team"]})
        assert (offered.status_code, offered.json()["state"]) == (201, "waiting")
        place, address = offered.headers["location"], offered.json()["addresses"][0]
        code = {"code": offered.json()["code"], "address": f"127.0.0.1:{address.rpartition(':')[2]}"}
        refused = await other.post("/v1/join", json=code, headers=bearer(agent))
        assert (refused.status_code, refused.json()["code"]) == (403, "read_only")
        joined = (await other.post("/v1/join", json=code)).json()
        assert (joined["device"], joined["spaces"]) == (laptop.device, ["team"])
        paired = (await one.get(place, params={"wait": 30})).json()
        assert (paired["state"], paired["device"]["device"]) == ("paired", desktop.device)
        while (serving := laptop.sync.serving()) is None or serving.port is None:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)
        where = {"device": laptop.device, "address": f"127.0.0.1:{serving.port}", "spaces": ["team"]}
        assert (await other.post("/v1/devices", json=where)).status_code == 200
        added = (await other.post("/v1/memories", json={"text": "plan", "space": "team"})).json()
        assert (await other.post("/v1/sync", params={"wait": 30})).json()["state"] == "in_sync"
        there = (await one.get(f"/v1/memories/{added['id']}")).json()
        assert (there["text"], there["device_name"], there["untrusted"]) == ("plan", "desktop", True)
        (known,) = (await one.get("/v1/devices")).json()
        assert (known["name"], known["spaces"], known["connected"]) == ("desktop", ["team"], True)
        members = (await one.get("/v1/spaces/team/members")).json()
        assert {each["device"] for each in members} == {laptop.device, desktop.device}
        assert (await one.get("/v1/sync")).json()["devices"][0]["name"] == "desktop"
        narrow = bearer(laptop.tokens.create("narrow", rights=["admin"]))
        for method, path in (
            ("DELETE", "/v1/devices/desktop"),
            ("DELETE", f"/v1/spaces/team/members/{desktop.device}"),
        ):
            hidden = await one.request(method, path, headers=narrow)
            assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")
        assert (await one.get("/v1/devices", headers=narrow)).json() == []
        revoked = await one.delete("/v1/devices/desktop")
        assert revoked.json() == {"device": desktop.device, "unheard": []}
        assert [each.state for each in laptop.devices()] == ["revoked"]


def _changes(name: str) -> list[tuple[str, str, Any]]:
    """Return every request that would change who shares what."""
    return [
        ("POST", "/v1/devices", {"device": STRANGER}),
        ("DELETE", f"/v1/devices/{name}", None),
        ("POST", "/v1/pairing", {}),
        ("GET", "/v1/pairing/x", None),
        ("DELETE", "/v1/pairing/x", None),
        ("POST", "/v1/join", {"code": "7-crossover-granite"}),
        ("POST", "/v1/spaces/personal/members", {"device": name}),
        ("DELETE", f"/v1/spaces/personal/members/{name}", None),
        ("POST", "/v1/alarms/acknowledge", None),
        ("GET", "/v1/doctor", None),
    ]


@pytest.mark.parametrize("who", ["agent", "reader", "writer"])
def test_no_agent_pairs_accepts_or_revokes(
    client: TestClient, memory: memcrdt.Memory, tokens: dict[str, str], who: str
) -> None:
    """Whatever it is told: it lacks the right `admin`, and the answer says so. Nothing changes."""
    memory.accept(STRANGER, name="laptop")
    before = memory.devices()
    for method, path, body in _changes("laptop"):
        answer = client.request(method, path, json=body, headers=bearer(tokens[who]))
        assert (answer.status_code, answer.json()["code"]) == (403, "read_only"), path
        assert "'admin'" in answer.json()["detail"]
    assert memory.devices() == before


def test_an_administrator_of_a_space_changes_no_other(
    client: TestClient, memory: memcrdt.Memory, tokens: dict[str, str]
) -> None:
    """A token with `admin` for `personal` neither sees nor shares `team`, and joins nothing."""
    admin = {"headers": bearer(tokens["admin"])}
    for path, body in (
        ("/v1/devices", {"device": STRANGER, "spaces": ["team"]}),
        ("/v1/pairing", {"spaces": ["team"]}),
        ("/v1/pairing", {"spaces": ["personal", "team"]}),
        ("/v1/spaces/team/members", {"device": STRANGER}),
    ):
        answer = client.post(path, json=body, **admin)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    joining = client.post("/v1/join", json={"code": "7-crossover-granite"}, **admin)
    assert (joining.status_code, joining.json()["code"]) == (403, "read_only")
    accepted = client.post("/v1/devices", json={"device": STRANGER, "name": "laptop"}, **admin).json()
    assert (accepted["state"], accepted["spaces"]) == ("accepted", ["personal"])
    memory.accept(STRANGER, spaces=["team"])
    assert client.get("/v1/devices/laptop", **admin).json()["spaces"] == ["personal"]
    refused = client.delete("/v1/devices/laptop", **admin)
    assert (refused.status_code, refused.json()["code"]) == (403, "read_only")
    assert [each["name"] for each in client.get("/v1/spaces", **admin).json()] == ["personal"]
    assert client.get("/v1/spaces/team", **admin).status_code == 404
    members = client.delete(f"/v1/spaces/personal/members/{STRANGER}", **admin).json()
    assert {each["state"] for each in members} == {"member", "revoked"}


def test_an_agent_sees_no_addresses(client: TestClient, memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """Only names and how far they are; and no device of another space."""
    memory.accept(STRANGER, name="laptop", address="192.0.2.7:27380")
    (seen,) = client.get("/v1/devices").json()
    assert (seen["name"], seen["addresses"], seen["error"]) == ("laptop", [], None)
    assert client.get("/v1/devices", headers=bearer(tokens["team"])).json() == []
    assert client.get("/v1/devices/laptop", headers=bearer(tokens["team"])).status_code == 404
    (known,) = client.get("/v1/devices", headers=bearer(tokens["admin"])).json()
    assert known["addresses"] == ["192.0.2.7:27380"]


def test_the_state_of_the_home_is_told(client: TestClient, memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """The verdict and the sizes to anybody, alarms and a full check to an administrator."""
    health = client.get("/v1/health").json()
    assert (health["verdict"]["state"], health["device"]) == ("alone", memory.device)
    assert health["size"] > 0
    admin = {"headers": bearer(tokens["admin"])}
    assert client.get("/v1/doctor", **admin).json()["problems"] == []
    assert client.post("/v1/alarms/acknowledge", **admin).json() == []


async def test_a_code_is_cancelled_and_belongs_to_its_token(tmp_path: Path) -> None:
    """Tokens with other rights cannot see it. At most four wait."""
    async with _device(tmp_path / "laptop", ["personal", "team"]) as (memory, http, _), asyncio.timeout(PATIENCE_S):
        places = [(await http.post("/v1/pairing", json={})).headers["location"] for _ in range(4)]
        assert (await http.post("/v1/pairing", json={})).json()["code"] == "invalid_input"
        assert (await http.get(places[0])).json()["state"] == "waiting"
        team = bearer(memory.tokens.create("team-admin", spaces=["team"], rights=["admin"]))
        assert (await http.get(places[0], headers=team)).status_code == 404
        assert (await http.delete(places[0])).status_code == 204
        assert (await http.get(places[0])).status_code == 404
        assert (await http.post("/v1/pairing", json={})).status_code == 201
