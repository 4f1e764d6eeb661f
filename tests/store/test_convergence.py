"""Tests of invariants 2 and 6: replicas become equal in any order of events, and forgotten memories stay forgotten."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from memcrdt.crdt.shard import Shard
from memcrdt.model import edits, limits
from memcrdt.model.ids import derive
from memcrdt.model.projection import Tombstone
from memcrdt.model.registers import DELETED, birth_key
from memcrdt.model.values import Json
from memcrdt.store import log
from tests.bare_device import BareDevice, agree

Make = Callable[..., BareDevice]
CLIENT_IDS = list(permutations((5, 50, 500)))


def _assert_equal(devices: list[BareDevice]) -> None:
    first = devices[0]
    for device in devices[1:]:
        assert device.digest() == first.digest()
        assert device.views() == first.views()


def _three(make: Make, client_ids: tuple[int, ...]) -> list[BareDevice]:
    devices = [make(name) for name in "ABC"]
    for device, client_id in zip(devices, client_ids, strict=True):
        device.use_client(client_id)
    return devices


# The events of an item under a key while devices are disconnected: (device, event).
EVENTS = {
    "forgotten": lambda d, memory, _: d[0].forget(memory),
    "edited": lambda d, memory, _: d[1].update(memory, text="edited", add_tags=["late"], metadata={"k": 1}),
    "forgotten again": lambda d, memory, _: d[1].forget(memory),
    "imported elsewhere": lambda d, _, key: d[2].add("imported elsewhere", key=key, tags=["other"]),
    "exchanged": lambda d, *_: agree(d[:2]),
    "added anew": lambda d, _, key: d[1].add("anew", key=key),
}
ORDERS = list(permutations(EVENTS))


@pytest.mark.parametrize("part", range(12))
def test_forgotten_wins_in_every_order(device: Make, part: int) -> None:
    """Invariant 6: forget, edit, second forget, import, explicit add and exchanges, in all 720 orders.

    With client ids in every order, the memory is forgotten unless a device that knew of the forget added it again.
    """
    numbers = range(part, len(ORDERS), 12)
    for turn in range(len(CLIENT_IDS)):
        client_ids = CLIENT_IDS[(part + turn) % len(CLIENT_IDS)]
        devices = _three(device, client_ids)
        lives: dict[str, str] = {}
        graves: set[str] = set()
        for number in numbers[turn :: len(CLIENT_IDS)]:  # each with an item of its own
            lives |= _play(devices, ORDERS[number], f"item {number}", graves)
            assert not graves & lives.keys()
            assert (devices[0].texts(), devices[0].graves()) == (lives, graves), (ORDERS[number], client_ids)
            assert devices[0].rows("SELECT count(*) FROM tags") == [(0,)]
        for each in devices:
            each.close()


def _play(devices: list[BareDevice], order: tuple[str, ...], key: str, graves: set[str]) -> dict[str, str]:
    """Let the events happen to an item in this order. Return the texts that live on, and note what does not."""
    memory = devices[0].add("the item", key=key, tags=["first"])
    agree(devices[:2])
    lives = {}
    for event in order:
        living = memory in devices[1].texts()
        if event == "added anew" and not living:
            lives[EVENTS[event](devices, memory, key)] = "anew"
        elif event != "edited" or living:
            EVENTS[event](devices, memory, key)
    agree(devices)
    _assert_equal(devices)
    graves.add(memory)
    return lives


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_stock_client_cannot_undo_forgetting(device: Make, order: tuple[int, ...]) -> None:
    """The commit that receives the deletion of a tombstone writes it again."""
    devices = _three(device, (1, 2, 3))
    memory = devices[0].add("the item", key="item")
    agree(devices[:2])
    devices[0].forget(memory)
    agree(devices[:2])
    update = devices[0].stock_update({f"{memory}/x": DELETED})
    assert devices[order[0] % 2].apply(update, origin=f"{log.STOCK}editor").status == "applied"
    agree([devices[n] for n in order])
    _assert_equal(devices)
    assert (devices[2].texts(), devices[2].graves()) == ({}, {memory})


@pytest.mark.parametrize("client_ids", CLIENT_IDS, ids=str)
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_texts_under_one_key_are_a_conflict(device: Make, order: tuple[int, ...], client_ids: tuple[int, ...]) -> None:
    """Disconnected devices add under one key: one birth remains, no text is lost, and the next text settles it."""
    devices = _three(device, client_ids)
    memory, *_ = [each.add(f"of {number}", key="item") for number, each in enumerate(devices)]
    agree([devices[n] for n in order])
    _assert_equal(devices)
    heads = devices[0].rows("SELECT text FROM revisions WHERE head = 1 ORDER BY text")
    assert (heads, devices[0].texts()) == ([("of 0",), ("of 1",), ("of 2",)], {memory: "of 2"})
    devices[1].update(memory, text="settled")
    agree(devices)
    assert devices[2].rows("SELECT text FROM revisions WHERE head = 1") == [("settled",)]


@pytest.mark.parametrize("client_ids", CLIENT_IDS, ids=str)
def test_who_may_only_read_keeps_no_text_by_itself(device: Make, client_ids: tuple[int, ...]) -> None:
    """It receives both texts of a key from devices that may write, because they would refuse its own writes."""
    a, b, reader = devices = _three(device, client_ids)
    a.add("of A", key="item")
    b.add("of B", key="item")
    with reader.store.writing() as db:
        db.execute("UPDATE spaces SET read_only = 1")
    for writer in (a, b):
        reader.take(writer)
    assert reader.rows("SELECT 1 FROM updates WHERE origin = 'local'") == []
    agree(devices)
    _assert_equal(devices)
    assert reader.rows("SELECT text FROM revisions WHERE head = 1 ORDER BY text") == [("of A",), ("of B",)]


def _read_by_another(device: Make) -> tuple[BareDevice, BareDevice, str]:
    """Return a device, one that may only read and has its memory, and the memory."""
    writer, reader = device("A"), device("B")
    memory = writer.add("a word that must go: zq7q")
    with reader.store.writing() as db:
        db.execute("UPDATE spaces SET read_only = 1")
    reader.take(writer)
    return writer, reader, memory


def _assert_erased(reader: BareDevice) -> None:
    reader.close()
    assert b"zq7q" not in b"".join(path.read_bytes() for path in reader.home.glob("memories.db*"))


def test_who_may_only_read_erases_what_others_delete(device: Make) -> None:
    """The tombstone may be in another shard and come later. Then this shard is no home of the memory any more."""
    writer, reader, memory = _read_by_another(device)
    reader.apply(writer.stock_update({birth_key(memory): DELETED}), origin=writer.id)
    reader.store.scrub()
    assert reader.rows("SELECT 1 FROM shards WHERE to_scrub > 0") == []
    _assert_erased(reader)


def test_who_may_only_read_says_that_it_is_clean_once_others_have_deleted_all(device: Make) -> None:
    """A memory has registers in two shards, and the deletion in one of them comes later than the tombstone."""
    writer, reader, memory = _read_by_another(device)
    tombstone = edits.forgotten(Tombstone(memory, writer.clock, None, writer.id), {})
    reader.apply(Shard(78).write(tombstone).updates[0], shard=1, origin=writer.id)
    assert (reader.texts(), reader.graves()) == ({}, {memory})
    assert not reader.store.scrub()
    assert not reader.replica.is_scrubbed(reader.space())
    reader.apply(writer.stock_update({birth_key(memory): DELETED}), origin=writer.id)
    reader.store.scrub()
    assert reader.replica.is_scrubbed(reader.space())
    _assert_erased(reader)


@pytest.mark.parametrize("client_ids", CLIENT_IDS, ids=str)
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_late_edit_cannot_bring_anything_back(
    device: Make, order: tuple[int, ...], client_ids: tuple[int, ...]
) -> None:
    """The commit that receives registers of a forgotten memory deletes them, on each replica."""
    devices = _three(device, client_ids)
    memory = devices[0].add("the item", tags=["first"])
    agree(devices)
    devices[1].forget(memory)
    devices[2].update(memory, text="a late edit", add_tags=["late"])
    agree([devices[n] for n in order])
    _assert_equal(devices)
    assert devices[0].texts() == {}
    assert [row[1] for row in devices[0].rows("SELECT shard, registers FROM shards")] == [1]


@pytest.mark.parametrize("client_ids", CLIENT_IDS, ids=str)
@pytest.mark.parametrize("forgets_first", [True, False])
def test_an_explicit_add_starts_a_new_life_with_nothing_of_the_old(
    device: Make, client_ids: tuple[int, ...], forgets_first: bool
) -> None:
    """Invariant 6: the same key, added after a forget, has another id and no tag of the first memory."""
    devices = _three(device, client_ids)
    first = devices[0].add("the item", key="item", tags=["old"], metadata={"old": True})
    agree(devices)
    devices[1].forget(first)
    if forgets_first:
        agree(devices)
    devices[2].update(first, add_tags=["late"]) if not forgets_first else None
    second = devices[1].add("the item", key="item")
    agree(devices)
    _assert_equal(devices)
    assert second != first
    assert (devices[0].texts(), devices[0].graves()) == ({second: "the item"}, {first})
    assert devices[0].rows("SELECT count(*) FROM tags") == devices[0].rows("SELECT count(*) FROM metadata") == [(0,)]


def test_two_devices_that_add_anew_while_apart_give_one_new_life(device: Make) -> None:
    """The id of each generation is derived from the key, so both devices add the same memory."""
    devices = _three(device, (1, 2, 3))
    first = devices[0].add("the item", key="item")
    agree(devices)
    devices[0].forget(first)
    agree(devices)
    assert devices[1].add("the item", key="item") == devices[2].add("the item", key="item")
    agree(devices)
    _assert_equal(devices)
    assert len(devices[0].texts()) == 1


@pytest.fixture(name="small_shards")
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 1)


def _born_twice(make: Make, client_ids: tuple[int, ...] = (1, 2, 3)) -> tuple[list[BareDevice], str]:
    """Return three devices. A has the item in shard 0, and B and C have it in shard 1."""
    devices = _three(make, client_ids)
    devices[1].add("another one of B")
    devices[2].add("another one of C")
    item = {device.add(f"the item of {n}", key="item", tags=[f"tag {n}"]) for n, device in enumerate(devices)}
    return devices, item.pop()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_memory_born_in_two_shards_is_one(device: Make, order: tuple[int, ...]) -> None:
    """The birth in the lowest shard counts, the registers of all shards apply, and no text is lost."""
    devices, item = _born_twice(device)
    agree([devices[n] for n in order])
    _assert_equal(devices)
    assert {row[0] for row in devices[0].rows("SELECT text FROM revisions")} == {f"the item of {n}" for n in range(3)}
    assert devices[0].rows("SELECT number FROM homes JOIN shards USING(shard) WHERE id = ? ORDER BY 1", item) == [
        (0,),
        (1,),
    ]
    assert devices[0].rows("SELECT conflicted FROM memories WHERE id = ?", item) == [(1,)]
    assert devices[0].rows("SELECT tag FROM tags ORDER BY tag") == [("tag 0",), ("tag 1",), ("tag 2",)]


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("when", ["before they meet", "after", "one of each"])
def test_forgetting_in_one_shard_forgets_in_all(device: Make, order: tuple[int, ...], when: str) -> None:
    """`ID/x` in any shard hides the memory, and is written to the others."""
    devices, item = _born_twice(device)
    if when == "one of each":
        agree(devices[:2])
        devices[2].forget(item)
        devices[0].update(item, add_tags=["late"])
    elif when == "after":
        agree(devices)
    if when != "one of each":
        devices[1].forget(item)
    agree([devices[n] for n in order])
    _assert_equal(devices)
    assert item not in devices[0].texts()
    for each in devices:
        assert each.rows("SELECT number FROM homes JOIN shards USING(shard) WHERE id = ? ORDER BY 1", item) == [
            (0,),
            (1,),
        ]
        assert each.rows("SELECT count(*) FROM tags") == [(0,)]


@pytest.mark.parametrize("tombstone", [None, {"at": 5}, {"at": 5, "by": 7, "device": ""}], ids=str)
def test_a_tombstone_of_any_shape_means_the_same_in_all_shards(device: Make, tombstone: Json) -> None:
    """The device that writes a stock client's tombstone to the other shards adds nothing to it."""
    devices = [device("A"), device("B")]
    memory = devices[0].add("in two shards")
    devices[0].apply(devices[0].stock_update({f"{memory}/a/pinned": {"value": True, "at": 1}}, shard=1), shard=1)
    agree(devices)
    devices[0].apply(devices[0].stock_update({f"{memory}/x": tombstone}))
    agree(devices)
    _assert_equal(devices)
    assert devices[1].rows("SELECT by, device FROM graves") == [(None, None)]


