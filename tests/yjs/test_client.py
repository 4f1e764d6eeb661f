"""One client over a real WebSocket, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pycrdt
import pytest

import memcrdt
from memcrdt.crdt.shard import Shard
from memcrdt.errors import NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.model.clocks import StateVector
from memcrdt.model.registers import DELETED
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store.membership.tokens import TokenTable
from memcrdt.yjs import client as serving
from memcrdt.yjs import protocol, source, space_protocol
from memcrdt.yjs.listener import YjsListener, YjsOptions
from memcrdt.yjs.protocol import Awareness, Presence, Step1, Update

ID = "01JD8Z6Q4M0000000000000001"
DEADLINE_S = 10
SOON = aiohttp.ClientWSTimeout(ws_close=0.5)  # for the answer to a close: some servers here are kept busy


def birth(text: str) -> dict[str, Any]:
    """Return the register of a new memory, as docs/yjs/data.md tells JavaScript readers to write it."""
    return {
        "text": text,
        "scope": "global",
        "kind": None,
        "created_at": 1_790_000_000_000,
        "author": None,
        "device": "browser",
        "source": None,
        "salt": "00" * 16,
    }


class Talk:
    """A client that keeps a copy of its shard, from the updates that it was sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.copy = Shard(4711)

    async def send(self, frame: bytes) -> None:
        await self.socket.send_bytes(frame)

    async def next(self) -> Any:
        """Return the next message, or the end of the connection as (code, reason)."""
        async with asyncio.timeout(DEADLINE_S):
            message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.CLOSE:
            return message.data, message.extra
        assert message.type is aiohttp.WSMsgType.BINARY
        read = protocol.read(message.data)
        if isinstance(read, Update):
            self.copy.apply(read.update)
        return read

    async def until(self, wanted: Callable[[Any], Any]) -> Any:
        """Return the first wanted message. Earlier messages are applied, too."""
        while True:
            message = await self.next()
            if wanted(message):
                return message

    async def sync(self, known: StateVector | None = None) -> Update:
        """Ask for missing updates, and return the step 2 that ends the answer."""
        await self.send(protocol.step_1(known or {}))
        found: Update = await self.until(lambda message: isinstance(message, Update) and message.is_step_2)
        return found

    async def end(self) -> tuple[int, str]:
        found: tuple[int, str] = await self.until(lambda message: isinstance(message, tuple))
        return found

    async def silent(self) -> bool:
        """Return whether nothing was sent before the answer to a new question."""
        await self.send(protocol.awareness([Presence(99, 1, '"ping"')]))
        return isinstance(await self.next(), Awareness)


@pytest.fixture(name="talk")
async def _talk(served: Any) -> AsyncIterator[Callable[..., Any]]:
    async with aiohttp.ClientSession() as session, AsyncExitStack() as opened:

        async def connect(token: str | None = None, shard: int = 0) -> Talk:
            given: dict[str, Any] = {"params": {"token": token or served.token}, "max_msg_size": 0}
            socket = await session.ws_connect(f"{served.personal}/{shard}", timeout=SOON, **given)
            opened.push_async_callback(socket.close)  # or the collector complains of it in another test
            return Talk(socket)

        yield connect


async def test_a_client_is_asked_what_it_has(memory: Memory, talk: Any) -> None:
    """By a sync step 1 with our state vector, before the client sends anything."""
    memory.add("here already")
    message = await (await talk()).next()
    assert isinstance(message, Step1)
    assert sum(message.known.values()) > 0


async def test_updates_before_a_step_1_are_not_sent(memory: Memory, talk: Any) -> None:
    """The client's state is not known before its step 1, so an update could have a gap before it."""
    first = await talk()
    assert isinstance(await first.next(), Step1)
    memory.add("too early")
    other = await talk()
    await other.sync()
    assert await first.silent()


async def test_commits_of_other_processes_arrive(memory: Memory, talk: Any) -> None:
    """A second opening of the same file with its own connections stands for the other process."""
    client = await talk()
    await client.sync()
    with memcrdt.open(memory.home, embedder=None) as other:
        added = other.add("from elsewhere")
        await client.until(lambda message: isinstance(message, Update))
    assert client.copy.registers(added)[added]["text"] == "from elsewhere"


