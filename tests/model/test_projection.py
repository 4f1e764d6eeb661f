"""The merge rule: a memory depends only on its registers, not on their order of arrival."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcrdt.model import limits, registers
from memcrdt.model.edits import (
    MemoryEdit,
    NewMemory,
    Stamp,
    born,
    edited,
    forgotten,
    is_sendable,
    kept_fields,
    later_than,
    prunable,
    sendable,
)
from memcrdt.model.projection import LiveMemory, Tombstone, project, replaces, unite
from memcrdt.model.records import Link
from memcrdt.model.registers import DELETED, Deleted
from memcrdt.model.values import Json
from tests.odd_registers import MEMORIES, OddRegisters

ID, OTHER = "01JD8Z6Q4M0000000000000001", "01JD8Z6Q4M0000000000000002"
SALT = bytes(range(16))
DEVICE = "A" * 52
R1, R2, R3, R4 = (f"01JD8Z6Q4M00000000000000R{n}" for n in range(1, 5))
Part = dict[str, Json]

BIRTH: Json = {
    "text": "the first text",
    "scope": "global",
    "kind": None,
    "created_at": 100,
    "author": None,
    "device": DEVICE,
    "source": None,
    "salt": SALT.hex(),
}

times = st.integers(0, 5)
names = st.sampled_from(["a", "b", "c"])
randoms = st.integers(0, 1 << 32).map(random.Random)  # st.randoms() takes a hundred times as long for so many choices
junk = st.sampled_from([None, 0, 1.5, True, "text", [], {}, {"at": -1}, {"at": True}, {"at": 1, "tag": 7}])


def _revision(name: str, at: int, *base: str, text: str | None = None) -> Part:
    value: Json = {"text": text or f"text {name}", "at": at, "by": None, "device": DEVICE, "base": list(base)}
    return {registers.revision_key(ID, name): value}


def _tag(tag: str, at: int = 1) -> Part:
    return {registers.tag_key(ID, SALT, tag): {"tag": tag, "at": at}}


def _live(*parts: Part) -> LiveMemory:
    state = project(ID, [{ID: BIRTH, **parts[0]}, *parts[1:]] if parts else [{ID: BIRTH}])
    assert isinstance(state, LiveMemory)
    return state


@st.composite
def registers_of(draw: st.DrawFn) -> Part:
    """Any registers that devices, newer versions or stock Yjs clients may leave in a shard."""
    found: Part = {}
    if draw(st.booleans()):
        found[ID] = draw(st.one_of(st.just(BIRTH), st.just({**BIRTH, "text": "rival birth"}), junk))  # type: ignore[dict-item]
    for name, at in draw(st.dictionaries(names, st.one_of(times, st.none()))).items():
        found[registers.tag_key(ID, SALT, name)] = None if at is None else {"tag": name, "at": at}
    for name, (at, value) in draw(st.dictionaries(names, st.tuples(times, st.integers(0, 3)))).items():
        found[registers.metadata_key(ID, SALT, name)] = {"key": name, "value": value, "at": at}
    for name, at in draw(st.dictionaries(st.sampled_from([R1, R2, R3, R4]), times)).items():
        found |= _revision(name, at, *draw(st.lists(st.sampled_from([ID, R1, R2, R3, R4]), max_size=3)))
    for name, at in draw(st.dictionaries(st.sampled_from(["pinned", "importance", "scope", "later"]), times)).items():
        value = draw(st.sampled_from([True, 0.5, "project/x", None]))
        found[registers.attribute_key(ID, name)] = {"value": value, "at": at}
    keys = st.sampled_from(
        [f"{ID}/t/00", f"{ID}/q/future", f"{ID}/r/nonsense", f"{ID}/l/00", registers.tag_key(ID, SALT, "a")]
    )
    found |= draw(st.dictionaries(keys, junk, max_size=3))
    if draw(st.integers(0, 9)) == 0:
        found[registers.forgotten_key(ID)] = draw(st.one_of(junk, st.just({"at": 3, "by": None, "device": DEVICE})))
    return found


@given(registers_of(), st.randoms(use_true_random=False))
def test_the_order_of_registers_never_matters(found: Part, dice: random.Random) -> None:
    """The projection is the same for every order of the map."""
    items = list(found.items())
    dice.shuffle(items)
    assert project(ID, [dict(items)]) == project(ID, [found])


@given(registers_of(), st.data())
def test_splitting_registers_over_shards_never_matters(found: Part, data: st.DataObject) -> None:
    """A memory in several shards is the same as in one shard."""
    places = {key: data.draw(st.sets(st.integers(0, 2), min_size=1)) for key in found}
    parts = [{key: value for key, value in found.items() if shard in places[key]} for shard in range(3)]
    assert project(ID, parts) == project(ID, [found])


@settings(max_examples=50)
@given(registers_of(), registers_of(), registers_of())
def test_uniting_is_commutative_associative_and_idempotent(one: Part, two: Part, three: Part) -> None:
    """So it does not matter in which order shards are read, or whether one is read twice."""
    assert unite([one, two, three]) == unite([three, one, two])
    assert unite([unite([one, two]), three]) == unite([one, unite([two, three])])
    assert unite([one, one]) == unite([one]) == one


@given(registers_of())
def test_every_live_memory_is_consistent(found: Part) -> None:
    """For any registers, the latest head is shown, and the revisions are in order."""
    state = project(ID, [found])
    if not isinstance(state, LiveMemory):
        assert registers.forgotten_key(ID) in found or not isinstance(found.get(ID), dict) or "salt" not in found[ID]  # type: ignore[operator]
        return
    assert state.shown in state.heads
    assert state.shown == state.heads[-1]
    edits = state.revisions[1:]
    assert list(edits) == sorted(edits, key=lambda r: (r.at, r.revision))
    assert state.revisions[0].revision == ID
    assert not (edits and state.revisions[0].head)


@settings(max_examples=400)
@given(randoms)
def test_no_register_of_any_shape_is_an_error(rng: random.Random) -> None:
    """Registers are a memory, a tombstone or nothing, in any order. A memory can be edited and pruned."""
    odd = OddRegisters(rng, surrogates=True)
    parts = [odd.registers_of(MEMORIES[0]) for _ in range(rng.randint(1, 2))]
    state = project(MEMORIES[0], parts)
    shuffled = [dict(rng.sample(list(part.items()), len(part))) for part in parts]
    assert repr(project(MEMORIES[0], shuffled)) == repr(state)  # as text, because NaN does not equal itself
    if isinstance(state, LiveMemory):
        edit = MemoryEdit(text="new", add_tags=("one",), metadata={"one": 1}, attributes={"trust": "high"})
        writes = edited(state, edit, Stamp(limits.TIME_MAX_MS, None, DEVICE), R1)
        after = project(MEMORIES[0], [_written(part, kept_fields(writes, part)) for part in parts])
        assert isinstance(after, LiveMemory)
        assert ([head.text for head in after.heads], after.attributes["trust"]) == (["new"], "high")
        assert {"one"} <= {*after.tags} & {*after.metadata}
        assert len(prunable(after, 1)) < len(after.revisions)


@given(st.lists(st.one_of(st.none(), st.builds(OddRegisters, randoms).map(OddRegisters.tombstone))))
def test_a_copy_of_a_tombstone_in_another_shard_changes_nothing(tombstones: list[Json]) -> None:
    """Tombstones of any shape mean the same before and after a device writes what they say to another shard."""
    key = registers.forgotten_key(ID)
    parts: list[Part] = [{key: value} for value in tombstones]
    state = project(ID, parts)
    if isinstance(state, Tombstone):
        assert project(ID, [*parts, _written({ID: BIRTH}, forgotten(state, {ID: BIRTH}))]) == state


@given(st.permutations(range(4)))
def test_forgotten_wins_in_every_order(order: list[int]) -> None:
    """A tombstone wins even against a later edit and a second birth in another shard."""
    pieces: list[Part] = [
        {registers.forgotten_key(ID): {"at": 1, "by": "me", "device": DEVICE}},
        {ID: BIRTH},
        _revision(R1, 9_000, ID),
        _tag("late", 9_000),
    ]
    assert project(ID, [pieces[n] for n in order]) == Tombstone(ID, 1, "me", DEVICE)


def test_a_tombstone_of_any_value_counts() -> None:
    """A newer version or a stock client may write another value. The memory is still forgotten."""
    assert project(ID, [{ID: BIRTH, registers.forgotten_key(ID): True}]) == Tombstone(ID, 0, None, None)


def test_registers_without_a_birth_wait_invisible() -> None:
    """Registers that arrive before the birth count as soon as it arrives."""
    waiting = {**_tag("early"), **_revision(R1, 200, ID)}
    assert project(ID, [waiting]) is None
    state = _live(waiting)
    assert (state.tags, state.shown.revision) == (("early",), R1)


def test_the_birth_alone_is_the_head() -> None:
    """Its revision is the memory's own id."""
    state = _live()
    assert (state.shown.revision, state.shown.text, state.updated_at) == (ID, "the first text", 100)
    assert state.heads == (state.shown,)


