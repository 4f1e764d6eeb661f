"""Memories as files: import and export."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError, StoreError
from memcrdt.importing import own
from memcrdt.importing.lines import LINE_BYTES
from memcrdt.memory import transfer
from memcrdt.memory.memory import Memory
from memcrdt.model.edits import TOO_MANY_REVISIONS
from memcrdt.model.records import MemoryRecord
from memcrdt.store import listing
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]


def _write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def _content(record: MemoryRecord) -> Any:
    """Return the data of a memory that a file contains."""
    return {name: getattr(record, name) for name in own.FIELDS}


def test_arguments_that_are_wrong_are_refused_once_not_line_by_line(memory: Memory, tmp_path: Path) -> None:
    """An unknown space too. No line is read."""
    file = _write(tmp_path / "in.jsonl", "one", "two")
    wrong: tuple[tuple[type[Exception], dict[str, Any]], ...] = (
        (InputError, {"foo": 1}),
        (InputError, {"kind": 5}),
        (NotFoundError, {"space": "nope"}),
    )
    for error, defaults in wrong:
        with pytest.raises(error):
            memory.import_(file, **defaults)
    assert not memory.list()


def test_an_export_is_imported_whole(open_memory: OpenMemory, tmp_path: Path, clock: Any) -> None:
    """Every field and id. Links and supersession stay valid."""
    ours, theirs = open_memory("A"), open_memory("B")
    one, two = ours.add_many(["plain", 'zwei\n"lines" \u2028 👩‍👩‍👧'], kind="fact", author="bot", source="notes.md")
    ours.update(
        one,
        add_tags=["t"],
        metadata={"k": [1, {"x": None}]},
        importance=0.5,
        pinned=True,
        trust="high",
        scope="agent/x",
    )
    ours.update(two, expires_at=clock.time(days=1), superseded_by=one)
    ours.link(one, "of", two)
    file = tmp_path / "all.jsonl"
    assert ours.export(file) == 2
    report = theirs.import_(file)
    assert (report.added, report.known, report.forgotten, report.refused) == (2, 0, 0, 0)
    for memory_id in (one, two):
        assert _content(theirs.get(memory_id)) == _content(ours.get(memory_id))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_an_export_is_for_its_owner_only(memory: Memory, tmp_path: Path) -> None:
    """The mode is 0600 as for a backup, even if it replaces a file that others could read."""
    file = tmp_path / "memories.jsonl"
    file.touch(0o644)
    memory.export(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_export_takes_what_the_filters_leave(memory: Memory, tmp_path: Path) -> None:
    """Oldest first, over several pages. An older file is replaced as a whole."""
    ids = memory.add_many([f"fact {n}" for n in range(listing.PAGE + 20)], scope="project/acme")
    memory.add("other")
    file = tmp_path / "acme.jsonl"
    for _ in range(2):
        assert memory.export(file, scope="project/acme") == len(ids)
    assert [json.loads(line)["id"] for line in file.read_text("utf-8").splitlines()] == ids
    assert [path.name for path in tmp_path.glob("acme*")] == ["acme.jsonl"]


def test_importing_twice_adds_once(memory: Memory, tmp_path: Path) -> None:
    """Texts, items with keys, and exported items. Existing memories stay unchanged."""
    file = _write(
        tmp_path / "in.jsonl", "a text", {"text": "keyed", "key": "k"}, {"text": "b", "tags": ["t"]}, "a text"
    )
    first = memory.import_(file, kind="fact")
    assert (first.added, first.known, first.repeated) == (3, 0, 1)
    assert {record.kind for record in memory.list()} == {"fact"}
    before = memory.list().items
    again = memory.import_(file)
    assert (again.added, again.known, again.repeated) == (0, 3, 1)
    assert memory.list().items == before


def test_an_item_with_a_key_updates(memory: Memory, tmp_path: Path) -> None:
    """As in add(). The last line with a key counts."""
    memory.import_(_write(tmp_path / "old.jsonl", {"text": "one", "key": "k", "tags": ["a"]}))
    file = _write(
        tmp_path / "new.jsonl",
        {"text": "two", "key": "k", "tags": ["b"]},
        {"text": "new", "key": "l"},
        {"text": "three", "key": "l"},
    )
    expected = memory.import_(file, dry_run=True)
    report = memory.import_(file)
    assert report == dataclasses.replace(expected, dry_run=False)
    assert (report.added, report.updated, report.known, report.repeated) == (1, 1, 0, 1)
    assert [(record.text, record.tags) for record in memory.list(order="oldest")] == [
        ("two", ("b",)),
        ("three", ()),
    ]


@pytest.mark.parametrize("batch", [1, transfer.BATCH])
def test_the_report_counts_each_memory_once(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """By the final result. Lines that repeat a memory are counted separately, in one batch or several."""
    monkeypatch.setattr(transfer, "BATCH", batch)
    known, old, gone = (
        memory.add("known", key="known"),
        memory.add("old", key="old"),
        memory.add("gone", id="01JD8Z6Q4M0000000000000001"),
    )
    memory.forget(gone)
    file = _write(
        tmp_path / "in.jsonl",
        *[{"text": "known", "key": "known"}] * 2,
        {"text": "old", "key": "old"},
        *[{"text": "gone", "id": gone}] * 2,
        *[{"text": text, "key": "new"} for text in ("new", "newer", "newest")],
        {"text": "changed", "key": "old"},
        *[{"text": text, "id": "01JD8Z6Q4M0000000000000002"} for text in ("first", "second")],
    )
    expected = memory.import_(file, dry_run=True)
    report = memory.import_(file)
    assert report == dataclasses.replace(expected, dry_run=False)
    assert (report.added, report.updated, report.known, report.forgotten, report.repeated) == (2, 1, 1, 1, 6)
    assert {record.text for record in memory.list()} == {"known", "changed", "newest", "first"}
    assert (memory.get(known).text, memory.get(old).text) == ("known", "changed")


def test_a_dry_run_reports_and_changes_nothing(memory: Memory, tmp_path: Path) -> None:
    """The report is equal to the report of the import, except for the flag."""
    file = _write(tmp_path / "in.jsonl", "a", "b", "a", {"text": ""}, 5)
    expected = memory.import_(file, dry_run=True)
    assert len(memory.list()) == 0
    report = memory.import_(file)
    assert (report.added, report.repeated, report.refused) == (2, 1, 2)
    assert report == dataclasses.replace(expected, dry_run=False)


def test_what_was_forgotten_stays_forgotten_unless_again(memory: Memory, tmp_path: Path) -> None:
    """Then it is a new memory, without data of the old one."""
    file = _write(tmp_path / "in.jsonl", "a text", {"text": "keyed", "key": "k"})
    memory.import_(file)
    memory.update(memory.list(contains="keyed").items[0].id, add_tags=["old"])
    memory.export(tmp_path / "ids.jsonl")
    memory.forget(scope="global")
    for path in (file, tmp_path / "ids.jsonl"):
        assert memory.import_(path).forgotten == 2
    assert len(memory.list()) == 0
    assert memory.import_(file, again=True).added == 2
    assert [record.tags for record in memory.list()] == [(), ()]
    assert memory.import_(tmp_path / "ids.jsonl", again=True).added == 2
    assert memory.import_(tmp_path / "ids.jsonl", again=True).known == 2


@pytest.mark.parametrize("exported", [False, True])
def test_the_same_file_on_two_devices_is_each_memory_once(
    open_memory: OpenMemory, tmp_path: Path, exported: bool
) -> None:
    """Although the devices had not met. Tags and links of both devices are kept."""
    laptop, desktop = open_memory("A"), open_memory("B")
    lines: list[Any] = ["a text", {"text": "b", "tags": ["t"], "metadata": {"k": 1}}]
    if exported:
        lines = [
            {"text": "a", "id": "01JD8Z6Q4M0000000000000001", "tags": ["t"]},
            {"text": "b", "id": "01JD8Z6Q4M0000000000000002"},
        ]
    file = _write(tmp_path / "in.jsonl", *lines)
    laptop.add("so that it comes to stand elsewhere")
    for memory in (laptop, desktop):
        assert memory.import_(file).added == 2
    known = desktop.list(tags="t").items[0].id
    desktop.update(known, add_tags=["desktop"])
    laptop.update(known, add_tags=["laptop"])
    exchange(laptop, desktop)
    assert len(laptop.list()) == len(desktop.list()) == 3
    assert laptop.get(known) == desktop.get(known)
    assert laptop.get(known).tags == ("desktop", "laptop", "t")
    assert laptop.status().ignored == 0


def test_defaults_go_before_what_the_file_says(memory: Memory, tmp_path: Path) -> None:
    """So an export can be imported into another space."""
    file = _write(tmp_path / "in.jsonl", {"text": "a", "space": "team", "scope": "agent/x"})
    report = memory.import_(file)
    assert (report.added, report.refused) == (0, 1)
    assert "'team'" in report.refusals[0].reason
    assert memory.import_(file, space="local").added == 1
    assert (memory.list().items[0].space, memory.list().items[0].scope) == ("local", "agent/x")


def test_bad_lines_are_refused_with_number_and_reason(memory: Memory, tmp_path: Path) -> None:
    """Valid lines are imported. Of many invalid lines, the first hundred are named."""
    lines = [
        b'{"text": "good"}', b"", b"no json", b"[1]", b'{"text": "x", "colour": "red"}', b'{"text": "x", "links": [5]}',
        b'{"text": "x", "superseded_by": "y"}', b'"\xff"', b'"' + b"x" * LINE_BYTES + b'"', b"[" * 100_000,
        b'"last"',
    ]  # fmt: skip
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\n".join(lines))
    report = memory.import_(file)
    assert (report.added, [refusal.line for refusal in report.refusals]) == (2, [3, 4, 5, 6, 7, 8, 9, 10])
    file.write_text("5\n" * 150)
    report = memory.import_(file)
    assert (report.refused, len(report.refusals)) == (150, transfer.REFUSED)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{text", "Expecting property name enclosed in double quotes at character 2"),
        (b'"\xff"', "it is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"9" * 5_000, "a number has too many digits"),
    ],
    ids=["broken", "bytes", "depth", "digits"],
)
def test_a_line_that_is_no_json_is_refused_in_plain_words(
    memory: Memory, tmp_path: Path, line: bytes, reason: str
) -> None:
    """Other details of the json module are for Python programmers."""
    file = tmp_path / "in.jsonl"
    file.write_bytes(line)
    (refusal,) = memory.import_(file).refusals
    assert refusal.reason == f"the line is not JSON: {reason}"


def test_progress_is_told_by_batch(memory: Memory, tmp_path: Path) -> None:
    """The number of lines read."""
    file = _write(tmp_path / "in.jsonl", *(f"text {n}" for n in range(transfer.BATCH + 5)))
    told: list[int] = []
    memory.import_(file, progress=told.append)
    assert told == [transfer.BATCH, transfer.BATCH + 5]


def test_the_files_of_the_home_are_neither_written_nor_read(memory: Memory, tmp_path: Path) -> None:
    """Under any name. Files that end in .jsonl are never files of the store."""
    added = memory.add("kept")
    (tmp_path / "link.jsonl").symlink_to(memory.store.path)
    for path in (memory.store.path, memory.home / "config.toml", tmp_path / "link.jsonl"):
        for call in (memory.export, memory.import_):
            with pytest.raises(InputError, match="the folder of the store"):
                call(path, format="jsonl")
    assert memory.export(memory.home / "all.jsonl") == 1
    assert memory.get(added).text == "kept"
    assert memory.doctor().problems == ()


def test_files_that_cannot_be_read_or_written(memory: Memory, tmp_path: Path) -> None:
    """The error names the file, and no partial file is left."""
    with pytest.raises(InputError, match="missing"):
        memory.import_(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="csv"):
        memory.export(tmp_path / "out.csv")
    with pytest.raises(StoreError, match="nowhere"):
        memory.export(tmp_path / "nowhere" / "out.jsonl")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_an_export_takes_the_place_of_files_only(memory: Memory, tmp_path: Path) -> None:
    """A pipe or a folder stays, also behind a link, and so does a circular link."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "circle").symlink_to("circle")
    for wrong in ("pipe", "to-pipe", "circle", "."):
        with pytest.raises(InputError, match="name another file"):
            memory.export(tmp_path / wrong, format="jsonl")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "circle").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows wants a right for links")
