"""Databases of other programs. The files in `fixtures` were made by the programs themselves; see make_fixtures.py."""

from __future__ import annotations

import gzip
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from memcrdt.errors import InputError
from memcrdt.memory.memory import Memory
from memcrdt.store.recovery import foreign_tables
from memcrdt.testing.memories import exchange

FIXTURES = Path(__file__).parent / "fixtures"
SOURCES = {
    "chroma": "chroma.sqlite3",
    "mem0": "history.db",
    "claude-mem": "claude-mem.db",
    "mcp-memory-service": "sqlite_vec.db",
}


def unpacked(source: str, folder: Path) -> Path:
    """Unpack the files that a program has made into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for packed in (FIXTURES / source).iterdir():
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def _state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("source", SOURCES)
def test_a_database_is_read_from_a_copy(memory: Memory, tmp_path: Path, source: str) -> None:
    """Nothing is written to it or beside it, and a second import adds nothing."""
    folder = unpacked(source, tmp_path / "other")
    before = _state(folder)
    assert memory.import_from(source, folder / SOURCES[source]).added > 0
    again = memory.import_from(source, folder / SOURCES[source])
    assert (again.added, again.updated) == (0, 0)
    assert _state(folder) == before
    assert {(each.source, each.trust) for each in memory.list()} == {(source, "imported")}


@pytest.mark.parametrize("source", SOURCES)
def test_a_database_that_is_missing_is_named(memory: Memory, tmp_path: Path, source: str) -> None:
    """It is not called a file of another kind."""
    with pytest.raises(InputError, match=r"missing\.db cannot be read"):
        memory.import_from(source, tmp_path / "missing.db")


def test_a_folder_without_a_database_of_chroma_says_which_file_is_missing(memory: Memory, tmp_path: Path) -> None:
    """The folder itself is there."""
    with pytest.raises(InputError, match=r"chroma\.sqlite3 cannot be read \(No such file"):
        memory.import_from("chroma", tmp_path)


def test_documents_of_chroma(memory: Memory, tmp_path: Path) -> None:
    """With the types of their metadata. An embedding without a text is refused, and a deleted one is gone."""
    folder = unpacked("chroma", tmp_path / "other")
    report = memory.import_from("chroma", folder)
    assert (report.added, report.refused) == (3, 1)
    assert report.refusals[0].name == "payloads/e"
    told = {each.text: each.metadata for each in memory.list()}
    assert told == {
        "Ada likes green tea": {"collection": "notes", "topic": "food", "count": 3, "share": 0.5, "checked": True},
        "Max lives in Rome": {"collection": "notes", "topic": "places"},
        "Max plays chess": {"collection": "payloads", "user_id": "max"},
    }


def test_changes_that_chroma_has_not_worked_in_count(memory: Memory, tmp_path: Path) -> None:
    """As after a crash: added, changed and deleted embeddings stand in the queue alone."""
    file = unpacked("chroma", tmp_path) / "chroma.sqlite3"
    with closing(sqlite3.connect(file)) as db, db:
        topic = db.execute("SELECT topic FROM embeddings_queue WHERE id = 'a'").fetchone()[0]
        for number, (operation, name, metadata) in enumerate(
            [
                (0, "n", '{"chroma:document": "New"}'),
                (2, "b", '{"chroma:document": "Max lives in Oslo", "topic": null, "x": 1}'),
                (3, "a", None),
                (1, "unknown", '{"chroma:document": "Not there"}'),
                (0, "m", '{"chroma:document": "Gone again"}'),
                (3, "m", None),
                (7, "o", "no json"),
            ],
            100,
        ):
            sql = "INSERT INTO embeddings_queue (seq_id, operation, topic, id, metadata) VALUES (?, ?, ?, ?, ?)"
            db.execute(sql, (number, operation, topic, name, metadata))
    memory.import_from("chroma", file)
    told = {each.text: each.metadata for each in memory.list() if each.metadata["collection"] == "notes"}
    assert told == {"New": {"collection": "notes"}, "Max lives in Oslo": {"collection": "notes", "x": 1}}


def test_the_last_texts_of_mem0(memory: Memory, tmp_path: Path) -> None:
    """A deleted memory is left out. The JSON of the same memories has the same keys."""
    folder = unpacked("mem0", tmp_path / "other")
    assert memory.import_from("mem0", folder / "history.db").added == 2
    rome = next(each for each in memory.list() if "Rome" in each.text)
    assert {each.text for each in memory.list()} == {"Ada likes green tea", "Max lives in Rome"}
    assert rome.updated_at > rome.created_at
    assert [each.text for each in memory.history(rome.id)] == ["Max lives in Bern", "Max lives in Rome"]
    assert [each.at for each in memory.history(rome.id)] == [rome.created_at, rome.updated_at]
    report = memory.import_from("mem0", folder / "get_all.json")
    assert (report.added, report.known) == (0, 2)
    assert memory.get(rome.id).metadata == {"user_id": "max", "agent_id": "scout"}


def test_observations_and_summaries_of_claude_mem(memory: Memory, tmp_path: Path) -> None:
    """In the scope of their project, with concepts as tags."""
    file = unpacked("claude-mem", tmp_path / "other") / "claude-mem.db"
    assert memory.import_from("claude-mem", file).added == 3
    told = {each.kind: each for each in memory.list()}
    assert {each.scope for each in told.values()} == {"project/acme"}
    assert told["discovery"].text == (
        "# Deploys need a token\n\nFound in the log\n\nThe pipeline failed because the token had ended.\n\n"
        "- The token ends on Fridays\n- Max makes a new one"
    )
    assert set(told["discovery"].tags) == {"how-it-works", "gotcha"}
    assert told["discovery"].metadata["files_read"] == ["deploy.yml"]
    assert told["summary"].text.startswith("Request: Find out why deploys fail\n\nInvestigated: The log\n\nLearned:")
    assert told["change"].text == "# Renewed the token"


def test_older_tables_of_claude_mem(memory: Memory, tmp_path: Path) -> None:
    """They have fewer columns."""
    file = tmp_path / "claude-mem.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE observations (id INTEGER, sdk_session_id, project, text, type, created_at)")
        db.execute("INSERT INTO observations VALUES (1, 's', 'a/../b', 'Use tabs', 'note', '2025-03-04 10:00:00')")
    assert memory.import_from("claude-mem", file).added == 1
    (found,) = memory.list()
    assert (found.text, found.created_at.isoformat()) == ("Use tabs", "2025-03-04T10:00:00+00:00")


def test_what_is_only_in_the_wal_is_read(memory: Memory, tmp_path: Path) -> None:
    """Of a program that is running, and of one that was killed."""
    file = unpacked("mem0", tmp_path / "other") / "history.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        with db:
            db.execute("INSERT INTO history (id, memory_id, new_memory, event) VALUES ('i', 'm', 'In the WAL', 'ADD')")
        assert file.with_name("history.db-wal").stat().st_size > 0
        before = _state(file.parent)
        assert memory.import_from("mem0", file).added == 3
        assert _state(file.parent) == before
    assert "In the WAL" in {each.text for each in memory.list()}


def test_a_transaction_that_was_cut_off_does_not_count(memory: Memory, tmp_path: Path) -> None:
    """Its journal is beside the file."""
    file = unpacked("mem0", tmp_path / "other") / "history.db"
    copy = tmp_path / "cut"
    copy.mkdir()
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("PRAGMA cache_spill = ON")
        db.execute("UPDATE history SET new_memory = 'Half done'")
        for number in range(2_000):
            db.execute(
                "INSERT INTO history (id, memory_id, new_memory) VALUES (?, ?, ?)", (str(number), "x", "y" * 400)
            )
        for each in file.parent.glob("history.db*"):
            (copy / each.name).write_bytes(each.read_bytes())
    assert (copy / "history.db-journal").stat().st_size > 0
    assert memory.import_from("mem0", copy / "history.db").added == 2
    assert {each.text for each in memory.list()} == {"Ada likes green tea", "Max lives in Rome"}


def test_a_database_that_is_written_all_the_time_is_refused(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of two moments would be damaged."""
    file = unpacked("mem0", tmp_path) / "history.db"
    monkeypatch.setattr(foreign_tables, "_PAUSE_S", 0)
    monkeypatch.setattr(
        foreign_tables.shutil, "copyfile", lambda source, target: source.write_bytes(b"x" * random.randrange(9_999))
    )
    (refusal,) = memory.import_from("mem0", file).refusals
    assert "close it" in refusal.reason