def test_the_birth_is_never_a_head_again_once_edited() -> None:
    """This holds even if the revision in between was pruned and no revision names the birth as its base."""
    state = _live(_revision(R2, 200, R1))
    assert [revision.revision for revision in state.heads] == [R2]


def test_of_two_concurrent_edits_the_later_is_shown() -> None:
    """The edits are a conflict: both are heads."""
    state = _live({**_revision(R1, 300, ID), **_revision(R2, 200, ID)})
    assert {head.revision for head in state.heads} == {R1, R2}
    assert state.shown.revision == R1


def test_of_two_edits_at_one_moment_the_greater_revision_is_shown() -> None:
    """So every device shows the same text."""
    state = _live({**_revision(R1, 300, ID), **_revision(R2, 300, ID)})
    assert state.shown.revision == R2


def test_an_edit_that_names_both_settles_a_conflict() -> None:
    """This holds even if the clock of the edit is behind."""
    state = _live({**_revision(R1, 300, ID), **_revision(R2, 400, ID), **_revision(R3, 200, R1, R2)})
    assert [head.revision for head in state.heads] == [R3]
    assert state.shown.text == f"text {R3}"


def test_an_absent_base_counts_as_superseded() -> None:
    """If a base was pruned or has not arrived yet, no other revision becomes a head."""
    state = _live({**_revision(R1, 200, ID), **_revision(R3, 400, R1, R2)})
    assert [head.revision for head in state.heads] == [R3]


