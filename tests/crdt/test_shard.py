"""Shard: writes of registers make updates, and copies that exchange them have the same document."""

from __future__ import annotations

import gc
import hashlib
import json
import threading
import weakref
from random import Random
from typing import TYPE_CHECKING

import pycrdt
import pytest

from memcrdt.crdt import shard as shards
from memcrdt.crdt.scan import Cursor, Scan, scan
from memcrdt.crdt.shard import Edit, Shard
from memcrdt.errors import CorruptError, RemoteProtocolError
from memcrdt.model.clocks import covers, varuint
from memcrdt.model.registers import DELETED
from memcrdt.model.values import canonical, restored
from tests.campaigns.histories import History
from tests.campaigns.mutate import ATTACKS

if TYPE_CHECKING:
    from memcrdt.model.values import Json

ID = "01JD8Z6Q4M0000000000000001"
OTHER = "01JD8Z6Q4M0000000000000002"
NOTHING = Edit((), frozenset(), frozenset())
UNSCANNED = Scan({}, {}, {}, ())


def _texts(shard: Shard) -> dict[str, dict[str, str]]:
    """Return all registers as texts, so that None differs from a missing register."""
    return {one: {key: canonical(value) for key, value in shard.registers(one).items()} for one in shard.ids()}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -7,
        2**53 - 1,
        1.5,
        1e300,
        "",
        "🎉 Grüße",
        [],
        {},
        {"text": "a", "at": 5, "base": [1, [2.5, None]]},
    ],
)
def test_a_value_reads_the_same_here_and_in_a_copy(value: Json) -> None:
    """Any JSON value keeps its value and type, including integers, even in a loaded copy."""
    shard = Shard(1)
    edit = shard.write({ID: value})
    for copy in (shard, Shard.load(2, edit.updates), Shard.load(3, [shard.snapshot()])):
        assert canonical(copy.registers(ID)[ID]) == canonical(value)


def test_an_edit_names_the_touched_memories() -> None:
    """An edit has the update and the ids of the memories whose registers changed, but no other keys."""
    shard = Shard(1)
    edit = shard.write({ID: {"text": "a"}, f"{ID}/t/x": None, f"{OTHER}/later/field": 1, "no register": 2})
    assert edit.touched == {ID, OTHER}
    assert edit.unborn == frozenset()
    assert shard.ids() == {ID, OTHER}
    assert Shard(2).apply(edit.updates[0]) == edit


def test_writing_existing_values_makes_no_update() -> None:
    """A write that changes nothing has no update, so a repeated call costs nothing. True and 1 are different values."""
    shard = Shard(1)
    shard.write({ID: {"value": 1, "at": 5}, f"{ID}/t/x": None})
    assert shard.write({ID: {"at": 5, "value": 1.0}, f"{ID}/t/x": None, f"{ID}/t/y": DELETED}) == NOTHING
    assert shard.write({}) == NOTHING
    assert shard.write({ID: {"value": True, "at": 5}}).touched == {ID}


def test_a_deleted_register_leaves_no_byte_of_its_value() -> None:
    """A delete removes the register, and the snapshot keeps nothing of its value."""
    shard = Shard(1)
    shard.write({ID: {"text": "a secret"}, f"{ID}/t/x": None})
    assert b"a secret" in shard.snapshot()
    assert shard.write({ID: DELETED}).touched == {ID}
    assert shard.registers(ID) == {f"{ID}/t/x": None}
    assert b"a secret" not in shard.snapshot()


def test_an_unknown_memory_has_no_registers() -> None:
    """An unknown id has an empty mapping of registers."""
    assert Shard(1).registers(ID) == {}


def test_a_raw_delete_of_a_birth_is_reported_until_it_is_forgotten() -> None:
    """`unborn` names a memory whose birth was deleted without `ID/x`, here or on another device."""
    shard, copy = Shard(1), Shard(2)
    copy.apply(shard.write({ID: {"text": "a"}, f"{ID}/t/x": None}).updates[0])
    edit = shard.write({ID: DELETED})
    assert edit.unborn == {ID}
    assert copy.apply(edit.updates[0]).unborn == {ID}
    assert copy.write({f"{ID}/x": {"at": 1}, f"{ID}/t/x": DELETED}).unborn == frozenset()


