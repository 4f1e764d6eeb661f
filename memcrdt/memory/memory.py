"""Memory: the interface that agent code holds. It checks arguments and delegates to its parts; it stores nothing."""

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
from memcrdt.memory import feed, writer
from memcrdt.memory.devices import Device
from memcrdt.memory.models import Models
from memcrdt.memory.pairing import Pairing
from memcrdt.memory.retention import Retention
from memcrdt.memory.scoped import ScopedMemory
from memcrdt.memory.spaces import Space
from memcrdt.memory.status import Status, status_of
from memcrdt.memory.sync import Network, Sync
from memcrdt.memory.tokens import YjsTokens
from memcrdt.memory.writer import Writer
from memcrdt.model import checks
from memcrdt.model.attributes import AddOptions, UpdateOptions
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.filters import CheckedFilters, Filters, Order, check_filters, check_order
from memcrdt.model.records import Change, Forgotten, Hit, MemoryRecord, Page, Revision
from memcrdt.model.requests import PERSONAL, UpdateRequest, check_add, check_items, check_update_of, check_updates
from memcrdt.model.scopes import GLOBAL, check_scope
from memcrdt.model.secrets import check_no_secret
from memcrdt.model.values import Time
from memcrdt.paths import check_path
from memcrdt.search.searcher import Searcher
from memcrdt.store import backup, changes, compaction, listing, overview, reads
from memcrdt.store.spaces import space_number
from memcrdt.store.store import Store

if TYPE_CHECKING:
    from memcrdt.memory.transfer import ImportReport
    from memcrdt.store.recovery.doctor import DoctorReport


