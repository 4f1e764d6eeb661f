"""`memory.forget_status()`: which devices have confirmed that nothing is left of forgotten memories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from memcrdt.errors import InputError
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.model.values import from_ms
from memcrdt.store import reads
from memcrdt.store.base import AnyStore
from memcrdt.store.membership import receipts
from memcrdt.store.membership.peers import Peers, hubs
from memcrdt.store.sql import SqlConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetProgress(Record):
    """How far another device is with forgetting.

    Attributes:
        device: The device id.
        name: The local name of the device.
        left: The number of these memories without its confirmation that no byte is left in its file.
        seen_at: The time of the last contact.
        live_left: For a hub, the number of these memories that it has not confirmed to have forgotten in its live
            database. Its log and its backups keep bytes for longer, so `left` stays. None for other devices.
        backup_days: For how many days the backups of a hub keep what was forgotten; None if it does not say.
    """

    device: str
    name: str | None
    left: int
    seen_at: UtcTime | None
    live_left: int | None = None
    backup_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetStatus(Record):
    """How far forgetting is, here and on other devices.

    Attributes:
        forgotten: The number of forgotten memories that this is about.
        status: "pending" while bytes of the memories remain in this store because a reader is still open.
        devices: The accepted devices that share the memories' spaces.
    """

    forgotten: int
    status: Literal["done", "pending"]
    devices: tuple[ForgetProgress, ...]


def forget_status(store: AnyStore, ids: Sequence[str] | None) -> ForgetStatus:
    """Return the state of forgetting these memories, or all. Memory.forget_status() has the contract."""
    peers = {peer.device: peer for peer in Peers(store).all()}
    with store.reading() as db:
        if ids is not None:
            _check_forgotten(db, ids)
        left: Mapping[str, int] = receipts.left_of(db, ids) if ids is not None else receipts.left_of_all(db)
        count = len(set(ids)) if ids is not None else int(db.execute("SELECT count(*) FROM graves").get)
        known_hubs = {device: days for device, days in hubs(db).items() if device in left}
        live = receipts.left_of(db, ids, "seq") if ids is not None else _live_left(db, known_hubs)
        is_pending = receipts.is_pending(db, ids) if ids is not None else receipts.is_any_pending(db)
    found = (
        ForgetProgress(
            device=device,
            name=peers[device].name,
            left=missing,
            seen_at=None if (seen := peers[device].seen_at) is None else from_ms(seen),
            live_left=live[device] if device in known_hubs else None,
            backup_days=known_hubs.get(device),
        )
        for device, missing in left.items()
    )
    return ForgetStatus(forgotten=count, status="pending" if is_pending else "done", devices=tuple(found))


def _live_left(db: SqlConnection, devices: Iterable[str]) -> dict[str, int]:
    return {device: receipts.to_forget(db, device) for device in devices}


def _check_forgotten(db: SqlConnection, ids: Sequence[str]) -> None:
    """Raise InputError for a memory that is still here, and NotFoundError for one that never was."""
    for memory_id in ids:
        if not reads.is_forgotten(db, memory_id):
            if reads.place_of(db, memory_id) is None:
                raise reads.missing(db, memory_id)
            raise InputError(f"the memory {memory_id} is not forgotten; `forget` forgets it")
