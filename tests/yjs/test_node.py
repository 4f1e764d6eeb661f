"""Stock JavaScript clients from npm (yjs 13, y-websocket 3) against a real store."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.crdt.shard import Shard
from memcrdt.errors import NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.model import registers
from memcrdt.model.attributes import IN_REGISTERS
from memcrdt.node.node import Node
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.tokens import TokenTable
from memcrdt.yjs.listener import YjsListener, YjsOptions

DEADLINE_S = 30
ID = "01JD8Z6Q4M0000000000000001"
OTHER = "01JD8Z6Q4M0000000000000002"
REVISION = "01JD8Z6Q4M000000000000000R"
SALT = "000102030405060708090a0b0c0d0e0f"
AT = 1_790_000_000_000
UNICODE = "Zoë, 東京, नमस्ते, 🧠, \U0001f469\u200d\U0001f467, \u200fשלא, \u0000 and \u2028"

CONNECTED = """
const c = state[name] = connect(url, String(shard), token)
await until(() => c.provider.synced)
return c.doc.clientID"""


async def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until the condition is true, and return its value."""
    async with asyncio.timeout(DEADLINE_S):
        while not (found := condition()):  # noqa: ASYNC110  arbitrary conditions have no event
            await asyncio.sleep(0.005)
    return found


async def joined(node: Any, served: Any, name: str = "c", shard: int = 0) -> None:
    """Connect a client to a shard and wait until it is synced. Snippets find it in `state`."""
    await node(CONNECTED, url=served.personal, token=served.token, name=name, shard=shard)


def birth(text: str, **fields: Any) -> dict[str, Any]:
    """Return the register of a new memory, as docs/yjs/data.md tells JavaScript readers to write it."""
    given = {"text": text, "scope": "global", "kind": None, "created_at": AT, "author": None}
    return {**given, "device": "browser", "source": None, "salt": SALT, **fields}


def texts(memory: Memory) -> set[str]:
    return {record.text for record in memory.list()}


def digest(memory: Memory, shard: int = 0) -> bytes:
    (space,) = (space for space in memory.status().spaces if space.name == "personal")
    return StoreReplica(memory.store).digests(space.id)[shard].digest


async def agree(node: Any, memory: Memory, shard: int = 0) -> None:
    """Wait until the client's document has the digest of ours, computed from its bytes."""
    async with asyncio.timeout(DEADLINE_S):
        while await _digest_of(node) != digest(memory, shard):  # noqa: ASYNC110  the document is in Node.js
            await asyncio.sleep(0.02)


async def _digest_of(node: Any) -> bytes:
    state = await node("return Buffer.from(Y.encodeStateAsUpdate(state.c.doc)).toString('base64')")
    return Shard.load(1, [base64.b64decode(state)]).digest()


async def test_both_sides_edit(memory: Memory, served: Any, node: Any) -> None:
    """Adds, changes and deletes reach the other side, and a client's memories can be searched."""
    first = memory.add("The cat is called Ada")
    await joined(node, served)
    assert await node("return state.c.map.get(id).text", id=first) == "The cat is called Ada"
    await node("state.c.map.set(id, birth)", id=ID, birth=birth("The dog is called Grace"))
    await eventually(lambda: ID in {record.id for record in memory.list()})
    assert [hit.memory.id for hit in memory.search("dog")] == [ID]
    memory.update(ID, text="The dog is called Barbara")
    await node(
        "await until(() => [...state.c.map].some(([k, v]) => k.startsWith(`${id}/r/`) && v.text.includes('Barbara')))",
        id=ID,
    )
    memory.forget(first)
    await node("await until(() => state.c.map.has(`${id}/x`) && !state.c.map.has(id))", id=first)
    await agree(node, memory)


