"""The peers of a hub, whose processes share the work of staying connected.

Another device keeps one connection to a hub, as to any device. So one process has it, and only that process may end it
in the table of peers. A lease in the database says which process that is. A process that wants to dial a device takes
the lease first, so no device is dialed by two. A device that dials the hub itself reaches any process, and that process
takes the lease over. Leases end by the clock of the database, so one of a killed process is free a minute later.
"""

from __future__ import annotations

import time
from typing import Final

from memcrdt.hub.store import PostgresStore
from memcrdt.store.membership.peers import PeerConnection, Peers
from memcrdt.store.sql import SqlConnection

LEASE_S: Final = 60  # longer than the longest pause between two dials of a device
AGREED_S: Final = 60.0  # between two notes that a device agrees
RENEW_S: Final = 15.0  # between two renewals: three may fail

_UNTIL: Final = f"clock_timestamp() + interval '{LEASE_S} s'"
_TAKE: Final = f"""
INSERT INTO leases(device, process, connected, until) VALUES(?, ?, ?, {_UNTIL})
ON CONFLICT(device) DO UPDATE SET process = excluded.process, connected = excluded.connected, until = excluded.until"""
_TAKE_IF_FREE: Final = f"{_TAKE} WHERE leases.process = excluded.process OR leases.until < clock_timestamp()"
_RENEW: Final = f"UPDATE leases SET until = {_UNTIL} WHERE process = ? AND connected = 1"
_DROP: Final = "DELETE FROM leases WHERE device = ? AND process = ?"
_DROP_ALL: Final = "DELETE FROM leases WHERE process = ? OR until < clock_timestamp()"
_DROP_OLD: Final = "DELETE FROM leases WHERE connected = 1 AND until < clock_timestamp()"
_DISCONNECT: Final = """
UPDATE peers SET connected = NULL
WHERE connected IS NOT NULL AND device NOT IN (SELECT device FROM leases WHERE connected = 1)"""
_CONNECTED: Final = "SELECT device, process FROM leases WHERE connected = 1 AND until > clock_timestamp()"


class HubPeers(Peers):
    """The peers of one process of a hub.

    Args:
        store: The store.
    """

    def __init__(self, store: PostgresStore) -> None:
        super().__init__(store)
        self._hub = store
        self._agreed_at: dict[tuple[str, str], float] = {}

    def may_dial(self, device: str) -> bool:
        """Take the lease of a device, to dial it. Return whether no other process has it."""
        with self._hub.writing_unsynced() as db:
            db.execute(_TAKE_IF_FREE, (device, self._hub.boot, False))
            return db.changes() > 0

    def renew(self) -> bool:
        """Keep the leases of this process's connections, and note the end of those that a killed process had.

        Returns:
            Whether there were any.
        """
        with self._hub.writing_unsynced() as db:
            db.execute(_RENEW, (self._hub.boot,))
            is_over = db.execute(f"{_DROP_OLD} RETURNING 1").fetchone() is not None
        if is_over:
            with self._hub.writing() as db:
                db.execute(_DISCONNECT)
        return is_over

    def all_disconnected(self) -> None:
        """Note that this process has no connection, and neither has a process that was killed long ago."""
        with self._hub.writing() as db:
            db.execute(_DROP_ALL, (self._hub.boot,))
            db.execute(_DISCONNECT)

    def connected(self, device: str, public_key: bytes, link: PeerConnection, address: str | None = None) -> None:
        """Note an open connection, but no address: behind a balancer, all connections come from the balancer's.

        A hub dials a device at the address that the user gave, or that was told in pairing.
        """
        super().connected(device, public_key, link)

    def knocked(self, device: str, public_key: bytes, address: str | None) -> None:
        """Note a connection attempt by a device that is not accepted, but no address, as `connected` does."""
        super().knocked(device, public_key, None)

    def agreed(self, device: str, space: str) -> None:
        """Note that the device and this store have the same content of the space, at most once a minute.

        A hub compares many spaces with many devices, and each note wakes all of its processes.
        """
        now = time.monotonic()
        if now - self._agreed_at.get((device, space), -AGREED_S) >= AGREED_S:
            self._agreed_at[device, space] = now
            super().agreed(device, space)

    def processes(self) -> dict[str, str]:
        """Return the process that each connected device is connected to."""
        with self._hub.reading() as db:
            return {str(device): str(process) for device, process in db.execute(_CONNECTED)}

    def _linked(self, db: SqlConnection, device: str) -> None:
        db.execute(_TAKE, (device, self._hub.boot, True))

    def _unlinked(self, db: SqlConnection, device: str) -> bool:
        db.execute(_DROP, (device, self._hub.boot))
        return db.changes() > 0


def connected_devices(db: SqlConnection) -> frozenset[str]:
    """Return the devices that are connected to a process of the hub."""
    return frozenset(str(device) for device, _ in db.execute(_CONNECTED))