async def test_an_update_is_committed_like_one_from_a_peer(memory: Memory, talk: Any) -> None:
    """It can be searched when it comes back to the clients, and the log names the token."""
    client = await talk()
    await client.sync()
    mine = Shard(1).write({ID: birth("The cat is called Ada")})
    await client.send(protocol.update(mine.updates[0]))
    await client.until(lambda message: isinstance(message, Update))
    assert memory.get(ID).text == "The cat is called Ada"
    assert [hit.memory.id for hit in memory.search("cat")] == [ID]
    with memory.store.reading() as db:
        assert db.execute("SELECT origin FROM updates").get == "yjs:browser"


async def test_a_gap_is_answered_with_a_step_1(memory: Memory, talk: Any) -> None:
    """The client then sends all missing updates."""
    mine = Shard(1)
    first, second = mine.write({ID: birth("old")}), mine.write({ID: birth("new")})
    client = await talk()
    assert await client.next() == Step1({})
    await client.send(protocol.update(second.updates[0]))
    assert await client.next() == Step1({})
    with pytest.raises(NotFoundError):
        memory.get(ID)
    await client.sync()
    await client.send(protocol.step_2(mine.diff({})))
    await client.until(lambda message: isinstance(message, Update))
    assert memory.get(ID).text == "new"
    assert first.updates


async def test_a_step_2_with_a_gap_is_not_asked_for_again(talk: Any) -> None:
    """The client has no more than that, so asking again would never end."""
    mine = Shard(1)
    mine.write({ID: birth("old")})
    second = mine.write({ID: birth("new")})
    client = await talk()
    assert await client.next() == Step1({})
    await client.send(protocol.step_2(second.updates[0]))
    assert await client.silent()


async def test_a_refused_update_ends_the_connection_with_a_reason(memory: Memory, talk: Any) -> None:
    """With a code after which y-websocket does not reconnect. The update is in quarantine, the store unchanged."""
    text: pycrdt.Doc = pycrdt.Doc()
    text["memories"] = pycrdt.Text("no map at all")
    client = await talk()
    await client.sync()
    await client.send(protocol.update(text.get_update()))
    told = await client.until(lambda message: message is None)  # read() skips the "permission denied"
    code, reason = await client.end()
    assert code == serving.REFUSED == 4400
    assert told is None
    assert "Y.Array or Y.Text called 'memories'" in reason
    assert memory.status().quarantined == 1
    assert list(memory.list()) == []


@pytest.mark.parametrize("frame", [b"\0\3\0", b"\1\3\1\7\3", b"\0\1\5\0"])
async def test_a_malformed_message_ends_the_connection(memory: Memory, talk: Any, frame: bytes) -> None:
    """With the code for refusals. Nothing goes to quarantine, because there is no update."""
    client = await talk()
    await client.send(frame)
    assert (await client.end())[0] == serving.REFUSED
    assert memory.status().quarantined == 0


async def test_a_message_over_16_mib_ends_the_connection(talk: Any) -> None:
    """By its length alone, before memory is allocated for it. With a code after which clients do not connect again."""
    client = await talk()
    header = b"\x82\xff" + (space_protocol.FRAME_BYTES + 2).to_bytes(8, "big") + b"mask"
    client.socket._writer.transport.write(header)
    code, reason = await client.end()
    assert code == serving.REFUSED
    assert f"more than {space_protocol.FRAME_BYTES} bytes" in reason


def test_each_refusal_of_a_client_keeps_its_connection_open_longer() -> None:
    """Up to 20 s, because old clients connect again at once. Other clients and later refusals are not affected."""
    now = [0.0]
    delays = serving.RefusalDelays(lambda: now[0])
    assert [delays.next_s("ada") for _ in range(7)] == [1, 2, 4, 8, 16, 20, 20]
    assert delays.next_s("grace") == 1
    now[0] = serving.REFUSAL_FORGET_S
    assert delays.next_s("ada") == 1


