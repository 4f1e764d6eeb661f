"""What a store has to hold after writes of which some were acknowledged and some were cut off."""

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

Texts: TypeAlias = dict[str, str | None]  # by id; None where the memory is not there


class LostError(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class Expected:
    """`shown` was acknowledged, or shown to somebody; what was begun and cut off may stand in its place."""

    shown: Texts = field(default_factory=dict)
    begun: dict[str, set[str | None]] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)  # texts of memories whose ids were never told

    def begin(self, memory_id: str | None, text: str | None) -> None:
        """A memory is about to be added (no id yet), to get another text, or to be forgotten (None)."""
        if memory_id is None:
            self.added.add(str(text))
        else:
            self.begun.setdefault(memory_id, set()).add(text)

    def acknowledge(self, memory_id: str, text: str | None) -> None:
        """That has been done."""
        self.shown[memory_id] = text
        self.begun.pop(memory_id, None)
        self.added.discard(str(text))

    def show(self, found: Texts) -> None:
        """Somebody was shown this: so it has to be durable."""
        self.shown.update(dict.fromkeys(self.shown.keys() - found.keys()))
        self.shown.update(found)

    def check(self, found: Texts, where: str) -> None:
        """Raises LostError if this can't be what was written."""
        for memory_id, text in self.shown.items():
            there = found.get(memory_id)
            if there != text and there not in self.begun.get(memory_id, ()):
                raise LostError(f"{where}: {memory_id} is {there!r} and has to be {text!r}")
        strange = [text for memory_id, text in found.items() if memory_id not in self.shown and text not in self.added]
        if strange:
            raise LostError(f"{where}: {strange} was never written")


def open_memory(home: Path, vfs: str | None = None) -> Memory:
    """The real Memory over the store in `home`, without vectors and network."""
    index = SearchIndex(None)
    store = Store(home, _DEVICE, index, StoreOptions(vfs=vfs, marks=home / "marks"))
    return Memory(home, store, Offline, pairing=Offline, searcher=Searcher(store, index), config=Config())


def texts_of(memory: Memory) -> Texts:
    """The text of each memory that is there."""
    with memory.store.reading() as db:
        return {str(memory_id): str(text) for memory_id, text in db.execute("SELECT id, text FROM memories")}