def test_a_circle_of_bases_shows_the_latest() -> None:
    """No honest device makes a circle, but every device must still show the same text."""
    state = _live({**_revision(R1, 300, R2), **_revision(R2, 200, R1)})
    assert [head.revision for head in state.heads] == [R1]


def test_a_revision_that_names_itself_is_a_head() -> None:
    """A revision does not supersede itself."""
    assert _live(_revision(R1, 300, R1)).shown.revision == R1


def test_the_lowest_shards_birth_counts_and_all_registers_apply() -> None:
    """This happens when two disconnected devices create the same id."""
    first = {ID: BIRTH, **_tag("one")}
    second: Part = {ID: {**BIRTH, "text": "the other birth"}, **_tag("two")}  # type: ignore[dict-item]
    state = project(ID, [first, second])
    assert isinstance(state, LiveMemory)
    assert (state.shown.text, state.tags) == ("the first text", ("one", "two"))


def test_a_broken_birth_gives_way_to_the_next_shards() -> None:
    """An invalid birth is ignored."""
    state = project(ID, [{ID: {"text": ""}}, {ID: BIRTH}])
    assert isinstance(state, LiveMemory)
    assert state.shown.text == "the first text"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", ""),
        ("text", 5),
        ("text", "x" * (limits.TEXT_BYTES + 1)),
        ("scope", "planet/earth"),
        ("kind", 5),
        ("kind", "x" * (limits.LABEL_CHARS + 1)),
        ("created_at", -1),
        ("created_at", 1.5),
        ("created_at", limits.TIME_MAX_MS + 1),
        ("author", []),
        ("device", None),
        ("source", "x" * (limits.SOURCE_CHARS + 1)),
        ("salt", "00"),
        ("salt", "z" * 32),
        ("salt", " " * 32),
        ("text", "\ud800"),
        ("salt", None),
    ],
)
def test_a_birth_that_breaks_a_limit_is_ignored(field: str, value: Json) -> None:
    """For data from other devices, only the structure is guaranteed."""
    assert project(ID, [{ID: {**BIRTH, field: value}}]) is None  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (registers.tag_key(ID, SALT, "a"), {"tag": "b", "at": 1}),
        (registers.tag_key(ID, SALT, "a"), {"tag": "a"}),
        (registers.tag_key(ID, SALT, "a"), {"tag": "a", "at": -1}),
        (registers.tag_key(ID, SALT, "a"), 7),
        (registers.tag_key(ID, SALT, "x" * 129), {"tag": "x" * 129, "at": 1}),
        (registers.metadata_key(ID, SALT, "a"), {"key": "b", "value": 1, "at": 1}),
        (registers.metadata_key(ID, SALT, "a"), {"key": "a", "at": 1}),
        (registers.metadata_key(ID, SALT, "a"), {"key": "a", "value": float("nan"), "at": 1}),
        (registers.metadata_key(ID, SALT, "a"), {"key": "a", "value": "x" * 9_000, "at": 1}),
        (registers.link_key(ID, SALT, "of", OTHER), {"rel": "to", "to": OTHER, "at": 1}),
        (registers.link_key(ID, SALT, "of", "nobody"), {"rel": "of", "to": "nobody", "at": 1}),
        (registers.attribute_key(ID, "importance"), {"value": 2, "at": 1}),
        (registers.attribute_key(ID, "scope"), {"value": None, "at": 1}),
        (registers.attribute_key(ID, "trust"), {"at": 1}),
        (registers.attribute_key(ID, "trust"), {"value": "\ud800", "at": 1}),
        (registers.attribute_key(ID, "pinned"), None),
        (registers.revision_key(ID, "nonsense"), {"text": "t", "at": 1, "by": None, "device": DEVICE, "base": []}),
        (registers.revision_key(ID, R1), {"text": "", "at": 1, "by": None, "device": DEVICE, "base": []}),
        (registers.revision_key(ID, R1), {"text": "t", "at": 1, "by": None, "device": DEVICE, "base": ["x"]}),
        (registers.revision_key(ID, R1), {"text": "t", "at": 1, "by": None, "device": DEVICE, "base": [R2] * 65}),
        (registers.revision_key(ID, R1), None),
        (registers.revision_key(ID, ID), {"text": "t", "at": 1, "by": None, "device": DEVICE, "base": []}),
    ],
)
def test_an_invalid_register_is_ignored_and_counted(key: str, value: Json) -> None:
    """The rest of the memory is not affected."""
    state = _live({key: value, **_tag("good", 700)})
    assert state.ignored == 1
    assert (state.tags, state.metadata, state.links, state.updated_at) == (("good",), {}, (), 700)
    assert state.shown.text == "the first text"