class Memory:
    """The memories of one home. A context manager, safe between threads; made by memcrdt.open().

    Every method raises InputError for arguments that are not acceptable, NotFoundError for a filter that names a space
    which is not here, and StoreError or one of its kinds when the file can't be read or written. After an error
    nothing is changed.

    Attributes:
        home: The folder of the store; None for a store in memory.
        config: The settings of the home.
        device: The id of this device.
        sync: Sync and pairing with other devices.
        tokens: The tokens of Yjs clients.
        models: The embedders to search with.
    """

    def __init__(
        self,
        home: Path | None,
        store: Store,
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
        self._writer = Writer(store, self.retention)
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
        """Stop the network, end every subscription and close the file. A second call does nothing."""
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
        allow_secret: bool = False,
        vector: Iterable[float] | None = None,
    ) -> str:
        """Remember a text. It is on the disk when the method returns.

        Args:
            text: The text, at most 64 KiB in UTF-8.
            space: The space to share it in: `personal`, `local` for this machine only, or one of your own.
            scope: `global`, `project/NAME`, `agent/NAME`, `conversation/NAME` or `project/NAME/conversation/NAME`.
            kind: The sort of memory, in your own words.
            tags: Labels to filter by.
            metadata: A JSON object to filter by.
            author: The agent or person who says it.
            source: The place that it comes from.
            trust: A label for how far to trust it.
            importance: From 0 to 1.
            pinned: Whether it is pinned.
            created_at: The time of the fact, if that is not now.
            expires_at: The time at which to hide it, in the future.
            ttl: Instead of `expires_at`: the seconds, or the timedelta, after which to hide it.
            id: The id, a ULID; one is made without it.
            key: A name that gives the memory its id. Adding under the same key again, here or on another device,
                updates the memory; after it was forgotten, it starts a new life.
            dedupe: Whether to return the id of the same text in the same space and scope, if there is one.
            allow_secret: Whether to take a text that looks like a secret.
            vector: The embedding of the text, [dim], from the model that the store is searched with: it is used
                instead of the embedder. It stays on this device.

        Returns:
            The id of the memory, a ULID.

        Raises:
            InputError: An argument is not acceptable, or looks like a secret.
            NotFoundError: The space is not here.
            StoreError: The store is over its budget, or can't be written.

        Example:
            >>> memory.add("Deploys go out on Tuesdays", scope="project/acme", tags=["release"])
            '01K9XQ3V7M2ZC4T8N6B5R1D0PE'
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "text")}
        return self._writer.add([check_add(text, given, self.store.now_ms())])[0]

    def add_many(
        self, /, items: Iterable[str | Mapping[str, Any]], **defaults: Unpack[AddOptions]
    ) -> builtins.list[str]:
        """Remember several texts in one transaction: all of them or none.

        Args:
            items: Texts, or mappings of add()'s arguments.
            **defaults: Arguments of add() for the items that don't name them.

        Returns:
            The ids in the order of the items.
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
        allow_secret: bool = False,
        vector: Iterable[float] | None = None,
    ) -> MemoryRecord:
        """Change the named parts of a memory. The old text stays in its history.

        Args:
            id: The memory.
            text: The new text. It settles a conflict.
            tags: All tags that it has from now on, instead of `add_tags` and `remove_tags`.
            add_tags: Tags to add.
            remove_tags: Tags to take away.
            metadata: Entries to add or replace; a value of None takes its key away.
            kind: The new kind, or None.
            importance: From 0 to 1, or None for no importance.
            pinned: Whether it is pinned.
            expires_at: The time at which to hide it, in the future, or None for never.
            ttl: Instead of `expires_at`: the seconds, or the timedelta, after which to hide it.
            superseded_by: The id of another memory here that takes its place, or None.
            scope: The new scope.
            trust: The new trust, or None.
            author: The agent or person who makes the change.
            allow_secret: Whether to take what looks like a secret.
            vector: The embedding of the new text, as for add().

        Returns:
            The memory after the change.

        Raises:
            NotFoundError: The memory, or the one that supersedes it, is not here.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "id")}
        memory_id = checks.check_id(id)
        self._writer.update([check_update_of(memory_id, given, self.store.now_ms())])
        return self.get(memory_id)

    def update_many(
        self, /, items: Iterable[Mapping[str, Any]], **defaults: Unpack[UpdateOptions]
    ) -> builtins.list[MemoryRecord]:
        """Change several memories in one transaction: all of them or none.

        Args:
            items: Mappings with the `id` of a memory and arguments of update(). An id may come more than once.
            **defaults: Arguments of update() for the items that don't name them.

        Returns:
            The memories after all changes, in the order of the items.

        Raises:
            InputError: An argument is not acceptable; the message says of which item.
            NotFoundError: A memory, or one that supersedes it, is not here.

        Example:
            >>> memory.update_many([{"id": each, "add_tags": ["done"]} for each in ids], author="planner")
        """
        requests = check_updates(items, defaults, self.store.now_ms())
        self._writer.update(requests)
        found = {record.id: record for record in self.get_many(request.id for request in requests)}
        return [found[request.id] for request in requests if request.id in found]

    def forget(
        self, /, id: str | Iterable[str] | None = None, *, dry_run: bool = False, **filters: Unpack[Filters]
    ) -> Forgotten:
        """Forget memories for good, on this and every other device: by id, or all that the filters select.

        Filters select expired and superseded memories too. Other devices confirm when no byte is left in their files:
        ask again with the id of a forgotten memory to see which devices have.

        Args:
            id: The id of the memory, or several ids. Without it, at least one filter is needed.
            dry_run: Whether only to count.
            **filters: Filters as for list().

        Returns:
            The number of memories forgotten. The status is `pending` while a reader still holds bytes of them in the
            file; that ends by itself.

        Raises:
            NotFoundError: An id is not here and never was; then nothing is forgotten.

        Example:
            >>> memory.forget([hit.memory.id for hit in memory.search("the old address")])
            Forgotten(count=2, status='done', confirmed=(), awaited=())
        """
        checks.check_flag(dry_run, "dry_run")
        ids = None if id is None else checks.check_ids([id] if isinstance(id, str) else id)
        listed = writer.to_forget(self.store, ids, self._filters(filters), is_filtered=bool(filters))
        with self.store.reading() as db:
            there = len(listed(db))
        if dry_run:
            return Forgotten(count=there, status="done")
        gone = self._writer.forget(listed) if there else []
        return writer.forgotten(self.store, len(gone), gone if ids is None else ids)

    def forget_expired(self) -> int:
        """Forget the memories of this device that expired and last changed over `forget_expired_days` days ago.

        open() does so too, and every hour the next change does. Returns the number of memories forgotten.
        """
        return self.retention.forget_expired()

    def link(self, id: str, rel: str, to: str) -> None:
        """Link memory `id` to memory `to` by the relation `rel`. Raises NotFoundError if either is not here."""
        edge = self._edge(rel, to)
        check_no_secret(rel)
        self.get(to)
        self._writer.update([UpdateRequest(checks.check_id(id), MemoryEdit(add_links=(edge,)))])

    def unlink(self, id: str, rel: str, to: str) -> None:
        """Take a link away. A missing link is no error. Raises NotFoundError for a missing memory."""
        edge = self._edge(rel, to)
        self._writer.update([UpdateRequest(checks.check_id(id), MemoryEdit(remove_links=(edge,)))])

    def move(self, id: str, *, space: str) -> str:
        """Give a memory a new life in another space, and forget it in its present one.

        Its history stays behind.

        Args:
            id: The memory.
            space: The name of the other space.

        Returns:
            The id of the memory there.

        Raises:
            NotFoundError: The memory or the space is not here.
        """
        return self._writer.move(checks.check_id(id), self.get(id).text, space)

    def rename_scope(self, old: str, new: str) -> int:
        """Give every memory of scope `old` the scope `new`, in one transaction.

        The conversations of a project follow it to another project.

        Returns:
            The number of memories.

        Raises:
            InputError: A scope is not valid, or a conversation would get one that is not.

        Example:
            Move a conversation into its project:

            >>> memory.rename_scope("conversation/standup", "project/acme/conversation/standup")
            12
        """
        check_no_secret(new)
        return self._writer.rename_scope(check_scope(old), check_scope(new))

    # Reading

    def get(self, id: str) -> MemoryRecord:
        """Return the memory with this id. Raises NotFoundError when it is not here or was forgotten."""
        memory_id = checks.check_id(id)
        with self.store.reading() as db:
            record = reads.by_id(db, memory_id)
            if record is None:
                raise changes.missing(db, memory_id)
        return record

    def get_many(self, ids: Iterable[str]) -> builtins.list[MemoryRecord]:
        """Return the memories with these ids, in the order of the ids.

        An id that is not here, or was forgotten, is left out, and a repeated one counts once.

        Args:
            ids: The ids, at most 100,000.

        Example:
            >>> {record.id: record for record in memory.get_many(ids)}
        """
        wanted = checks.check_ids(ids)
        with self.store.reading() as db:
            return reads.by_ids(db, wanted)

    def count(self, /, **filters: Unpack[Filters]) -> int:
        """Return the number of memories that the filters select.

        Args:
            **filters: Filters as for list(); without any, everything that list() would show.

        Example:
            >>> memory.count(scope="project/acme", tags=["todo"])
            12
        """
        wanted = self._filters(filters)
        with self.store.reading() as db:
            return listing.count(db, wanted, self.store.now_ms())

    def iterate(self, /, *, order: Order = "newest", **filters: Unpack[Filters]) -> Iterator[MemoryRecord]:
        """Yield every memory that the filters select, however many there are.

        It reads a page at a time and holds no transaction in between: a memory that changes meanwhile shows its state
        at the time of its page, and with order="updated" may be missed, or come twice.

        Args:
            order: `newest`, `oldest` or `updated`.
            **filters: Filters as for list().

        Example:
            >>> for record in memory.iterate(kind="fact"):
            ...     print(record.text)
        """
        return listing.every(self.store, check_order(order), self._filters(filters))

    def list(
        self, /, *, limit: int = 100, cursor: str | None = None, order: Order = "newest", **filters: Unpack[Filters]
    ) -> Page:
        """Return memories without ranking, a page at a time.

        Args:
            limit: Maximum number of memories, up to 1,000.
            cursor: The `next_cursor` of the page before.
            order: `newest`, `oldest` or `updated`.
            **filters: Filters; docs/memory.md lists them.

        Returns:
            A sequence of memories with the cursor of the next page.
        """
        asked = listing.Listing(checks.check_limit(limit), cursor, check_order(order), self._filters(filters))
        with self.store.reading() as db:
            return listing.page(db, asked, self.store.now_ms())

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
        **filters: Unpack[Filters],
    ) -> builtins.list[Hit]:
        """Return the memories that answer `query` best, best first.

        The order is the ranking. A hit's `score` says independently how sure the match is, and can be compared
        between queries.

        Args:
            query: A question or some words.
            limit: Maximum number of hits, up to 1,000.
            min_score: Leave out hits below this score, from 0 to 1.
            explain: Whether to give each hit its `parts`.
            diversity: From 0 to 1: prefer hits that differ from those before.
            fold: Whether to leave out hits that say the same as one before.
            recency: From 0 to 1: put the newer of similar memories first. A lower value demands more similarity.
            importance: From 0 to 1: prefer important memories among those nearly as good as the best.
            vector: The embedding of the query, [dim], from the model that the store is searched with: it is used
                instead of the embedder.
            **filters: Filters, applied before the ranking; docs/memory.md lists them.

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
        )
        return self._searcher.search(checks.check_query(query), self._filters(filters), options)

    def similar(
        self,
        /,
        id: str | None = None,
        *,
        limit: int = 10,
        vector: Iterable[float] | None = None,
        **filters: Unpack[Filters],
    ) -> builtins.list[Hit]:
        """Return the memories most like this one, best first, without itself; or those nearest to a vector.

        Args:
            id: The memory.
            vector: Instead of the id: an embedding, [dim], from the model that the store is searched with.
            limit: Maximum number of hits, up to 1,000.
            **filters: Filters as for search().

        Raises:
            NotFoundError: The memory is not here.
        """
        from memcrdt.search import SearchOptions

        given = checks.check_vector(vector)
        options = SearchOptions(now=self.store.now_ms(), limit=checks.check_limit(limit), vector=given)
        if given is not None and id is None:
            return self._searcher.search("", self._filters(filters), options)
        if given is not None or id is None:
            raise InputError("similar takes an id or a vector, one of the two")
        return self._searcher.similar(checks.check_id(id), self._filters(filters), options)

    def history(self, id: str) -> builtins.list[Revision]:
        """Return every text that the memory has had, oldest first. Raises NotFoundError."""
        memory_id = checks.check_id(id)
        with self.store.reading() as db:
            found = reads.revisions(db, memory_id)
            if not found:
                raise changes.missing(db, memory_id)
        return found

    def conflicts(self, id: str) -> builtins.list[Revision]:
        """Return the rival texts that devices gave the memory while apart; none when it has one current text.

        update(text=…) settles the conflict. Raises NotFoundError.
        """
        heads = [revision for revision in self.history(id) if revision.head]
        return heads if len(heads) > 1 else []

    def related(self, id: str, rel: str | None = None) -> builtins.list[MemoryRecord]:
        """Return the memories that this one links to, by any relation or only by `rel`. Raises NotFoundError."""
        checks.check_optional_label(rel, "the relation")
        wanted = [link.to for link in self.get(id).links if rel in (None, link.rel)]
        with self.store.reading() as db:
            found = [reads.by_id(db, other) for other in dict.fromkeys(wanted)]
        return [record for record in found if record is not None]

    def scoped(
        self, *, project: str | None = None, agent: str | None = None, conversation: str | None = None
    ) -> ScopedMemory:
        """Return a view of this memory from one scope.

        Reads see the named scopes and `global`; add() writes to the narrowest of them. With a project, the
        conversation is the one in that project: no other project sees it, nor does a view without the project.

        Example:
            >>> acme = memory.scoped(project="acme", conversation="standup")
            >>> acme.add("Ada is on call this week")
        """
        return ScopedMemory(self, project=project, agent=agent, conversation=conversation)

    # Changes

    def subscribe(self, /, callback: Callable[[Change], None], **filters: Unpack[Filters]) -> feed.Subscription:
        """Call `callback` for every change from now on, in a thread of its own, until the subscription is closed.

        The changes are those of this process, other processes and other devices, each when it is durable, in the
        order of their commits. Of a forgotten memory only the space is known: other filters let it through.

        Args:
            callback: Takes one Change. An exception in it is logged, and the next change follows.
            **filters: Filters as for list().
        """
        checks.check_callback(callback, "the callback")
        subscription = self.changes(**filters)
        feed.deliver(subscription, callback)
        return subscription

    def changes(self, /, **filters: Unpack[Filters]) -> feed.Subscription:
        """Return the same changes as subscribe() hears, as an iterator that waits for the next one.

        Example:
            >>> with memory.changes(scope="project/acme") as changes:
            ...     for change in changes:
            ...         print(change.kind, change.id, change.origin)
        """
        return self._feed.subscribe(self._filters(filters))

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
        """Add the memories of a file: the lines that export() writes, or a JSON text a line.

        A memory that is here stays as it is, or is updated by an item with its key. A forgotten memory stays
        forgotten, unless `again`. An expired one is added and hidden.

        Args:
            path: The file, or a binary stream.
            format: `jsonl`; without it, the ending of the file's name decides.
            again: Whether to add forgotten memories again.
            dry_run: Whether only to count.
            progress: Called after every batch with the number of lines done.
            **defaults: Arguments of add() that override the file.

        Returns:
            The counts, and the lines that were refused with the reasons.
        """
        from memcrdt.memory import transfer

        file = transfer.check_file(self.home, path, format, "the file to import")
        if progress is not None:
            checks.check_callback(progress, "progress")
        transfer.check_defaults(self.store, defaults)
        again, dry_run = checks.check_flag(again, "again"), checks.check_flag(dry_run, "dry_run")
        taken = transfer.Import(self.store, self._writer.bring, again=again, dry_run=dry_run)
        return taken.run(file, defaults, progress)

    def export(
        self, /, path: str | os.PathLike[str] | BinaryIO, *, format: str | None = None, **filters: Unpack[Filters]
    ) -> int:
        """Write memories to a file, one a line, without their histories.

        Args:
            path: The file, which is replaced if it is there, or a binary stream.
            format: `jsonl`; without it, the ending of the file's name decides.
            **filters: Filters as for list().

        Returns:
            The number of memories.

        Raises:
            StoreError: The file can't be written. A stream raises its own errors.
        """
        from memcrdt.memory import transfer

        file = transfer.check_file(self.home, path, format, "the file to export to")
        wanted = self._filters(filters)
        if isinstance(file, Path):
            return transfer.export(self.store, file, wanted)
        return transfer.write(self.store, file, wanted)

    def backup(self, path: str | os.PathLike[str]) -> int:
        """Write a copy of the store to a new file, while work goes on. The device's key is not in it.

        Returns:
            The size of the copy in bytes.

        Raises:
            InputError: The file is there already.
            StoreError: The file can't be written.
        """
        return backup.back_up(self.store, check_path(path, "the file for the backup"))

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Put the store back to the state of a backup. Other devices bring back what they have heard of since.

        Raises:
            InputError: The file is not there, or is a store in use.
            SchemaError, CorruptError: The file is no backup.
            LockedError: Another process restores a backup here.
        """
        backup.restore(self.store, check_path(path, "the backup"))

    def doctor(self, *, repair: bool = False, give_up: bool = False) -> DoctorReport:
        """Check every row of the store, and with `repair` put right what can be.

        Args:
            repair: Whether to change anything.
            give_up: Whether to go on without lost rows, instead of waiting for other devices to bring them again.
        """
        from memcrdt.store.recovery import doctor

        repair, give_up = checks.check_flag(repair, "repair"), checks.check_flag(give_up, "give_up")
        return doctor.repair(self.store, give_up=give_up) if repair else doctor.examine(self.store)

    def compact(self) -> compaction.Compacted:
        """Free the space that old versions and forgotten memories take in the file. This happens by itself too."""
        return self.store.using_reserve(lambda: compaction.compact(self.store))

    def stats(self) -> overview.Stats:
        """Count the memories by space, category and kind."""
        with self.store.reading() as db:
            return overview.stats(db, self.store.now_ms())

    def status(self) -> Status:
        """Return the state of the store, of search and of sync. Works without a process that serves."""
        serving = self.sync.serving()
        held = overview.overview(self.store, served=serving is not None)
        return status_of(self.home, held, serving, self.retention.budget(), self._searcher.status())

    def use_model(self, name: str) -> str:
        """Search with another embedder from now on, and note it in config.toml.

        Everything is embedded again in the background, by any process that has the home open. The old vectors answer
        until that is done: see `status().search`.

        Args:
            name: A name that open() takes as `embedder`.

        Returns:
            The full name of the model.

        Raises:
            ModelMissingError: The model is not on this machine.
        """
        return self.models.use(name)

    # Other devices

    def space(self, name: str) -> Space:
        """Return the space of this name. It need not be there: `create()` makes it."""
        return Space(self.store, name)

    def devices(self) -> builtins.list[Device]:
        """Return the other devices that are known here: accepted, revoked, and pending ones, which knocked."""
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
        """Trust a device and share spaces with it. The other device has to accept this one too.

        A second call adds to the first. A device that may only read stays a reader.

        Args:
            device: The id of the device, as people see it or without groups.
            name: What to call it here.
            address: Where it listens, as HOST[:PORT].
            spaces: The spaces to share. Without it: `personal`, unless something is shared with it already.

        Returns:
            The device as it is known now.

        Raises:
            InputError: The id is mistyped or our own, the space is `local`, or the device was revoked from it.
            NotFoundError: A space is not here.
            ReadOnlyError: This device itself may only read a space.
        """
        return self.sync.accept(device, name=name, address=address, spaces=spaces)

    def revoke(self, /, device: str) -> tuple[str, ...]:
        """Stop trusting a device, and take it out of every space in which this device may write, for all members.

        Its connections end within a second, the other members hear of it, and its key never comes back. It keeps what
        it has. Space.revoke() takes it out of one space.

        Raises:
            InputError: The id is mistyped.
            NotFoundError: The device is not known.
        """
        return self.sync.revoke(device)

    def start_sync(self, /, **options: Any) -> None:
        """Run the network in a thread of its own, until stop_sync() or close().

        While another process runs the network of this home, this one stands by.

        Args:
            **options: `host`, `port`, `mdns` and `tailscale`, as for Node.

        Raises:
            InputError: An option is not acceptable.
            LockedError: The address can't be listened at.
        """
        self.sync.start(**options)

    def stop_sync(self) -> None:
        """End what start_sync() began."""
        self.sync.stop()

    def wait_synced(self, *, timeout: float | None = None, peers: Iterable[str] | None = None) -> bool:
        """Sync now, and wait until the other devices within reach hold the same as this one.

        When no process runs the network, this one runs it meanwhile.

        Args:
            timeout: Maximum time to wait, in seconds.
            peers: Ids of devices that must all be reached. Without it: every device within reach.

        Returns:
            Whether all of them were reached and hold the same. `status()` says why not.

        Raises:
            NotFoundError: A device is not known.
        """
        return self.sync.wait(timeout=timeout, peers=peers).synced

    def _filters(self, given: Mapping[str, Any]) -> CheckedFilters:
        """Check filters. Raises InputError, and NotFoundError for a space that is not here."""
        filters = check_filters(given)
        if filters.space:
            with self.store.reading() as db:
                for name in filters.space:
                    space_number(db, name)
        return filters

    def _edge(self, rel: str, to: str) -> tuple[str, str]:
        return checks.check_label(rel, "the relation"), checks.check_id(to)