def test_a_memory_with_many_heads_is_settled_on_all_devices(device: Make) -> None:
    """update() and add(key=) show the new text, also if a stock client wrote more heads than one revision can name."""
    devices = [device("A"), device("B")]
    memory = devices[0].add("the item", key="item")
    for number, settle in enumerate(
        (lambda: devices[0].update(memory, text="text 0"), lambda: devices[1].add("text 1", key="item"))
    ):
        heads = {
            f"{memory}/r/{derive('head', number, each)[0]}": {
                "text": "t",
                "at": each,
                "by": None,
                "device": "d",
                "base": [],
            }
            for each in range(limits.BASES + 1)
        }
        devices[0].apply(devices[0].stock_update(heads, client_id=70 + number))
        agree(devices)
        settle()
        agree(devices)
        _assert_equal(devices)
        assert devices[0].rows("SELECT text, conflicted, ignored FROM memories") == [(f"text {number}", 0, 0)]


@pytest.mark.usefixtures("small_shards")
def test_an_edit_of_a_memory_in_two_shards_stands(device: Make) -> None:
    """If both shards have a register of an attribute, the greatest `at` counts."""
    devices, item = _born_twice(device)
    agree(devices)
    for number, each in enumerate(devices):
        each.update(item, importance=number / 10, remove_tags=["tag 1"])
        agree(devices)
        _assert_equal(devices)
        assert devices[0].rows("SELECT importance FROM memories WHERE id = ?", item) == [(number / 10,)]
    assert devices[0].rows("SELECT tag FROM tags ORDER BY tag") == [("tag 0",), ("tag 2",)]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_a_birth_deleted_by_a_stock_client_is_forgotten_everywhere(device: Make, order: tuple[int, ...]) -> None:
    """Its other registers are deleted too, and a tombstone is written."""
    devices = _three(device, (1, 2, 3))
    memory = devices[0].add("the item", tags=["first"], metadata={"k": 1})
    other = devices[0].add("another")
    agree(devices)
    raw = devices[0].stock_update({memory: DELETED})
    assert devices[order[0]].apply(raw, origin=f"{log.STOCK}editor").status == "applied"
    assert devices[order[1]].apply(raw, origin=f"{log.STOCK}editor").status == "applied"
    devices[order[2]].update(memory, text="a late edit")
    agree([devices[n] for n in order])
    _assert_equal(devices)
    assert (list(devices[0].texts()), devices[0].graves()) == ([other], {memory})
    assert devices[0].rows("SELECT registers FROM shards") == [(2,)]  # a birth and a tombstone