@pytest.mark.parametrize("there", [True, False])
def test_an_export_behind_a_link_leaves_the_link(memory: Memory, tmp_path: Path, there: bool) -> None:
    """Its target is replaced or created."""
    memory.add("one")
    link, real = tmp_path / "link.jsonl", tmp_path / "elsewhere" / "real.jsonl"
    real.parent.mkdir()
    link.symlink_to(real)
    if there:
        real.write_text("old")
    assert memory.export(link) == 1
    assert link.is_symlink()
    assert json.loads(real.read_text("utf-8"))["text"] == "one"
    assert list(real.parent.iterdir()) == [real]


def test_a_stream_without_a_buffer_takes_all_of_it(memory: Memory) -> None:
    """Such as stdout. It may accept a line in pieces of any size."""

    class Narrow(io.RawIOBase):
        taken = b""

        def write(self, data: Any) -> int:
            self.taken += bytes(data[:7])
            return min(len(data), 7)

    memory.add_many(["one", "two"])
    stream: Any = Narrow()
    assert memory.export(stream) == 2
    assert [json.loads(line)["text"] for line in stream.taken.splitlines()] == ["one", "two"]


def test_memories_go_through_streams(memory: Memory, open_memory: OpenMemory) -> None:
    """An exported stream can be imported. It needs no format and stays open. Text streams are refused."""
    memory.add("grün", tags=["t"])
    stream = io.BytesIO()
    assert memory.export(stream, tags="t") == 1
    stream.seek(0)
    assert open_memory("B").import_(stream).added == 1
    assert not stream.closed
    with pytest.raises(InputError, match="csv"):
        memory.export(stream, format="csv")
    text: Any = io.StringIO()
    with pytest.raises(InputError, match="StringIO"):
        memory.import_(text)