def test_removed_tags_metadata_and_links_leave_nothing() -> None:
    """`null` removes an item and is not counted as invalid."""
    removed: Part = {
        registers.tag_key(ID, SALT, "a"): None,
        registers.metadata_key(ID, SALT, "a"): None,
        registers.link_key(ID, SALT, "of", OTHER): None,
    }
    state = _live(removed)
    assert (state.tags, state.metadata, state.links, state.ignored) == ((), {}, (), 0)


def test_registers_of_a_newer_version_are_skipped() -> None:
    """Unknown fields and unknown keys are not counted as invalid and change nothing."""
    newer: Part = {
        f"{ID}/q/anything": {"at": 900},
        **_tag("a"),
        ID: {**BIRTH, "mood": "fine"},  # type: ignore[dict-item]
        registers.attribute_key(ID, "colour"): {"value": "red", "at": 1},
    }
    state = _live(newer)
    assert (state.tags, state.updated_at, state.ignored) == (("a",), 100, 0)


def test_updated_at_is_the_greatest_time_of_the_visible_registers() -> None:
    """So it is the same on every replica, even after a rebuild."""
    assert _live({**_tag("a", 500), **_revision(R1, 400, ID)}).updated_at == 500


def test_every_part_of_a_new_memory_is_read_back() -> None:
    """born() writes what project() reads."""
    new = NewMemory(
        id=ID,
        salt=SALT,
        text="text",
        scope="project/acme",
        created_at=50,
        kind="fact",
        source="notes.md",
        tags=("a", "b"),
        metadata={"n": 1},
        attributes={"pinned": True, "importance": 0.5, "expires_at": 900, "trust": "high"},
    )
    state = project(ID, [_written({}, born(new, Stamp(70, "bot", DEVICE)))])
    assert isinstance(state, LiveMemory)
    assert (state.shown.text, state.scope, state.kind, state.author, state.device) == (
        "text",
        "project/acme",
        "fact",
        "bot",
        DEVICE,
    )
    assert (state.tags, state.metadata, state.source) == (("a", "b"), {"n": 1}, "notes.md")
    assert state.attributes == {"pinned": True, "importance": 0.5, "expires_at": 900, "trust": "high"}
    assert (state.created_at, state.updated_at, state.ignored) == (50, 50, 0)


