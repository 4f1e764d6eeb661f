"""A client's connection to a space: all its shards over one real WebSocket, message by message."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import aiohttp
import pytest

from memcrdt.crdt.shard import Shard
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.model.clocks import read_varuint
from memcrdt.store.membership.tokens import TokenTable
from memcrdt.yjs import client as serving
from memcrdt.yjs import protocol, space_protocol
from memcrdt.yjs.protocol import Awareness, Presence, Step1, Update
from tests.yjs.test_client import DEADLINE_S, ID, SOON, birth

OTHER = "01JD8Z6Q4M0000000000000002"


class Listed(NamedTuple):
    """The list of shards."""

    listing: dict[str, Any]


class Stored(NamedTuple):
    """So many updates of a shard are committed."""

    shard: int
    number: int


class Closed(NamedTuple):
    """A shard has ended."""

    shard: int
    code: int
    reason: str


class OfShard(NamedTuple):
    """A message of y-protocols; None for "permission denied"."""

    shard: int
    message: Any


def read(frame: bytes) -> Any:
    """Return a message of the server."""
    kind, at = read_varuint(frame, 0, 1 << 53)
    if kind == 0:
        return None
    if kind == 2:
        _, at = read_varuint(frame, at, 1 << 53)
        return Listed(json.loads(frame[at:]))
    shard, at = read_varuint(frame, at, 1 << 53)
    if kind == 1:
        return OfShard(shard, protocol.read(frame[at:]))
    number, at = read_varuint(frame, at, 1 << 53)
    if kind == 3:
        return Stored(shard, number)
    _, at = read_varuint(frame, at, 1 << 53)
    return Closed(shard, number, frame[at:].decode())


class SpaceTalk:
    """A client that keeps copies of the shards, from the updates that it was sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.copies: dict[int, Shard] = {}

    async def send(self, shard: int, message: bytes) -> None:
        await self.socket.send_bytes(space_protocol.of_shard(shard, message))

    async def until(self, wanted: Callable[[Any], Any]) -> Any:
        """Return the first wanted message, or the end of the connection as (code, reason)."""
        while True:
            message = await self.socket.receive(DEADLINE_S)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra
            found = read(message.data)
            if isinstance(found, OfShard) and isinstance(found.message, Update):
                self.copies.setdefault(found.shard, Shard(4711)).apply(found.message.update)
            if wanted(found):
                return found

    async def sync(self, shard: int) -> None:
        """Ask for missing updates, and wait for the step 2 that ends the answer."""
        await self.send(shard, protocol.step_1({}))
        await self.until(
            lambda m: (
                isinstance(m, OfShard) and m.shard == shard and isinstance(m.message, Update) and m.message.is_step_2
            )
        )


@pytest.fixture(name="talk")
async def _talk(served: Any) -> AsyncIterator[Callable[..., Any]]:
    async with aiohttp.ClientSession() as session, AsyncExitStack() as opened:

        async def connect(token: str | None = None) -> SpaceTalk:
            given: dict[str, Any] = {"params": {"token": token or served.token}, "max_msg_size": 0}
            socket = await session.ws_connect(served.personal, timeout=SOON, **given)
            opened.push_async_callback(socket.close)  # or the collector complains of it in another test
            return SpaceTalk(socket)

        yield connect


