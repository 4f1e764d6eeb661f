"""The changes that callers make, as plans for Store.commit(), which runs them under the write lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

from memcrdt.errors import CorruptError, InputError, StaleRevisionError
from memcrdt.model import checks, edits, limits
from memcrdt.model.edits import MemoryEdit, NewMemory, Stamp
from memcrdt.model.ids import RANDOM_BYTES, derive, next_ulid
from memcrdt.model.normalization import nfc
from memcrdt.model.projection import LiveMemory, Tombstone
from memcrdt.model.requests import AddRequest, RenameRequest, UpdateRequest, upsert
from memcrdt.model.scopes import PERSONAL
from memcrdt.store import reads, spaces, views
from memcrdt.store.meta import Random
from memcrdt.store.reads import Place
from memcrdt.store.sql import SqlConnection
from memcrdt.store.supersession import CIRCLE_MEMORIES
from memcrdt.store.transaction import Transaction

SALT_BYTES = 16


class Ulids:
    """Ids that ascend within this process, so that memories sort in the order in which they are added."""

    def __init__(self) -> None:
        self._last: str | None = None

    def take(self, now_ms: int, random: Random) -> str:
        self._last = next_ulid(self._last, now_ms, random(RANDOM_BYTES))
        return self._last


class Adding:
    """A plan that adds memories. It returns their ids in the order of the requests."""

    def __init__(self, requests: Sequence[AddRequest], ulids: Ulids) -> None:
        self._requests = requests
        self._ulids = ulids
        self._spaces: dict[str, int] = {}
        self._added: dict[tuple[int, str, str], str] = {}  # memories of this plan, for `dedupe`

    def __call__(self, transaction: Transaction) -> list[str]:
        return [self._add(transaction, request) for request in self._requests]

    def _add(self, transaction: Transaction, request: AddRequest) -> str:
        space = self._space(transaction.db, request.space)
        same = (space, request.scope, nfc(request.text))
        if request.dedupe and (twin := self._added.get(same) or _twin(transaction, *same)):
            return twin
        if request.key is not None:
            memory_id = self._put(transaction, space, request)
        else:
            memory_id = request.id or self._ulids.take(transaction.stamp.at, transaction.random)
            if request.id is not None:
                _check_free(transaction, space, memory_id)
            bear(transaction, space, request, (memory_id, transaction.random(SALT_BYTES)))
        if request.dedupe:
            self._added[same] = memory_id
        return memory_id

    def _put(self, transaction: Transaction, space: int, request: AddRequest) -> str:
        """Add or update the memory that the key names. If that memory was forgotten, begin the next generation."""
        for memory_id, salt in generations(transaction.db, space, request.scope, request.key or ""):
            state = transaction.state(space, memory_id)
            if not isinstance(state, Tombstone):
                _check_expected(request.expected, state)
            if isinstance(state, LiveMemory):
                change(transaction, space, state, upsert(request, state, transaction.stamp.at), request.author)
            elif state is None:
                bear(transaction, space, request, (memory_id, salt))
            if not isinstance(state, Tombstone):
                return memory_id
        raise AssertionError("generations have no end")

    def _space(self, db: SqlConnection, name: str) -> int:
        if name not in self._spaces:
            self._spaces[name] = spaces.space_number(db, name)
        return self._spaces[name]


class Renaming:
    """A plan that adds memories under other keys and forgets those that they were, all or nothing.

    It returns the new ids in the order of the requests.
    """

    def __init__(self, requests: Sequence[RenameRequest], ulids: Ulids) -> None:
        self._requests = requests
        self._adding = Adding([request.added for request in requests], ulids)

    def __call__(self, transaction: Transaction) -> list[str]:
        """Raises NotFoundError and StaleRevisionError."""
        places = [self._place(transaction, request) for request in self._requests]
        added = self._adding(transaction)
        for place, request in zip(places, self._requests, strict=True):
            transaction.forget(place, request.id)
        return added

    def _place(self, transaction: Transaction, request: RenameRequest) -> int:
        """Return the space of a memory that is as expected."""
        place = reads.place_of(transaction.db, request.id)
        if place is None:
            raise reads.missing(transaction.db, request.id)
        _check_expected(request.expected, state_of(transaction, place[0], request.id))
        return place[0]


def check_addable(db: SqlConnection, requests: Sequence[AddRequest]) -> None:
    """Check many requests before the first of them is written, in a transaction of its own.

    Raises NotFoundError for an unknown space, and InputError for an id that is taken or repeated.
    """
    for name in {request.space for request in requests}:
        spaces.space_number(db, name)
    seen: set[str] = set()
    for memory_id in (request.id for request in requests if request.id is not None):
        if memory_id in seen or reads.place_of(db, memory_id) or reads.is_forgotten(db, memory_id):
            raise _taken(memory_id)
        seen.add(memory_id)


def bear(transaction: Transaction, space: int, request: AddRequest, identity: tuple[str, bytes]) -> None:
    """Gather the registers of a new memory. `identity` is its id and its salt."""
    memory_id, salt = identity
    new = NewMemory(
        id=memory_id,
        salt=salt,
        text=request.text,
        scope=request.scope,
        created_at=transaction.stamp.at if request.created_at is None else request.created_at,
        updated_at=request.updated_at,
        kind=request.kind,
        source=request.source,
        tags=request.tags,
        metadata=request.metadata,
        attributes=request.attributes,
        links=request.links,
    )
    stamp = Stamp(transaction.stamp.at, request.author, transaction.stamp.device)
    transaction.add(space, memory_id, edits.born(new, stamp))


def update(request: UpdateRequest, transaction: Transaction) -> None:
    """Gather the change of one memory. If it would close a circle of supersession, its successor is shown again.

    Raises:
        NotFoundError: The memory, or its successor, is not in the store.
        InputError: The memory would break a limit, or supersede itself.
        StaleRevisionError: The memory has other revisions than the request expects.
    """
    memory_id, edit = request.id, request.edit
    successor = edit.attributes.get("superseded_by")
    if successor == memory_id:
        raise InputError(f"the memory {memory_id} cannot supersede itself; name another memory in superseded_by")
    if isinstance(successor, str) and reads.place_of(transaction.db, successor) is None:
        raise reads.missing(transaction.db, successor)
    places = reads.places_of(transaction.db, memory_id)
    if not places:
        raise reads.missing(transaction.db, memory_id)
    for space, _ in places:
        state = state_of(transaction, space, memory_id)
        _check_expected(request.expected, state)
        change(transaction, space, state, edit, request.author)
    if isinstance(successor, str) and _is_superseded_by(transaction, successor, memory_id):
        show = MemoryEdit(attributes={"superseded_by": None})
        for space, _ in reads.places_of(transaction.db, successor):
            change(transaction, space, state_of(transaction, space, successor), show, request.author)


def _is_superseded_by(transaction: Transaction, memory_id: str, successor: str) -> bool:
    """Return whether a memory is superseded by the other, directly or over others."""
    current = memory_id
    for _ in range(CIRCLE_MEMORIES):
        place = reads.places_of(transaction.db, current)
        state = transaction.state(*place[0]) if place else None
        following = state.attributes.get("superseded_by") if isinstance(state, LiveMemory) else None
        if not isinstance(following, str):
            return False
        if following == successor:
            return True
        current = following
    return False


def check_updatable(db: SqlConnection, requests: Sequence[UpdateRequest]) -> None:
    """Check many requests before the first of them is written. Raises NotFoundError for an unknown memory."""
    for memory_id in {request.id for request in requests}:
        if reads.place_of(db, memory_id) is None:
            raise reads.missing(db, memory_id)


def update_all(requests: Sequence[UpdateRequest], transaction: Transaction) -> None:
    """Gather the changes of several memories in order. Raises the errors of update()."""
    for request in requests:
        update(request, transaction)


def state_of(transaction: Transaction, space: int, memory_id: str) -> LiveMemory:
    """Return the state of a memory that the views show. Raises CorruptError if the log does not have it."""
    state = transaction.state(space, memory_id)
    if not isinstance(state, LiveMemory):
        raise CorruptError(f"the memory {memory_id} is in the views, but not in the log; run `memcrdt doctor --repair`")
    return state


def change(transaction: Transaction, space: int, state: LiveMemory, edit: MemoryEdit, author: str | None) -> None:
    """Gather an edit of a memory. Raises InputError if the memory would break a limit."""
    edit = edits.with_tag_changes(edit, state)
    _check_outcome(state, edit)
    stamp = Stamp(transaction.stamp.at, author, transaction.stamp.device)
    last = state.shown.revision if state.revisions[1:] else None
    revision = next_ulid(last, stamp.at, transaction.random(RANDOM_BYTES))
    transaction.edit(space, state.id, edits.edited(state, edit, stamp, revision))


def forget(
    listed: Callable[[SqlConnection], Sequence[Place]],
    transaction: Transaction,
    expected: tuple[str, ...] | None = None,
) -> list[str]:
    """Forget memories permanently, and return their ids.

    The memories are listed under the write lock. So a memory stays if a concurrent change has removed it from the
    list. A memory of the same id in another space stays too.
    """
    places = listed(transaction.db)
    for space, memory_id in places:
        if expected is not None:
            _check_expected(expected, state_of(transaction, space, memory_id))
        transaction.forget(space, memory_id)
    return [memory_id for _, memory_id in places]


_TWIN = """
SELECT id FROM memories WHERE fingerprint = ? AND space = ? AND scope = ? AND nfc(text) = ?
AND (superseded_by IS NULL OR circular = 1) AND (expires_at IS NULL OR expires_at > ?) ORDER BY id LIMIT 1"""


def _twin(transaction: Transaction, space: int, scope: str, text: str) -> str | None:
    """Return the id of a visible memory with the same text, or None."""
    bindings = (views.fingerprint(text), space, scope, text, transaction.stamp.at)
    found: str | None = transaction.db.execute(_TWIN, bindings).get
    return found


def _check_expected(expected: tuple[str, ...] | None, state: LiveMemory | None) -> None:
    """Raise StaleRevisionError if the heads of a memory are not the expected ones. None is no memory."""
    heads = () if state is None else tuple(head.revision for head in state.heads)
    if expected is None or expected == tuple(sorted(heads)):
        return
    there = f"the memory {state.id} is at {_named(heads)}" if state else "there is no memory under this key"
    wanted = f"not at {_named(expected)}" if expected else "and no memory was expected under this key"
    raise StaleRevisionError(f"{there}, {wanted}; nothing was changed", state.id if state else None, heads)


def _named(revisions: tuple[str, ...]) -> str:
    return " and ".join(f"revision {each}" for each in revisions[:3]) + (" and others" if revisions[3:] else "")


def _check_free(transaction: Transaction, space: int, memory_id: str) -> None:
    if transaction.state(space, memory_id) is not None:
        raise _taken(memory_id)


def _taken(memory_id: str) -> InputError:
    return InputError(f"the id {memory_id} is taken, or was forgotten; leave it out to get a new one")


def generations(db: SqlConnection, space: int, *named: str) -> Iterator[tuple[str, bytes]]:
    """Yield the id and the salt of a name (a scope and a key), generation by generation.

    Built-in spaces count by name, because their ids change when a device joins another device's space. A memory that
    both devices imported before they met must still be one memory.
    """
    known, name = db.execute("SELECT id, name FROM spaces WHERE space = ?", (space,)).get
    for generation in count():
        yield derive(name if name in (PERSONAL, spaces.LOCAL) else known, *named, generation)


def _check_outcome(state: LiveMemory, edit: MemoryEdit) -> None:
    """Raise InputError if an edit would make a memory exceed its limits.

    Disconnected devices may together have added more than the limits allow. The memory keeps the excess, which can be
    edited and removed. It must only not grow.
    """
    tags = (set(state.tags) | set(edit.add_tags)) - set(edit.remove_tags)
    if len(tags) > max(limits.TAGS, len(state.tags)):
        raise InputError(
            f"the memory {state.id} would have {len(tags)} tags; the maximum is {limits.TAGS}: remove some first"
        )
    links = {(link.rel, link.to) for link in state.links} | set(edit.add_links)
    if len(links) > max(limits.LINKS, len(state.links)):
        raise InputError(f"the memory {state.id} would have over {limits.LINKS} links; unlink some first")
    merged = {key: value for key, value in {**state.metadata, **edit.metadata}.items() if value is not None}
    checks.check_metadata_size(merged, state.metadata)
