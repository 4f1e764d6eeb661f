"""Discovery by Tailscale, with a fake LocalAPI on a Unix socket and a fake program."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from memcrdt.net.addresses import Address
from memcrdt.net.discovery.finder import AddressCandidate
from memcrdt.net.discovery.tailscale import MACHINES, TailscaleFinder, addresses_in
from memcrdt.testing.finders import FinderAcceptance

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the socket and the script are those of Unix")


def machine(number: int, **fields: Any) -> dict[str, Any]:
    """Return a machine as JSON in the format of ipnstate.PeerStatus, with relevant and some irrelevant fields."""
    return {
        "ID": f"n{number}CNTRL",
        "PublicKey": f"nodekey:{number:064x}",
        "HostName": f"host{number}",
        "DNSName": f"host{number}.tail1234.ts.net.",
        "OS": "linux",
        "UserID": 1001,
        "TailscaleIPs": [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number:x}"],
        "Addrs": None,
        "CurAddr": "",
        "Relay": "fra",
        "Online": True,
        "ExitNode": False,
        "Active": False,
        "LastSeen": "0001-01-01T00:00:00Z",
        **fields,
    }


def status(*peers: dict[str, Any], state: str = "Running") -> dict[str, Any]:
    """Return an ipnstate.Status."""
    return {
        "Version": "1.90.2",
        "TUN": True,
        "BackendState": state,
        "AuthURL": "",
        "TailscaleIPs": ["100.64.0.1"],
        "Self": machine(1),
        "Health": [],
        "MagicDNSSuffix": "tail1234.ts.net",
        "Peer": {peer["PublicKey"]: peer for peer in peers} or None,
        "User": {"1001": {"ID": 1001, "LoginName": "anna@example.com"}},
    }


class SocketScene:
    """A daemon on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tailscaled.sock"
        self.asked: list[tuple[str, str]] = []
        self._peers: list[dict[str, Any]] = []
        self._runner: web.AppRunner | None = None

    def finder(self) -> TailscaleFinder:
        return TailscaleFinder(sockets=[self.path], program="", port=27380)

    async def appear(self) -> AddressCandidate:
        number = len(self._peers) + 2
        self._peers.append(machine(number))
        if self._runner is None:
            application = web.Application()
            application.router.add_get("/localapi/v0/status", self._answer)
            self._runner = web.AppRunner(application)
            await self._runner.setup()
            await web.UnixSite(self._runner, str(self.path)).start()
        return AddressCandidate(Address(f"100.64.0.{number}", 27380), "tailscale")

    async def vanish(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.host, request.path))
        return web.json_response(status(*self._peers))


class ProgramScene:
    """The program, for a daemon without a usable socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tailscale"
        self._peers: list[dict[str, Any]] = []

    def finder(self) -> TailscaleFinder:
        return TailscaleFinder(sockets=[], program=str(self.path), port=27380)

    async def appear(self) -> AddressCandidate:
        number = len(self._peers) + 2
        self._peers.append(machine(number))
        script = f"#!/bin/sh\n[ \"$*\" = 'status --json' ] && cat <<'END'\n{json.dumps(status(*self._peers))}\nEND\n"
        fresh = self.path.with_suffix(".new")
        fresh.write_text(script)
        fresh.chmod(0o700)
        fresh.rename(self.path)
        return AddressCandidate(Address(f"100.64.0.{number}", 27380), "tailscale")

    async def vanish(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture(name="scene", params=[SocketScene, ProgramScene])
async def _scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SocketScene | ProgramScene]:
    monkeypatch.setattr("memcrdt.net.discovery.tailscale.INTERVAL_S", 0.05)
    scene = request.param(tmp_path)
    yield scene
    await scene.vanish()


class TestTailscaleFinder(FinderAcceptance):
    """The Tailscale finder meets the contract of all finders."""


async def test_the_request_has_the_daemons_host_name(tmp_path: Path) -> None:
    """The daemon refuses other hosts, so that web pages cannot use it."""
    scene = SocketScene(tmp_path)
    await scene.appear()
    assert await scene.finder()._status() == status(machine(2))
    assert scene.asked == [("local-tailscaled.sock", "/localapi/v0/status")]
    await scene.vanish()


def test_online_machines_are_returned_the_users_own_first() -> None:
    """With both addresses of each machine."""
    document = status(machine(2, Online=False), machine(3, UserID=7), machine(4))
    assert [str(address) for address in addresses_in(document, 1)] == [
        "100.64.0.4:1",
        "[fd7a:115c:a1e0::4]:1",
        "100.64.0.3:1",
        "[fd7a:115c:a1e0::3]:1",
    ]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        status(machine(2), state="NeedsLogin"),
        status(machine(2), state="Stopped"),
        status(),
        {**status(), "Peer": [1]},
        {**status(), "Self": None, "Peer": {"k": 1, "l": {"Online": True}, "m": machine(2, TailscaleIPs=["no ip!"])}},
    ],
)
def test_other_documents_give_no_address(document: object) -> None:
    """Logged out, stopped, without other machines, or malformed."""
    assert addresses_in(document, 1) == []


def test_the_number_of_machines_is_limited() -> None:
    """At most 64 machines are dialed."""
    document = status(*(machine(number) for number in range(2, 250)))
    assert len({address.host for address in addresses_in(document, 1)}) == 2 * MACHINES