async def test_unicode_passes_both_ways(memory: Memory, served: Any, node: Any) -> None:
    """Every plane, right-to-left text, joined emoji, and characters that JSON or JavaScript treat specially."""
    there = memory.add(UNICODE.replace("\u0000", ""), metadata={"städte": "東京"})
    await joined(node, served)
    assert await node("return state.c.map.get(id).text", id=there) == UNICODE.replace("\u0000", "")
    await node("state.c.map.set(id, birth)", id=ID, birth=birth(UNICODE))
    await eventually(lambda: ID in {record.id for record in memory.list()})
    assert memory.get(ID).text == UNICODE


async def test_edits_during_a_cut_connection_are_merged(memory: Memory, served: Any, node: Any) -> None:
    """One memory is edited on both sides. Both texts are kept, and all copies show the same one."""
    shared = memory.add("The cat is called Ada")
    await joined(node, served)
    await node("state.c.provider.disconnect()")
    memory.update(shared, text="The cat is called Grace")
    memory.add("only here")
    await node(
        """
        const text = 'The cat is called Barbara'
        state.c.map.set(`${id}/r/${revision}`, { text, at, by: null, device: 'b', base: [id] })
        state.c.map.set(other, birth)""",
        id=shared,
        revision=REVISION,
        at=AT,
        other=OTHER,
        birth=birth("only there"),
    )
    await node("state.c.provider.connect(); await until(() => state.c.provider.synced)")
    await eventually(lambda: "only there" in texts(memory))
    assert {revision.text for revision in memory.conflicts(shared)} == {
        "The cat is called Grace",
        "The cat is called Barbara",
    }
    await node("await until(() => [...state.c.map.values()].some((value) => value.text === 'only here'))")
    await agree(node, memory)


async def test_a_client_reconnects_automatically(memory: Memory, node: Any) -> None:
    """After the listener was down for a while, the changes of both sides are exchanged."""
    token = TokenTable(memory.store).create("browser")
    async with YjsListener(memory.store, YjsOptions(port=0)) as listener:
        port = int(listener.url.split(":")[2].split("/")[0])
        url = f"ws://127.0.0.1:{port}/yjs/personal"
        await node(CONNECTED, url=url, token=token, name="c", shard=0)
    await node("await until(() => !state.c.provider.wsconnected); state.c.map.set(id, birth)", id=ID, birth=birth("a"))
    there = memory.add("b")
    async with YjsListener(memory.store, YjsOptions(port=port)):
        await node("await until(() => state.c.provider.synced && state.c.map.has(id))", id=there)
        await eventually(lambda: texts(memory) == {"a", "b"})
        await agree(node, memory)


async def test_ten_thousand_memories(memory: Memory, served: Any, node: Any) -> None:
    """Written by Python and read by a client, one connection per shard, and the same number the other way."""
    memory.add_many(f"memory {number} of Python, which is about something" for number in range(5_000))
    read = await node(
        """
        const listed = await (await fetch(`${list}?token=${token}`)).json()
        const clients = listed.shards.map(({ shard }) => connect(url, String(shard), token))
        await until(() => clients.every(({ provider }) => provider.synced))
        clients.forEach(({ provider }) => provider.destroy())
        return clients.flatMap(({ map }) => [...map.values()].map(({ text }) => text))""",
        list=f"{served.spaces}/personal",
        url=served.personal,
        token=served.token,
    )
    assert set(read) == texts_of_all(memory)
    assert len(read) == 5_000
    await joined(node, served, shard=4)
    await node(
        """
        const name = (n) => '01JD8Z6Q4M' + String(n).padStart(16, '0')
        state.c.doc.transact(() => {
          for (let n = 0; n < 5000; n++) state.c.map.set(name(n), { ...birth, text: `${n}` })
        })""",
        birth=birth(""),
    )
    await eventually(lambda: len(texts_of_all(memory)) == 10_000)
    await agree(node, memory, 4)


def texts_of_all(memory: Memory) -> set[str]:
    with memory.store.reading() as db:
        return {text for (text,) in db.execute("SELECT text FROM memories")}