async def test_the_list_comes_first_and_whenever_it_changes(
    memory: Memory, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a shard begins or another one opens, not with every memory."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 2)
    client = await talk()
    assert (await client.until(bool)).listing == {"space": "personal", "open": 0, "read_only": None, "shards": []}
    memory.add("one")
    assert [shard["shard"] for shard in (await client.until(bool)).listing["shards"]] == [0]
    memory.add_many(["two", "three"])
    listed = await client.until(lambda m: isinstance(m, Listed) and len(m.listing["shards"]) == 2)
    assert listed.listing["open"] == 1


async def test_one_socket_carries_all_shards(memory: Memory, talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old and new updates, each with the number of its shard, and presences."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 1)
    added = memory.add_many(["one", "two", "three"])
    client = await talk()
    for shard, memory_id in enumerate(added):
        await client.sync(shard)
        assert client.copies[shard].registers(memory_id)
    memory.update(added[1], text="new")
    changed = await client.until(lambda m: isinstance(m, OfShard) and isinstance(m.message, Update))
    assert changed.shard == 1
    await client.send(2, protocol.awareness([Presence(7, 1, "{}")]))
    seen = await client.until(lambda m: isinstance(m, OfShard) and isinstance(m.message, Awareness))
    assert (seen.shard, seen.message.presences) == (2, (Presence(7, 1, "{}"),))


async def test_an_update_is_acknowledged_once_it_is_committed(memory: Memory, talk: Any) -> None:
    """By the number of updates since the shard began. A delete counts as well, which no state vector shows."""
    client, mine = await talk(), Shard(1)
    for number, writes in enumerate(({ID: birth("one")}, {OTHER: birth("two")}), start=1):
        await client.send(0, protocol.update(mine.write(writes).updates[0]))
        assert await client.until(lambda m: isinstance(m, Stored)) == Stored(0, number)
        assert len(list(memory.list())) == number


async def test_an_update_behind_a_gap_is_not_acknowledged(memory: Memory, talk: Any) -> None:
    """Until a step 2 has brought everything. Then all updates so far count."""
    client, mine = await talk(), Shard(1)
    first, second = mine.write({ID: birth("old")}), mine.write({ID: birth("new")})
    apart = Shard(2).write({OTHER: birth("apart")})
    await client.sync(0)
    await client.send(0, protocol.update(second.updates[0]))
    await client.until(lambda m: isinstance(m, OfShard) and isinstance(m.message, Step1))
    await client.send(0, protocol.update(apart.updates[0]))
    await client.until(lambda m: isinstance(m, OfShard) and isinstance(m.message, Update))  # it is committed
    await client.send(0, protocol.step_2(mine.diff({})))
    assert await client.until(lambda m: isinstance(m, Stored)) == Stored(0, 3)
    assert {record.text for record in memory.list()} == {"new", "apart"}
    assert first.updates


async def test_a_refused_shard_ends_alone(memory: Memory, talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code and the whole reason. Its further messages are dropped, and other shards go on."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 1)
    memory.add("here")
    client = await talk()
    await client.sync(0)
    await client.send(1, protocol.update(b"no update"))
    closed = await client.until(lambda m: isinstance(m, Closed))
    assert closed[:2] == (1, serving.REFUSED)
    assert "update" in closed.reason
    await client.send(1, protocol.update(Shard(1).write({ID: birth("dropped")}).updates[0]))
    await client.send(0, protocol.update(Shard(1).write({OTHER: birth("kept")}).updates[0]))
    assert await client.until(lambda m: isinstance(m, Stored)) == Stored(0, 1)
    assert {record.text for record in memory.list()} == {"here", "kept"}


async def test_a_shard_that_does_not_exist_ends_alone(talk: Any) -> None:
    """The connection stays."""
    client = await talk()
    await client.send(5, protocol.step_1({}))
    assert (await client.until(lambda m: isinstance(m, Closed)))[:2] == (5, serving.UNKNOWN)
    await client.sync(0)


async def test_a_malformed_frame_ends_the_connection(talk: Any) -> None:
    """A frame that names no shard. A kind that only servers send has no effect."""
    client = await talk()
    await client.socket.send_bytes(space_protocol.stored(0, 1))
    await client.sync(0)
    await client.socket.send_bytes(b"")
    assert (await client.until(lambda _: False))[0] == serving.REFUSED


async def test_a_read_only_token_is_named_in_the_list(memory: Memory, talk: Any) -> None:
    """Its writes are dropped and not acknowledged, and it is told "permission denied"."""
    client = await talk(TokenTable(memory.store).create("screen", rights=["read"]))
    assert "read-only" in (await client.until(bool)).listing["read_only"]
    await client.send(0, protocol.update(Shard(1).write({ID: birth("mine")}).updates[0]))
    assert (await client.until(lambda m: isinstance(m, (OfShard, Stored)))) == OfShard(0, None)
    assert list(memory.list()) == []


async def test_revoking_the_token_ends_the_connection(memory: Memory, talk: Any) -> None:
    """With the code after which clients stop."""
    client = await talk()
    await client.sync(0)
    TokenTable(memory.store).revoke("browser")
    code, reason = await client.until(lambda _: False)
    assert code == serving.REVOKED
    assert "revoked" in reason


async def test_a_quiet_connection_gets_heartbeats(talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames without effect."""
    monkeypatch.setattr(serving, "HEARTBEAT_S", 0.01)
    client = await talk()
    for _ in range(3):
        assert await client.until(lambda m: m is None) is None
