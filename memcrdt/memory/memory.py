"""Memory: the interface for agent code. It checks arguments and delegates to its parts. It has no state of its own."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, Unpack

from memcrdt.config import Config
from memcrdt.errors import InputError
from memcrdt.memory import feed, names
from memcrdt.memory.devices import Device
from memcrdt.memory.files import Files
from memcrdt.memory.forgetting import ForgetStatus, forget_status
from memcrdt.memory.mirrors import Mirrors
from memcrdt.memory.models import Models
from memcrdt.memory.pairing import Pairing
from memcrdt.memory.reader import Reader
from memcrdt.memory.retention import Retention
from memcrdt.memory.scoped import ScopedMemory
from memcrdt.memory.spaces import Space
from memcrdt.memory.status import Status, acknowledge, status_of
from memcrdt.memory.sync import Network, Sync
from memcrdt.memory.tokens import YjsTokens
from memcrdt.memory.writer import Writer
from memcrdt.model import checks, limits
from memcrdt.model.attributes import AddOptions, UpdateOptions
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.filters import CheckedFilters, Filters, Order, check_filters, check_order
from memcrdt.model.records import Change, Forgotten, Hit, MemoryRecord, Page, Revision
from memcrdt.model.requests import (
    UpdateRequest,
    check_add,
    check_items,
    check_rename,
    check_renames,
    check_update_of,
    check_updates,
)
from memcrdt.model.scopes import GLOBAL, PERSONAL, check_scope
from memcrdt.model.secrets import check_no_secret
from memcrdt.model.values import Time
from memcrdt.search.searcher import Searcher, SearchStatus
from memcrdt.store import overview
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.base import AnyStore
from memcrdt.store.listing import Listing

if TYPE_CHECKING:
    from memcrdt.memory.transfer import ImportReport
    from memcrdt.store.compaction import Compacted
    from memcrdt.store.recovery.doctor import DoctorReport


class Memory:
    """The memories of one home. memcrdt.open() returns it. A context manager, safe to use from several threads.

    Every method raises InputError for an invalid argument, NotFoundError for a filter that names an unknown space, and
    StoreError or a subclass when the file cannot be read or written. A method that raises has changed nothing.

    Attributes:
        home: The folder of the store, or None for a store in memory.
        config: The settings of the home.
        device: The id of this device.
        files: Exports, imports, backups, and the store file itself.
        mirrors: Folders of text files that are kept equal to the memories of a scope.
        sync: Sync and pairing with other devices.
        tokens: The tokens of Yjs clients.
        models: The embedding models.
    """

    def __init__(
        self,
        home: Path | None,
        store: AnyStore,
        network: Callable[[Memory], Network],
        *,
        pairing: Callable[[Memory], Pairing],
        searcher: Searcher,
        config: Config,
    ) -> None:
        self.home = home
        self.store = store
        self.config = config
        self.device = store.device
        self.retention = Retention(store, config)
        self._searcher = searcher
        self._feed = feed.Feed(store)
        self._reader = Reader(store)
        self._writer = Writer(store, self.retention)
        self.files = Files(home, store, self._reader, self._writer)
        self.mirrors = Mirrors(home, store, self._reader, self._writer, self._feed)
        self.sync = Sync(store, network(self), pairing(self))
        self.tokens = YjsTokens(store)
        self.models = Models(home, searcher)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the network, end every subscription, and close the file. A second call does nothing."""
        self.sync.stop()
        self._feed.close()
        self._searcher.close()
        self.store.close()

    # Writing

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
        ttl: float | timedelta | None = None,
        id: str | None = None,
        key: str | None = None,
        dedupe: bool = False,
        replace: bool = False,
        expected: str | Iterable[str] | None = None,
        allow_secret: bool = False,
        vector: Iterable[float] | None = None,
    ) -> str:
        """Add a memory. It is on disk when the method returns.

        Args:
            text: The text. Maximum: 64 KiB of UTF-8.
            space: The space to share the memory in: `personal`, `local` (this machine only), or your own.
            scope: `global`, `project/NAME`, `agent/NAME`, `conversation/NAME` or `project/NAME/conversation/NAME`.
            kind: The kind of memory, in your own words.
            tags: Labels to filter by.
            metadata: A JSON object to filter by.
            author: The agent or person who states the text.
            source: The source of the text, such as a URL.
            trust: A label for how far to trust the text.
            importance: From 0 to 1.
            pinned: Whether the memory is pinned.
            created_at: The time of the fact, if it is not now.
            expires_at: A future time at which the memory is hidden.
            ttl: Seconds or a timedelta until the memory is hidden, instead of `expires_at`.
            id: A ULID for the memory. Without it, memcrdt generates one.
            key: A name from which the id is derived. Adding under the same key again, on any device, updates the
                memory: given tags replace its tags, and other given values its values. If the memory was forgotten,
                the key starts a new one.
            dedupe: Whether to return the id of an existing memory with the same text in the same space and scope.
            replace: With `key`: whether metadata and an expiry that are not given are removed from the existing memory.
                What people decide about it, such as `pinned`, stays.
            expected: With `key`: the revision of the memory that this call changes, or all revisions of conflicts()
                if its texts compete; [] if there must be no memory of the key yet. It is compared under the write lock.
            allow_secret: Whether to accept a text that looks like a secret.
            vector: The embedding of the text, [dim], made by the model of this store. It replaces a call of the
                embedder. It stays on this device.

        Returns:
            The id of the memory, a ULID.

        Raises:
            InputError: An argument is invalid or looks like a secret.
            NotFoundError: The space does not exist here.
            StaleRevisionError: The memory of the key is not at the expected revision.
            StoreError: The store is over its budget or cannot be written.

        Example:
            >>> memory.add("Deploys go out on Tuesdays", scope="project/acme", tags=["release"])
            '01K9XQ3V7M2ZC4T8N6B5R1D0PE'
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "text")}
        return self._writer.add([check_add(text, given, self.store.now_ms())])[0]

    def add_many(
        self, /, items: Iterable[str | Mapping[str, Any]], **defaults: Unpack[AddOptions]
    ) -> builtins.list[str]:
        """Add several memories. All arguments are checked before the first memory is added.

        Up to 500 memories with 2 MiB of text are one transaction: all or none. More of them are written in several
        such transactions, so that other processes wait less than a second. If one fails, the error says how many
        memories are added. With `key` or `dedupe` the same call can be repeated.

        Args:
            items: Texts, or mappings with the arguments of add().
            **defaults: Arguments of add() for items that do not set them.

        Returns:
            The ids, in the order of the items.

        Raises:
            InputError: An argument is invalid. The message names the item.
            NotFoundError: A space does not exist here.
            StoreError: The store is over its budget or cannot be written.

        Example:
            >>> memory.add_many(["Deploys go out on Tuesdays", {"text": "Ask Ada", "tags": ["todo"]}], author="planner")
        """
        return self._writer.add(check_items(items, defaults, self.store.now_ms()))

    def update(
        self,
        id: str,
        *,
        text: str | EllipsisType = ...,
        tags: Iterable[str] | EllipsisType = ...,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        kind: str | EllipsisType | None = ...,
        importance: float | EllipsisType | None = ...,
        pinned: bool | EllipsisType = ...,
        expires_at: Time | EllipsisType | None = ...,
        ttl: float | timedelta | None = None,
        superseded_by: str | EllipsisType | None = ...,
        scope: str | EllipsisType = ...,
        trust: str | EllipsisType | None = ...,
        author: str | None = None,
        expected: str | Iterable[str] | None = None,
        allow_secret: bool = False,
        vector: Iterable[float] | None = None,
    ) -> MemoryRecord:
        """Change the given parts of a memory. The old text stays in the history.

        Args:
            id: The id of the memory.
            text: The new text. It settles a conflict.
            tags: The tags that replace all present tags, instead of `add_tags` and `remove_tags`.
            add_tags: Tags to add.
            remove_tags: Tags to remove.
            metadata: Entries to add or replace. A value of None removes its key.
            kind: The new kind, or None to remove it.
            importance: From 0 to 1, or None to remove it.
            pinned: Whether the memory is pinned.
            expires_at: A future time at which the memory is hidden, or None for never.
            ttl: Seconds or a timedelta until the memory is hidden, instead of `expires_at`.
            superseded_by: The id of the memory that replaces this one, or None.
            scope: The new scope.
            trust: The new trust label, or None to remove it.
            author: The agent or person who makes the change.
            expected: The `revision` of the record that the change was made from, or all revisions of conflicts() if
                its texts compete. It is compared under the write lock, so no other change can come in between.
            allow_secret: Whether to accept values that look like a secret.
            vector: The embedding of the new text, as for add().

        Returns:
            The memory after the change.

        Raises:
            InputError: An argument is invalid or looks like a secret.
            NotFoundError: The memory or its replacement does not exist here.
            StaleRevisionError: The memory is not at the expected revision. The error has the revisions that are there.

        Example:
            >>> record = memory.get(id)
            >>> memory.update(id, text=record.text + " at noon", expected=record.revision)
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "id")}
        memory_id = checks.check_id(id)
        self._writer.update([check_update_of(memory_id, given, self.store.now_ms())])
        return self.get(memory_id)

    def update_many(
        self, /, items: Iterable[Mapping[str, Any]], **defaults: Unpack[UpdateOptions]
    ) -> builtins.list[MemoryRecord]:
        """Change several memories: all or none, up to 200 memories with 2 MiB of new text.

        More of them are changed in several such transactions, as with add_many().

        Args:
            items: Mappings with the `id` of a memory and arguments of update(). An id may occur more than once.
            **defaults: Arguments of update() for items that do not set them.

        Returns:
            The memories after all changes, in the order of the items.

        Raises:
            InputError: An argument is invalid. The message names the item.
            NotFoundError: A memory or its replacement does not exist here.

        Example:
            >>> memory.update_many([{"id": each, "add_tags": ["done"]} for each in ids], author="planner")
        """
        requests = check_updates(items, defaults, self.store.now_ms())
        self._writer.update(requests)
        found = {record.id: record for record in self.get_many(request.id for request in requests)}
        return [found[request.id] for request in requests if request.id in found]

    def forget(
        self,
        /,
        id: str | Iterable[str] | None = None,
        *,
        dry_run: bool = False,
        expected: str | Iterable[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
        **filters: Unpack[Filters],
    ) -> Forgotten:
        """Forget memories permanently, on this and every other device: by id, or all that match the filters.

        Filters also match expired and superseded memories. Several memories are forgotten in many short transactions,
        so that no other process waits long. If one of them fails or the process ends, call again for the rest.
        With ids and filters, it forgets those of the ids that match: after a user has confirmed a list of memories,
        nothing that was added or changed meanwhile is forgotten with them.

        Each device confirms when its file has no byte of the memories left. forget_status() shows which have confirmed.

        Args:
            id: The id of the memory, or several ids. Without it, at least one filter is required.
            dry_run: Whether to count without forgetting.
            expected: With one id: the revision that the memory must still be at, as for update().
            progress: Called after each transaction with the number of memories forgotten and the number to forget.
            **filters: Filters as for list().

        Returns:
            The number of memories forgotten. The status is `pending` while a reader keeps their bytes in the file.
            memcrdt finishes the work in the background.

        Raises:
            InputError: Neither ids nor a filter are given.
            NotFoundError: An id is unknown, and no filters are given. Then nothing is forgotten.
            StaleRevisionError: The memory is not at the expected revision.

        Example:
            >>> memory.forget([hit.memory.id for hit in memory.search("the old address")])
            Forgotten(count=2, status='done', confirmed=(), awaited=())
        """
        checks.check_flag(dry_run, "dry_run")
        ids = None if id is None else checks.check_ids([id] if isinstance(id, str) else id)
        heads = checks.check_expected(expected, of_key=False)
        if heads is not None and (filters or ids is None or len(ids) != 1):
            raise InputError("expected is the revision of one memory; give one id with it, and no filters")
        if progress is not None:
            checks.check_callback(progress, "progress")
        if ids is not None and not filters:
            return self._writer.forget(ids, dry_run=dry_run, expected=heads, progress=progress)
        wanted = self._reader.filters(filters)
        return self._writer.forget_matching(wanted, among=ids, dry_run=dry_run, progress=progress)

    def forget_status(self, id: str | Iterable[str] | None = None) -> ForgetStatus:
        """Return which devices have confirmed that no byte of forgotten memories is left in their file.

        Args:
            id: The id of a forgotten memory, or several ids. Default: all forgotten memories.

        Raises:
            InputError: A memory is not forgotten.
            NotFoundError: An id is unknown.

        Example:
            >>> [device.name for device in memory.forget_status(id).devices if device.left]
            ['desktop']
        """
        ids = None if id is None else checks.check_ids([id] if isinstance(id, str) else id)
        return forget_status(self.store, ids)

    def forget_expired(self, *, trust_clock: bool = False) -> int:
        """Forget the memories of this device that expired and last changed over `forget_expired_days` days ago.

        The first write of each hour does the same. Reading never does. If the clock of this device has jumped, both
        wait until it is confirmed, by other devices, by a week of use, or by `trust_clock`.

        Args:
            trust_clock: Whether to confirm that the clock is right.

        Returns:
            The number of memories forgotten.

        Raises:
            StoreError: There are memories to forget, and the clock is not confirmed. Nothing was changed.
        """
        return self.retention.forget_expired(trust_clock=checks.check_flag(trust_clock, "trust_clock"))

    def link(self, id: str, rel: str, to: str) -> None:
        """Link memory `id` to memory `to` by the relation `rel`.

        Raises:
            NotFoundError: One of the two memories does not exist here.

        Example:
            >>> memory.link(outage, "caused by", deploy)
        """
        edge = self._edge(rel, to)
        check_no_secret(rel)
        self.get(to)
        self._writer.update([UpdateRequest(checks.check_id(id), MemoryEdit(add_links=(edge,)))])

    def unlink(self, id: str, rel: str, to: str) -> None:
        """Remove a link. Removing a missing link is not an error. Raises NotFoundError for an unknown memory."""
        edge = self._edge(rel, to)
        self._writer.update([UpdateRequest(checks.check_id(id), MemoryEdit(remove_links=(edge,)))])

    def move(self, id: str, *, space: str) -> str:
        """Move a memory to another space under a new id, and forget it in its present space.

        The history and the links to the memory are not moved.

        Args:
            id: The id of the memory.
            space: The name of the other space.

        Returns:
            The id of the memory in the other space.

        Raises:
            NotFoundError: The memory or the space does not exist here.
        """
        return self._writer.move(self.get(id), space)

    def rename_key(
        self,
        id: str,
        key: str,
        *,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        author: str | None = None,
        expected: str | None = None,
        allow_secret: bool = False,
    ) -> str:
        """Give a memory another key, in one transaction: it is added under the new key, and forgotten under its old id.

        Tags, kind and the other attributes move with it. Its history and the links are not moved.

        Args:
            id: The id of the memory.
            key: The new key. There must be no memory of this key yet.
            text: A text that names the key, if it has to change; None for the present one.
            metadata: Entries to add or replace; None removes one.
            author: The agent or person who makes the change; None for the author of the memory.
            expected: The `revision` of the record that the call was made from. Without it, a change that is made
                during the call is noticed all the same.
            allow_secret: Whether to accept a text that looks like a secret.

        Returns:
            The new id of the memory.

        Raises:
            InputError: An argument is invalid, or the memory has competing texts: settle them first.
            NotFoundError: The memory does not exist here.
            StaleRevisionError: The memory has changed, or there is a memory of the new key. Nothing was changed.

        Example:
            >>> memory.rename_key(memory.get_by_key("motd", scope="project/acme").id, "message-of-the-day")
            '01KAJ2M0Y5Q8B6T3ZC4W7R9XEN'
        """
        about = {"text": text, "metadata": metadata, "author": author, "expected": expected}
        request = check_rename(self.get(id), {**about, "key": key, "allow_secret": allow_secret}, self.store.now_ms())
        return self._writer.rename_keys([request])[0]

    def rename_keys(
        self, /, items: Iterable[Mapping[str, Any]], *, author: str | None = None, allow_secret: bool = False
    ) -> builtins.list[str]:
        """Give several memories other keys: all or none, up to 200 memories with 2 MiB of text.

        More of them are renamed in several such transactions, as with add_many().

        Args:
            items: Mappings with the `id` of a memory, its new `key`, and other arguments of rename_key().
            author: The agent or person who makes the changes, for items that name none.
            allow_secret: Whether to accept texts that look like a secret.

        Returns:
            The new ids, in the order of the items.

        Raises:
            InputError, NotFoundError, StaleRevisionError: As for rename_key(). InputError names the item.

        Example:
            >>> pages = memory.list(metadata={"folder": "drafts"})
            >>> memory.rename_keys({"id": page.id, "key": f"pages/{page.metadata['name']}"} for page in pages)
        """
        defaults = {"author": author, "allow_secret": allow_secret}
        return self._writer.rename_keys(check_renames(items, defaults, self.get, self.store.now_ms()))

    def rename_scope(self, old: str, new: str) -> int:
        """Change the scope of every memory in scope `old` to `new`, in transactions of up to 200 memories.

        If both are projects, the conversations of the project are renamed too. If the process ends before the last
        transaction, call again for the rest.

        Returns:
            The number of memories changed.

        Raises:
            InputError: A scope is invalid, or the new scope of a conversation would be.

        Example:
            Move a conversation into its project:

            >>> memory.rename_scope("conversation/standup", "project/acme/conversation/standup")
            12
        """
        check_no_secret(new)
        return self._writer.rename_scope(check_scope(old), check_scope(new))

    # Names

    def find_id(self, id: str) -> str:
        """Return the id of a memory that is named by the first characters of its id.

        Args:
            id: The first characters, 4 or more, or a whole id, which need not exist here.

        Raises:
            InputError: Several ids begin so, or none can. The message lists the memories.
            NotFoundError: No memory has such an id.

        Example:
            >>> memory.get(memory.find_id("01K9XQ3V"))
        """
        with self.store.reading() as db:
            return names.find_id(db, id)

    def find_space(self, space: str) -> str:
        """Return the name of a space that is named by the first characters of its name.

        Args:
            space: The first characters, 4 or more, or the whole name, which wins over longer ones.

        Raises:
            InputError: Several spaces are named so. The message lists them.
            NotFoundError: No space is named so. The message lists the spaces.
        """
        with self.store.reading() as db:
            return names.find_space(db, space)

    # Reading

    def get(self, id: str) -> MemoryRecord:
        """Return the memory with this id. Raises NotFoundError for an unknown or forgotten id."""
        return self._reader.get(checks.check_id(id))

    def get_by_key(self, key: str, *, space: str = PERSONAL, scope: str = GLOBAL) -> MemoryRecord:
        """Return the memory that add() under this key in this space and scope would change.

        Args:
            key: The key.
            space: The space.
            scope: The scope in which the key was used. The memory may be in another scope now.

        Raises:
            NotFoundError: There is no such memory or space, or the memory was forgotten.

        Example:
            >>> memory.add("Staging is at port 8443", key="staging-port")
            >>> memory.get_by_key("staging-port").text
            'Staging is at port 8443'
        """
        return self._reader.get_by_key(
            checks.check_label(space, "the space"),
            check_scope(scope),
            checks.check_label(key, "the key", limits.KEY_CHARS),
        )

    def get_many(self, ids: Iterable[str]) -> builtins.list[MemoryRecord]:
        """Return the memories with these ids, in the order of the ids.

        Unknown and forgotten ids are left out. A repeated id counts once.

        Args:
            ids: Up to 100,000 ids.

        Raises:
            InputError: An item is not the id of a memory.

        Example:
            >>> {record.id: record for record in memory.get_many(ids)}
        """
        return self._reader.get_many(checks.check_ids(ids))

    def count(self, /, **filters: Unpack[Filters]) -> int:
        """Return the number of memories that match the filters.

        Args:
            **filters: Filters as for list(). Without filters, every memory that list() would return counts.

        Example:
            >>> memory.count(scope="project/acme", tags=["todo"])
            12
        """
        return self._reader.count(self._reader.filters(filters))

    def tags(self, /, **filters: Unpack[Filters]) -> dict[str, int]:
        """Return the tags of the memories that match the filters, sorted, each with the number of these memories.

        Args:
            **filters: Filters as for list().

        Example:
            >>> memory.tags(scope="project/acme")
            {'deploy': 3, 'todo': 12}
        """
        return self._reader.tags(self._reader.filters(filters))

    def iterate(self, /, *, order: Order = "newest", **filters: Unpack[Filters]) -> Iterator[MemoryRecord]:
        """Yield every memory that matches the filters, without a limit.

        The iterator reads a page at a time and keeps no transaction open in between. If a memory changes during the
        iteration, its page decides which state is yielded. With order="updated" it may be missed or occur twice.

        Args:
            order: `newest`, `oldest` or `updated`.
            **filters: Filters as for list().

        Example:
            >>> for record in memory.iterate(kind="fact"):
            ...     print(record.text)
        """
        return self._every(check_order(order), check_filters(filters))

    def _every(self, order: Order, filters: CheckedFilters) -> Iterator[MemoryRecord]:
        """Yield as iterate() does, for a caller that checked the arguments earlier."""
        return self._reader.every(order, self._reader.known(filters))

    def list(
        self, /, *, limit: int = 100, cursor: str | None = None, order: Order = "newest", **filters: Unpack[Filters]
    ) -> Page:
        """Return memories without ranking, one page per call.

        Args:
            limit: Maximum number of memories, up to 1,000.
            cursor: The `next_cursor` of the previous page.
            order: `newest`, `oldest` or `updated`.
            **filters: The filters that memcrdt.Filters describes. None and [] match everything.

        Returns:
            A sequence of memories with the cursor of the next page.

        Example:
            >>> page = memory.list(scope="project/acme", tags=["todo"])
            >>> more = memory.list(scope="project/acme", tags=["todo"], cursor=page.next_cursor)
        """
        filtered = self._reader.filters(filters)
        return self._reader.page(Listing(checks.check_limit(limit), cursor, check_order(order), filtered))

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
        vector: Iterable[float] | None = None,
        rerank: bool = False,
        rerank_ms: int = 250,
        **filters: Unpack[Filters],
    ) -> builtins.list[Hit]:
        """Return the memories that best answer `query`, best first.

        The order is the ranking. The `score` of a hit is independent of the ranking: it says how certain the match is,
        and can be compared between queries.

        Args:
            query: A question or keywords, with "exact phrases", -excluded words and prefixes* if needed. Only the first
                8,192 characters count, to the end of a word.
            limit: Maximum number of hits, up to 1,000.
            min_score: Leave out hits below this score, from 0 to 1.
            explain: Whether to set the `parts` of each hit.
            diversity: From 0 to 1: prefer hits that differ from earlier hits.
            fold: Whether to leave out hits that repeat an earlier hit.
            recency: From 0 to 1: put the newer of similar memories first. A lower value demands more similarity.
            importance: From 0 to 1: prefer important memories among those nearly as good as the best.
            vector: The embedding of the query, [dim], made by the model of this store. It replaces a call of the
                embedder.
            rerank: Whether the reranker of the settings reads the best 30 hits again. Its first use loads it, which
                takes one or two seconds more.
            rerank_ms: How long it may take, in ms, up to 60,000. A hit that is not scored in time keeps its rank.
            **filters: Filters as for list(), applied before the ranking.

        Raises:
            InputError: An argument is invalid, or the settings name no reranker.

        Example:
            >>> for hit in memory.search("when do we ship?", limit=5, tags=["release"]):
            ...     print(f"{hit.score:.2f}  {hit.memory.text}")
        """
        from memcrdt.search import SearchOptions

        options = SearchOptions(
            now=self.store.now_ms(),
            limit=checks.check_limit(limit),
            min_score=checks.check_optional_share(min_score, "min_score"),
            explain=checks.check_flag(explain, "explain"),
            diversity=checks.check_share(diversity, "diversity"),
            fold=checks.check_flag(fold, "fold"),
            recency=checks.check_share(recency, "recency"),
            importance=checks.check_share(importance, "importance"),
            vector=checks.check_vector(vector),
            rerank_ms=checks.check_rerank_ms(rerank_ms) if checks.check_flag(rerank, "rerank") else 0,
        )
        if rerank and not self._searcher.has_reranker:
            raise InputError("there is no reranker; name one, or a folder with one, in the setting `reranker`")
        return self._searcher.search(checks.check_query(query), self._reader.filters(filters), options)

    def similar(
        self,
        /,
        id: str | None = None,
        *,
        limit: int = 10,
        vector: Iterable[float] | None = None,
        **filters: Unpack[Filters],
    ) -> builtins.list[Hit]:
        """Return the memories most similar to a memory or a vector, best first.

        Args:
            id: The id of the memory, which is not among the results.
            vector: An embedding, [dim], made by the model of this store, instead of `id`.
            limit: Maximum number of hits, up to 1,000.
            **filters: Filters as for search().

        Raises:
            InputError: Neither an id nor a vector is given, or both are.
            NotFoundError: The memory does not exist here.
        """
        from memcrdt.search import SearchOptions

        given = checks.check_vector(vector)
        options = SearchOptions(now=self.store.now_ms(), limit=checks.check_limit(limit), vector=given)
        if given is not None and id is None:
            return self._searcher.search("", self._reader.filters(filters), options)
        if given is not None or id is None:
            raise InputError("similar takes either an id or a vector")
        return self._searcher.similar(checks.check_id(id), self._reader.filters(filters), options)

    def history(self, id: str) -> builtins.list[Revision]:
        """Return every text that the memory has had, oldest first. Raises NotFoundError."""
        return self._reader.history(checks.check_id(id))

    def conflicts(self, id: str) -> builtins.list[Revision]:
        """Return the competing texts that devices wrote while disconnected, or [] if there is one current text.

        update(text=…) settles the conflict. Raises NotFoundError.
        """
        heads = [revision for revision in self.history(id) if revision.head]
        return heads if len(heads) > 1 else []

    def related(self, id: str, rel: str | None = None) -> builtins.list[MemoryRecord]:
        """Return the memories that this memory links to, by any relation or only by `rel`. Raises NotFoundError."""
        checks.check_optional_label(rel, "the relation")
        return self._reader.related(checks.check_id(id), rel)

    def scoped(
        self, *, project: str | None = None, agent: str | None = None, conversation: str | None = None
    ) -> ScopedMemory:
        """Return a view of this memory in one scope.

        Reads with filters see the given scopes and `global`. add() writes to the narrowest given scope. With a project,
        the conversation belongs to the project: neither other projects nor a view without the project see it.

        The view narrows reads and protects nothing: get(), update() and forget() reach a memory in any scope by its id.
        forget() with filters covers only the narrowest scope.

        Example:
            >>> acme = memory.scoped(project="acme", conversation="standup")
            >>> acme.add("Ada is on call this week")
        """
        return ScopedMemory(self, project=project, agent=agent, conversation=conversation)

    # Changes

    def subscribe(self, /, callback: Callable[[Change], None], **filters: Unpack[Filters]) -> feed.Subscription:
        """Call `callback` for every change from now on, in a thread of its own, until the subscription is closed.

        Changes come from this process, other processes and other devices. Each is delivered after its commit, in the
        order of the commits. For a forgotten memory only the space is known, so all other filters let it pass.

        Args:
            callback: Called with one Change. An exception is logged, and the next change follows.
            **filters: Filters as for list().

        Example:
            >>> subscription = memory.subscribe(lambda change: print(change.kind, change.id), scope="project/acme")
            >>> subscription.close()
        """
        checks.check_callback(callback, "the callback")
        subscription = self.changes(**filters)
        feed.deliver(subscription, callback)
        return subscription

    def changes(self, /, **filters: Unpack[Filters]) -> feed.Subscription:
        """Return the changes that subscribe() delivers as an iterator that waits for the next change.

        Example:
            >>> with memory.changes(scope="project/acme") as changes:
            ...     for change in changes:
            ...         print(change.kind, change.id, change.origin)
        """
        return self._feed.subscribe(self._reader.filters(filters))

    # The store as a whole

    def import_(
        self,
        /,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,
        again: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        **defaults: Unpack[AddOptions],
    ) -> ImportReport:
        """Add the memories of a file. See Files.import_()."""
        return self.files.import_(path, format=format, again=again, dry_run=dry_run, progress=progress, **defaults)

    def import_from(
        self,
        source: str,
        path: str | os.PathLike[str] | None = None,
        /,
        *,
        again: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        **defaults: Unpack[AddOptions],
    ) -> ImportReport:
        """Add the memories of another program. See Files.import_from()."""
        return self.files.import_from(source, path, again=again, dry_run=dry_run, progress=progress, **defaults)

    def export(
        self,
        /,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,
        history: bool = False,
        **filters: Unpack[Filters],
    ) -> int:
        """Write memories to a file and return their number. See Files.export()."""
        return self.files.export(path, format=format, history=history, **filters)

    def backup(self, path: str | os.PathLike[str]) -> int:
        """Write a copy of the store to a new file and return its size in bytes. See Files.backup()."""
        return self.files.backup(path)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Return the store to the state of a backup. See Files.restore()."""
        self.files.restore(path)

    def doctor(self, *, repair: bool = False, give_up: bool = False) -> DoctorReport:
        """Check every row of the store, and repair it on request. See Files.doctor()."""
        return self.files.doctor(repair=repair, give_up=give_up)

    def compact(self) -> Compacted:
        """Free the space of old versions and forgotten memories in the file. See Files.compact()."""
        return self.files.compact()

    def stats(self) -> overview.Stats:
        """Count the memories by space, category and kind."""
        with self.store.reading() as db:
            return overview.stats(db, self.store.now_ms())

    def status(self) -> Status:
        """Return the state of the store, of search and of sync. It does not need a running network."""
        return status_of(self.home, self.store, self.sync.serving(), self.retention, self._searcher.status())

    def acknowledge_alarms(self) -> tuple[StoreAlarm, ...]:
        """Hide the present alarms from status(), and return them. An alarm is shown again if its cause comes back.

        Example:
            >>> for alarm in memory.acknowledge_alarms():
            ...     print(alarm.text)
        """
        return acknowledge(self.store, self.retention)

    def use_model(self, name: str) -> str:
        """Switch to another embedding model, and return its full name. See Models.use()."""
        return self.models.use(name)

    def wait_indexed(self, *, timeout: float | None = None) -> SearchStatus:
        """Wait until every memory has its vectors, and return the state of search. See Models.wait()."""
        return self.models.wait(timeout=timeout)

    # Other devices

    def space(self, name: str) -> Space:
        """Return the space with this name. It may not exist yet: Space.create() creates it."""
        return Space(self.store, name)

    def devices(self) -> builtins.list[Device]:
        """Return the other devices: accepted, revoked and pending. See Sync.devices()."""
        return self.sync.devices()

    def accept(
        self,
        /,
        device: str,
        *,
        name: str | None = None,
        address: str | None = None,
        spaces: str | Iterable[str] | None = None,
    ) -> Device:
        """Trust a device and share spaces with it. See Sync.accept()."""
        return self.sync.accept(device, name=name, address=address, spaces=spaces)

    def revoke(self, /, device: str) -> tuple[str, ...]:
        """Stop trusting a device, and remove it from every space. See Sync.revoke()."""
        return self.sync.revoke(device)

    def start_sync(self, /, **options: Any) -> None:
        """Sync in the background until stop_sync() or close(). See Sync.start()."""
        self.sync.start(**options)

    def stop_sync(self) -> None:
        """Stop the background sync that start_sync() started."""
        self.sync.stop()

    def wait_synced(self, *, timeout: float | None = None, peers: Iterable[str] | None = None) -> bool:
        """Sync now, and return whether the other devices have the same data as this device. See Sync.wait()."""
        return self.sync.wait(timeout=timeout, peers=peers).synced

    def _edge(self, rel: str, to: str) -> tuple[str, str]:
        return checks.check_label(rel, "the relation"), checks.check_id(to)
