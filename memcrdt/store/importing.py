"""Import as a plan for Store.commit(). Existing and forgotten memories are not added again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from memcrdt.model import edits
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.ids import RANDOM_BYTES, derive, next_ulid
from memcrdt.model.projection import LiveMemory, RevisionState
from memcrdt.model.reimport import compare
from memcrdt.model.requests import AddRequest, upsert
from memcrdt.store import reads
from memcrdt.store.changes import bear, change, generations, state_of
from memcrdt.store.reads import Place
from memcrdt.store.spaces import space_number
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import Transaction

Outcome: TypeAlias = Literal["added", "updated", "conflicting", "known", "forgotten"]


class _Decision(NamedTuple):
    """The outcome for an item, with the id and salt of its memory, and whether no earlier item named that."""

    outcome: Outcome
    memory_id: str
    salt: bytes
    is_first: bool


class Importing:
    """One import, which takes its items in batches and counts the outcomes.

    An item keeps its own id. Without one, the id is derived from its key, or from its text. So a file that is imported
    on two devices, even before they meet, adds each memory once. An existing memory stays unchanged, unless the item
    has a key: then the item updates it. With `again`, a forgotten memory begins a new generation.

    Args:
        again: Whether to add forgotten memories again.
        is_foreign: Whether the items come from another program. Then an item changes a memory only as far as the source
            has changed since the last import (model/reimport.py).

    Attributes:
        repeated: The number of items for a memory that an earlier item named.
    """

    def __init__(self, *, again: bool, is_foreign: bool = False) -> None:
        self.repeated = 0
        self._again = again
        self._is_foreign = is_foreign
        self._outcomes: dict[Place, Outcome] = {}
        self._has_known = False

    @property
    def counts(self) -> Counter[Outcome]:
        """The number of memories by outcome."""
        return Counter(self._outcomes.values())

    def changing(self, db: SqlConnection, requests: Sequence[AddRequest]) -> list[AddRequest]:
        """Return the items that add a memory or bring a text, as far as the views tell. Nothing is counted."""
        if not self._has_known:
            return list(requests)  # a first import so far: looking twice would make it slower
        spaces = _numbers(db, requests)
        return [
            request
            for request in requests
            if self._outcome_of(db, spaces[request.space], request)[0] not in ("known", "forgotten")
        ]

    def weigh(self, db: SqlConnection, requests: Sequence[AddRequest]) -> None:
        """Count the outcomes of importing these items without changing anything."""
        spaces = _numbers(db, requests)
        for request in requests:
            self._decide(db, spaces[request.space], request)

    def plan(self, requests: Sequence[AddRequest], transaction: Transaction) -> None:
        """Add the new items. Raises NotFoundError for an unknown space."""
        spaces = _numbers(transaction.db, requests)
        for request in requests:
            space = spaces[request.space]
            outcome, memory_id, salt, is_first = self._decide(transaction.db, space, request)
            if outcome == "added":
                _add(transaction, space, request, (memory_id, salt))
            elif outcome == "forgotten" or request.key is None:
                continue
            elif not self._is_foreign:
                state = state_of(transaction, space, memory_id)
                change(transaction, space, state, upsert(request, state, transaction.stamp.at), request.author)
            elif outcome != "known" or not (is_first and _is_there(transaction.db, (space, memory_id), request)):
                _bring(transaction, space, request, state_of(transaction, space, memory_id))

    def _decide(self, db: SqlConnection, space: int, request: AddRequest) -> _Decision:
        outcome, memory_id, salt = self._outcome_of(db, space, request)
        return _Decision(outcome, memory_id, salt, self._note((space, memory_id), outcome))

    def _outcome_of(self, db: SqlConnection, space: int, request: AddRequest) -> tuple[Outcome, str, bytes]:
        for memory_id, salt in _identities(db, space, request):
            outcome = self._outcome(db, space, memory_id, request)
            if outcome != "forgotten" or not self._again:
                return outcome, memory_id, salt
        raise AssertionError("generations have no end")

    def _outcome(self, db: SqlConnection, space: int, memory_id: str, request: AddRequest) -> Outcome:
        text = reads.text_of(db, space, memory_id)
        if text is not None:
            if request.key is None or text == request.text:
                return "known"
            if not self._is_foreign:
                return "updated"
            brought = compare(request.text, _author(request), reads.revisions(db, memory_id))
            return "conflicting" if brought.is_rival else "updated" if brought.is_new else "known"
        if reads.is_forgotten(db, memory_id):
            return "forgotten"
        return "known" if (space, memory_id) in self._outcomes else "added"  # added by this batch or only counted

    def _note(self, place: Place, outcome: Outcome) -> bool:
        """Count each memory once. A later item with its key can only turn `known` into a change.

        Return whether this is the first item for the memory.
        """
        is_first = place not in self._outcomes
        self.repeated += not is_first
        self._has_known |= outcome != "added"
        before = self._outcomes.setdefault(place, outcome)
        if before == "known" and outcome in ("updated", "conflicting"):
            self._outcomes[place] = outcome
        return is_first


def _numbers(db: SqlConnection, requests: Sequence[AddRequest]) -> dict[str, int]:
    """Return the local numbers of the spaces of some items, by name. Raises NotFoundError."""
    return {name: space_number(db, name) for name in {request.space for request in requests}}


def _author(request: AddRequest) -> str:
    """Return the author of the texts that an import brings to a known memory: the source, which begins the key."""
    return (request.key or "").partition(":")[0]


def _is_there(db: SqlConnection, place: Place, request: AddRequest) -> bool:
    """Return whether a memory shows the tags, metadata and links of an item. Loading its document takes longer."""
    found = reads.where(db, "m.space = ? AND m.id = ?", place, "")
    if not found or found[0].conflicted:
        return False
    record = found[0]
    has_fields = all(record.metadata.get(name, ...) == value for name, value in request.metadata.items())
    links = {(link.rel, link.to) for link in record.links}
    return has_fields and set(request.tags) <= set(record.tags) and set(request.links) <= links


def _bring(transaction: Transaction, space: int, request: AddRequest, state: LiveMemory) -> None:
    """Bring the item of another program to its memory. Tags and metadata are added, and no edit is undone."""
    by = _author(request)
    brought = compare(request.text, by, state.revisions)
    if brought.is_rival:
        at = transaction.stamp.at if request.updated_at is None else min(request.updated_at, transaction.stamp.at)
        latest = max(each.revision for each in state.revisions[1:])
        rival = RevisionState(
            revision=next_ulid(latest, transaction.stamp.at, transaction.random(RANDOM_BYTES)),
            text=request.text,
            at=at,
            by=by,
            device=transaction.stamp.device,
            base=(brought.last,),
            head=True,
        )
        transaction.edit(space, state.id, edits.retold(state.id, [rival]))
        return
    is_agreed = {head.text for head in state.heads} == {request.text}  # by two devices that imported the same change
    attributes = {"kind": request.kind, **request.attributes} if brought.is_new else {}
    edit = MemoryEdit(
        text=request.text if brought.is_new or is_agreed else None,
        add_tags=request.tags,
        metadata=request.metadata,
        attributes={name: value for name, value in attributes.items() if value is not None},
        add_links=request.links,
    )
    change(transaction, space, state, edit, by)


def _add(transaction: Transaction, space: int, request: AddRequest, identity: tuple[str, bytes]) -> None:
    """Add a memory with its earlier texts. This device states them, with the times and authors that the file gives.

    A text that was changed in the file counts as the latest one.
    """
    device, memory_id = transaction.stamp.device, identity[0]
    told = [  # an item with a key does not know its id
        replace(each, revision=each.revision or memory_id, base=tuple(base or memory_id for base in each.base))
        for each in request.history
    ]
    first = next((each for each in told if each.revision == memory_id), None)
    bear(transaction, space, request if first is None else replace(request, text=first.text), identity)
    if not told:
        return  # there is nothing to compare, and to project each new memory takes a third of the time of an import
    later = [replace(each, device=device) for each in told if each is not first]
    transaction.edit(space, memory_id, edits.retold(memory_id, later))
    state = state_of(transaction, space, memory_id)
    if state.shown.text != request.text:
        change(transaction, space, state, MemoryEdit(text=request.text), request.author)


def _identities(db: SqlConnection, space: int, request: AddRequest) -> Iterator[tuple[str, bytes]]:
    if request.key is not None:
        yield from generations(db, space, request.scope, request.key)
    elif request.id is not None:
        # The salt is derived as well: two devices that import the same export must agree on every key.
        yield request.id, derive("id", request.id)[1]
        yield from generations(db, space, "id", request.id, "again")
    else:
        yield from generations(db, space, request.scope, "text", request.text)
