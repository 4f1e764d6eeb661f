"""The calls that every face offers, over one Memory.

A face turns its input into a call and prints the answer. It decides nothing: scopes, provenance, limits, fences and
confirmations are the same for a command, a tool of a model, an HTTP route and a framework.
"""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, get_args

from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.devices import Device
from memcrdt.memory.memory import Memory
from memcrdt.memory.sync import SyncWarning
from memcrdt.model import checks, limits
from memcrdt.model.filters import Order
from memcrdt.model.records import Forgotten, Hit, MemoryRecord, Page, Revision
from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.service.access import Access
from memcrdt.service.answers import MOST_CHARS, Answer, Origins, answer, check_chars, origins_of
from memcrdt.service.context import Context
from memcrdt.service.problems import ConfirmationError
from memcrdt.service.times import TIME_FILTERS, parse_past
from memcrdt.service.verdict import line_of, name_of, verdict
from memcrdt.store import overview, reads
from memcrdt.store.destinations import destination

TagMatch: TypeAlias = Literal["any", "all"]

LIMIT: Final = 10
MOST: Final = 100  # memories of one answer
BATCH: Final = 200  # memories of one call of add_many


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Record):
    """A memory that was added, changed or linked, and where it is.

    Attributes:
        id: The id of the memory.
        scope: Its scope.
        space: The space that contains it.
        device: The name of this device.
        known: Whether the memory existed before: the same text or the same key.
    """

    id: str
    scope: str
    space: str
    device: str
    known: bool = False


