"""Tests of the comparison of a file's schema with ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memcrdt.store.recovery import doctor
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]

_HIDES = "CREATE TRIGGER t AFTER INSERT ON memories BEGIN DELETE FROM memories WHERE memory = new.memory; END"
_KEEPS = "CREATE TABLE kept(x); CREATE TRIGGER t AFTER INSERT ON memories BEGIN INSERT INTO kept VALUES(new.text); END"


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (_HIDES, "it has the trigger 't', which memcrdt did not make"),
        (_KEEPS, "it has the table 'kept', which memcrdt did not make"),
        ("CREATE VIEW v AS SELECT * FROM memories", "it has the view 'v', which memcrdt did not make"),
        ("CREATE UNIQUE INDEX i ON memories(device)", "it has the index 'i', which memcrdt did not make"),
        ("DROP INDEX memories_by_seq", "it lacks the index 'memories_by_seq'"),
        ("ALTER TABLE tags ADD COLUMN more TEXT", "its table 'tags' is not as memcrdt made it"),
        (
            "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'updates'",
            "the counter of the rows of 'updates' is beyond its limit",
        ),
    ],
)
def test_another_schema_is_found_and_repaired(device: Make, harm: str, found: str) -> None:
    """The repair copies the rows into a file that our migrations make."""
    a = device("A")
    kept = a.add("kept", tags=["t"])
    before = a.views(), a.digest()
    with a.store.writing() as db:
        db.execute(harm)
    assert any(found in problem for problem in doctor.examine(a.store).problems)
    report = doctor.repair(a.store)
    assert (report.left, a.views(), a.digest()) == ((), *before)
    assert {kept, a.add("new")} == set(a.texts()) == a.ids_of_documents()
    assert doctor.examine(a.store).problems == ()


@pytest.mark.parametrize("harm", [_HIDES, _KEEPS], ids=["hides", "keeps"])
def test_triggers_in_a_file_do_not_act(device: Make, harm: str) -> None:
    """A file from elsewhere may have them, and the user may not run the doctor first."""
    a = device("A")
    with a.store.writing() as db:
        db.execute(harm)
    a.reopen()
    secret = a.add("the secret zzyqx")
    assert set(a.texts()) == {secret}
    a.forget(secret)
    a.close()
    assert b"zzyqx" not in b"".join(file.read_bytes() for file in a.home.iterdir() if file.is_file())
    a.open()


def test_comments_and_spaces_do_not_count(device: Make) -> None:
    """They differ between versions of memcrdt."""
    a = device("A")
    with a.store.writing() as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, '-- ', '--   other words: ') WHERE name = 'shards'")
        db.execute("PRAGMA writable_schema = OFF")
    assert doctor.examine(a.store).problems == ()
