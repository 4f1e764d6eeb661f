"""Registers that an update from outside must not take away.

Anyone who may write a space can send blocks under a client id of this store: a clock that is claimed before our own
block arrives keeps that block out of a document for good, and the document's deletes then remove it from ours. So
three rules protect what this store has acknowledged:

- A present client id that others use is given up (`ImpostorError`). The update is applied afterwards.
- Registers that stand under a client id with forged blocks are written again, because other devices may lack them.
- A register that an update deletes is written again, unless a tombstone or pruning explains it. Newer values replace
  registers, and need no deletion.

They are written in a way that depends on no block before them (Shard.restate). A few bytes can take a whole shard away,
so what one device takes away is written again only so often (`RewriteBudget`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import edits, registers
from memcrdt.model.ids import ULID_CHARS
from memcrdt.model.registers import Registers

if TYPE_CHECKING:
    from memcrdt.crdt.scan import Scan
    from memcrdt.crdt.shard import Shard

REWRITES: Final = 128  # at once, for one device: two stores that wrote under one client id may need one for each shard
REWRITE_EVERY_MS: Final = 60_000  # then: one rewrite is up to 1 MiB for each device, and an asserting client id

AtStake: TypeAlias = Mapping[int, Registers]  # by former client id with forged blocks: the registers written under it


class ImpostorError(RemoteProtocolError):
    """An update has blocks under our client id that we did not write. Nothing was changed.

    This store was copied, or a member claims clocks of ours. Take another client id, and apply the update then.
    """


class RewriteLimitError(RemoteProtocolError):
    """Its sender has taken too much away that had to be written again. Nothing was changed. Take the update later."""


class RewriteBudget:
    """How often this process writes again what a device takes away: REWRITES times, then once in REWRITE_EVERY_MS."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[int, float]] = {}  # by device: the time of the last rewrite, and how many then

    def is_used_up(self, device: str, now_ms: int) -> bool:
        """Return whether nothing more that the device takes away is written again now."""
        return self._used_at(device, now_ms) > REWRITES - 1

    def note(self, device: str, now_ms: int) -> None:
        """Note that something was written again because of the device."""
        self._used[device] = now_ms, self._used_at(device, now_ms) + 1

    def _used_at(self, device: str, now_ms: int) -> float:
        at, used = self._used.get(device, (now_ms, 0.0))
        return max(0.0, used - max(0, now_ms - at) / REWRITE_EVERY_MS)


class Incoming(NamedTuple):
    """An update from outside with its scan, and the document before it is applied."""

    update: bytes
    scanned: Scan
    live: Shard

    def at_stake(self, own: int, former: Iterable[int]) -> AtStake:
        """Return our registers whose blocks other devices may lack, because the update has others in their place.

        Args:
            own: Our present client id.
            former: Our earlier client ids.

        Raises:
            ImpostorError: The update has forged blocks under our present client id.
        """
        from memcrdt.crdt.block_diff import written_by

        known = self.live.state_vector()
        if (forged := self._forged(own, known)) is not None:
            raise ImpostorError(f"an update has {forged} under our own client id {own} that this store did not write")
        clients = [client for client in former if client in known and self._forged(client, known) is not None]
        if not clients:
            return {}
        snapshot = self.live.snapshot()
        return {client: _values(self.live, written_by(client, snapshot)) for client in clients}

    def _forged(self, client: int, known: Mapping[int, int]) -> str | None:
        """Return what the update has under a client id of ours that we did not write, or None."""
        from memcrdt.crdt.block_diff import first_difference

        first = self.scanned.first.get(client)
        if first is None:
            return None
        if self.scanned.after.get(client, 0) > known.get(client, 0):
            return "blocks"
        clock = first_difference(self.update, self.live.diff({**known, client: first}), client)
        return None if clock is None else f"content at clock {clock}"


def still_at_stake(live: Shard, at_stake: AtStake) -> Registers:
    """Return the registers at stake that, after the update, are still written under the client id in question."""
    from memcrdt.crdt.block_diff import written_by

    if not at_stake:
        return {}
    snapshot = live.snapshot()
    return {
        key: former[key] for client, former in at_stake.items() for key in written_by(client, snapshot) if key in former
    }


def by_memory(found: Registers) -> Mapping[str, Registers]:
    """Return registers grouped by the id of their memory."""
    grouped: defaultdict[str, dict[str, object]] = defaultdict(dict)
    for key, value in found.items():
        grouped[key[:ULID_CHARS]][key] = value
    return grouped  # type: ignore[return-value]


def unexplained(memory_id: str, lost: Registers, found: Registers, *, is_forgotten: bool) -> Registers:
    """Return those of the lost registers of a memory that neither its tombstone nor pruning explains.

    Args:
        memory_id: The memory.
        lost: The lost registers, with their last values.
        found: The registers of the memory in this shard.
        is_forgotten: Whether the memory has a tombstone in any shard.
    """
    if is_forgotten:
        return {key: value for key, value in lost.items() if key == registers.forgotten_key(memory_id)}
    pruned = edits.may_be_pruned(memory_id, {**lost, **found}, found)
    return {key: value for key, value in lost.items() if key not in pruned}


def _values(live: Shard, keys: Iterable[str]) -> Registers:
    return {key: live.registers(parts.id)[key] for key in keys if (parts := registers.split(key)) is not None}