def test_a_raw_delete_of_a_tombstone_is_reported() -> None:
    """`unborn` names a memory that was forgotten and whose `ID/x` was deleted."""
    shard, copy = Shard(1), Shard(2)
    copy.apply(shard.write({f"{ID}/x": {"at": 1}}).updates[0])
    edit = shard.write({f"{ID}/x": DELETED})
    assert (edit.unborn, copy.apply(edit.updates[0]).unborn) == ({ID}, {ID})


def test_a_displaced_birth_is_reported() -> None:
    """`displaced` has the former birth, in the copy whose birth was replaced."""
    one, other = Shard(1), Shard(2)
    first, second = one.write({ID: {"text": "a"}}), other.write({ID: {"text": "b"}})
    displaced = {
        shard.registers(ID)[ID]["text"]: shard.apply(edit.updates[0]).displaced  # type: ignore[index,call-overload]
        for shard, edit in ((one, second), (other, first))
    }
    assert displaced == {"a": {ID: {"text": "a"}}, "b": {}}


def test_forgetting_leaves_no_memory_unborn() -> None:
    """A birth that is deleted in the write of `ID/x` is forgotten, not unborn. It still counts as a birth."""
    shard, copy = Shard(1), Shard(2)
    copy.apply(shard.write({ID: {"text": "a"}, f"{OTHER}/t/x": None}).updates[0])
    edit = shard.write({f"{ID}/x": {"at": 1}, ID: DELETED})
    assert (edit.unborn, copy.apply(edit.updates[0]).unborn) == (frozenset(), frozenset())
    assert (shard.births, shard.register_count) == (copy.births, copy.register_count) == (1, 2)


def test_a_known_update_changes_nothing() -> None:
    """Applying an update again yields an empty edit."""
    shard = Shard(1)
    edit = shard.write({ID: {"text": "a"}, f"{ID}/t/x": None})
    shard.write({ID: {"text": "b"}})
    assert shard.apply(edit.updates[0]) == NOTHING


def test_an_edit_has_only_new_changes() -> None:
    """Repeated blocks are not in the edit's update, so they do not make the log grow."""
    shard, copy = Shard(1), Shard(2)
    copy.apply(shard.write({ID: {"text": "known before"}}).updates[0])
    shard.write({OTHER: {"text": "new"}})
    edit = copy.apply(shard.snapshot())
    assert edit.touched == {OTHER}
    assert b"known before" not in edit.updates[0]


def test_updates_of_stock_yjs_make_the_same_document(yjs_sequence: list[bytes]) -> None:
    """Eight updates of yjs 13, applied one by one, give its values without the register that it deleted."""
    shard = Shard(1)
    for update in yjs_sequence:
        shard.apply(update)
    registers = shard.registers(ID)
    assert registers.keys() == {ID, f"{ID}/t/aa"}
    assert registers[f"{ID}/t/aa"] == {"tag": "w", "at": 4}
    assert registers[ID] == {
        "text": "Grüße 🎉",
        "scope": "global",
        "created_at": 1_700_000_000_000,
        "salt": "AAAA",
        "n": None,
        "b": True,
        "f": 1.5,
        "neg": -7,
        "u": None,
        "arr": [1, "a", None],
    }
    assert (shard.register_count, shard.foreign_count) == (5, 3)  # the two, and three under keys of no memory


def test_updates_of_stock_yjs_are_applied_unless_there_is_a_gap(yjs_accepted: bytes) -> None:
    """A document applies an update of yjs as a whole if it has the needed blocks, and refuses it otherwise."""
    info = scan(yjs_accepted)
    shard = Shard(1)
    if info.needs:
        with pytest.raises(RemoteProtocolError):
            shard.apply(yjs_accepted)
    else:
        edit = shard.apply(yjs_accepted)
        assert shard.state_vector() == info.after
        assert not edit.updates or Shard.load(2, edit.updates).digest() == shard.digest()


