"""`memory.forget_status()`: which devices have confirmed that nothing is left of forgotten memories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from memcrdt.errors import InputError
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.model.values import from_ms
from memcrdt.store import reads
from memcrdt.store.indexer import SqlConnection
from memcrdt.store.membership import receipts
from memcrdt.store.membership.peers import Peers
from memcrdt.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetProgress(Record):
    """How far another device is with forgetting.

    Attributes:
        device: The device id.
        name: The local name of the device.
        left: The number of these memories without its confirmation that no byte is left in its file.
        seen_at: The time of the last contact.
    """

    device: str
    name: str | None
    left: int
    seen_at: UtcTime | None


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


def forget_status(store: Store, ids: Sequence[str] | None) -> ForgetStatus:
    """Return the state of forgetting these memories, or all. Memory.forget_status() has the contract."""
    peers = {peer.device: peer for peer in Peers(store).all()}
    with store.reading() as db:
        if ids is not None:
            _check_forgotten(db, ids)
        left: Mapping[str, int] = receipts.left_of(db, ids) if ids is not None else receipts.left_of_all(db)
        count = len(set(ids)) if ids is not None else int(db.execute("SELECT count(*) FROM graves").get)
        is_pending = receipts.is_pending(db, ids) if ids is not None else receipts.is_any_pending(db)
    found = (
        ForgetProgress(
            device=device,
            name=peers[device].name,
            left=missing,
            seen_at=None if (seen := peers[device].seen_at) is None else from_ms(seen),
        )
        for device, missing in left.items()
    )
    return ForgetStatus(forgotten=count, status="pending" if is_pending else "done", devices=tuple(found))


def _check_forgotten(db: SqlConnection, ids: Sequence[str]) -> None:
    """Raise InputError for a memory that is still here, and NotFoundError for one that never was."""
    for memory_id in ids:
        if not reads.is_forgotten(db, memory_id):
            if reads.place_of(db, memory_id) is None:
                raise reads.missing(db, memory_id)
            raise InputError(f"the memory {memory_id} is not forgotten; `forget` forgets it")