def test_an_edit_writes_only_what_changes() -> None:
    """Values that the memory has already are not written again: they would only make the log grow."""
    state = _live({**_tag("a"), registers.metadata_key(ID, SALT, "k"): {"key": "k", "value": 1, "at": 1}})
    same = MemoryEdit(
        text="the first text",
        add_tags=("a",),
        remove_tags=("b",),
        metadata={"k": 1, "absent": None},
        attributes={"pinned": False, "scope": "global", "trust": None},
        remove_links=(("of", OTHER),),
    )
    assert edited(state, same, Stamp(500, None, DEVICE), R1) == {}


def test_an_edit_is_read_back() -> None:
    """edited() writes what project() reads, in addition to the existing registers."""
    found: Part = {ID: BIRTH, **_tag("old"), **_tag("stays")}
    edit = MemoryEdit(
        text="new text",
        add_tags=("new",),
        remove_tags=("old",),
        metadata={"k": [1, {"x": None}]},
        attributes={"scope": "agent/bot"},
        add_links=(("of", OTHER),),
    )
    after = project(ID, [_written(found, edited(_live(found), edit, Stamp(500, "bot", DEVICE), R1))])
    assert isinstance(after, LiveMemory)
    assert (after.shown.text, after.shown.by, after.shown.base) == ("new text", "bot", (ID,))
    assert (after.tags, after.metadata, after.scope) == (("new", "stays"), {"k": [1, {"x": None}]}, "agent/bot")
    assert (after.links, after.updated_at) == ((Link("of", OTHER),), 500)


def test_a_removal_updates_the_time_of_change() -> None:
    """So filters by time of change find the memory. Fields of a newer version stay in the register."""
    tag, key = registers.tag_key(ID, SALT, "old"), registers.metadata_key(ID, SALT, "k")
    link = registers.link_key(ID, SALT, "of", OTHER)
    found: Part = {
        ID: BIRTH,
        tag: {"tag": "old", "at": 200, "by": "a newer version"},
        key: {"key": "k", "value": 1, "at": 200},
        link: {"rel": "of", "to": OTHER, "at": 200},
    }
    for number, edit in enumerate(
        (
            MemoryEdit(remove_tags=("old",)),
            MemoryEdit(metadata={"k": None}),
            MemoryEdit(remove_links=(("of", OTHER),)),
        )
    ):
        writes = kept_fields(edited(_live(found), edit, Stamp(500 + number, None, DEVICE), R1), found)
        found = _written(found, writes)
        assert (_live(found).updated_at, _live(found).ignored) == (500 + number, 0)
    after = _live(found)
    assert (after.tags, after.metadata, after.links) == ((), {}, ())
    assert found[tag] == {"tag": None, "at": 500, "by": "a newer version"}


def test_the_same_text_again_settles_a_conflict() -> None:
    """A user who writes the shown text again has chosen it, although the text stays the same."""
    state = _live({**_revision(R1, 300, ID), **_revision(R2, 200, ID)})
    writes = edited(state, MemoryEdit(text=state.shown.text), Stamp(500, None, DEVICE), R3)
    value: Any = writes[registers.revision_key(ID, R3)]
    assert sorted(value["base"]) == [R1, R2]


@pytest.mark.parametrize("count", [limits.BASES, limits.BASES + 1, 3 * limits.BASES])
def test_an_edit_settles_any_number_of_heads(count: int) -> None:
    """A revision names at most 64 others. If there are more heads, the latest are named, and the others are deleted."""
    found: Part = {ID: BIRTH}
    for number in range(count):
        before, after = (f"01JD8Z6Q4M0000000000{kind}{number:05}" for kind in "RS")
        found |= _revision(before, 200, ID) | _revision(after, 300 + number, before)
    state = _live(found)
    writes = edited(state, MemoryEdit(text="settled"), Stamp(900, None, DEVICE), R1)
    settled = _live(_written(found, writes))
    assert (len(state.heads), [head.text for head in settled.heads], settled.ignored) == (count, ["settled"], 0)
    assert {head.revision for head in state.heads[-limits.BASES :]} <= {each.revision for each in settled.revisions}


