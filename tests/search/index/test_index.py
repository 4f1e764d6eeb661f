"""The tables of the index, and the traces of removed texts."""

from __future__ import annotations

from typing import Any


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
    vector = shelf.index.embedders.own.embed(["xylophone quarrels"])[0].tobytes()
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
