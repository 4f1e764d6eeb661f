"""Registers that an update from outside must not take away.

Anyone who may write a space can send blocks under a client id of this store: a clock that is claimed before our own
block arrives keeps that block out of a document for good, and the document's deletes then remove it from ours. So
three rules protect what this store has acknowledged:

- A present client id that others use is given up (`ImpostorError`). The update is applied afterwards.
- Registers that stand under a client id with forged blocks are written again, because other devices may lack them.
- A register that an update deletes is written again, unless a tombstone, another shard or pruning explains it. Newer
  values replace registers, and need no deletion.

They are written in a way that depends on no block before them (Shard.restate), and win even over a later value that the
writer has not seen. A device that has such a value writes it again in turn (`outdone`). A few bytes can take a whole
shard away, so what one device takes away is written again only so often (`RewriteBudget`).

A device from which nobody takes anything, because it may only read, can be lied to without any other device meeting the
claim. And nobody renews the client ids of a device that is gone. So a device that gets a whole copy and still lacks
some of its registers (`hidden`) asks the sender to write them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import edits, limits, registers
from memcrdt.model.ids import ULID_CHARS
from memcrdt.model.projection import is_newer, replaces
from memcrdt.model.registers import Registers
from memcrdt.model.values import canonical, encoded_size
from memcrdt.store.meta import is_asserting

if TYPE_CHECKING:
    from memcrdt.crdt.scan import Scan
    from memcrdt.crdt.shard import Shard

REWRITES: Final = 128  # at once, for one device: two stores that wrote under one client id may need one for each shard
REWRITE_EVERY_MS: Final = 60_000  # then: one rewrite is up to 1 MiB for each device, and an asserting client id

NOBODY: Final = 1  # the client id of documents that write nothing

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
        return {client: values(self.live, written_by([client], snapshot)) for client in clients}

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
        key: former[key]
        for client, former in at_stake.items()
        for key in written_by([client], snapshot)
        if key in former
    }


def by_memory(found: Registers) -> Mapping[str, Registers]:
    """Return registers grouped by the id of their memory."""
    grouped: defaultdict[str, dict[str, object]] = defaultdict(dict)
    for key, value in found.items():
        grouped[key[:ULID_CHARS]][key] = value
    return grouped  # type: ignore[return-value]


def unexplained(memory_id: str, lost: Registers, found: Registers, elsewhere: Registers) -> Registers:
    """Return those of the lost registers of a memory that no tombstone, no other shard and no pruning explains.

    Args:
        memory_id: The memory.
        lost: The lost registers, with their last values.
        found: The registers of the memory in this shard.
        elsewhere: Its registers in other shards: what is edited in a closed shard moves to an open one.
    """
    left, tombstone = {**elsewhere, **found}, registers.forgotten_key(memory_id)
    if tombstone in left:
        return {key: value for key, value in lost.items() if key == tombstone}
    pruned = edits.may_be_pruned(memory_id, {**lost, **left}, left)
    moved = {key for key in lost.keys() & elsewhere.keys() if replaces(elsewhere[key], lost[key])}
    return {key: value for key, value in lost.items() if key not in pruned | moved}


def outdone(live: Shard, replaced: Registers, scanned: Scan) -> Registers:
    """Return those of the replaced registers in whose place an update has written an older value again.

    A value that is written again wins over every later one that its author had not seen.

    Args:
        live: The document, after the update.
        replaced: The registers that the update has replaced, with their former values.
        scanned: The scan of the update.
    """
    from memcrdt.crdt.block_diff import written_by

    asserting = [client for client in scanned.after if is_asserting(client)] if replaced else []
    present = values(live, replaced) if asserting else {}
    newer = {key for key, value in present.items() if is_newer(replaced[key], value)}
    if not newer:
        return {}
    return {key: replaced[key] for key in newer & written_by(asserting, live.snapshot())}


def hidden(ours: bytes, copy: bytes, scanned: Scan, elsewhere: Callable[[str], Registers]) -> list[str]:
    """Return the keys of registers that a whole copy has and our document lacks, although it has all its blocks.

    Args:
        ours: Our document, as one update. The copy was applied to it.
        copy: The copy, as one update from outside.
        scanned: The scan of the copy.
        elsewhere: Returns the registers of a memory in our other shards.

    Raises:
        RemoteProtocolError: yrs refuses the copy, or takes too long for it. Of blocks that are known, it looked at none
            when the copy was applied to ours.
    """
    from memcrdt.crdt.shard import Shard

    live, theirs = Shard.load(NOBODY, [ours]), Shard(NOBODY)
    theirs.apply(copy, scanned)
    differing = {memory_id: each for memory_id in theirs.ids() if (each := _differing(theirs, live, memory_id))}
    if not differing:
        return []
    settled = asserted(theirs)  # before ours is applied to it
    united = _united(theirs, ours)
    keys: list[str] = []
    for memory_id, found in differing.items():
        here, there = live.registers(memory_id), elsewhere(memory_id)
        lost = {key: value for key, value in found.items() if key not in here}
        whole = here if united is None else united.registers(memory_id)
        # An edit of a closed shard deletes there what it writes elsewhere. What none of our deletes removes is hidden
        # even if another shard has it later, unless its sender has written it again without success.
        moved = {key: value for key, value in there.items() if key not in whole or key in settled}
        keys += unexplained(memory_id, lost, {**there, **here}, moved)
        keys += [key for key in found.keys() & here.keys() if canonical(whole.get(key)) != canonical(here[key])]
    return sorted(keys)


def _united(theirs: Shard, ours: bytes) -> Shard | None:
    """Apply our document to a copy of it, and return the copy; None if that takes too long.

    Where both have a block of their own at the same clock, the copy keeps its own, as it came first.
    """
    from memcrdt.crdt.scan import scan

    try:
        theirs.apply(ours, scan(ours, own=True))
    except RemoteProtocolError:
        return None  # ours takes too long, and that is not the sender's fault
    return theirs


def _differing(theirs: Shard, live: Shard, memory_id: str) -> Registers:
    """Return the registers of a memory that `live` lacks, or has with another value."""
    here = live.registers(memory_id)
    found = theirs.registers(memory_id).items()
    return {key: value for key, value in found if key not in here or canonical(value) != canonical(here[key])}


def values(live: Shard, keys: Iterable[str]) -> Registers:
    """Return those of the registers that a document has."""
    memories = {parts.id for key in keys if (parts := registers.split(key)) is not None}
    found = {key: value for memory_id in memories for key, value in live.registers(memory_id).items()}
    return {key: found[key] for key in keys if key in found}


def few(found: Registers) -> Registers:
    """Return as many of the registers as are written again for one request, at least one."""
    sizes = accumulate(encoded_size(value) for value in found.values())
    return dict(item for item, size in zip(found.items(), sizes, strict=True) if size <= limits.MIB) or dict(
        islice(found.items(), 1)
    )


def asserted(live: Shard) -> set[str]:
    """Return the keys of registers whose present value was written again."""
    from memcrdt.crdt.block_diff import written_by

    asserting = [client for client in live.state_vector() if is_asserting(client)]
    return written_by(asserting, live.snapshot()) if asserting else set()


def check_unclaimed(live: Shard, lacking: Registers, own: int) -> None:
    """Check that another device lacks nothing that was written under our present client id, `own`.

    Raises:
        ImpostorError: It does, so it has blocks of somebody else under this id.
    """
    from memcrdt.crdt.block_diff import written_by

    if lacking and written_by([own], live.snapshot()) & lacking.keys():
        raise ImpostorError(f"it has other blocks in place of those under the client id {own}")
