"""Memory: what agent code holds. A facade over the store and the search; it decides little and stores nothing."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import Any, Literal, Self, TypeVar

from memcrdt import config as configuration
from memcrdt.config import Config
from memcrdt.errors import InputError
from memcrdt.memory import feed
from memcrdt.memory.keeping import Keeping
from memcrdt.memory.retention import Budget, Upkeep
from memcrdt.memory.scoped import ScopedMemory
from memcrdt.memory.sync import Network, Serving, Syncing
from memcrdt.model import checks
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.filters import INCLUDES
from memcrdt.model.records import Change, Forgotten, Hit, MemoryRecord, Page, Revision
from memcrdt.model.requests import PERSONAL, AddRequest, Changes, check_add, check_alive, check_items, check_update
from memcrdt.model.scopes import GLOBAL, check_scope
from memcrdt.model.secrets import check_no_secret
from memcrdt.model.values import Time
from memcrdt.search.searcher import Finder, SearchStatus
from memcrdt.store import changes, compaction, listing, moving, overview, reads
from memcrdt.store.indexer import Connection
from memcrdt.store.membership import receipts
from memcrdt.store.store import Store
from memcrdt.store.transaction import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """What is here, who has what of it, whether anything is serving, how much room there is, and how search does."""

    home: Path
    store: overview.StoreStatus
    serving: Serving | None
    budget: Budget
    search: SearchStatus


class Memory(Keeping, Syncing):
    """The memories of one home. A context manager, safe between threads; made by memcrdt.open().

    All methods raise InputError for arguments that are not acceptable, NotFoundError for a filter that names a space
    which is not here, and StoreError or one of its kinds when the file can't be read or written; then nothing was
    changed.
    """

    def __init__(
        self, home: Path, store: Store, network: Callable[[Memory], Network], *, finder: Finder, config: Config
    ) -> None:
        self.home = home
        self.store = store
        self.config = config
        self._ulids = changes.Ulids()
        self._finder = finder
        self._feed = feed.Feed(store)
        self.upkeep = Upkeep(store, config)
        self._network = network(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the network, if it runs, ends subscriptions and closes the file. A second call does nothing."""
        self._network.stop()
        self._feed.close()
        self._finder.close()
        self.store.close()

    def add(
        self,
        text: str,
        *,
        space: str = PERSONAL,
        scope: str = GLOBAL,
        kind: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        author: str | None = None,
        source: str | None = None,
        trust: str | None = None,
        importance: float | None = None,
        pinned: bool = False,
        created_at: Time | None = None,
        expires_at: Time | None = None,
        id: str | None = None,
        key: str | None = None,
        dedupe: bool = False,
        allow_secret: bool = False,
    ) -> str:
        """Remembers a text; durable when it returns. Returns the memory's id, a ULID.

        `key` derives the id: adding under the same key again, here or on another device, updates that memory, and
        after it was forgotten starts a new life. `dedupe` gives the id of the same text in the same space and
        scope, if there is one. `expires_at` must be in the future. What looks like a secret is refused unless
        `allow_secret`. Raises NotFoundError for a space that is not here, and StoreError when the store is over its
        budget.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "text")}
        return self._add([check_add(text, given)])[0]

    def add_many(self, /, items: Iterable[str | Mapping[str, Any]], **defaults: Any) -> builtins.list[str]:
        """Remembers several texts, or mappings of add()'s arguments, all or none, in one transaction."""
        return self._add(check_items(items, defaults))

    def get(self, id: str) -> MemoryRecord:
        """The memory with this id. Raises NotFoundError when there is none, or it was forgotten."""
        memory_id = checks.check_id(id)
        with self.store.reading() as db:
            record = reads.by_id(db, memory_id)
            if record is None:
                raise changes.missing(db, memory_id)
        return record

    def search(
        self,
        /,
        query: str,
        *,
        limit: int = 10,
        min_score: float | None = None,
        explain: bool = False,
        diversity: float = 0.0,
        fold: bool = False,
        recency: float = 0.0,
        importance: float = 0.0,
        **filters: Any,
    ) -> builtins.list[Hit]:
        """The memories that answer `query` best, best first; `filters` narrow before anything is ranked. The order is
        that of their rank, and the `score` of a hit says apart from it how sure it is that this one is meant.

        `min_score`, from 0 to 1, leaves out what is below; `explain` gives each hit its `parts`. `diversity`, from 0 to
        1, prefers hits that differ from those before; `fold` leaves out those that say the same. `recency`,
        from 0 to 1, puts the newer of memories that say about the same first (the less of it, the more alike they must
        be); `importance`, from 0 to 1, prefers what is important among what is nearly as good as the best.
        """
        from memcrdt.search import Options

        options = Options(
            now=self.store.now_ms(),
            limit=checks.check_limit(limit),
            min_score=checks.check_optional_share(min_score, "min_score"),
            explain=checks.check_flag(explain, "explain"),
            diversity=checks.check_share(diversity, "diversity"),
            fold=checks.check_flag(fold, "fold"),
            recency=checks.check_share(recency, "recency"),
            importance=checks.check_share(importance, "importance"),
        )
        return self._finder.search(checks.check_query(query), self._filters(filters), options)

    def similar(self, /, id: str, *, limit: int = 10, **filters: Any) -> builtins.list[Hit]:
        """The memories that are most like this one, best first. Raises NotFoundError."""
        from memcrdt.search import Options

        options = Options(now=self.store.now_ms(), limit=checks.check_limit(limit))
        return self._finder.similar(checks.check_id(id), self._filters(filters), options)

    def list(self, /, *, limit: int = 100, cursor: str | None = None, order: str = "newest", **filters: Any) -> Page:
        """Memories without ranking, a page at a time: `order` is newest, oldest or updated."""
        asked = listing.Listing(checks.check_limit(limit), cursor, order, self._filters(filters))
        with self.store.reading() as db:
            return listing.page(db, asked, self.store.now_ms())

    def update(
        self,
        id: str,
        *,
        text: str | EllipsisType = ...,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        importance: float | EllipsisType | None = ...,
        pinned: bool | EllipsisType = ...,
        expires_at: Time | EllipsisType | None = ...,
        superseded_by: str | EllipsisType | None = ...,
        scope: str | EllipsisType = ...,
        trust: str | EllipsisType | None = ...,
        author: str | None = None,
        allow_secret: bool = False,
    ) -> MemoryRecord:
        """Changes what is named and returns the memory as it is then. The old text stays in its history.

        `metadata` is merged; a value of None removes its key. A new text settles a conflict. `expires_at` must be in
        the future, `superseded_by` another memory that is here. Raises NotFoundError.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "id")}
        self._edit(id, check_update(Changes(**given)), author)
        return self.get(id)

    def forget(self, /, id: str | None = None, *, dry_run: bool = False, **filters: Any) -> Forgotten:
        """Forgets one memory, or all that the filters leave, expired and superseded ones among them, for good, on this
        and every other device.

        `dry_run` only counts. The status is `pending` while a reader still holds bytes of what was forgotten in the
        file; that finishes by itself. Other devices confirm when no byte is left in theirs: ask again with the id of
        something forgotten to see which have. Raises NotFoundError for an id that is not here and never was.
        """
        checks.check_flag(dry_run, "dry_run")
        listed = self._to_forget(id, filters)
        with self.store.reading() as db:
            there = len(listed(db))
        if dry_run:
            return Forgotten(count=there, status="done")
        gone: builtins.list[str] = []
        if there:
            gone = self.store.freeing(lambda: self._commit(partial(changes.forget, listed)))
            compaction.scrub(self.store)
        return self._forgotten(len(gone), gone if id is None else [id])

    def history(self, id: str) -> builtins.list[Revision]:
        """Every text that the memory has had, oldest first. Raises NotFoundError."""
        memory_id = checks.check_id(id)
        with self.store.reading() as db:
            found = reads.revisions(db, memory_id)
            if not found:
                raise changes.missing(db, memory_id)
        return found

    def conflicts(self, id: str) -> builtins.list[Revision]:
        """The texts that devices gave it while apart, when there is more than one; update(text=…) settles them."""
        heads = [revision for revision in self.history(id) if revision.head]
        return heads if len(heads) > 1 else []

    def link(self, id: str, rel: str, to: str) -> None:
        """Notes that the memory stands in relation `rel` to another. Raises NotFoundError if either is not here."""
        edge = self._edge(rel, to)
        check_no_secret(rel)
        self.get(to)
        self._edit(id, MemoryEdit(add_links=(edge,)), None)

    def unlink(self, id: str, rel: str, to: str) -> None:
        """Takes a link away; one that is not there is no error. Raises NotFoundError."""
        self._edit(id, MemoryEdit(remove_links=(self._edge(rel, to),)), None)

    def related(self, id: str, rel: str | None = None) -> builtins.list[MemoryRecord]:
        """The memories that this one is linked to, by relation `rel` if one is given. Raises NotFoundError."""
        checks.check_optional_label(rel, "the relation")
        wanted = [link.to for link in self.get(id).links if rel in (None, link.rel)]
        with self.store.reading() as db:
            found = [reads.by_id(db, other) for other in dict.fromkeys(wanted)]
        return [record for record in found if record is not None]

    def move(self, id: str, *, space: str) -> str:
        """Gives the memory a new life in another space and forgets it where it is. Returns its id there.

        Its history stays behind. Raises NotFoundError for a memory or a space that is not here.
        """
        memory_id = checks.check_id(id)
        prepared = self.store.indexer.prepare([self.get(memory_id).text])
        new_id = self._ulids.take(self.store.now_ms(), self.store.options.random)
        moved = self._commit(moving.Moving(memory_id, space, new_id), prepared)
        compaction.scrub(self.store)
        return moved

    def rename_scope(self, old: str, new: str) -> int:
        """Gives every memory of scope `old` the scope `new`, in one transaction. Returns how many."""
        check_no_secret(new)
        return self._commit(partial(moving.rename_scope, check_scope(old), check_scope(new)))

    def scoped(
        self, *, project: str | None = None, agent: str | None = None, conversation: str | None = None
    ) -> ScopedMemory:
        """This memory seen from one scope: reads see those named and what is global, add() writes to the narrowest."""
        return ScopedMemory(self, project=project, agent=agent, conversation=conversation)

    def subscribe(self, /, callback: Callable[[Change], None], **filters: Any) -> feed.Subscription:
        """Calls `callback`, in a thread of its own, for what is changed from now on, until the subscription is closed.

        Changes of this process, of others and of other devices, each when it is durable, in the order of their
        commits. Of a forgotten memory only `space` is known: other filters let it through.
        """
        checks.check_callback(callback, "the callback")
        subscription = self.changes(**filters)
        feed.deliver(subscription, callback)
        return subscription

    def changes(self, /, **filters: Any) -> feed.Subscription:
        """The same changes as an iterator, which waits for the next one; closing it ends the iteration."""
        return self._feed.subscribe(self._filters(filters))

    def status(self) -> Status:
        """What is here, and what has synced with whom. Works without a serving process."""
        serving = self._network.serving()
        return Status(
            home=self.home,
            store=overview.overview(self.store, served=serving is not None),
            serving=serving,
            budget=self.upkeep.budget(),
            search=self._finder.status(),
        )

    def use_model(self, name: str) -> str:
        """Searches with another embedder from now on, and notes it in config.toml; `name` is one that open() takes.

        Everything is embedded again in the background, by whichever process has the home open, and the old vectors
        answer until that is done: see `status().search`. Returns the model's full name. Raises ModelMissingError when
        it is not on this machine.
        """
        used = self._finder.use(name)
        configuration.change(self.home, "embedder", "static" if name == "static" else used)
        return used

    def _add(self, requests: builtins.list[AddRequest]) -> builtins.list[str]:
        now = self.store.now_ms()
        for request in requests:
            check_alive(request.attributes, now)
        texts = [request.text for request in requests]
        self.upkeep.check_budget(texts)
        return self._commit(changes.Adding(requests, self._ulids), self.store.indexer.prepare(texts))

    def _edit(self, memory_id: str, edit: MemoryEdit, author: str | None) -> None:
        memory_id = checks.check_id(memory_id)
        check_alive(edit.attributes, self.store.now_ms())
        texts = [] if edit.text is None else [edit.text]
        if texts:
            self.upkeep.check_budget(texts)
        self._commit(partial(changes.update, memory_id, edit, author), self.store.indexer.prepare(texts))

    def _commit(self, plan: Callable[[Transaction], T], prepared: Any = None) -> T:
        done = self._feed.commit(plan, prepared)
        self.upkeep.look()
        return done

    def _forgotten(self, count: int, ids: builtins.list[str]) -> Forgotten:
        with self.store.reading() as db:
            confirmed, awaited = receipts.confirmations(db, ids)
            status: Literal["done", "pending"] = "pending" if receipts.is_pending(db, ids) else "done"
        return Forgotten(count=count, status=status, confirmed=confirmed, awaited=awaited)

    def _to_forget(
        self, memory_id: str | None, filters: Mapping[str, Any]
    ) -> Callable[[Connection], builtins.list[reads.Place]]:
        """What lists the memories to be forgotten. Raises NotFoundError for an id that is not here and never was."""
        wanted = self._filters(filters)
        if memory_id is None:
            if not wanted.narrows():
                raise InputError("forget without an id wants a filter: it would forget everything")
            # What is hidden would stay, and be taken for forgotten.
            everything = replace(wanted, include=frozenset(INCLUDES))
            return lambda db: listing.places(db, everything, self.store.now_ms())
        if filters:
            raise InputError("forget takes an id or filters, not both")
        known = checks.check_id(memory_id)
        with self.store.reading() as db:
            # Forgotten already, perhaps by another device: there is nothing left to do.
            if reads.place_of(db, known) is None and not reads.is_forgotten(db, known):
                raise changes.missing(db, known)
        return partial(reads.places_of, memory_id=known)

    def _edge(self, rel: str, to: str) -> tuple[str, str]:
        return checks.check_label(rel, "the relation"), checks.check_id(to)
