"""The other devices: accepted, pending and revoked ones, and the last contact with each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from memcrdt.errors import InputError, NotFoundError
from memcrdt.model.device_ids import shown
from memcrdt.model.scopes import PERSONAL
from memcrdt.store import alarms, clock, meta
from memcrdt.store.base import BaseStore
from memcrdt.store.incarnation import NEW_KEY
from memcrdt.store.membership import receipts
from memcrdt.store.membership.refusals import drop_refusal, note_refusal
from memcrdt.store.membership.sharing import confirm_revocations, share
from memcrdt.store.spaces import shareable_space_number
from memcrdt.store.sql import SqlConnection

ADDRESSES: Final = 8  # the number of addresses remembered for each device
_ALL: Final = (1 << 63) - 1
HUBS: Final = 8  # devices that are remembered as hubs; the last ones
_HUBS: Final = "hubs"
PENDING: Final = 64  # the number of pending devices; a new one replaces the device with the oldest attempt

PeerState: TypeAlias = Literal["accepted", "pending", "revoked"]

_COLUMNS = (
    "device, name, state, public_key, addresses, added_at, seen_at, connected, error, error_at, seen_event, error_event"
)


@dataclass(frozen=True, slots=True)
class PeerConnection:
    """An open connection.

    Attributes:
        via: Which end made it.
        address: The address of the other end.
        since: The time when it was made, in ms.
        found: How the address was found, if we dialed it.
        skew: The other clock minus ours, in ms, or None if the other device doubts its clock.
    """

    via: Literal["dialed", "accepted"]
    address: str
    since: int
    found: str | None = None
    skew: int | None = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another device. Times are in ms.

    Attributes:
        addresses: "host:port", newest first.
        error: A message for the user.
        seen_event: The number of the last contact, in the order of Peers.event(), or 0.
        error_event: The number of the last error, or 0.
    """

    device: str
    name: str | None
    state: PeerState
    public_key: bytes | None
    addresses: tuple[str, ...]
    added_at: int
    seen_at: int | None
    connected: PeerConnection | None
    error: str | None
    error_at: int | None
    seen_event: int = 0
    error_event: int = 0