class Service:
    """The calls of all faces.

    Args:
        memory: The memory.
        context: Where the agent works. It decides the scopes of calls that name none.
        access: The rights of the caller. What it may not read does not exist for it.

    Example:
        >>> service = Service(memory, Context(project="acme"))
        >>> service.add("The client wants invoices in PDF").scope
        'project/acme'
    """

    def __init__(
        self,
        memory: Memory,
        context: Context = Context(),  # noqa: B008 - immutable
        access: Access = Access(),  # noqa: B008 - immutable
    ) -> None:
        self.memory = memory
        self.context = context
        self.access = access

    def now(self) -> datetime:
        """Return the time, in UTC, by the clock of the store."""
        return from_ms(self.memory.store.now_ms())

    def check_space(self, space: str) -> None:
        """Raise NotFoundError if a space does not exist here, or not for the caller."""
        self.memory.list(limit=1, space=self.access.one(space))

    def add(self, text: str, *, scope: str | None = None, **options: Any) -> Saved:
        """Add a memory.

        Args:
            text: The text.
            scope: As for Context.to_write().
            **options: Arguments of Memory.add(), except `allow_secret`. Author and source default to the agent and the
                conversation.
        """
        started = self.now()
        record = self.memory.get(self.memory.add(**self._provenance({"text": text, "scope": scope, **options})))
        return self._saved(record, known=record.created_at < started and "created_at" not in options)

    def add_many(self, items: Sequence[Mapping[str, Any]]) -> builtins.list[Saved]:
        """Add several memories, each with the arguments of add().

        With up to 2 MiB of text in all, all are added or none is, as with Memory.add_many().
        """
        if len(items) > BATCH:
            raise InputError(f"one call adds at most {BATCH} memories, and got {len(items):,}; make several")
        written = [self._provenance(item) for item in items]
        started = self.now()
        ids = self.memory.add_many(written)
        known = {record.id: record for record in self.memory.get_many(ids)}
        return [
            self._saved(known[each], known=known[each].created_at < started and "created_at" not in item)
            for each, item in zip(ids, written, strict=True)
        ]

    def find(
        self,
        query: str,
        *,
        limit: int = LIMIT,
        scope: str | None = None,
        min_score: float | None = None,
        fold: bool = True,
        explain: bool = False,
        **filters: Any,
    ) -> builtins.list[Hit]:
        """Return what search() shows as hits, for a face that hands them to a framework.

        Args:
            query: A question or keywords.
            limit: Maximum number of hits, up to 1,000.
            scope: As for Context.to_read().
            min_score: Leave out memories below this score, from 0 to 1.
            fold: Whether to leave out hits that repeat an earlier hit.
            explain: Whether to set the `parts` of each hit: why it is ranked so.
            **filters: As for filters().
        """
        asked = self.filters(self.context.to_read(scope), filters)
        reranks = self.memory.config.reranker is not None
        self.memory.models.load()  # once in a process: a model that reads the answer would not ask again
        return self.memory.search(
            query, limit=limit, min_score=min_score, fold=fold, explain=explain, rerank=reranks, **asked
        )

    def similar(
        self,
        id: str | None = None,
        *,
        vector: Iterable[float] | None = None,
        limit: int = LIMIT,
        scope: str | None = None,
        **filters: Any,
    ) -> builtins.list[Hit]:
        """Return the memories most similar to a memory or a vector, best first. Arguments as for Memory.similar().

        Raises:
            InputError: Neither an id nor a vector is given, or both are.
            NotFoundError: The memory does not exist for the caller.
        """
        if id is not None:
            self._check_seen(id)
        return self.memory.similar(id, vector=vector, limit=limit, **self.filters(self.context.to_read(scope), filters))

    def search(
        self,
        query: str,
        *,
        limit: int = LIMIT,
        scope: str | None = None,
        min_score: float | None = None,
        max_chars: int | None = None,
        **filters: Any,
    ) -> Answer:
        """Return the memories that best answer a question, best first.

        Args:
            query: A question or keywords.
            limit: Maximum number of memories, up to 100.
            scope: As for Context.to_read().
            min_score: Leave out memories below this score, from 0 to 1.
            max_chars: Maximum length of the answer in characters.
            **filters: As for filters().
        """
        scopes = self.context.to_read(scope)
        chars = check_chars(max_chars)
        found = self.find(query, limit=_limit(limit), scope=scope, min_score=min_score, **filters)
        return answer(found, self.origins(found), scopes, max_chars=chars)

    def list(
        self,
        *,
        limit: int = LIMIT,
        scope: str | None = None,
        order: Order = "newest",
        cursor: str | None = None,
        max_chars: int | None = None,
        **filters: Any,
    ) -> Answer:
        """Return a page of memories. Arguments as for search() and Memory.list()."""
        scopes = self.context.to_read(scope)
        chars = check_chars(max_chars)
        page = self.page(limit=_limit(limit), scope=scope, order=order, cursor=cursor, **filters)
        return answer(page, self.origins(page), scopes, max_chars=chars, next_cursor=page.next_cursor)

    def page(
        self,
        *,
        limit: int = LIMIT,
        scope: str | None = None,
        order: Order = "newest",
        cursor: str | None = None,
        **filters: Any,
    ) -> Page:
        """Return what list() shows as records. Arguments as for list(), and up to 1,000 memories."""
        asked = self.filters(self.context.to_read(scope), filters)
        return self.memory.list(limit=limit, order=order, cursor=cursor, **asked)

    def iterate(self, *, scope: str | None = None, order: Order = "newest", **filters: Any) -> Iterator[MemoryRecord]:
        """Return an iterator of all memories that list() pages through. Arguments as for list()."""
        return self.memory.iterate(order=order, **self.filters(self.context.to_read(scope), filters))

    def get_by_key(self, key: str, *, scope: str | None = None, space: str | None = None) -> MemoryRecord:
        """Return the memory that add() under this key would change. Raises NotFoundError."""
        return self.memory.get_by_key(key, space=self.access.one(space), scope=self.context.to_write(scope))

    def get(self, id: str) -> Answer:
        """Return one memory with its whole text, and the revisions to expect in a change. Raises NotFoundError."""
        record = self.record(id)
        whole = len(record.text)
        found = answer([record], self.origins([record]), (record.scope,), max_chars=MOST_CHARS, row_chars=max(whole, 1))
        rivals = [each.revision for each in self.memory.history(id) if each.head] if record.conflicted else []
        return replace(found, revisions=tuple(rivals) or (record.revision,))

    def update(self, id: str, *, scope: str | None = None, **changes: Any) -> Saved:
        """Change a memory. Arguments as for Memory.update(), except `allow_secret`."""
        _refuse_secret_option(changes)
        self._check_change(id, *filter(None, [changes.get("superseded_by")]))
        if scope is not None:
            changes["scope"] = self.context.to_write(scope)
        record = self.memory.update(id, **{"author": self.context.agent, **changes})
        return self._saved(record, known=True)

    def forget(
        self,
        id: str | Iterable[str] | None = None,
        *,
        scope: str | None = None,
        dry_run: bool = False,
        confirm: str | None = None,
        expected: str | Iterable[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
        **filters: Any,
    ) -> Forgotten:
        """Forget a memory on every device, permanently. Several memories need a confirmation.

        Many memories are forgotten in short transactions, as with Memory.forget(). If one of them fails, ask again for
        the rest, which needs another confirmation.

        Args:
            id: The id of the memory, or several ids. Without it, at least one filter is required.
            scope: With filters: as for Context.to_read().
            dry_run: Whether to count without forgetting.
            confirm: The value that ConfirmationError had for exactly these memories.
            expected: With one id: the revision that the memory must still be at.
            progress: As for Memory.forget().
            **filters: As for filters().

        Raises:
            ConfirmationError: More than one memory would be forgotten, and `confirm` does not fit.
            InputError: Neither ids nor a filter are given, or both are.
            NotFoundError: An id is unknown.
            StaleRevisionError: The memory is not at the expected revision.
        """
        ids = self._to_forget(id, scope, filters)
        if dry_run:
            return self.memory.forget(ids, dry_run=True)
        self.access.check("forget")
        if len(ids) > 1 and confirm != _confirmation(ids):
            raise ConfirmationError(len(ids), _confirmation(ids))
        return self.memory.forget(ids, expected=expected, progress=progress)

    def count_to_forget(
        self, id: str | Iterable[str] | None = None, *, scope: str | None = None, **filters: Any
    ) -> int:
        """Return the number of memories that forget() with these arguments would forget."""
        return len(self._to_forget(id, scope, filters))

    def confirmation(self, id: str | Iterable[str] | None = None, *, scope: str | None = None, **filters: Any) -> str:
        """Return the value of `confirm` for forget() with these arguments, after the user has confirmed."""
        return _confirmation(self._to_forget(id, scope, filters))

    def history(self, id: str) -> builtins.list[Revision]:
        """Return the versions of a memory's text, oldest first. Raises NotFoundError."""
        self._check_seen(id)
        return self.memory.history(id)

    def link(self, id: str, rel: str, to: str) -> Saved:
        """Link a memory to another one. Raises NotFoundError."""
        self._check_change(id, to)
        self.memory.link(id, rel, to)
        return self._saved(self.memory.get(id), known=True)

    def labels(self, name: Literal["scope", "tag"], part: str, *, limit: int) -> builtins.list[str]:
        """Return up to `limit` scopes or tags that contain a text, of the memories that the caller sees."""
        with self.memory.store.reading() as db:
            return overview.labels(db, name, part, self.access.to_read(None), limit)

    def tags(self, *, scope: str | None = None, **filters: Any) -> dict[str, int]:
        """Return the tags of the memories that match, each with the number of these memories. Arguments as list()."""
        return self.memory.tags(**self.filters(self.context.to_read(scope), filters))

    def stats(self) -> overview.Stats:
        """Count the memories in the spaces of the caller."""
        with self.memory.store.reading() as db:
            return overview.stats(db, self.memory.store.now_ms(), self.access.to_read(None))

    def activity(self, hours: int) -> builtins.list[int]:
        """Return how many memories in the spaces of the caller changed last in each of the past hours, oldest first."""
        with self.memory.store.reading() as db:
            return overview.activity(db, self.memory.store.now_ms(), hours, self.access.to_read(None))

    def warnings(self) -> tuple[SyncWarning, ...]:
        """Return the reasons why changes do not leave this machine, for the spaces that the caller sees."""
        return tuple(each for each in self.memory.sync.warnings() if any(map(self.access.sees, each.spaces)))

    def sync_state(self) -> dict[str, Any]:
        """Return the state of sync in the spaces of the caller: verdict, devices, and JSON values."""
        now, status = self.now(), self.memory.status()
        peers = tuple(peer for peer in status.peers if peer.state == "accepted" and self._shares(peer))
        spaces = tuple(space for space in status.spaces if self.access.sees(space.name))
        judged = verdict(replace(status, peers=peers, spaces=spaces), now)
        lines = [judged.text, *(line_of(peer, now) for peer in peers), *(each.text for each in self.warnings())]
        return {
            "text": "\n".join(lines),
            "state": judged.state,
            "serving": status.serving is not None,
            "devices": [{"name": name_of(peer), "connected": peer.connected, "behind": peer.behind} for peer in peers],
        }

    def origins(self, found: Iterable[Hit | MemoryRecord]) -> Origins:
        """Return the devices behind memories."""
        return origins_of(found, self.memory.device, lambda space: self.memory.space(space).members(revoked=True))

    def _shares(self, peer: Device) -> bool:
        """Return whether the caller may know of a device."""
        return self.access.spaces is None or any(map(self.access.sees, peer.spaces))

    def _to_forget(
        self, id: str | Iterable[str] | None, scope: str | None, filters: Mapping[str, Any]
    ) -> builtins.list[str]:
        if id is not None:
            if filters or scope is not None:
                raise InputError("forget takes an id or filters, not both")
            ids = [id] if isinstance(id, str) else list(islice(id, limits.BATCH_ITEMS + 1))
            self.check_known(*ids)
            return ids
        if not filters and scope is None:
            raise InputError("forget needs an id or a filter; without one it would forget everything")
        everything = {**self.filters(self.context.to_read(scope), filters), "include": ["expired", "superseded"]}
        found = [record.id for record in islice(self.memory.iterate(**everything), limits.BATCH_ITEMS + 1)]
        if len(found) > limits.BATCH_ITEMS:
            raise InputError(f"over {limits.BATCH_ITEMS:,} memories match; forget them in parts, with narrower filters")
        return found

    def filters(self, scopes: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the filters of Memory for the filters of a face.

        The names are those of memcrdt.Filters, and also `tag_match` ("any" or "all", for `tags`) and `agent` for
        `author`. Times may also have the forms of parse_past(). Raises InputError.
        """
        asked = {name: value for name, value in given.items() if value is not None}
        match = asked.pop("tag_match", "any")
        if match not in get_args(TagMatch):
            raise InputError(f"tag_match is {match!r}; give any or all")
        for name in TIME_FILTERS:
            if isinstance(asked.get(name), str):
                asked[name] = parse_past(asked[name], self.memory.store.now_ms(), name)
        if match == "all" and "tags" in asked:
            asked["all_tags"] = asked.pop("tags")
        if "agent" in asked:
            asked["author"] = asked.pop("agent")
        spaces = self.access.to_read(asked.get("space"))
        if spaces is not None:
            asked["space"] = spaces
        return {**asked, "scope": scopes} if scopes else asked

    def _provenance(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of Memory.add() for one memory. Raises InputError."""
        given = {name: value for name, value in item.items() if value is not None}
        _refuse_secret_option(given)
        given["scope"] = self.context.to_write(given.get("scope"))
        given["space"] = self.access.to_write(given.get("space"))
        if "id" in given:
            self._check_new(given["id"])
        if given.keys().isdisjoint({"id", "key"}):
            given.setdefault("dedupe", True)  # agents repeat themselves
        return {**self.context.provenance, **given}

    def record(self, id: str) -> MemoryRecord:
        """Return a memory that the caller may read. Raises NotFoundError."""
        if self.access.spaces is None:
            return self.memory.get(id)
        found = self.memory.get_many([id])  # get() says where a memory was moved to, also to spaces of others
        if not found or not self.access.sees(found[0].space):
            raise NotFoundError(f"no memory that this token opens has the id {id}")
        return found[0]

    def check_known(self, *ids: str) -> None:
        """Raise NotFoundError for a memory that the caller may not read, unless it was forgotten where they may."""
        self._check_seen(*(each for each in ids if not self._was_forgotten(each)))

    def _check_seen(self, *ids: str) -> None:
        """Raise NotFoundError if the caller may not read a memory."""
        if self.access.spaces is not None:
            for each in ids:
                self.record(each)

    def _was_forgotten(self, id: str) -> bool:
        """Return whether a memory was forgotten in a space of the caller, and not moved. It may be forgotten again."""
        with self.memory.store.reading() as db:
            forgotten = any(map(self.access.sees, reads.forgotten_in(db, checks.check_id(id))))
            return forgotten and destination(db, id) is None

    def _check_change(self, *ids: str) -> None:
        """Raise NotFoundError or ReadOnlyError if the caller may not change a memory."""
        self.access.check("write")
        self._check_seen(*ids)

    def _check_new(self, id: str) -> None:
        """Raise NotFoundError if the id is that of a memory that the caller may not read."""
        if self.access.spaces is None:
            return
        try:
            space = self.memory.get(id).space
        except NotFoundError:
            return
        if not self.access.sees(space):
            raise NotFoundError(f"the id {id} cannot be used with this token; leave it out")

    def _saved(self, record: MemoryRecord, *, known: bool) -> Saved:
        return Saved(id=record.id, scope=record.scope, space=record.space, device="this device", known=known)


def _confirmation(ids: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(ids)).encode(), digest_size=6).hexdigest()


def _limit(limit: object) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST:
        raise InputError(f"the limit is {limit!r}; give a number from 1 to {MOST}")
    return limit


def _refuse_secret_option(given: Mapping[str, Any]) -> None:
    """An agent may be told to store a secret; only the user allows one, in Python or on the command line."""
    if "allow_secret" in given:
        raise InputError("allow_secret is not available here; use Python or the command line")