def test_a_register_whose_birth_is_missing_waits(device: Make) -> None:
    """It is neither a memory nor an error. When the birth arrives, the register applies."""
    a, b = device("A"), device("B")
    memory = a.add("the item")
    birth = a.replica.diff(a.space(), 0, {}).update
    a.update(memory, importance=0.5)
    attribute = f"{memory}/a/importance"
    assert b.apply(b.stock_update({attribute: {"value": 0.5, "at": 7}})).status == "applied"
    assert (b.texts(), b.graves(), b.rows("SELECT id FROM homes")) == ({}, set(), [(memory,)])
    assert b.apply(birth).status == "applied"
    assert b.rows("SELECT text, importance FROM memories") == [("the item", 0.5)]


def test_fields_of_a_newer_version_are_kept_when_a_register_is_written_again(device: Make) -> None:
    """An older version preserves unknown fields and changes only the fields that it knows."""
    a = device("A")
    memory = a.add("the item", importance=0.5)
    key = f"{memory}/a/importance"
    assert a.apply(a.stock_update({key: {"value": 0.6, "at": 7, "unit": {"of": ["a newer", 1]}}})).status == "applied"
    a.update(memory, importance=0.75)
    copy = Shard.load(9, [a.replica.diff(a.space(), 0, {}).update])
    written = copy.registers(memory)[key]
    assert written == {"value": 0.75, "at": a.clock, "unit": {"of": ["a newer", 1]}}


