"""/v1/changes: clients that follow what changes lose nothing, whatever happens to their connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")

import httpx2

import memcrdt
from memcrdt.server import changing, watching
from memcrdt.server.listening import HttpServer, ServerOptions
from memcrdt.service.access import Access
from memcrdt.service.changes import ChangeReader
from tests.server.conftest import bearer

PATIENCE_S = 60
STREAM = {"Accept": "text/event-stream"}


class Event(NamedTuple):
    """An event of a stream."""

    kind: str
    data: dict[str, Any]
    last_id: str


@asynccontextmanager
async def _serve(memory: memcrdt.Memory, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        HttpServer(memory, ServerOptions(address="127.0.0.1:0")) as server,
        httpx2.AsyncClient(base_url=server.url, headers=bearer(token), timeout=PATIENCE_S) as http,
    ):
        yield http


async def _follow(response: httpx2.Response) -> AsyncIterator[Event]:
    """Yield the events of a stream, and for the first position an event without a name."""
    last_id, kind, data, is_new = "", "", "{}", False
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        match name:
            case "id":
                last_id, is_new = value, True
            case "event":
                kind = value
            case "data":
                data = value
            case "" if not line and (kind or is_new):
                yield Event(kind, json.loads(data), last_id)
                kind, data, is_new = "", "{}", False


@asynccontextmanager
async def _stream(http: httpx2.AsyncClient, last_id: str | None = None, **query: Any) -> AsyncIterator[Any]:
    """Open a stream, wait until it is up to date, and return its further events."""
    resumed = {} if last_id is None else {"Last-Event-ID": last_id}
    async with http.stream("GET", "/v1/changes", params=query, headers={**STREAM, **resumed}) as response:
        assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        yield _follow(response)


async def test_a_stream_tells_every_change(memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """Of any kind, in the order of the commits, and only of the spaces of the token."""
    async with _serve(memory, tokens["agent"]) as http, _stream(http) as events, asyncio.timeout(PATIENCE_S):
        assert (await anext(events)).kind == ""
        added = await asyncio.to_thread(memory.add, "one")
        assert ((await anext(events)).data["id"]) == added
        memory.add("hidden", space="team")
        memory.update(added, text="two")
        kind, data, _ = await anext(events)
        assert (kind, data["kind"], data["id"], data["space"]) == ("updated", "updated", added, "personal")
        memory.forget(added)
        assert (await anext(events)).kind == "forgotten"


async def test_a_stream_resumes_where_it_was(memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """Nothing in between is lost, also of a commit of which a client got only a part: it has no position in it."""
    async with _serve(memory, tokens["agent"]) as http, asyncio.timeout(PATIENCE_S):
        async with _stream(http) as events:
            start = (await anext(events)).last_id
            ids = await asyncio.to_thread(memory.add_many, ["a", "b", "c"])
            first = await anext(events)
            assert (first.data["id"] in ids, first.last_id) == (True, start)
        later = memory.add("d")
        async with _stream(http, first.last_id) as events:
            got = [await anext(events) for _ in range(4)]
            assert [event.data["id"] for event in got] == [*ids, later]
            assert got[2].last_id != got[3].last_id != start
        async with _stream(http, got[2].last_id) as events:
            assert (await anext(events)).data["id"] == later


async def test_a_position_that_the_log_has_no_more_is_missed(memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """After folding, the client is told first, and still gets each changed memory. So is one of another store."""
    start = str(ChangeReader(memory, Access()).position)
    kept, gone = memory.add_many(["kept", "gone"])
    memory.forget(gone)
    memory.compact()
    async with _serve(memory, tokens["agent"]) as http, asyncio.timeout(PATIENCE_S):
        async with _stream(http, start) as events:
            got = [await anext(events) for _ in range(3)]
            assert [(event.kind, event.data["id"]) for event in got] == [
                ("missed", ""),
                ("added", kept),
                ("forgotten", gone),
            ]
        async with _stream(http, "1-00000000") as events:
            assert [(await anext(events)).kind for _ in range(2)] == ["missed", ""]
        for wrong in ("nonsense", "1", "-1-00000000"):
            refused = await http.get("/v1/changes", params={"since": wrong})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")


async def test_a_client_without_streams_waits_for_an_answer(memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """Without a position, the answer is where to begin. A row with more changes than the limit is not cut."""
    async with _serve(memory, tokens["agent"]) as http, asyncio.timeout(PATIENCE_S):
        start = (await http.get("/v1/changes")).json()
        assert (start["changes"], start["more"]) == ([], False)
        waiting = asyncio.create_task(http.get("/v1/changes", params={"since": start["next"], "wait": 60}))
        await asyncio.sleep(0)
        added = memory.add("one")
        told = (await waiting).json()
        assert [change["id"] for change in told["changes"]] == [added]
        nothing = (await http.get("/v1/changes", params={"since": told["next"], "wait": 0.05})).json()
        assert (nothing["changes"], nothing["next"]) == ([], told["next"])
        memory.add_many([f"{n}" for n in range(5)])
        last = memory.add("last")
        many = (await http.get("/v1/changes", params={"since": told["next"], "limit": 2})).json()
        assert (len(many["changes"]) >= 5, many["more"]) == (True, True)
        rest = (await http.get("/v1/changes", params={"since": many["next"], "limit": 2})).json()
        assert [change["id"] for change in rest["changes"]][-1] == last


async def test_a_revoked_token_is_told_nothing_more(memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """Its stream ends with the reason. So does one whose server ends, at once."""
    async with _serve(memory, tokens["agent"]) as http, asyncio.timeout(PATIENCE_S), AsyncExitStack() as opened:
        events = await opened.enter_async_context(_stream(http))
        others = await opened.enter_async_context(_stream_of(http, tokens["reader"]))
        await anext(events)
        await anext(others)
        memory.tokens.revoke("agent")
        added = await asyncio.to_thread(memory.add, "after the revocation")
        kind, data, _ = await anext(events)
        assert (kind, data["reason"]) == ("end", "revoked")
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        assert (await anext(others)).data["id"] == added


def _stream_of(http: httpx2.AsyncClient, token: str) -> Any:
    @asynccontextmanager
    async def stream() -> AsyncIterator[Any]:
        headers = {**STREAM, **bearer(token)}
        async with http.stream("GET", "/v1/changes", headers=headers) as response:
            yield _follow(response)

    return stream()


async def test_a_slow_reader_is_cut_off_told_and_resumes(
    memory: memcrdt.Memory, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the position of the last change that it read, it gets all the others."""
    monkeypatch.setattr(watching, "QUEUE", 3)
    async with _serve(memory, tokens["agent"]) as http, asyncio.timeout(PATIENCE_S):
        async with _stream(http) as events:
            await anext(events)
            first = memory.add("first")
            read = await anext(events)
            assert read.data["id"] == first
            rest = [memory.add(f"{n}") for n in range(20)]
            got = [event async for event in events]
        assert (got[-1].kind, got[-1].data["reason"]) == ("end", "cut")
        reached = got[-1].last_id
        seen = [event.data["id"] for event in got[:-1]]
        while len(seen) < 20:
            told = (await http.get("/v1/changes", params={"since": reached})).json()
            seen += [change["id"] for change in told["changes"]]
            reached = told["next"]
        assert seen == rest


async def test_a_client_that_takes_nothing_is_disconnected(
    memory: memcrdt.Memory, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server holds no more than its queue for it, and lets the next client in."""
    monkeypatch.setattr(watching, "CLIENTS_OF_TOKEN", 1)
    monkeypatch.setattr(changing, "STALL_S", 0.2)
    monkeypatch.setattr(changing, "HEARTBEAT_S", 0.001)  # heartbeats fill the buffers of the connection
    monkeypatch.setattr(changing, "HEARTBEAT", b":" + b" " * 65_536 + b"\n\n")
    async with (
        _serve(memory, tokens["agent"]) as http,
        asyncio.timeout(PATIENCE_S),
        http.stream("GET", "/v1/changes", headers=STREAM) as idle,
    ):
        assert (await http.get("/v1/changes", params={"wait": 1})).status_code == 503
        while (answer := await http.get("/v1/changes")).status_code == 503:
            assert answer.json()["code"] == "busy"
            await asyncio.sleep(0.05)
        assert idle.status_code == 200
