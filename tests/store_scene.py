"""The scene of the contract of replicas with a store behind it, in a file or in a database."""

from __future__ import annotations

from collections.abc import Callable

from memcrdt.store import compaction, log
from memcrdt.store.membership.peers import Peers
from tests.bare_device import BareDevice


class StoreScene:
    """A device that is shared with one other, whose id repeats a letter. `make` opens devices by their letter."""

    def __init__(self, make: Callable[[str], BareDevice], name: str, peer: str) -> None:
        self._make = make
        self._device = make(name)
        self.replica, self.device, self.peer = self._device.replica, self._device.id, peer
        self.space = self._device.space()
        Peers(self._device.store).accept(peer)

    def write(self, text: str) -> None:
        self._device.add(text)

    def delete(self, text: str) -> None:
        self._device.forget(*(memory_id for memory_id, found in self._device.texts().items() if found == text))

    def fold(self) -> None:
        with self._device.store.writing_documents() as (db, documents):
            for shard in log.shard_numbers(db):
                compaction.fold(db, documents, shard)

    def texts(self) -> set[str]:
        return set(self._device.texts().values())

    def other(self) -> StoreScene:
        return StoreScene(self._make, self.peer[0], self.device)
