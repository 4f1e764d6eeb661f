"""The contents that a store must have after a mix of acknowledged and interrupted writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from memcrdt.config import Config
from memcrdt.memory.memory import Memory
from memcrdt.memory.offline import Offline
from memcrdt.search import SearchIndex
from memcrdt.search.searcher import Searcher
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.store import Store

_DEVICE: Final = "P" * 52

Texts: TypeAlias = dict[str, str | None]  # by id; None for a memory that does not exist


class LostError(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class Expected:
    """The contents that a store must and may have.

    Attributes:
        shown: Texts that were acknowledged or returned by a read.
        begun: Interrupted changes, which may have replaced shown texts.
        added: Texts of memories whose ids were never returned.
    """

    shown: Texts = field(default_factory=dict)
    begun: dict[str, set[str | None]] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)

    def begin(self, memory_id: str | None, text: str | None) -> None:
        """Note that a memory is about to be added (no id yet), changed, or forgotten (text None)."""
        if memory_id is None:
            self.added.add(str(text))
        else:
            self.begun.setdefault(memory_id, set()).add(text)

    def acknowledge(self, memory_id: str, text: str | None) -> None:
        """Note that the change was acknowledged."""
        self.shown[memory_id] = text
        self.begun.pop(memory_id, None)
        self.added.discard(str(text))

    def show(self, found: Texts) -> None:
        """Note that a read returned these texts, so they must be durable."""
        self.shown.update(dict.fromkeys(self.shown.keys() - found.keys()))
        self.shown.update(found)

    def check(self, found: Texts, where: str) -> None:
        """Raise LostError if the store cannot have these texts after the noted writes."""
        for memory_id, text in self.shown.items():
            there = found.get(memory_id)
            if there != text and there not in self.begun.get(memory_id, ()):
                raise LostError(f"{where}: {memory_id} is {there!r} but must be {text!r}")
        strange = [text for memory_id, text in found.items() if memory_id not in self.shown and text not in self.added]
        if strange:
            raise LostError(f"{where}: {strange} was never written")


def open_memory(home: Path, vfs: str | None = None) -> Memory:
    """Open a real Memory over the store in `home`, without vectors and without a network."""
    index = SearchIndex(None)
    store = Store(home, _DEVICE, index, StoreOptions(vfs=vfs, marks=home / "marks"))
    return Memory(home, store, Offline, pairing=Offline, searcher=Searcher(store, index), config=Config())


def texts_of(memory: Memory) -> Texts:
    """Return the text of each memory in the store."""
    with memory.store.reading() as db:
        return {str(memory_id): str(text) for memory_id, text in db.execute("SELECT id, text FROM memories")}