async def test_a_refused_client_may_leave_before_the_connection_is_closed(
    served: Any, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is free at once, and whatever it has still sent is dropped."""
    monkeypatch.setattr(serving, "REFUSAL_FIRST_S", 3600.0)
    client = await talk()
    for _ in range(3):
        await client.send(b"\0\3\0")
    await client.until(lambda message: message is None)
    await client.socket.close()
    await eventually(lambda: not served.listener._clients)


async def test_the_listener_stops_although_a_refused_client_stays(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a message that was too long, behind which nothing can be read."""
    monkeypatch.setattr(serving, "REFUSAL_FIRST_S", 3600.0)
    token = TokenTable(memory.store).create("browser")
    async with aiohttp.ClientSession() as session, YjsListener(memory.store, YjsOptions(port=0)) as listener:
        sockets = [await session.ws_connect(f"{listener.url}/personal/0?token={token}") for _ in range(2)]
        await sockets[0].send_bytes(b"\0\3\0")
        sockets[1]._writer.transport.write(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask")
        for socket in sockets:
            while (await socket.receive_bytes())[0] != 2:  # the "permission denied"
                pass


async def _check_only_reads(memory: Memory, client: Talk, reason: str) -> None:
    there = memory.list().items[0].id
    await client.sync()
    assert client.copy.registers(there)
    await client.send(protocol.step_2(b"\0\0"))
    assert await client.silent()
    for write in (protocol.update, protocol.step_2):
        await client.send(write(Shard(1).write({ID: birth("mine")}).updates[0]))
    async with asyncio.timeout(DEADLINE_S):
        assert await client.socket.receive_bytes() == protocol.denied(reason)
    await client.send(protocol.awareness([Presence(98, 1, '"told once"')]))
    assert isinstance(await client.next(), Awareness)
    assert [record.id for record in memory.list()] == [there]


async def test_a_read_only_token_reads_and_its_writes_are_dropped(memory: Memory, talk: Any) -> None:
    """It gets no step 1. An update that it sends changes nothing; it is told so and stays connected."""
    memory.add("here already")
    client = await talk(TokenTable(memory.store).create("screen", rights=["read"]))
    await _check_only_reads(memory, client, "the token 'screen' is read-only; make another with `memcrdt token create`")
    later = memory.add("later")
    await client.until(lambda message: isinstance(message, Update))
    assert client.copy.registers(later)


async def test_no_client_writes_a_space_that_this_device_may_only_read(memory: Memory, talk: Any) -> None:
    """Whatever the token allows, because the other devices would refuse it. Reading works, also after compaction."""
    memory.add("here already")
    memory.compact()
    with memory.store.writing() as db:
        db.execute("UPDATE spaces SET read_only = 1 WHERE name = 'personal'")
    await _check_only_reads(
        memory,
        await talk(),
        "this device may only read the space; connect to a device that may write it, or use another space",
    )


async def test_revoking_a_token_ends_its_connections(memory: Memory, talk: Any) -> None:
    """With a code after which y-websocket does not reconnect. Clients with other tokens stay connected."""
    client, other = await talk(), await talk(TokenTable(memory.store).create("other"))
    await client.sync()
    await other.sync()
    TokenTable(memory.store).revoke("browser")
    secret = memory.add("not for the revoked one")
    assert (await client.end())[0] == serving.REVOKED == 4401
    assert not client.copy.registers(secret)
    await other.until(lambda message: isinstance(message, Update))
    assert other.copy.registers(secret)


async def test_revoking_ends_a_connection_that_asked_for_nothing(memory: Memory, talk: Any) -> None:
    """Otherwise it would still receive presences."""
    client = await talk()
    await client.next()
    TokenTable(memory.store).revoke("browser")
    assert (await client.end())[0] == serving.REVOKED


async def test_a_client_of_a_joined_space_has_to_reconnect(memory: Memory, talk: Any) -> None:
    """The space has a new id, and y-websocket reconnects after this code."""
    client = await talk()
    await client.sync()
    with memory.store.writing() as db:
        db.execute("UPDATE spaces SET id = 'ANOTHER' WHERE name = 'personal'")
    assert (await client.end())[0] == serving.FAILED == aiohttp.WSCloseCode.INTERNAL_ERROR
    again = await talk()
    await again.sync()
    added = memory.add("there again")
    await again.until(lambda message: isinstance(message, Update))
    assert again.copy.registers(added)


async def test_a_quiet_connection_gets_heartbeats(talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty awareness message without effect, well within the 30 s timeout of y-websocket."""
    assert serving.HEARTBEAT_S < 15
    monkeypatch.setattr(serving, "HEARTBEAT_S", 0.01)
    client = await talk()
    assert isinstance(await client.next(), Step1)
    assert [await client.next() for _ in range(3)] == [Awareness(())] * 3


async def test_a_busy_store_does_not_delay_heartbeats_of_a_quiet_shard(
    memory: Memory, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits in other shards wake a connection that has nothing to send."""
    monkeypatch.setattr(serving, "HEARTBEAT_S", 0.05)
    memory.add("in shard 0")
    quiet = await talk(shard=1)
    assert isinstance(await quiet.next(), Step1)
    heard = asyncio.create_task(quiet.next())
    while not heard.done():
        await asyncio.to_thread(memory.add, "in shard 0")
    assert heard.result() == Awareness(())


async def test_a_large_state_is_sent_in_several_updates(memory: Memory, talk: Any) -> None:
    """Over 1 MiB: updates of 256 KiB, each applicable after the earlier ones, then a step 2."""
    for memory_id in memory.add_many("x" * 4000 + str(number) for number in range(200)):
        memory.update(memory_id, text="y" * 4000)
    client, messages = await talk(), []
    await client.send(protocol.step_1({}))
    await client.until(lambda m: messages.append(m) or (isinstance(m, Update) and m.is_step_2))
    updates = [message for message in messages if isinstance(message, Update)]
    assert sum(len(message.update) for message in updates) > source.WHOLE_BYTES
    assert len(updates) >= 6
    assert max(len(message.update) for message in updates) < 1.1 * source.PIECE_BYTES
    assert [message.is_step_2 for message in updates] == [False] * (len(updates) - 1) + [True]
    assert client.copy.digest() == digest(memory)


async def test_an_awareness_query_is_answered(talk: Any) -> None:
    """With all presences. A new client gets them without asking."""
    ada, grace = await talk(), await talk()
    await ada.send(protocol.awareness([Presence(1, 1, '{"name": "Ada"}')]))
    assert await grace.until(lambda message: isinstance(message, Awareness)) == Awareness(
        (Presence(1, 1, '{"name": "Ada"}'),)
    )
    await grace.send(bytes([3]))
    assert await grace.next() == Awareness((Presence(1, 1, '{"name": "Ada"}'),))
    await ada.socket.close()
    assert await grace.next() == Awareness((Presence(1, 1, "null"),))


async def test_other_shards_receive_nothing(memory: Memory, talk: Any) -> None:
    """Neither updates nor presences: a room is one shard."""
    memory.add("in shard 0")
    there = await talk(shard=1)
    await there.sync()
    here = await talk(shard=0)
    await here.send(protocol.awareness([Presence(1, 1, "{}")]))
    memory.add("in shard 0 as well")
    assert await there.silent()


async def test_a_raw_delete_of_a_birth_is_a_forget(memory: Memory, talk: Any) -> None:
    """The commit completes the forget: it adds the tombstone and deletes the other registers."""
    doomed = memory.add("the code of the safe is 1234", tags=["safe"])
    client = await talk()
    await client.sync()
    await client.send(protocol.update(client.copy.write({doomed: DELETED}).updates[0]))
    await client.until(lambda message: isinstance(message, Update) and f"{doomed}/x" in client.copy.registers(doomed))
    assert set(client.copy.registers(doomed)) == {f"{doomed}/x"}
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(doomed)


async def test_pycrdt_s_own_provider_syncs_both_ways(memory: Memory, talk: Any) -> None:
    """A document of pycrdt.Provider gets old and new updates, and sends its changes."""
    there = memory.add("from memcrdt")
    client = await talk()
    doc: pycrdt.Doc = pycrdt.Doc()
    registers = doc.get("memories", type=pycrdt.Map)
    async with pycrdt.Provider(doc, _Channel(client.socket)) as provider:
        async with asyncio.timeout(DEADLINE_S):
            await provider.synced.wait()
        assert registers[there]["text"] == "from memcrdt"
        later = memory.add("later")
        await eventually(lambda: later in registers)
        registers[ID] = birth("from pycrdt")
        await eventually(lambda: ID in {record.id for record in memory.list()})
    assert memory.get(ID).text == "from pycrdt"
    assert Shard.load(1, [doc.get_update()]).digest() == digest(memory)


class _Channel:
    """The connection interface that pycrdt.Provider needs."""

    path = "0"

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: bytes) -> None:
        await self._socket.send_bytes(message)

    async def recv(self) -> bytes:
        return await self._socket.receive_bytes()

    def __aiter__(self) -> _Channel:
        return self

    async def __anext__(self) -> bytes:
        return await self.recv()


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  arbitrary conditions have no event
            await asyncio.sleep(0.005)


def digest(memory: Memory) -> bytes:
    """Return the digest of the only shard of `personal`."""
    (space,) = (space for space in memory.status().spaces if space.name == "personal")
    (found,) = StoreReplica(memory.store).digests(space.id).values()
    return found.digest
