"""A bare device whose store is in PostgreSQL: one process of a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memcrdt.hub.store import PostgresStore
from memcrdt.node.store_replica import StoreReplica
from tests.bare_device import BareDevice


class HubDevice(BareDevice):
    """A BareDevice with another store. Every method that a test calls is the same."""

    def __init__(self, home: Path, name: str, dsn: str, **options: Any) -> None:
        self.dsn = dsn
        super().__init__(home, name, **options)

    def open(self) -> None:
        self.store = PostgresStore(self.dsn, self.id, self.options, indexer=self.indexer)  # type: ignore[assignment]
        self.replica = StoreReplica(self.store)

    def use_client(self, client_id: int) -> None:
        """Make later writes of this process under this client id."""
        incarnation, epoch, _ = self.store._client
        self.store._client = incarnation, epoch, client_id
        super().use_client(client_id)