async def test_a_client_and_a_python_peer_converge(memory: Memory, served: Any, node: Any, tmp_path: Path) -> None:
    """A client of the laptop and the device desktop get each other's writes, and all digests are equal."""
    with memcrdt.open(tmp_path / "desktop", embedder=None) as desktop:
        Peers(desktop.store).accept(memory.store.device)
        async with Node(desktop, host="127.0.0.1", port=0) as far:
            Peers(memory.store).accept(desktop.store.device, address=far.addresses[0])
            async with Node(memory, host="127.0.0.1", port=0):
                await joined(node, served)
                await node("state.c.map.set(id, birth)", id=ID, birth=birth("from the browser"))
                await eventually(lambda: texts(desktop) == {"from the browser"})
                there = desktop.add("from the desktop")
                await node("await until(() => state.c.map.has(id))", id=there)
                await node("state.c.map.delete(id)", id=ID)
                await eventually(lambda: texts(desktop) == {"from the desktop"})
                await node("await until(() => state.c.map.has(`${id}/x`))", id=ID)
                await eventually(lambda: digest(desktop) == digest(memory))
                await agree(node, memory)


async def test_awareness_passes_between_two_clients(served: Any, node: Any) -> None:
    """Each sees the other's presence, and that it has left."""
    first = await node(CONNECTED, url=served.personal, token=served.token, name="a", shard=0)
    await node("state.a.awareness.setLocalStateField('name', 'Ada')")
    second = await node(CONNECTED, url=served.personal, token=served.token, name="b", shard=0)
    await node("state.b.awareness.setLocalStateField('name', 'Grace')")
    seen = "await until(() => state[name].awareness.getStates().get(client)?.name === shown)"
    await node(seen, name="b", client=first, shown="Ada")
    await node(seen, name="a", client=second, shown="Grace")
    await node("state.b.provider.destroy()")
    await node("await until(() => !state.a.awareness.getStates().has(client))", client=second)


@pytest.mark.parametrize("token", [None, "", "0" * 64])
async def test_a_client_with_a_bad_token_gets_401_and_nothing_else(
    memory: Memory, served: Any, node: Any, token: str | None
) -> None:
    """Without a WebSocket no byte of a document is sent. A valid token works on the same listener."""
    memory.add("The code of the safe is 1234")
    answered = await node(
        """
        const query = token === null ? '' : `?token=${token}`
        return await new Promise((resolve) => new WebSocket(`${url}/0${query}`)
          .on('unexpected-response', (_, response) => {
            let body = ''
            response.on('data', (data) => { body += data }).on('end', () => resolve([response.statusCode, body]))
          }).on('open', () => resolve('open')).on('message', () => resolve('message')))""",
        url=served.personal,
        token=token,
    )
    assert answered == [401, ""]
    await node(
        """
        const c = connect(url, '0', token)
        await until(() => c.closes.length >= 2)
        if (c.map.size || c.provider.synced) throw new Error('it came in')
        c.provider.destroy()""",
        url=served.personal,
        token=token,
    )


async def test_a_refused_client_does_not_reconnect(memory: Memory, served: Any, node: Any) -> None:
    """A nested Y type is not a valid register. The connection ends with a reason, and y-websocket stops."""
    await joined(node, served)
    closed = await node(
        """
        const closed = new Promise((resolve) => state.c.provider.on('closed', resolve))
        state.c.map.set(id, new Y.Map())
        return await closed""",
        id=ID,
    )
    assert closed["code"] == 4400
    assert closed["reason"]
    assert memory.status().quarantined == 1
    assert await node("return state.c.provider.shouldConnect") is False