def test_no_edit_is_lost_where_a_clock_is_days_ahead(device: Make) -> None:
    """Two disconnected devices edit a memory of a device whose clock is ahead. Each text has its own revision."""
    a, b, c = devices = [device(name) for name in "ABC"]
    c.clock += 5 * 86_400_000
    memory = a.add("the item")
    agree(devices)
    c.update(memory, text="as C says")
    agree(devices)
    a.update(memory, text="as A says")
    b.update(memory, text="as B says")
    agree(devices)
    assert c.rows("SELECT text FROM revisions WHERE head = 1 ORDER BY text") == [("as A says",), ("as B says",)]


def test_concurrent_edits_of_text_tags_and_metadata_all_survive(device: Make) -> None:
    """Two texts are a conflict, and the later one is shown. The next edit settles it."""
    a, b = device("A"), device("B")
    b.clock += 1_000
    memory = a.add("the item")
    agree([a, b])
    a.update(memory, text="as A says", add_tags=["a"], metadata={"a": 1, "both": "A"})
    b.update(memory, text="as B says", add_tags=["b"], metadata={"b": 1, "both": "B"})
    agree([a, b])
    _assert_equal([a, b])
    assert a.rows("SELECT text, conflicted FROM memories") == [("as B says", 1)]
    assert a.rows("SELECT text FROM revisions WHERE head = 1 ORDER BY text") == [("as A says",), ("as B says",)]
    assert a.rows("SELECT tag FROM tags ORDER BY tag") == [("a",), ("b",)]
    assert [row[0] for row in a.rows("SELECT key FROM metadata ORDER BY key")] == ["a", "b", "both"]
    a.update(memory, text="settled")
    agree([a, b])
    assert b.rows("SELECT text, conflicted FROM memories") == [("settled", 0)]
    _assert_equal([a, b])