@pytest.mark.parametrize("seed", range(100))
def test_copies_that_exchanged_everything_are_equal(seed: int) -> None:
    """After any history, four copies and their snapshots have equal digests, registers and counts."""
    history = History(Random(seed)).run(40)
    history.settle()
    first = history.shards[0]
    for shard in history.shards:
        for copy in (shard, Shard.load(1, [shard.snapshot()])):
            assert copy.digest() == first.digest()
            assert _texts(copy) == _texts(first)
            assert (copy.births, copy.register_count) == (first.births, first.register_count)
            assert copy.foreign_count == first.foreign_count


@pytest.mark.parametrize("seed", range(20))
def test_the_logged_edits_load_to_the_same_document(seed: int) -> None:
    """The updates of a copy's edits, in order, load to the same document, so nothing else has to be logged."""
    history = History(Random(seed), copies=2)
    logs: dict[int, list[bytes]] = {shard.client_id: [] for shard in history.shards}
    for _ in range(40):
        before = {shard.client_id: shard.digest() for shard in history.shards}
        edit = history.step()
        changed = [shard for shard in history.shards if shard.digest() != before[shard.client_id]]
        assert bool(changed) == bool(edit.updates)
        for shard in changed:
            logs[shard.client_id] += edit.updates
            assert Shard.load(1, logs[shard.client_id]).digest() == shard.digest()


@pytest.mark.parametrize("seed", range(50))
def test_touched_and_unborn_are_exact(seed: int) -> None:
    """In any history an edit names exactly the memories with a changed register, and those that lost their birth."""
    history = History(Random(seed), copies=3, nulls=0.0)
    for _ in range(40):
        before = {shard.client_id: _texts(shard) for shard in history.shards}
        edit = history.step()
        shard = next((s for s in history.shards if _texts(s) != before[s.client_id]), history.shards[0])
        old, new = before[shard.client_id], _texts(shard)
        changed = {one for one in old.keys() | new.keys() if old.get(one) != new.get(one)}
        assert edit.touched == changed
        lost = {one for one in changed if one in old.get(one, {}) and one not in new.get(one, {})}
        assert edit.unborn == {one for one in lost if f"{one}/x" not in new.get(one, {})}


