"""Sessions of the dashboard: a code works once, for the user of the home, and a session ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")

import memcrdt
from memcrdt.server.app import STATIC
from memcrdt.server.sessions import (
    CODE_S,
    SESSION_S,
    SESSIONS,
    Sessions,
    address_of,
    is_offered,
    noted_address,
    offer,
)
from tests.server.conftest import bearer, serving

if TYPE_CHECKING:
    from starlette.testclient import TestClient

PAGE_BYTES = 200_000
PATIENCE_S = 60


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _headers(secret: str) -> dict[str, str]:
    return {name.lower(): value for name, value in bearer(secret).items()}


async def test_a_code_works_once(tmp_path: Path) -> None:
    """Also if several ask for it at the same time."""
    sessions, code = Sessions(tmp_path), offer(tmp_path)
    assert is_offered(tmp_path, code)
    begun = await asyncio.gather(*(sessions.begin(code) for _ in range(8)))
    assert sum(secret is not None for secret in begun) == 1
    assert not is_offered(tmp_path, code)
    assert _files(tmp_path) == []


@pytest.mark.parametrize("code", ["", "0" * 64, "../http", "*" * 64, "é" * 64, "\ud800" * 64, "F" * 64])
async def test_no_other_code_works(tmp_path: Path, code: str) -> None:
    """And none of them reaches a file of another name."""
    offer(tmp_path)
    assert await Sessions(tmp_path).begin(code) is None
    assert len(_files(tmp_path)) == 1


async def test_a_code_expires_and_its_file_is_removed(tmp_path: Path) -> None:
    """A link that nobody used opens nothing later."""
    code = offer(tmp_path)
    (file,) = _files(tmp_path)
    assert code not in file.name
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600
    os.utime(file, (0, file.stat().st_mtime - CODE_S - 1))
    assert not is_offered(tmp_path, code)
    assert await Sessions(tmp_path).begin(code) is None
    old = offer(tmp_path)
    (file,) = _files(tmp_path)
    os.utime(file, (0, file.stat().st_mtime - CODE_S - 1))
    offer(tmp_path)
    assert len(_files(tmp_path)) == 1
    assert not is_offered(tmp_path, old)


async def test_a_session_ends_after_half_a_day_when_signed_out_and_as_the_oldest_of_many(tmp_path: Path) -> None:
    """Its streams end with it."""
    now = 0.0
    sessions = Sessions(tmp_path, lambda: now)
    secret = await sessions.begin(offer(tmp_path))
    assert secret is not None
    caller = await sessions.caller(_headers(secret))
    assert caller is not None
    assert set(caller.access.rights) == {"read", "write", "forget", "admin"}
    assert await sessions.caller(_headers("0" * 64)) is None
    assert await sessions.caller({}) is None
    now = SESSION_S
    assert await sessions.caller(_headers(secret)) is None
    assert caller.ended()
    begun = [str(await sessions.begin(offer(tmp_path))) for _ in range(SESSIONS + 1)]
    assert await sessions.caller(_headers(begun[0])) is None
    assert await sessions.caller(_headers(begun[1])) is not None
    sessions.end(_headers(begun[1]))
    assert await sessions.caller(_headers(begun[1])) is None
    assert await Sessions(None).begin(begun[0]) is None


def test_the_address_is_that_of_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    """A note that a killed process left is not taken for the one that runs now."""
    assert address_of(tmp_path, os.getpid()) is None
    with noted_address(tmp_path, "http://127.0.0.1:1"):
        assert address_of(tmp_path, os.getpid()) == "http://127.0.0.1:1"
        assert address_of(tmp_path, os.getpid() + 1) is None
    assert address_of(tmp_path, os.getpid()) is None
    for damaged in ("", "[]", "null", '{"pid": 1}', "[" * 5_000):
        (tmp_path / "http.json").write_text(damaged)
        assert address_of(tmp_path, 1) is None


def test_the_server_exchanges_a_code_for_all_rights(client: TestClient, memory: memcrdt.Memory) -> None:
    """The page of the server may do it; a page of another site or name may not, and uses up nothing."""
    assert memory.home is not None
    code = offer(memory.home)
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Content-Type": "text/plain"}, 415),
    ):
        said = {"Content-Type": "application/json", **headers}
        assert client.post("/session", content=json.dumps({"code": code}), headers=said).status_code == status
    answer = client.post("/session", json={"code": code}, headers={"Origin": "http://localhost"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "set-cookie" not in answer.headers
    session = bearer(answer.json()["secret"])
    assert client.post("/session", json={"code": code}).status_code == 401
    assert client.post("/v1/alarms/acknowledge", headers=session).status_code == 200
    assert (
        client.post("/v1/alarms/acknowledge", headers={**session, "Origin": "https://evil.example"}).status_code == 403
    )
    assert client.delete("/session", headers=session).status_code == 204
    assert client.get("/v1/stats", headers=session).status_code == 401


def test_a_link_elsewhere_opens_the_page_and_reads_nothing(client: TestClient) -> None:
    """A navigation to the static files is let in; one to data, and any other request to the files, is not."""
    opened = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=opened).status_code == 200
    assert client.get("/v1/stats", headers=opened).status_code == 403
    assert client.get("/", headers={**opened, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert (
        client.get("/app.js", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    )
    assert client.get("/app.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("is_served", [True, False])
def test_the_command_prints_a_link(tmp_path: Path, is_served: bool) -> None:
    """To the running server, after which it ends; without one, it serves the page itself. The link opens a session."""
    import httpx2

    (tmp_path / "config.toml").write_text('embedder = "none"\nmdns = false\ntailscale = false\n', encoding="utf-8")
    command = [sys.executable, "-m", "memcrdt", "--home", str(tmp_path), "--json", "dashboard", "--no-open"]
    with (
        serving(tmp_path) if is_served else nullcontext({}) as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            url, _, code = json.loads(process.stdout.readline())["url"].partition("/#code=")
            assert url == said.get("http", url)
            secret = httpx2.post(f"{url}/session", json={"code": code}).json()["secret"]
            assert httpx2.get(f"{url}/v1/stats", headers=bearer(secret)).status_code == 200
            if is_served:
                assert process.wait(PATIENCE_S) == 0
            assert "code" not in (tmp_path / "http.json").read_text("utf-8")
        finally:
            process.terminate()


def test_the_libraries_are_those_of_the_lock() -> None:
    """Nobody changed them by hand, each has its licence, and the whole page is small. Nothing names another host."""
    lock = json.loads((STATIC / "vendor" / "lock.json").read_text("utf-8"))
    licences = (STATIC / "vendor" / "licences.txt").read_text("utf-8")
    for package in lock:
        content = (STATIC / "vendor" / package["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == package["sha256"], package["file"]
        assert f"{package['name']} {package['version']}, {package['licence']}" in licences
    files = [each for each in STATIC.rglob("*") if each.is_file()]
    assert {each.name for each in (STATIC / "vendor").iterdir()} == {
        "lock.json",
        "licences.txt",
        *(package["file"] for package in lock),
    }
    assert sum(each.stat().st_size for each in files) < PAGE_BYTES
    own = "".join(each.read_text("utf-8") for each in files if each.parent == STATIC and each.suffix != ".svg")
    assert not any(
        name in own for name in ("innerHTML", "dangerouslySetInnerHTML", "document.write", "https://", "eval(")
    )
