"""The tables of the index, and the traces of removed texts."""

from __future__ import annotations

from typing import Any

import apsw
import pytest


def test_a_changed_text_is_found_by_its_new_words_only(shelf: Any) -> None:
    """After a change, full text finds the memory by its new words and not by its old words."""
    memory = shelf.add("Deploys go out on Tuesdays")
    shelf.change(memory, "Deploys go out on Wednesdays")
    old, new = (shelf.search(q, explain=True)[0].parts["lexical"] for q in ("tuesdays", "wednesdays"))
    assert old == 0 < new


def test_a_removed_memory_leaves_no_row_and_no_byte(shelf: Any) -> None:
    """After removal and truncation of the WAL, the file contains no byte of its words or its vector."""
    memory = shelf.add("xylophone quarrels")
    shelf.add("something else stays")
    vector = shelf.db.execute("SELECT embedding FROM vectors WHERE passage / 256 = ?", (memory,)).get
    shelf.remove(memory)
    shelf.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = shelf.path.read_bytes()
    assert b"xylophon" not in content
    assert b"quarrel" not in content
    assert vector[:64] not in content
    assert shelf.db.execute("SELECT count(*) FROM vectors WHERE passage / 256 = ?", (memory,)).get == 0
    assert shelf.found("xylophone quarrels") == ["something else stays"]


def test_clear_empties_everything_and_a_rebuild_finds_again(shelf: Any) -> None:
    """After clear() nothing is found. After replace() of every row, the search is as before."""
    texts = ["Deploys go out on Tuesdays", "The cat sleeps on the sofa"]
    for text in texts:
        shelf.add(text)
    before = shelf.search("deploys")
    with shelf.db:
        shelf.index.clear(shelf.db)
    assert shelf.search("deploys") == []
    with shelf.db:
        shelf.index.replace(shelf.db, [], list(shelf.rows.values()), None)
    assert shelf.search("deploys") == before


def test_a_change_of_fields_that_are_not_indexed_keeps_the_index(shelf: Any) -> None:
    """A memory that only moved to another scope keeps the number of its vector."""
    memory = shelf.add("Deploys go out on Tuesdays")
    before = shelf.db.execute("SELECT vector FROM vectors").fetchall()
    row = shelf.rows[memory]
    with shelf.db:
        shelf.index.replace(shelf.db, [row], [row._replace(scope="project/acme")], {})
    assert shelf.db.execute("SELECT vector FROM vectors").fetchall() == before


def _add_and_remove(shelf: Any, text: str) -> None:
    """Add three memories with a long text, and remove them in one commit."""
    _remove_together(shelf, [shelf.add(f"{text} and {n}") for n in range(3)])


def _remove_together(shelf: Any, memories: list[int]) -> None:
    removed = [shelf.rows[memory] for memory in memories]
    with shelf.db:
        shelf.db.executemany("DELETE FROM memories WHERE memory = ?", ((memory,) for memory in memories))
        shelf.index.replace(shelf.db, removed, [], None)


def test_many_removed_passages_leave_no_byte_after_merges(shelf: Any) -> None:
    """They are not erased one by one. Until the merges are done, the index says that there are more."""
    stays = shelf.add("something else stays")
    _add_and_remove(shelf, " ".join(f"xylophone{n} quarrels{n}" for n in range(2_500)))
    assert shelf.search("xylophone7", explain=True)[0].parts["lexical"] == 0
    shelf.add(" ".join(f"kept{n}" for n in range(2_500)))
    shelf.index._full_text._pages_to_merge = 1  # so that a small index takes several steps
    steps = 1
    while _erase(shelf):
        steps += 1
        shelf.change(stays, f"something else, changed between two steps: {steps}")
    assert steps > 1
    assert not _erase(shelf)
    words = {str(word) for (word,) in shelf.db.execute("SELECT term FROM vocabulary")}
    assert not [word for word in words if word.startswith(("xyloph", "quarrel"))]
    shelf.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert b"xyloph" not in shelf.path.read_bytes()
    assert shelf.found("something else")[0] == shelf.rows[stays].text


def test_erasing_ends_beside_another_committer(shelf: Any) -> None:
    """Another connection adds words before each call. The removed words are erased after a few calls all the same."""
    _add_and_remove(shelf, " ".join(f"xylophone{n}" for n in range(2_500)))
    other = apsw.Connection(str(shelf.path))
    calls = 1
    other.execute("INSERT INTO fulltext(rowid, words) VALUES(1000000, 'word')")
    while _erase(shelf):
        assert calls < 12
        other.execute("INSERT INTO fulltext(rowid, words) VALUES(?, ?)", (1_000_000 + calls, f"word{calls}"))
        calls += 1
    other.close()
    assert not list(shelf.db.execute("SELECT term FROM vocabulary WHERE term LIKE 'xyloph%'"))
    shelf.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert b"xyloph" not in shelf.path.read_bytes()


def _erase(shelf: Any) -> bool:
    with shelf.db:
        return bool(shelf.index.erase_removed(shelf.db))


def _erases_at_once(shelf: Any) -> bool:
    return bool(shelf.db.execute("SELECT v FROM fulltext_config WHERE k = 'secure-delete'").get)


def test_many_removed_in_several_commits_are_merged_out_together(shelf: Any) -> None:
    """The first commits erase at once. When that has cost as much as a merge, the rest waits for one."""
    shelf.add_many([{"text": f"something that stays {number}"} for number in range(3_000)])
    gone = shelf.add_many([{"text": f"xylophone{number} quarrels"} for number in range(120)])
    for start in range(0, 120, 40):
        _remove_together(shelf, gone[start : start + 40])
    assert not _erases_at_once(shelf)
    while _erase(shelf):
        pass
    assert _erases_at_once(shelf)
    shelf.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert b"xylophon" not in shelf.path.read_bytes()
    assert shelf.db.execute("SELECT count(*) FROM fulltext('quarrel')").get == 0


def test_changes_one_at_a_time_never_wait_for_a_merge(shelf: Any) -> None:
    """However many they are: nothing may merge soon, and a later single forget would wait for it."""
    memory = shelf.add("xylophone0")
    for number in range(1, 40):
        shelf.change(memory, f"xylophone{number}")
    assert _erases_at_once(shelf)


def test_what_was_erased_before_counts_no_more_after_a_scrubbing(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each forget is weighed for itself: only what a call has spent makes a merge worth it."""
    monkeypatch.setattr("memcrdt.search.index.full_text._MERGED_FOR_ONE", 3)
    gone = shelf.add_many([{"text": f"xylophone{number}"} for number in range(300)])
    for start in range(0, 120, 40):
        _remove_together(shelf, gone[start : start + 40])
        assert _erases_at_once(shelf)
        assert not _erase(shelf)