@pytest.mark.parametrize("seed", range(30))
def test_a_copy_applies_an_edit_exactly_if_it_covers_its_needs(seed: int) -> None:
    """A copy that covers `needs` applies the whole edit, and its snapshot loses nothing. Other copies refuse it."""
    history, rng = History(Random(seed), copies=3).run(40), Random(seed)
    edits = [(update, scan(update)) for edit in history.edits for update in edit.updates]
    for update, info in edits:
        copy = Shard(1)
        for earlier, brings in rng.sample(edits, len(edits) // 2):
            if covers(copy.state_vector(), brings.needs):
                copy.apply(earlier)
        if covers(copy.state_vector(), info.needs):
            copy.apply(update)
            assert covers(copy.state_vector(), info.after)
            assert Shard.load(2, [copy.snapshot()]).digest() == copy.digest()
        else:
            with pytest.raises(RemoteProtocolError, match="is incomplete"):
                copy.apply(update)


def test_digests_differ_when_contents_differ_with_equal_state_vectors() -> None:
    """If a client id is used twice, different contents have equal state vectors, but the digests differ."""
    one, two = Shard(7), Shard(7)
    one.write({ID: {"text": "one"}})
    two.write({ID: {"text": "two"}})
    assert one.state_vector() == two.state_vector()
    assert one.digest() != two.digest()


def test_digests_differ_when_only_deletes_differ() -> None:
    """A delete does not change the state vector, but it changes the digest."""
    shard, copy = Shard(1), Shard(2)
    copy.apply(shard.write({ID: {"text": "a"}, OTHER: {"text": "b"}}).updates[0])
    shard.write({OTHER: DELETED})
    assert shard.state_vector() == copy.state_vector()
    assert shard.digest() != copy.digest()


def test_digests_differ_when_deletes_differ_that_change_no_register() -> None:
    """A delete counts even if the registers stay the same: here it is of the first of two values in one block."""
    shard, copy = Shard(1), Shard(2)
    for one in (shard, copy):
        one.apply(b"\x01\x01\x09\x00\x28\x01\x08memories\x1a" + ID.encode() + b"\x02\x78\x79\x00")
    shard.apply(b"\x00\x01\x09\x01\x00\x01")
    assert (shard.registers(ID), shard.state_vector()) == (copy.registers(ID), copy.state_vector())
    assert shard.digest() != copy.digest()


def test_a_digest_does_not_depend_on_how_yrs_lists_deletes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is the same for any order of clients, and for ranges that are whole or in parts."""
    in_parts = b"\x02\x05\x02\x03\x02\x00\x03\x04\x01\x07\x01"
    whole = b"\x02\x04\x01\x07\x01\x05\x01\x00\x05"
    digests = set()
    for deletes in (in_parts, whole):
        monkeypatch.setattr(pycrdt.Snapshot, "encode", lambda snapshot, deletes=deletes: deletes + b"\x00")
        digests.add(Shard(1).digest())
    assert len(digests) == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_digest_is_a_hash_of_one_canonical_text(seed: int) -> None:
    """The text has the state vector, the deletes and all registers, including keys of no memory."""
    shard = History(Random(seed)).run(40).shards[0]
    registers = {key: value for memory_id in shard.ids() for key, value in shard.registers(memory_id).items()}
    if shard.foreign_count:
        registers["no register at all"] = json.loads(str(shard._map))["no register at all"]
    known: list[Json] = [[client, clock] for client, clock in sorted(shard.state_vector().items())]
    deletes: list[Json] = [
        list(span) for span in sorted(Cursor(pycrdt.Snapshot.from_doc(shard._doc).encode()).id_ranges())
    ]
    text = canonical([known, deletes, restored(registers)])
    assert shard.digest() == hashlib.blake2b(text.encode(), digest_size=16, person=b"memcrdt shard").digest()


def test_a_large_shard_is_freed_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its registers are removed first, in steps, and nothing of the document is left."""
    monkeypatch.setattr(shards, "_FREED_AT_ONCE", 10)
    monkeypatch.setattr(shards, "_FREED_TOGETHER", 7)
    shard = Shard(1)
    shard.write({f"01JD8Z6Q4M000000000000{number:04}": {"text": "x"} for number in range(50)})
    document, registers = shard._doc, shard._map
    shard.free()
    assert not list(registers.keys())
    gone = weakref.ref(document)
    del document, registers
    gc.collect()
    assert gone() is None


def test_a_digest_does_not_depend_on_how_often_values_were_encoded() -> None:
    """A number that yrs encodes in another way than yjs, such as a bigint, has one digest."""
    head = b"\x01\x01\x09\x00\x28\x01\x08memories\x1a" + ID.encode() + b"\x01"
    bigint, minus_zero, not_a_number = (b"\x7a\x10" + bytes(7), b"\x7b\x80" + bytes(7), b"\x7b\x7f\xf8" + bytes(6))
    for value in (bigint, minus_zero, not_a_number):
        shard = Shard(1)
        shard.apply(head + value + b"\x00")
        assert Shard.load(2, [shard.snapshot()]).digest() == shard.digest()


def test_an_empty_shard_has_a_digest_of_16_bytes() -> None:
    """The digest of an empty document does not depend on its client id."""
    assert Shard(1).digest() == Shard(2).digest()
    assert len(Shard(1).digest()) == 16


def test_a_diff_for_a_newer_copy_has_no_blocks() -> None:
    """A state vector with greater clocks or unknown clients gives an update without blocks."""
    shard = Shard(1)
    shard.write({ID: {"text": "a"}})
    info = scan(shard.diff({1: 99, 12345: 7}))
    assert (info.after, info.needs) == ({}, {})


@pytest.mark.parametrize("attack", ["another root", "a nested type", "binary content", "a text format"])
def test_an_update_that_got_past_the_scan_is_refused_after_applying(attack: str) -> None:
    """An update that makes yrs panic, or leaves more than a flat map of plain values, is refused despite its scan."""
    with pytest.raises(RemoteProtocolError):
        Shard(1).apply(ATTACKS[attack], UNSCANNED)


def test_blocks_that_wait_for_each_other_are_refused() -> None:
    """Two blocks that are each other's origin pass the scan, but the document never integrates them."""
    behind_8 = b"\x01\x09\x00\xa8\x08\x00\x01\x7e"
    behind_9 = b"\x01\x08\x00\xa8\x09\x00\x01\x7e"
    with pytest.raises(RemoteProtocolError, match="wait for missing"):
        Shard(1).apply(b"\x02" + behind_8 + behind_9 + b"\x00")


def test_a_panic_in_yrs_is_a_remote_protocol_error() -> None:
    """A Rust panic is not an Exception. It is raised as RemoteProtocolError with the panic as its cause."""
    with pytest.raises(RemoteProtocolError) as caught:
        Shard(1).apply(ATTACKS["a text format"], UNSCANNED)
    assert not isinstance(caught.value.__cause__, Exception)


def test_an_interrupt_while_applying_is_not_a_protocol_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C raises KeyboardInterrupt."""

    def interrupted(doc: object, update: bytes) -> None:
        raise KeyboardInterrupt

    update = Shard(1).write({ID: None}).updates[0]
    monkeypatch.setattr(pycrdt.Doc, "apply_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Shard(2).apply(update)


def test_a_row_of_the_log_that_yrs_refuses_is_corruption() -> None:
    """Loading bytes that are not an update raises CorruptError."""
    with pytest.raises(CorruptError):
        Shard.load(1, [b"\xff\xff\xff"])


def test_a_dropped_shard_frees_its_document() -> None:
    """No subscription keeps a document alive: otherwise a cache of documents would grow forever."""
    shard = Shard(1)
    Shard(2).apply(shard.write({ID: {"text": "a"}}).updates[0])
    shard.apply(Shard(3).write({ID: {"text": "b"}}).updates[0])
    document = weakref.ref(shard._doc)
    del shard
    gc.collect()
    assert document() is None


def test_a_shard_may_be_used_by_one_thread_after_another() -> None:
    """A shard may be created, used and dropped in three threads, one after another, as the store does."""
    shards = [Shard(1)]
    steps = [lambda: shards[0].write({ID: {"text": "a"}}), lambda: shards[0].apply(b"\x00\x00"), shards.clear]
    for step in steps:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert shards == []


def _rivals(chain: int, beside: int) -> bytes:
    """Return an update with a chain of writes of one key by one client, and writes of the same key by another."""

    def item(client: int, clock: int) -> bytes:
        return b"\xa8" + varuint(client) + varuint(clock) + b"\x01\x7e"

    first = b"\x28\x01\x08memories\x01k\x01\x7e"
    later = varuint(1 + beside) + b"\x0a\x00" + item(9, chain - 1) + first * beside
    earlier = varuint(chain) + b"\x09\x00" + first + b"".join(item(9, clock) for clock in range(chain - 1))
    return b"\x02" + later + earlier + b"\x00"


def test_competing_writes_of_one_key_are_applied_some_at_a_time() -> None:
    """In one call, they would keep all other threads waiting. The document is the same."""
    update = _rivals(2_000, 200)
    assert scan(update).contested == 2_000 + 200 - 1 + 1
    here, whole = Shard(1), Shard.load(2, [update])
    edit = here.apply(update)
    assert len(edit.updates) > 30
    assert (here.digest(), here.state_vector()) == (whole.digest(), {9: 2_000, 10: 201})


def test_competing_writes_that_take_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is wrong with the update."""
    monkeypatch.setattr(shards, "_TOTAL_S", 0)
    with pytest.raises(RemoteProtocolError, match="competing writes of one key"):
        Shard(1).apply(_rivals(2_000, 200))