class Peers:
    """The peers of one store. Every change is durable when its method returns."""

    def __init__(self, store: BaseStore[SqlConnection]) -> None:
        self._store = store

    def all(self) -> list[Peer]:
        """Return every known device in any state, in the order in which they became known."""
        with self._store.reading() as db:
            return all_peers(db)

    def get(self, device: str) -> Peer:
        """Return a device. Raises NotFoundError."""
        with self._store.reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM peers WHERE device = ?", (device,)).fetchone()
        if row is None:
            raise _unknown(device)
        return _peer(row)

    def is_accepted(self, device: str) -> bool:
        """Return whether the device is accepted."""
        with self._store.reading() as db:
            return db.execute("SELECT 1 FROM peers WHERE device = ? AND state = 'accepted'", (device,)).get is not None

    def shares(self) -> frozenset[tuple[int, str]]:
        """Return pairs of a space (its local number) and a device that shares it."""
        with self._store.reading() as db:
            return frozenset(db.execute("SELECT space, device FROM shares"))

    def writers(self) -> frozenset[str]:
        """Return the devices that may write at least one of our spaces."""
        with self._store.reading() as db:
            return frozenset(device for (device,) in db.execute("SELECT device FROM shares WHERE read_only = 0"))

    def hubs(self) -> Mapping[str, int | None]:
        """Return the devices that have said that they are hubs, each with the days of its backups, or None."""
        with self._store.reading() as db:
            return hubs(db)

    def note_hub(self, device: str, is_hub: bool, *, backup_days: int | None = None) -> None:
        """Note whether a device says that it is a hub, and for how many days its backups keep what was forgotten."""
        said = {device: backup_days} if is_hub else {}
        if said.items() == {(each, days) for each, days in self.hubs().items() if each == device}:
            return
        with self._store.writing() as db:
            others = {each: days for each, days in hubs(db).items() if each != device}
            meta.write(db, _HUBS, json.dumps(list({**others, **said}.items())[-HUBS:]))

    def statements(self) -> frozenset[bytes]:
        """Return the ids of all signed statements about members."""
        with self._store.reading() as db:
            return frozenset(bytes(each) for (each,) in db.execute("SELECT id FROM members"))

    def accept(
        self,
        device: str,
        *,
        name: str | None = None,
        address: str | None = None,
        spaces: Iterable[str] = (PERSONAL,),
        read_only: bool = False,
    ) -> None:
        """Trust a device and share further spaces with it.

        This also accepts a pending device, and a revoked device if no other device knows of the revocation.

        Args:
            device: The id of the device.
            name: The name of the device on this machine.
            address: The address to dial.
            spaces: The names of the spaces to share.
            read_only: The device may only read them.

        Raises:
            InputError: A space is `local`. Or the device is this device, was revoked from a space, or is to become
                read-only but may already write.
            NotFoundError: There is no such space.
        """
        if device == self._store.device:
            raise InputError("that is this device's own id; give the id that the other device shows (memcrdt init)")
        with self._store.writing() as db:
            numbers = [shareable_space_number(db, space) for space in spaces]
            db.execute(
                "INSERT INTO peers(device, name, state, added_at) VALUES(?, ?, 'accepted', ?)"
                " ON CONFLICT(device) DO UPDATE SET state = 'accepted', derived = 0, error = NULL, error_at = NULL,"
                " name = coalesce(excluded.name, peers.name)",
                (device, name, self._store.now_ms()),
            )
            drop_refusal(db, device)
            alarms.end_alarms(db, [NEW_KEY])
            for number in numbers:
                share(db, number, device, read_only=read_only)
            if address is not None:
                _remember(db, device, address)

    def revoke(self, device: str) -> None:
        """Stop trusting a device, and remember that. Raises NotFoundError, and InputError for our own id."""
        if device == self._store.device:
            raise InputError("that is this device's own id; to stop sharing a space, run: memcrdt space leave NAME")
        with self._store.writing() as db:
            db.execute("UPDATE peers SET state = 'revoked', connected = NULL WHERE device = ?", (device,))
            _check_changed(db, device)
            confirm_revocations(db, self._store.device, device)
            for table in ("shares", "invited"):
                db.execute(f"DELETE FROM {table} WHERE device = ?", (device,))
            drop_refusal(db, device)

    def forget(self, device: str) -> None:
        """Delete all information about a device, as if we had never met it. Raises NotFoundError."""
        with self._store.writing() as db:
            db.execute("DELETE FROM peers WHERE device = ?", (device,))
            _check_changed(db, device)
            for table in ("shares", "invited"):
                db.execute(f"DELETE FROM {table} WHERE device = ?", (device,))
            receipts.void(db, device)
            drop_refusal(db, device)

    def knocked(self, device: str, public_key: bytes, address: str | None) -> None:
        """Note a connection attempt by a device that is not accepted and has proven its key.

        A revoked device stays revoked. Up to 64 devices are pending: a further one replaces the device whose last
        attempt is the oldest.

        Args:
            device: The id of the device.
            public_key: The public key of the device.
            address: The address where the device listens, or None.
        """
        with self._store.writing() as db:
            now = self._store.now_ms()
            db.execute(
                "INSERT INTO peers(device, state, public_key, added_at, seen_at) VALUES(?, 'pending', ?, ?, ?)"
                " ON CONFLICT(device) DO UPDATE SET seen_at = excluded.seen_at",
                (device, public_key, now, now),
            )
            if address is not None:
                _remember(db, device, address)
            db.execute(
                "DELETE FROM peers WHERE device IN (SELECT device FROM peers WHERE state = 'pending' AND device <> ?"
                " ORDER BY seen_at DESC, device LIMIT ? OFFSET ?)",
                (device, _ALL, PENDING - 1),
            )

    def connected(self, device: str, public_key: bytes, link: PeerConnection, address: str | None = None) -> None:
        """Note an open connection, and the clock of the other device (store/clock.py).

        `address` is where the device listens, or None. It is remembered.
        """
        shown = json.dumps(asdict(link))
        with self._store.writing() as db:
            self._linked(db, device)
            db.execute(
                "UPDATE peers SET public_key = ?, connected = ?, seen_at = ?, seen_event = ?, error = NULL,"
                " error_at = NULL WHERE device = ?",
                (public_key, shown, link.since, _next_event(db), device),
            )
            drop_refusal(db, device)
            clock.compare(db, self._store.now_ms(), link.skew)
            if address is not None:
                _remember(db, device, address)

    def disconnected(self, device: str) -> None:
        """Note that the device is no longer connected."""
        with self._store.writing() as db:
            if self._unlinked(db, device):
                db.execute(
                    "UPDATE peers SET connected = NULL, seen_at = ?, seen_event = ?"
                    " WHERE device = ? AND connected IS NOT NULL",
                    (self._store.now_ms(), _next_event(db), device),
                )

    def all_disconnected(self) -> None:
        """Note that no device is connected: the process that ran the network before may have crashed."""
        with self._store.writing() as db:
            db.execute("UPDATE peers SET connected = NULL WHERE connected IS NOT NULL")

    def _linked(self, db: SqlConnection, device: str) -> None:
        """Note whose connection it is, where several processes run the network."""

    def _unlinked(self, db: SqlConnection, device: str) -> bool:
        """Return whether no other process has a connection to the device."""
        return True

    def failed(self, device: str, message: str) -> None:
        """Keep the last error with the device, a message for the user."""
        with self._store.writing() as db:
            db.execute(
                "UPDATE peers SET error = ?, error_at = ?, error_event = ? WHERE device = ?",
                (message, self._store.now_ms(), _next_event(db), device),
            )

    def refused(self, device: str, by: str) -> None:
        """Note that an accepted device refuses this device because the device `by` revoked it."""
        with self._store.writing() as db:
            note_refusal(db, device, by, self._store.now_ms())

    def agreed(self, device: str, space: str) -> None:
        """Note that the device and this store now have the same content of the space (its id)."""
        with self._store.writing() as db:
            db.execute(
                "UPDATE shares SET agreed_at = ?, agreed_event = ?"
                " WHERE device = ? AND space = (SELECT space FROM spaces WHERE id = ?)",
                (self._store.now_ms(), _next_event(db), device, space),
            )

    def ask_to_sync(self) -> int:
        """Ask the process that runs the network to compare with every device at once. Return the number of the event.

        Events have ascending numbers, whatever the clock does: a contact, an error, an agreement, and this request.
        """
        with self._store.writing() as db:
            event = _next_event(db)
            meta.write(db, "sync_asked", event)
        return event

    def asked_to_sync(self) -> int:
        """Return the number of the last ask_to_sync()."""
        with self._store.reading() as db:
            return int(meta.read(db, "sync_asked") or 0)

    def event(self) -> int:
        """Return the number of the last event. Later ones are greater."""
        with self._store.reading() as db:
            return _last_event(db)

    def alarm(self, text: str) -> None:
        """Raise an alarm for the user about an event."""
        with self._store.writing() as db:
            alarms.raise_alarm(db, self._store.now_ms(), text)

    def remember_address(self, device: str, address: str) -> None:
        """Put an address first in the list of addresses to dial. Raises NotFoundError."""
        with self._store.writing() as db:
            _remember(db, device, address)