def test_fields_that_cannot_be_sent_are_dropped() -> None:
    """A register keeps the fields of a newer version, unless they would make it too large for other devices."""
    key, long = registers.attribute_key(ID, "trust"), "x" * limits.REGISTER_BYTES
    writes: registers.Writes = {key: {"value": "high", "at": 1}}
    assert kept_fields(writes, {key: {"value": "low", "mood": "fine"}}) == {
        key: {"value": "high", "at": 1, "mood": "fine"}
    }
    assert kept_fields(writes, {key: {"value": "low", "mood": long}}) == writes
    assert sendable({"a": 1, "b": long, "c": [long]}) == {"a": 1}
    assert (sendable(long), sendable([long]), is_sendable({"text": "x" * limits.TEXT_BYTES})) == (None, None, True)


def test_forgetting_leaves_only_the_tombstone() -> None:
    """Every other register of the shard is deleted, including registers of newer versions."""
    found: Part = {ID: BIRTH, **_tag("a"), f"{ID}/q/newer": 1}
    after = _written(found, forgotten(Tombstone(ID, 5, "me", DEVICE), found))
    assert after == {registers.forgotten_key(ID): {"at": 5, "by": "me", "device": DEVICE}}


def _written(found: Part, writes: registers.Writes) -> Part:
    united = {**found, **writes}
    assert DELETED not in found.values()
    return {key: value for key, value in united.items() if not isinstance(value, Deleted)}


def test_names_are_shown_composed_and_removed_in_every_spelling() -> None:
    """Earlier versions and other clients wrote registers under decomposed names."""
    spelt = "Cafe\u0301"
    part: Part = {ID: {**BIRTH, "author": "Zoe\u0308", "scope": "project/Zu\u0308rich"}}  # type: ignore[dict-item]
    part |= _tag(spelt) | _tag("Café")
    part[registers.metadata_key(ID, SALT, spelt)] = {"key": spelt, "value": "u\u0308", "at": 2}
    part[registers.metadata_key(ID, SALT, "Café")] = {"key": "Café", "value": "earlier", "at": 1}
    state = project(ID, [part])
    assert isinstance(state, LiveMemory)
    assert (state.author, state.scope, state.tags, state.metadata) == (
        "Zoë",
        "project/Zürich",
        ("Café",),
        {"Café": "ü"},
    )
    edit = MemoryEdit(remove_tags=("Café",), metadata={"Café": None})
    after = project(ID, [{**part, **edited(state, edit, Stamp(3, None, DEVICE), R1)}])  # type: ignore[dict-item]
    assert isinstance(after, LiveMemory)
    assert (after.tags, after.metadata) == ((), {})


@pytest.mark.parametrize(
    ("value", "other", "expected"),
    [
        ({"value": 1, "at": 5}, {"value": 2, "at": 4}, True),
        ({"value": 1, "at": 5}, {"value": 2, "at": 5}, True),
        ({"value": 1, "at": 5}, {"value": 2, "at": 6}, False),
        (BIRTH, dict(reversed(BIRTH.items())), True),
        (BIRTH, {**BIRTH, "device": "B" * 52}, False),
        ({"value": 1, "at": -5}, {"value": 2, "at": "x"}, False),
        ({"value": 1, "at": 0}, {"value": 2}, True),
    ],
)
def test_a_value_replaces_one_in_another_shard_by_its_time(value: Json, other: Json, expected: bool) -> None:
    """Births have no time, so two different ones are both kept."""
    assert replaces(value, other) is expected


def test_an_edit_that_moves_has_a_time_after_the_value_that_it_replaces() -> None:
    """The latest time there is cannot be passed. A time that is none, or a deletion, stays."""
    end = limits.TIME_MAX_MS
    before: Part = {"a": {"at": 9}, "b": {"at": 3}, "c": {"at": end}, "d": {"at": end + 1}, "e": {"at": 9}}
    writes: dict[str, Json | Deleted] = {key: {"at": 5} for key in "abcdf"} | {"e": DELETED}
    assert later_than(writes, before) == {
        "a": {"at": 10},
        "b": {"at": 5},
        "c": {"at": end},
        "d": {"at": 5},
        "e": DELETED,
        "f": {"at": 5},
    }
