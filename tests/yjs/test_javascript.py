"""The JavaScript client of examples/yjs, and stock clients of several versions, against a real store."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from memcrdt.memory.memory import Memory
from memcrdt.model import limits, registers
from memcrdt.model.attributes import IN_REGISTERS
from memcrdt.model.ids import derive
from memcrdt.model.projection import LiveMemory, project
from memcrdt.model.values import restored
from memcrdt.store.membership.tokens import TokenTable
from memcrdt.yjs.listener import YjsListener, YjsOptions
from tests.yjs.test_node import AT, ID, OTHER, SALT, UNICODE, birth, eventually, texts

VERSIONS = ["1.5", "2.1", "3.0", "3.1"]
OPENED = "state.s = await open(url, token)"
REVISIONS = [derive("revision", number)[0] for number in range(5)]
NONSENSE: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**53,
    "",
    "x",
    "x" * 300,
    [],
    [None],
    {},
    {"at": AT},
    {"at": "x", "tag": "y"},
]


def random_value(random: Random, value: dict[str, Any]) -> Any:
    """Return a register's value, in one of three cases with a fault."""
    if random.random() < 0.1:
        return random.choice(NONSENSE)
    if random.random() < 0.25:
        value[random.choice(list(value))] = random.choice(NONSENSE)
    if random.random() < 0.05:
        del value[random.choice(list(value))]
    return value


def random_registers(random: Random) -> dict[str, Any]:
    """Return the registers of one memory in one shard: all kinds, well-formed or not, under right and wrong keys."""
    salt = bytes.fromhex(SALT)
    found: dict[str, Any] = {}
    if random.random() < 0.8:
        given = birth(random.choice(["one", "two"]), device=random.choice("ab"), created_at=AT + random.randrange(2))
        found[ID] = random_value(random, given)
    for _ in range(random.randrange(8)):
        at, word = AT + random.randrange(3), random.choice(["a", "ü", "__proto__", "x y"])
        name = random.choice([word, "b"])
        base = random.sample([ID, *REVISIONS], random.randrange(3))
        attribute = random.choice([*IN_REGISTERS, "later"])
        said = random.choice(["project/a b", "conversation/ x", "agent/", True, 0.5, 1, AT, ID, None, "word"])
        key, value = random.choice(
            [
                (registers.tag_key(ID, salt, name), {"tag": random.choice([word, None]), "at": at}),
                (registers.metadata_key(ID, salt, name), {"key": word, "value": random.choice(NONSENSE), "at": at}),
                (registers.link_key(ID, salt, name, OTHER), {"rel": word, "to": OTHER, "at": at}),
                (registers.attribute_key(ID, attribute), {"value": said, "at": at}),
                (
                    registers.revision_key(ID, random.choice([*REVISIONS, ID, "x"])),
                    {"text": word, "at": at, "by": None, "device": "c", "base": base},
                ),
                (f"{ID}/{random.choice('rtmlaz')}", {"at": at}),
            ]
        )
        found[key] = random_value(random, value)
    if random.random() < 0.05:
        found[registers.forgotten_key(ID)] = random_value(random, {"at": AT, "by": None, "device": "c"})
    return found


def as_shown(state: Any) -> Any:
    """Return a state in the form of the JavaScript client."""
    if not isinstance(state, LiveMemory):
        return None
    heads = [
        {"revision": r.revision, "text": r.text, "at": r.at, "by": r.by, "device": r.device, "base": sorted(r.base)}
        for r in state.heads
    ]
    given = {name: attribute.default for name, attribute in IN_REGISTERS.items()} | dict(state.attributes)
    return given | {
        **{name: getattr(state, name) for name in ("id", "scope", "kind", "author", "device", "source")},
        **{name: getattr(state, name) for name in ("created_at", "updated_at", "ignored")},
        "text": state.shown.text,
        "tags": list(state.tags),
        "metadata": dict(state.metadata),
        "links": [{"rel": link.rel, "to": link.to} for link in state.links],
        "heads": heads,
    }


async def test_the_merge_rule_is_the_same_in_both_languages(node: Any) -> None:
    """For a thousand memories of random registers, valid and not, in one to three shards."""
    random = Random(14)
    given = [[random_registers(random) for _ in range(random.choice([1, 1, 2, 3]))] for _ in range(1000)]
    shown = await node(
        """
        return given.map((shards) => {
          const memory = memcrdt.project(id, shards)
          if (!memory) return null
          memory.heads.forEach(({ base }) => base.sort())
          delete memory.salt
          return memory
        })""",
        given=given,
        id=ID,
    )
    for shards, theirs in zip(given, shown, strict=True):
        parts: Any = [restored(part) for part in shards]
        assert restored(theirs) == as_shown(project(ID, parts)), json.dumps(shards)