@pytest.mark.parametrize("source", SOURCES)
def test_a_hostile_database_is_refused_or_read(open_memory: Callable[..., Memory], tmp_path: Path, source: str) -> None:
    """Damaged pages, views instead of tables, BLOBs, and texts that are not UTF-8."""
    memory = open_memory("A")
    file = unpacked(source, tmp_path / "other") / SOURCES[source]
    whole, rng = file.read_bytes(), random.Random(source)
    for _ in range(25):
        spoiled = bytearray(whole)
        for _ in range(rng.choice((1, 20, 400))):
            spoiled[rng.randrange(100, len(spoiled))] = rng.randrange(256)
        file.write_bytes(spoiled[: rng.choice((len(spoiled), len(spoiled) // 2))])
        memory.import_from(source, file, dry_run=True)
    file.write_bytes(whole)
    table, column = {
        "chroma": ("embedding_metadata", "string_value"),
        "mem0": ("history", "new_memory"),
        "claude-mem": ("observations", "title"),
        "mcp-memory-service": ("memories", "content"),
    }[source]
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(f"UPDATE {table} SET {column} = CAST(x'41ff42' AS TEXT)")
        db.execute(f"UPDATE {table} SET {column} = x'80049500' WHERE rowid = 2")
    memory.import_from(source, file)
    assert any("A\ufffdB" in each.text for each in memory.list())
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(f"ALTER TABLE {table} RENAME TO other")
        db.execute(f"CREATE VIEW {table} AS SELECT * FROM other")
    (refusal,) = memory.import_from(source, file).refusals
    assert "has no table" in refusal.reason


def test_memories_of_mcp_memory_service(memory: Memory, tmp_path: Path) -> None:
    """With their tags and relations. A deleted one is left out."""
    assert memory.import_from("mcp-memory-service", unpacked("mcp-memory-service", tmp_path / "other")).added == 2
    tea, rome = sorted(memory.list(), key=lambda each: each.text)
    assert (tea.text, tea.kind, set(tea.tags)) == ("Ada likes green tea", "observation", {"food", "ada"})
    assert (rome.text, rome.kind) == ("Max lives in Rome", "note")
    assert len(tea.metadata["links_to"]) == 1


def test_odd_rows_of_mcp_memory_service(memory: Memory, tmp_path: Path) -> None:
    """The file is written by hand."""
    with closing(sqlite3.connect(tmp_path / "sqlite_vec.db")) as db, db:
        db.execute(
            "CREATE TABLE memories (id INTEGER PRIMARY KEY, content_hash TEXT UNIQUE, content TEXT, tags TEXT,"
            " memory_type TEXT, metadata TEXT, created_at REAL, updated_at REAL, deleted_at REAL)"
        )
        db.execute("CREATE TABLE memory_graph (source_hash TEXT, target_hash TEXT)")
        db.execute("INSERT INTO memory_graph VALUES ('h1', 'h2')")
        rows = [
            ("h1", "Ada likes tea", "food,ada", "preference", '{"place": "Bern"}', 1741082400.5, 1741082401, None),
            ("h2", "Ada owns a boat", "", "note", None, 1741082400, 1741082400, 1741082500),
            ("h3", None, "", "note", "no json", 1741082400, 1741082400, None),
        ]
        names = "content_hash, content, tags, memory_type, metadata, created_at, updated_at, deleted_at"
        db.executemany(f"INSERT INTO memories ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    report = memory.import_from("mcp-memory-service", tmp_path)
    assert (report.added, report.refused) == (1, 1)
    (found,) = memory.list()
    assert (found.text, found.kind, set(found.tags)) == ("Ada likes tea", "preference", {"food", "ada"})
    assert found.metadata == {"place": "Bern", "links_to": ["h2"]}
    assert found.created_at.isoformat() == "2025-03-04T10:00:00.500000+00:00"


def test_two_devices_import_the_same_history(open_memory: Callable[..., Memory], tmp_path: Path) -> None:
    """Before they meet. Each memory is there once, with each text once."""
    file = unpacked("mem0", tmp_path / "other") / "history.db"
    ours, theirs = open_memory("A"), open_memory("B")
    for memory in (ours, theirs):
        assert memory.import_from("mem0", file).added == 2
    exchange(ours, theirs)
    assert len(ours.list()) == len(theirs.list()) == 2
    for memory in (ours, theirs):
        (rome,) = (each for each in memory.list() if "Rome" in each.text)
        assert not rome.conflicted
        assert [each.text for each in memory.history(rome.id)] == ["Max lives in Bern", "Max lives in Rome"]
        assert memory.import_from("mem0", file).known == 2


def test_odd_histories_are_refused(memory: Memory, tmp_path: Path) -> None:
    """A time of the future, an empty text, a secret in an earlier text, and more changes than a memory keeps."""
    file = unpacked("mem0", tmp_path) / "history.db"
    secret = "ghp_" + "aB3dE5fG7h" * 3 + "iJ9kL1"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DELETE FROM history")
        sql = "INSERT INTO history (id, memory_id, new_memory, event, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
        at, late = "2025-03-04T10:00:00", "2999-01-01T00:00:00"
        rows = [("1", "a", "one", "ADD", at, at), ("2", "a", "two", "UPDATE", at, late)]
        rows += [("3", "b", f"token {secret}", "ADD", at, at), ("4", "b", "clean", "UPDATE", at, at)]
        rows += [("5", "c", None, "ADD", at, at), ("6", "c", "said", "UPDATE", at, None)]
        rows += [(f"n{number}", "d", f"text {number}", "UPDATE", at, at) for number in range(200)]
        db.executemany(sql, rows)
    report = memory.import_from("mem0", file)
    assert (report.added, report.refused) == (3, 1)
    assert {each.text for each in memory.list()} == {"two", "said", "text 199"}
    (many,) = (each for each in memory.list() if each.text == "text 199")
    assert [each.text for each in memory.history(many.id)][-2:] == ["text 198", "text 199"]
    assert memory.doctor().problems == ()