def test_an_export_leaves_out_what_is_hidden_only_on_request(memory: Memory, tmp_path: Path, clock: Any) -> None:
    """Expired and superseded memories are in it by default; `include` decides otherwise."""
    old, new = memory.add_many(["old", "new"])
    memory.update(old, superseded_by=new)
    memory.add("over", expires_at=clock.time(days=1))
    clock.advance(days=2)
    file = tmp_path / "memories.jsonl"
    assert memory.export(file) == 3
    assert memory.export(file, include="expired") == 2
    assert memory.export(file, include=[]) == 1


def test_a_history_comes_along_on_request(open_memory: OpenMemory, tmp_path: Path, clock: Any) -> None:
    """Dates, all texts with their authors, and conflicts. A second export of the copy says the same."""
    ours, other, theirs = open_memory("A"), open_memory("B"), open_memory("C")
    plain, changed, disputed = ours.add_many(["plain", "first", "one"], author="bot")
    ours.update(changed, text="second", author="ada")
    ours.update(changed, text="third")
    exchange(ours, other)
    ours.update(disputed, text="ours")
    other.update(disputed, text="theirs", add_tags=["t"])
    exchange(ours, other)
    file, again = tmp_path / "all.jsonl", tmp_path / "again.jsonl"
    assert ours.export(file, history=True) == 3
    clock.advance(days=3)
    report = theirs.import_(file)
    assert (report.added, report.refused) == (3, 0)
    for memory_id in (plain, changed, disputed):
        before, after = ours.get(memory_id), theirs.get(memory_id)
        assert (after.text, after.created_at, after.updated_at) == (before.text, before.created_at, before.updated_at)
        assert (after.conflicted, after.device, after.imported_from) == (before.conflicted, theirs.device, ours.device)
        assert [_without_device(each) for each in theirs.history(memory_id)] == [
            _without_device(each) for each in ours.history(memory_id)
        ]
        assert {each.device for each in theirs.history(memory_id)} == {theirs.device}
    assert theirs.doctor().problems == ()
    assert theirs.export(again, history=True) == 3
    fourth = open_memory("D")
    fourth.import_(again)
    assert fourth.get(changed).imported_from == ours.device
    assert len(fourth.history(changed)) == 3