async def test_invalid_registers_are_left_out_and_break_nothing(memory: Memory, served: Any, node: Any) -> None:
    """Any values at any keys: the views stay unchanged, all copies agree, and the status counts them."""
    valid = memory.add("The cat is called Ada")
    await joined(node, served)
    await node(
        """
        const { map, doc } = state.c
        doc.transact(() => {
          map.set('', true)
          map.set('hello', [1, 2.5, null, { a: undefined }])
          map.set(id, 'no birth')
          map.set(other, { text: '', salt: 7 })
          map.set(`${valid}/t/00`, { tag: 'x', at: 1 })
          map.set(`${valid}/m/00`, NaN)
          map.set(`${valid}/l/`, -1e300)
          map.set(`${valid}/r/x`, 2n ** 60n)
          map.set(`${valid}/a/pinned`, { value: 'yes', at: -0 })
          map.set(`${valid}/later/y`, Infinity)
        })""",
        id=ID,
        other=OTHER,
        valid=valid,
    )
    # Five registers of one memory, two births, and two keys that belong to no memory.
    await eventually(lambda: memory.status().ignored == 9)
    assert [record.id for record in memory.list()] == [valid]
    assert (memory.get(valid).text, memory.get(valid).tags, memory.get(valid).pinned) == (
        "The cat is called Ada",
        (),
        False,
    )
    memory.update(valid, text="The cat is called Grace")
    await node(
        "await until(() => [...state.c.map].some(([key, value]) => key.startsWith(`${id}/r/`) && value.text))", id=valid
    )
    await agree(node, memory)


async def test_a_delete_from_a_client_is_a_forget(memory: Memory, served: Any, node: Any) -> None:
    """All other registers go too, the tombstone is added, and no byte of the text is left."""
    doomed = memory.add("The code of the safe is 1234", tags=["safe"], metadata={"where": "cellar"})
    memory.update(doomed, text="The code of the safe is 5678")
    await joined(node, served)
    await node("state.c.map.delete(id); await until(() => state.c.map.has(`${id}/x`))", id=doomed)
    assert await node("return [...state.c.map.keys()].filter((key) => key.startsWith(id))", id=doomed) == [
        f"{doomed}/x"
    ]
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(doomed)
    await agree(node, memory)
    await node("state.c.map.set(id, birth)", id=doomed, birth=birth("back again"))
    await node("await until(() => !state.c.map.has(id))", id=doomed)
    await eventually(lambda: memory.status().to_scrub == 0)
    found = b"".join(path.read_bytes() for path in memory.home.iterdir() if path.is_file())
    for forgotten in (b"1234", b"5678", b"cellar", b"back again"):
        assert forgotten not in found


def registers_of(memory: Memory, *ids: str) -> dict[str, Any]:
    """Return all registers of some memories in shard 0, as memcrdt has them."""
    (space,) = (space for space in memory.status().spaces if space.name == "personal")
    shard = Shard.load(1, [StoreReplica(memory.store).diff(space.id, 0, {}).update])
    return {key: value for memory_id in ids for key, value in shard.registers(memory_id).items()}


async def test_every_kind_of_register_written_by_memcrdt_is_read_by_yjs(memory: Memory, served: Any, node: Any) -> None:
    """With the same keys and values, nulls and numbers included."""
    first = memory.add(
        UNICODE.replace("\u0000", ""),
        scope="project/acme",
        kind="fact",
        author="Ada",
        source="notes.md",
        tags=["one", "two"],
        metadata={"whole": 7, "half": 0.5, "deep": {"list": [1, None, True, "x"]}, "big": 2**53 - 1, "gone": 1},
        trust="user",
        importance=0.25,
        pinned=True,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        expires_at=datetime(2100, 1, 2, tzinfo=UTC),
    )
    second = memory.add("The other one")
    memory.link(first, "about", second)
    memory.link(first, "not about", second)
    memory.unlink(first, "not about", second)
    memory.update(first, text="Another text", remove_tags=["two"], metadata={"gone": None}, scope="global", kind="note")
    memory.update(second, superseded_by=first)
    doomed = memory.add("doomed")
    memory.forget(doomed)
    held = registers_of(memory, first, second, doomed)
    kinds = {registers.split(key).field for key in held} | {key.rpartition("/")[2] for key in held if "/a/" in key}
    only_imports_write = {"imported_from"}
    assert kinds == {"", "x", "r", "t", "m", "l", "a", *IN_REGISTERS} - only_imports_write
    await joined(node, served)
    assert await node("return state.c.map.toJSON()") == held


