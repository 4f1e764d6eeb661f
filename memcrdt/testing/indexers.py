"""The contract of every Indexer: a test class to inherit from."""

from __future__ import annotations

from contextlib import closing
from typing import Final

import pytest

from memcrdt.config import Config
from memcrdt.memory.memory import Memory
from memcrdt.memory.offline import Offline
from memcrdt.model.requests import check_add
from memcrdt.search import SearchIndex
from memcrdt.search.searcher import Searcher
from memcrdt.store import changes
from memcrdt.store.base import AnyStore
from memcrdt.store.indexer import Indexer, IndexRow, NewText
from memcrdt.store.location import MemoryLocation
from memcrdt.store.recovery import rebuild
from memcrdt.store.store import Store, in_file
from memcrdt.store.transaction import Transaction

TEXTS: Final = (
    "Deploys go out on Tuesdays",
    "The cat sleeps on the sofa",
    "a\0b",
    "שלום \N{FAMILY} e\u0301",
    "word " * 3_000,
)
_DEVICE: Final = "A" * 52


class IndexerAcceptance:
    """The tests. Inherit from the class, and give it a fixture `indexer` that returns a fresh Indexer.

    The doctor checks the result: it compares the indexes with indexes rebuilt from the same memories.
    """

    def test_it_follows_every_change(self, indexer: Indexer) -> None:
        """Texts are added, changed, moved and forgotten. Any text of a memory is accepted."""
        with closing(_memory(indexer)) as memory:
            first, second, *_ = memory.add_many(TEXTS)
            memory.update(first, text="Deploys go out on Wednesdays", author="bot")
            memory.update(second, add_tags=["pets"], importance=0.5)
            memory.rename_scope("global", "project/acme")
            memory.move(second, space="local")
            memory.forget(first)
            memory.add("another one", author="agent")
            assert memory.doctor().problems == ()

    def test_texts_that_were_not_prepared_are_indexed(self, indexer: Indexer) -> None:
        """A merge can restore texts that no caller prepared."""
        with closing(_memory(indexer)) as memory:
            memory.store.commit(_adding(memory.store, *TEXTS))
            assert memory.doctor().problems == ()

    def test_a_commit_that_fails_leaves_the_indexes_as_they_were(self, indexer: Indexer) -> None:
        """The next commit is indexed."""
        with closing(_memory(indexer)) as memory:
            memory.add(TEXTS[0])

            def fail(transaction: Transaction) -> None:
                _adding(memory.store, TEXTS[1])(transaction)
                transaction.finish()
                raise RuntimeError("nothing of this happened")

            with pytest.raises(RuntimeError, match="nothing of this"):
                memory.store.commit(fail, prepared=indexer.prepare([NewText(TEXTS[1])]))
            memory.add(TEXTS[2])
            assert memory.doctor().problems == ()

    def test_a_change_that_is_rolled_back_after_it_was_indexed_is_gone(self, indexer: Indexer) -> None:
        """The indexes are part of the transaction of the caller."""
        with closing(_memory(indexer)) as memory:
            memory.add(TEXTS[0])
            row = IndexRow(1_000_000, "never there", "global", 1, None, None)

            def fail() -> None:
                with memory.store.writing() as db:
                    indexer.replace(db, [], [row], indexer.prepare([row]))
                    raise RuntimeError("rolled back")

            with pytest.raises(RuntimeError, match="rolled back"):
                fail()
            assert memory.doctor().problems == ()

    def test_what_is_taken_out_leaves_nothing_behind(self, indexer: Indexer) -> None:
        """Added and removed rows leave no trace."""
        with closing(_memory(indexer)) as memory:
            kept = memory.add(TEXTS[0])
            memory.forget(memory.add(TEXTS[1]))
            memory.update(kept, text="for a moment")
            memory.update(kept, text=TEXTS[0])
            assert memory.doctor().problems == ()

    def test_the_indexes_can_be_rebuilt_at_any_time(self, indexer: Indexer) -> None:
        """Rebuilt indexes equal the indexes that were updated live."""
        with closing(_memory(indexer)) as memory:
            memory.add_many(TEXTS)
            assert rebuild.reindex(in_file(memory.store)) == len(TEXTS)
            assert memory.doctor().problems == ()
            with memory.store.writing() as db:
                indexer.clear(db)
                indexer.clear(db)
            rebuild.reindex(in_file(memory.store))
            assert memory.doctor().problems == ()

    def test_calls_without_anything_to_do_are_harmless(self, indexer: Indexer) -> None:
        """No texts, no rows, and no earlier commit."""
        indexer.committed()
        with closing(_memory(indexer)) as memory:
            with memory.store.writing() as db:
                indexer.replace(db, [], [], indexer.prepare([]))
                indexer.clear(db)
                assert not indexer.erase_removed(db)
                assert list(indexer.problems(db)) == []
            indexer.committed()
            assert memory.doctor().problems == ()


def _memory(indexer: Indexer) -> Memory:
    store = Store(MemoryLocation(), _DEVICE, indexer)
    return Memory(None, store, Offline, pairing=Offline, searcher=Searcher(store, SearchIndex(None)), config=Config())


def _adding(store: AnyStore, *texts: str) -> changes.Adding:
    return changes.Adding([check_add(text, {}, store.now_ms()) for text in texts], changes.Ulids())
