"""Introductions: a device proves to a member that does not know it that both belong to the same space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgpack

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.device_ids import DEVICE_ID_CHARS
from memcrdt.model.membership import chain, vouches
from memcrdt.model.statements import unpack
from memcrdt.store.base import BaseStore
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.statement_store import checked
from memcrdt.store.sql import SqlConnection

STATEMENTS: Final = 4  # maximum in one introduction; a frame has room for about this number


class Introductions:
    """The introductions that one store sends and receives."""

    def __init__(self, store: BaseStore[SqlConnection]) -> None:
        self._store = store
        self._members = Members(store)

    def to(self, device: str, limit: int) -> bytes | None:
        """Return a proof for the device that we are a member of one of its spaces, or None.

        Args:
            device: The id of the device.
            limit: The maximum size in bytes.
        """
        for space in self._shared_with(device):
            genesis, packed = self._members.roll(space)
            found = genesis and chain(genesis.creator, self._store.device, [unpack(each) for each in packed])
            if found:
                frame: bytes = msgpack.packb([space, [each.packed() for each in found]])
                if len(found) <= STATEMENTS and len(frame) <= limit:
                    return frame
        return None

    def take(self, device: str, frame: bytes) -> bool:
        """Add the statements of a valid introduction. Return whether its device is now accepted.

        Raises:
            RemoteProtocolError: The introduction is malformed.
        """
        space, packed = _unpacked(frame)
        genesis, known = self._members.roll(space)
        if genesis is None:
            return False
        presented = [checked(each, space) for each in packed]
        if not vouches(genesis.creator, [unpack(each) for each in known], presented, device):
            return False
        self._members.learn(space, packed)
        return Peers(self._store).is_accepted(device)

    def revoker_of(self, device: str) -> str | None:
        """Return the device that revoked `device`, our own id if no statement does, or None if it is not revoked."""
        with self._store.reading() as db:
            if db.execute("SELECT 1 FROM peers WHERE device = ? AND state = 'revoked'", (device,)).get is None:
                return None
            for (data,) in db.execute("SELECT statement FROM members ORDER BY space, id"):
                statement = unpack(bytes(data))
                if statement.claim.kind == "revoke" and statement.claim.device == device:
                    return statement.by
        return self._store.device

    def _shared_with(self, device: str) -> Iterator[str]:
        with self._store.reading() as db:
            rows = list(db.execute("SELECT id FROM spaces JOIN shares USING(space) WHERE device = ?", (device,)))
        return (str(space) for (space,) in rows)


def _unpacked(frame: bytes) -> tuple[str, list[bytes]]:
    try:
        match msgpack.unpackb(frame, max_array_len=STATEMENTS, max_map_len=0, max_ext_len=0, max_bin_len=len(frame)):
            case [str(space), [*packed]] if len(space) == DEVICE_ID_CHARS and all(type(p) is bytes for p in packed):
                return space, packed
    except (ValueError, msgpack.UnpackException) as exc:
        raise RemoteProtocolError("an introduction is not valid msgpack, or exceeds the limits") from exc
    raise RemoteProtocolError("an introduction is not a space and statements of its members")