async def test_every_kind_of_register_written_by_yjs_is_read_by_memcrdt(memory: Memory, served: Any, node: Any) -> None:
    """By value and by meaning: text, tags, metadata, links, attributes, an edit and a forget."""
    salt = bytes.fromhex(SALT)
    deep = {"list": [1, 0.5, None, 2**53 - 1]}
    there = memory.add("The other one")
    written = {
        ID: birth("old", scope="project/acme", kind="fact", author="Ada", source="notes.md"),
        registers.revision_key(ID, REVISION): {"text": "new", "at": AT + 1, "by": "Ada", "device": "b", "base": [ID]},
        registers.tag_key(ID, salt, "one"): {"tag": "one", "at": AT},
        registers.tag_key(ID, salt, "two"): None,
        registers.metadata_key(ID, salt, "deep"): {
            "key": "deep",
            "value": {"list": [1, 0.5, None, 2**53 - 1]},
            "at": AT,
        },
        registers.metadata_key(ID, salt, "gone"): None,
        registers.link_key(ID, salt, "about", there): {"rel": "about", "to": there, "at": AT},
        registers.link_key(ID, salt, "not about", there): None,
        registers.attribute_key(ID, "scope"): {"value": "agent/coder", "at": AT},
        registers.attribute_key(ID, "pinned"): {"value": True, "at": AT},
        registers.attribute_key(ID, "importance"): {"value": 0.25, "at": AT},
        registers.attribute_key(ID, "expires_at"): {"value": AT * 2, "at": AT},
        registers.attribute_key(ID, "superseded_by"): {"value": there, "at": AT},
        registers.attribute_key(ID, "trust"): {"value": "user", "at": AT},
        registers.forgotten_key(OTHER): {"at": AT, "by": "Ada", "device": "browser"},
    }
    await joined(node, served)
    await node(
        "state.c.doc.transact(() => { for (const [key, value] of Object.entries(given)) state.c.map.set(key, value) })",
        given=written,
    )
    await eventually(lambda: registers_of(memory, ID, OTHER) == written)
    record = memory.get(ID)
    assert (record.text, record.scope, record.kind, record.author) == ("new", "agent/coder", "fact", "Ada")
    assert (record.source, record.trust, record.tags, record.pinned) == ("notes.md", "user", ("one",), True)
    assert record.metadata == {"deep": deep}
    assert [(link.rel, link.to) for link in record.links] == [("about", there)]
    assert (record.importance, record.superseded_by) == (0.25, there)
    assert [revision.text for revision in memory.history(ID)] == ["old", "new"]
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(OTHER)


async def test_the_example_runs(memory: Memory, served: Any, packages: Path) -> None:
    """It lists the existing and the added memory, with text and tag as edited, and without the forgotten one."""
    memory.add("The dog is called Barbara")
    process = await asyncio.create_subprocess_exec(
        str(shutil.which("node")),
        "index.js",
        f"{served.spaces}/personal",
        served.token,
        cwd=packages,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert set(out.decode().splitlines()) == {"The dog is called Barbara", "Ada feeds the cat at seven #cat"}
    await eventually(lambda: texts(memory) == {"The dog is called Barbara", "Ada feeds the cat at seven"})
    (added,) = (record for record in memory.list() if record.tags)
    assert added.tags == ("cat",)
    assert [revision.text for revision in memory.history(added.id)] == [
        "Ada feeds the cat",
        "Ada feeds the cat at seven",
    ]