def test_a_text_that_was_changed_in_the_file_is_the_latest(open_memory: OpenMemory, tmp_path: Path) -> None:
    """Its history stays below it."""
    ours, theirs = open_memory("A"), open_memory("B")
    changed = ours.add("first")
    ours.update(changed, text="second")
    file = tmp_path / "all.jsonl"
    ours.export(file, history=True)
    line, *texts = file.read_text("utf-8").splitlines()
    file.write_text("\n".join([json.dumps({**json.loads(line), "text": "corrected"}), *texts]), "utf-8")
    theirs.import_(file)
    assert [each.text for each in theirs.history(changed)] == ["first", "second", "corrected"]
    assert not theirs.get(changed).conflicted


def test_earlier_texts_are_checked_like_memories(memory: Memory, tmp_path: Path) -> None:
    """They belong to the line before, have limits, and may not contain what looks like a secret."""
    one, other = "01JD8Z6Q4M0000000000000001", "01JD8Z6Q4M0000000000000002"
    text = {"id": one, "revision": other, "text": "earlier", "at": "2026-01-01T00:00:00Z", "base": []}
    token = "ghp_" + "q7Zt3LmXv92K" + "dWpB4sRy8NcF" + "1hJg6TaEuQ0i"
    wrong: tuple[dict[str, Any], ...] = (
        {"id": other}, {"revision": "x"}, {"text": ""}, {"at": None}, {"at": "yesterday"}, {"base": "x"},
        {"base": [other] * 65}, {"base": [5]}, {"by": 5}, {"head": True}, {"text": token},
    )  # fmt: skip
    lines = [{"text": "now", "id": one}, *({**text, **each} for each in wrong)]
    report = memory.import_(_write(tmp_path / "in.jsonl", text, *lines))
    assert (report.added, report.refused) == (1, 1 + len(wrong))
    assert "must follow the line of its memory" in report.refusals[0].reason
    assert len(memory.history(one)) == 1


def test_a_history_has_a_limit(memory: Memory, tmp_path: Path) -> None:
    """Further texts of one memory are refused before they are kept."""
    one = "01JD8Z6Q4M0000000000000001"
    texts = [
        {
            "id": one,
            "revision": f"01JD8Z6Q4M00000000000{n:05}",
            "text": f"{n}",
            "at": "2026-01-01T00:00:00Z",
            "base": [f"01JD8Z6Q4M00000000000{n - 1:05}"] if n else [],
        }
        for n in range(100)
    ]
    report = memory.import_(_write(tmp_path / "in.jsonl", {"text": "now", "id": one}, *texts))
    assert (report.added, report.refused) == (1, 100 - TOO_MANY_REVISIONS)
    assert memory.get(one).text == "now"


def _without_device(revision: memcrdt.Revision) -> dict[str, Any]:
    return {name: value for name, value in revision.to_dict().items() if name != "device"}