async def test_all_shards_are_followed_over_one_socket(
    memory: Memory, served: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new ones. New memories go to the shard that is open at the time."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 2)
    memory.add_many(["one", "two", "three"])
    await node(OPENED, url=f"{served.spaces}/personal", token=served.token)
    assert set(await node("return state.s.list().map(({ text }) => text)")) == {"one", "two", "three"}
    await node(
        """
        for (const text of ['four', 'five', 'six']) {
          const open = state.s.shards.open
          state.s.add(text)
          await state.s.whenSaved()
          if (text !== 'five') await until(() => state.s.shards.open !== open)
        }"""
    )
    assert texts(memory) == {"one", "two", "three", "four", "five", "six"}
    with memory.store.reading() as db:
        assert [births for (births,) in db.execute("SELECT births FROM shards ORDER BY number")] == [2, 2, 2]
    memory.add("seven")
    await node("await until(() => state.s.list().some(({ text }) => text === 'seven'))")
    assert len(served.listener._clients) == 1
    await node("await state.s.close()")
    await eventually(lambda: not served.listener._clients)


async def test_an_edit_holds_over_a_later_value_in_another_shard(
    memory: Memory, served: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the client is behind that of the device that wrote it."""
    monkeypatch.setattr(limits, "SHARD_CLIENTS_MAX", 4)
    memory_id = memory.add("text")
    await node(OPENED, url=f"{served.spaces}/personal", token=served.token)
    await node("state.s.tag(id, 'old'); await state.s.whenSaved()", id=memory_id)
    memory.update(memory_id, importance=0.1, remove_tags=["old"], metadata={"phone": "old"})  # the shard is closed now
    with memory.store.reading() as db:
        assert db.execute("SELECT count(*) FROM shards").get == 2
    shown = await node(
        """
        const { s } = state, { now } = Date
        await until(() => s.get(id).importance === 0.1 && s.get(id).metadata.phone === 'old')
        Date.now = () => now() - 3_600_000
        s.setAttribute(id, 'importance', 0.9); s.tag(id, 'old'); s.undescribe(id, 'phone')
        Date.now = now
        await s.whenSaved()
        return s.get(id)""",
        id=memory_id,
    )
    assert (shown["importance"], shown["tags"], shown["metadata"]) == (0.9, ["old"], {})
    record = memory.get(memory_id)
    assert (record.importance, record.tags, record.metadata) == (0.9, ("old",), {})


async def test_every_verb_has_the_effect_of_the_method_of_memory(memory: Memory, served: Any, node: Any) -> None:
    """As soon as it is saved. Removing brings the memory back to where it was."""
    there = memory.add("there")
    await node(OPENED, url=f"{served.spaces}/personal", token=served.token)
    made = await node(
        """
        const { s } = state
        const id = s.add(unicode, { scope: 'project/acme', kind: 'fact', author: 'Ada', source: 'notes.md',
          tags: ['one', 'two'], metadata: { deep: { list: [1, null] }, gone: 1 }, links: [{ rel: 'about', to: there }],
          trust: 'user', importance: 0.25 })
        s.edit(id, 'new'); s.untag(id, 'two'); s.tag(id, 'three'); s.describe(id, 'more', 7); s.undescribe(id, 'gone')
        s.link(id, 'not about', there); s.unlink(id, 'not about', there); s.setAttribute(id, 'pinned', true)
        s.setAttribute(id, 'kind', null)
        const wrong = s.add('wrong'); s.forget(wrong)
        await s.whenSaved()
        return { id, wrong, shown: s.get(id), gone: s.get(wrong) ?? null }""",
        there=there,
        unicode=UNICODE,
    )
    record = memory.get(made["id"])
    assert (record.text, record.scope, record.kind, record.author) == ("new", "project/acme", None, "Ada")
    assert (record.tags, record.metadata) == (("one", "three"), {"deep": {"list": [1, None]}, "more": 7})
    assert ([(link.rel, link.to) for link in record.links], record.trust) == ([("about", there)], "user")
    assert (record.pinned, record.importance, record.source) == (True, 0.25, "notes.md")
    assert [revision.text for revision in memory.history(made["id"])] == [UNICODE, "new"]
    assert (made["shown"]["text"], made["shown"]["tags"]) == ("new", ["one", "three"])
    assert (memory.status().ignored, made["gone"]) == (0, None)
    assert {each.id for each in memory.list()} == {there, made["id"]}


async def test_a_conflict_is_shown_and_settled_by_an_edit(memory: Memory, served: Any, node: Any) -> None:
    """As in Python: the edit names all heads."""
    shared = memory.add("old")
    await node(OPENED, url=f"{served.spaces}/personal", token=served.token)
    await node(
        """
        const id = memcrdt.ulid()
        const c = connect(url, '0', token)
        await until(() => c.provider.synced)
        c.map.set(`${shared}/r/${id}`, { text: 'left', at: 1, by: null, device: 'd', base: [shared] })
        c.map.set(`${shared}/r/${memcrdt.ulid()}`, { text: 'right', at: 2, by: null, device: 'd', base: [shared] })
        await until(() => state.s.get(shared).heads.length === 2)
        if (state.s.get(shared).text !== 'right') throw new Error('the latest head is shown')
        state.s.edit(shared, 'both')
        await state.s.whenSaved()
        c.provider.destroy()""",
        shared=shared,
        url=served.personal,
        token=served.token,
    )
    assert (memory.get(shared).text, memory.conflicts(shared)) == ("both", [])


INVALID = [
    "state.s.add('')",
    "state.s.add('x'.repeat(65537))",
    "state.s.add('\\ud800')",
    "state.s.add('x', { scope: 'elsewhere' })",
    "state.s.add('x', { tags: [''] })",
    "state.s.add('x', { metadata: { a: new Y.Map() } })",
    "state.s.add('x', { created: 1 })",
    "state.s.add('x', { importance: 2 })",
    "state.s.edit(memcrdt.ulid(), 'x')",
]


async def test_invalid_arguments_are_refused_before_anything_is_written(served: Any, node: Any) -> None:
    """With an error of the client. The endpoint sees nothing of it."""
    await node(OPENED, url=f"{served.spaces}/personal", token=served.token)
    for call in INVALID:
        code = await node(f"try {{ {call}; return 'written' }} catch (error) {{ return error.code }}")
        assert code in ("invalid", "unknown"), call
    assert await node("return [state.s.list().length, state.s.isSaved]") == [0, True]


async def test_saved_means_stored(memory: Memory, node: Any) -> None:
    """Not while the endpoint is away. After it has come back, the client catches up by itself."""
    token = TokenTable(memory.store).create("browser")
    async with YjsListener(memory.store, YjsOptions(port=0)) as listener:
        port = int(listener.url.split(":")[2].split("/")[0])
        there = memory.add("there")
        await node(OPENED, url=f"http://127.0.0.1:{port}/yjs/personal", token=token)
    await node("await until(() => !state.s.isConnected); state.s.add('here'); state.s.forget(id)", id=there)
    assert await node("return state.s.isSaved") is False
    async with YjsListener(memory.store, YjsOptions(port=port)):
        await node("await state.s.whenSaved()")
        assert texts(memory) == {"here"}
        memory.add("later")
        await node("await until(() => state.s.list().some(({ text }) => text === 'later')); await state.s.close()")


@pytest.mark.parametrize(
    ("path", "token", "words"),
    [("personal", "0" * 64, "memcrdt token create"), ("elsewhere", None, "no such space")],
)
async def test_a_space_that_cannot_be_opened_is_a_clear_error(
    served: Any, node: Any, path: str, token: str | None, words: str
) -> None:
    """Before any WebSocket, whose errors have no reason in a browser."""
    opened = "try { await open(url, token) } catch (error) { return [error.code, error.message] }"
    told = await node(opened, url=f"{served.spaces}/{path}", token=token or served.token)
    assert told[0] == "unauthorized"
    assert words in told[1]


async def test_nobody_there_is_a_clear_error(node: Any) -> None:
    """With the address."""
    opened = "try { await open(url, 'x') } catch (error) { return [error.code, error.message] }"
    code, message = await node(opened, url="http://127.0.0.1:9/yjs/personal")
    assert (code, "127.0.0.1:9" in message) == ("unreachable", True)


async def test_a_revoked_token_stops_the_client(memory: Memory, served: Any, node: Any) -> None:
    """With an event, once. It does not connect again."""
    await node(
        OPENED + "; state.told = []; state.s.on('revoked', (reason) => state.told.push(reason))",
        url=f"{served.spaces}/personal",
        token=served.token,
    )
    TokenTable(memory.store).revoke("browser")
    await node("await until(() => state.told.length)")
    (reason,) = await node("return state.told")
    assert "revoked" in reason
    assert await node("try { state.s.add('x') } catch (error) { return error.code }") == "unreachable"


async def test_a_read_only_token_denies_writes_at_once(memory: Memory, served: Any, node: Any) -> None:
    """Before the copy is changed, so that it never differs from what is stored."""
    memory.add("here")
    token = TokenTable(memory.store).create("screen", rights=["read"])
    await node(OPENED, url=f"{served.spaces}/personal", token=token)
    told = await node(
        "try { state.s.add('x') } catch (error) { return [error.code, error.message, state.s.list().length] }"
    )
    assert (told[0], told[2]) == ("denied", 1)
    assert "'screen' is read-only" in told[1]


PERSISTED = """
state.kept = state.kept ?? new Map()
const persist = (name, doc) => {
  const save = () => state.kept.set(name, Y.encodeStateAsUpdate(doc))
  const whenSynced = Promise.resolve().then(() => {
    if (state.kept.has(name)) Y.applyUpdate(doc, state.kept.get(name))
    doc.on('update', save)
  })
  return { whenSynced, destroy: () => doc.off('update', save), clearData: async () => state.kept.delete(name) }
}
"""


async def test_after_a_refusal_the_copy_is_loaded_again(memory: Memory, served: Any, node: Any) -> None:
    """The persisted copy would be refused again at every visit. Recovering returns what only the copy had."""
    memory.add("here")
    given = {"url": f"{served.spaces}/personal", "token": served.token}
    told = await node(
        PERSISTED
        + """
        let doc
        state.s = await open(url, token, { persist: (name, each) => persist(name, doc = each) })
        const refused = new Promise((resolve) => state.s.on('refused', resolve))
        doc.transact(() => { state.s.add('mine'); doc.getMap('memories').set('k', new Y.Map()) })
        const { shard, reason } = await refused
        const saved = await state.s.whenSaved().catch(({ code }) => code)
        await state.s.close()
        return [shard, reason, saved]""",
        **given,
    )
    assert (told[0], "Y.Map at key 'k'" in told[1]) == (0, True)
    lost = await node(
        PERSISTED
        + """
        state.s = new memcrdt.Space(url, token, { WebSocket, persist })
        const refused = new Promise((resolve) => state.s.on('refused', resolve))
        await state.s.start()
        const lost = await (await refused).recover()
        const births = Object.values(lost).map(({ text }) => text)
        for (const text of births) state.s.add(text)
        await state.s.whenSaved()
        return births""",
        **given,
    )
    assert lost == ["mine"]
    assert texts(memory) == {"here", "mine"}
    assert memory.status().quarantined <= 2  # the update, and the step 2 of the second visit


async def test_each_version_of_y_websocket_edits_beside_the_client(memory: Memory, served: Any, node: Any) -> None:
    """All see the same memories."""
    there = memory.add("there")
    await node(OPENED, url=f"{served.spaces}/personal", token=served.token)
    await node(
        """
        for (const version of versions) {
          await load(version)
          const c = connect(url, '0', token, { version })
          await until(() => c.provider.synced && c.map.has(there))
          const id = memcrdt.ulid()
          c.map.set(id, { ...birth, text: `stock ${version}` })
          await until(() => state.s.get(id))
          const added = state.s.add(`beside ${version}`)
          await until(() => c.map.has(added))
          c.provider.destroy()
        }""",
        url=served.personal,
        token=served.token,
        versions=VERSIONS,
        there=there,
        birth=birth(""),
    )
    assert texts(memory) == {"there", *(f"{who} {version}" for who in ("stock", "beside") for version in VERSIONS)}


async def test_a_refused_stock_client_is_told_and_slowed_down(memory: Memory, served: Any, node: Any) -> None:
    """Versions before 3.1 connect again for ever: each time they wait longer, and they fill no quarantine."""
    told = await node(
        """
        const told = []
        console.warn = (text) => told.push(text)
        for (const [shard, version] of versions.entries()) {
          await load(version)
          const c = connect(url, '0', tokens[shard], { version })
          await until(() => c.provider.synced)
          c.map.set(id, new Y.Map())
          await until(() => c.closes.length >= (version === '3.1' ? 1 : 3))
          c.provider.destroy()
          if (!told.pop().includes(`Y.Map at key '${id}'`)) throw new Error('the reason is not printed')
          told.length = 0
          versions[shard] = c.closes
        }
        return versions""",
        url=served.personal,
        tokens=[TokenTable(memory.store).create(f"token-{number}") for number in range(len(VERSIONS))],
        versions=VERSIONS,
        id=ID,
    )
    assert all(code == 4400 and f"Y.Map at key '{ID}'" in reason for closes in told for code, reason in closes)
    assert memory.status().quarantined <= 2 * len(VERSIONS)  # the update, and the step 2 that repeats it
    delays = [delay_s for _, delay_s in served.listener._refusals._refused.values()]
    assert delays == pytest.approx([0.05 * 2 ** (len(closes) - 1) for closes in told])


async def test_a_message_over_16_mib_closes_a_stock_client_for_good(memory: Memory, served: Any, node: Any) -> None:
    """With a code of ours, although the rest of the message is still on its way."""
    closed = await node(
        """
        const c = connect(url, '0', token)
        await until(() => c.provider.synced)
        const closed = new Promise((resolve) => c.provider.on('closed', resolve))
        c.map.set('x', 'y'.repeat(17 * 2 ** 20))
        return await closed""",
        url=served.personal,
        token=served.token,
    )
    assert closed["code"] == 4400
    assert "more than" in closed["reason"]