def all_peers(db: SqlConnection) -> list[Peer]:
    """Return every known device in any state, in the order in which they became known."""
    return [_peer(row) for row in db.execute(f"SELECT {_COLUMNS} FROM peers ORDER BY added_at, device")]


def hubs(db: SqlConnection) -> dict[str, int | None]:
    """Return the devices that have said that they are hubs, each with the days of its backups, or None."""
    return {str(device): days for device, days in json.loads(str(meta.read(db, _HUBS) or "[]"))}


def _last_event(db: SqlConnection) -> int:
    return int(meta.read(db, "sync_events") or 0)


def _next_event(db: SqlConnection) -> int:
    event = _last_event(db) + 1
    meta.write(db, "sync_events", event)
    return event


def _remember(db: SqlConnection, device: str, address: str) -> None:
    stored = db.execute("SELECT addresses FROM peers WHERE device = ?", (device,)).get
    if stored is None:
        raise _unknown(device)
    others = [known for known in json.loads(stored) if known != address]
    newest = json.dumps([address, *others][:ADDRESSES])
    if newest != stored:
        db.execute("UPDATE peers SET addresses = ? WHERE device = ?", (newest, device))


def _check_changed(db: SqlConnection, device: str) -> None:
    if not db.changes():
        raise _unknown(device)


def _unknown(device: str) -> NotFoundError:
    return NotFoundError(f"no device {shown(device)} is known here; `memcrdt peers` lists the known devices")


def _peer(row: tuple[Any, ...]) -> Peer:
    device, name, state, public_key, addresses, added_at, seen_at, connected, *problem = row
    link = None if connected is None else PeerConnection(**json.loads(connected))
    return Peer(device, name, state, public_key, tuple(json.loads(addresses)), added_at, seen_at, link, *problem)
