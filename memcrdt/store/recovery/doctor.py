"""Examine a store, and repair it.

The log is the source of truth, and the views can be rebuilt from it. But the views are all that is left of lost rows of
the log. So a repair first restores lost rows from the views, and only then rebuilds the views.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from memcrdt.errors import CorruptError
from memcrdt.model.serialization import Record
from memcrdt.store import log, supersession
from memcrdt.store.files import FILE
from memcrdt.store.log import ShardRow
from memcrdt.store.recovery import damage, file_check, rebuild, salvage, text_repair
from memcrdt.store.vector_forms import load_vector_functions

if TYPE_CHECKING:
    from memcrdt.store.store import Store


@dataclass(frozen=True, slots=True)
class DoctorReport(Record):
    """The findings of doctor, in plain words.

    Attributes:
        problems: The damage found.
        done: The repairs made.
        notes: Remarks that are not about damage.
        left: The problems that a repair could not solve.
    """

    problems: tuple[str, ...]
    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def examine(store: Store) -> DoctorReport:
    """Examine everything and change nothing."""
    return DoctorReport(tuple(_problems(store)), notes=_notes())


def repair(store: Store, *, give_up: bool = False) -> DoctorReport:
    """Repair the store as far as possible.

    A file that SQLite cannot read everywhere is salvaged. Damaged rows are set aside. Rows that build on them wait
    until other devices send the lost rows again. If there are no other devices, or with `give_up`, the waiting rows are
    set aside too, and their content is restored from the views. In both cases the store takes a new client id, because
    other devices may have a lost row.
    """
    problems = list(_problems(store))
    done: list[str] = []
    if file_check.file_problems(store.path, store.location.vfs):
        with store.location.writing():
            done += salvage.salvage(store.path, store.location.vfs)
        store.content_replaced()
        problems += _problems(store)
    with store.writing() as db:
        if count := text_repair.repair(db):
            done.append(f"made {count:,} texts of the views readable")
    done += _set_aside_damaged(store)
    rebuild.assign_homes(store)
    done += _resume_all(store)
    if give_up or is_alone(store):
        done += _give_up(store)
    corrected = rebuild.correct_views(store)
    if corrected:
        done.append(f"rebuilt the views of {corrected:,} memories from the log")
    if corrected or done or any(_index_problems(store)):
        done.append(f"rebuilt the indexes of {rebuild.reindex(store):,} memories")
    left = tuple(_problems(store)) if problems or done else ()
    return DoctorReport(tuple(problems), tuple(done), _notes(), left)


def examine_file(home: Path) -> DoctorReport:
    """Examine the file of a store that cannot be opened."""
    return DoctorReport(tuple(f"the file is damaged: {line}" for line in file_check.file_problems(home / FILE)))


def repair_file(home: Path) -> DoctorReport:
    """Repair the file of a store that cannot be opened. Then open it and call repair().

    Raises:
        CorruptError: No memory is found in the file.
    """
    found = examine_file(home)
    if not found.problems:
        return found
    mend = salvage.salvage if file_check.has_readable_schema(home / FILE) else salvage.salvage_unlisted
    return DoctorReport(found.problems, mend(home / FILE))


def _notes() -> tuple[str, ...]:
    with closing(apsw.Connection(":memory:")) as db:
        if load_vector_functions(db):
            return ()
    return (
        "the extension sqlite-vec is missing or cannot be loaded: numpy compares the vectors of embedders that do not"
        " come with memcrdt instead, which is slower; install sqlite-vec if your platform has a wheel",
    )


def _problems(store: Store) -> Iterator[str]:
    if lines := file_check.file_problems(store.path, store.location.vfs):
        yield from (f"the file is damaged: {line}" for line in lines)
        return  # the rest can be examined when the whole file can be read
    with store.reading() as db:
        shards = [log.shard_row(db, shard) for shard in log.shard_numbers(db)]
        if count := len(list(text_repair.unreadable_texts(db))):
            yield f"{count:,} texts of the views are no longer valid UTF-8"
            return  # reading them would fail
        bad = [each for row in shards for each in damage.damaged_rows(db, row.shard)]
    for each in bad:
        yield f"{each.kind} {each.seq} of shard {each.shard} {each.reason}"
    for row in shards:
        yield from _shard_problems(store, row)
    with store.reading() as db:
        if count := rebuild.count_orphans(db):
            yield f"{count:,} rows of the views belong to no memory"
        if count := supersession.wrong(db):
            yield f"{count:,} memories in circles of supersession are shown or hidden by mistake"
    yield from _index_problems(store)


def _shard_problems(store: Store, row: ShardRow) -> Iterator[str]:
    if row.damaged:
        yield (
            f"shard {row.shard} waits for other devices to send lost rows; "
            "give them up to continue without them (give_up=True in Python, --give-up on the command line)"
        )
    try:
        with store.documents() as (db, documents), rebuild.empty_store() as beside:
            documents.drop(row.shard)  # a document in memory may differ from the file
            now = log.shard_row(db, row.shard)
            live = documents.current(db, now).live
            ids = rebuild.differing_memories(db, documents, now, beside)
            if live.state_vector() != log.state_vector_of(now) or live.births != now.births:
                yield f"the document of shard {row.shard} differs from its row in the table of shards"
    except CorruptError as exc:
        yield f"shard {row.shard} cannot be loaded: {exc}"
        return
    if ids:
        yield f"the views of {len(ids):,} memories of shard {row.shard} differ from the log"


def _index_problems(store: Store) -> Iterator[str]:
    """Compare the indexes with a new index of all memories, and find memories without a vector."""
    with store.reading() as db, rebuild.empty_store() as beside:
        db.execute("BEGIN")
        try:
            for rows in rebuild.pages(db):
                store.indexer.replace(beside, [], rows, store.indexer.prepare(rows))
            for what, sql in _INDEXED.items():
                wanted, found = (set(each.execute(sql)) for each in (beside, db))
                if wanted != found:
                    yield f"the index has {len(found - wanted):,} {what} too many and lacks {len(wanted - found):,}"
            yield from store.indexer.problems(db)
        except apsw.CorruptError as exc:
            yield f"the index is damaged: {exc}"
        finally:
            db.execute("ROLLBACK")


_INDEXED: Final = {
    "words": "SELECT term, doc FROM vocabulary",
    # The second model comes later, and not to every store.
    "memories": "SELECT passage / 256 FROM vectors JOIN models USING(model) WHERE NOT second UNION "
    "SELECT memory FROM waiting JOIN models USING(model) WHERE NOT second",
}


def _set_aside_damaged(store: Store) -> Iterator[str]:
    with store.reading() as db:
        shards = log.shard_numbers(db)
    for shard in shards:
        if found := damage.set_aside(store, shard):
            yield f"resumed without {found}, and took a new client id"


def is_alone(store: Store) -> bool:
    """Return whether there is no other device that could send lost rows again."""
    with store.reading() as db:
        return db.execute("SELECT 1 FROM peers WHERE state = 'accepted'").fetchone() is None


def _resume_all(store: Store) -> Iterator[str]:
    with store.reading() as db:
        shards = log.shard_numbers(db, "damaged = 1")
    for shard in shards:
        yield damage.resume(store, shard)


def _give_up(store: Store) -> Iterator[str]:
    with store.reading() as db:
        shards = log.shard_numbers(db, "damaged = 1")
    for shard in shards:
        with store.writing_documents() as (db, documents):
            document = documents.current(db, log.shard_row(db, shard))
            waiting = set(document.waiting)
            rows = [row.seq for row in log.updates_after(db, shard, 0) if row.update in waiting]
            for seq in rows:
                log.set_aside(db, shard, seq, "update", store.now_ms())
            documents.drop(shard)
        yield f"gave up {len(rows)} rows of shard {shard} that build on lost rows"
        yield damage.resume(store, shard)
