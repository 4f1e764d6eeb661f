"""Errors of pycrdt, pinned. Shard avoids them. These tests fail when a release of pycrdt behaves differently."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

from pycrdt import Doc, Map, Text, merge_updates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _updates_of(edit: Callable[[Doc[Any]], None]) -> tuple[Doc[Any], list[bytes]]:
    """Run `edit` on a new document. Return the document, and one update for each transaction."""
    doc, updates = _document(1), []
    subscription = doc.observe(lambda event: updates.append(bytes(event.update)))
    edit(doc)
    doc.unobserve(subscription)
    return doc, updates


def _document(client_id: int) -> Doc[Any]:
    doc: Doc[Any] = Doc(client_id=client_id)
    doc["map"], doc["text"] = Map(), Text()
    return doc


def _replayed(updates: Iterable[bytes]) -> Doc[Any]:
    doc = _document(99)
    for update in updates:
        doc.apply_update(update)
    return doc


def _two_writes_of_one_key_and_one_of_another(doc: Doc[Any]) -> None:
    for number, key in enumerate("kkj"):
        doc["map"][key] = f"v{number}"


def test_two_of_six_orders_of_one_authors_map_writes_lose_a_key() -> None:
    """Updates of one author that arrive out of order lose map keys. So memcrdt applies no update with a gap."""
    author, updates = _updates_of(_two_writes_of_one_key_and_one_of_another)
    wanted = author["map"].to_py()
    wrong = [order for order in permutations(range(3)) if _replayed(updates[i] for i in order)["map"].to_py() != wanted]
    assert wrong == [(1, 2, 0), (2, 1, 0)]


def test_updates_that_are_merged_first_lose_nothing_in_any_order() -> None:
    """`merge_updates` puts one author's updates in order."""
    author, updates = _updates_of(_two_writes_of_one_key_and_one_of_another)
    for order in permutations(range(3)):
        merged = merge_updates(*(updates[i] for i in order))
        assert _replayed([merged])["map"].to_py() == author["map"].to_py()


def test_a_snapshot_with_a_gap_loses_the_waiting_blocks() -> None:
    """An encoded document lacks the blocks that wait for others. So memcrdt takes no snapshot with a gap."""

    def edit(doc: Doc[Any]) -> None:
        for letter in "ABC":
            doc["text"] += letter

    _, updates = _updates_of(edit)
    gapped = _replayed([updates[0], updates[2]])
    assert str(_replayed([gapped.get_update(), updates[1]])["text"]) == "AB"


def test_a_client_id_used_twice_forks_silently() -> None:
    """Two documents with one client id stay different with equal state vectors. So client ids are never shared."""
    one, two = _document(7), _document(7)
    one["map"]["k"], two["map"]["j"] = "from one", "from two"
    to_two, to_one = one.get_update(), two.get_update()
    one.apply_update(to_one)
    two.apply_update(to_two)
    assert (one["map"].to_py(), two["map"].to_py()) == ({"k": "from one"}, {"j": "from two"})
    assert one.get_state() == two.get_state()
