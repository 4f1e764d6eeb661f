"""Fuzz the checks between hostile bytes and a document."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from memcrdt.crdt.scan import Scan, scan
from memcrdt.crdt.shard import Shard
from memcrdt.errors import RemoteProtocolError
from memcrdt.model.clocks import covers
from memcrdt.model.limits import MIB
from memcrdt.model.values import canonical
from tests.campaigns.histories import History
from tests.campaigns.mutate import ATTACKS, mutated

Fate = Literal["malformed", "gap", "refused", "applied"]

MEMORY_BYTES: Final = 256 * MIB
_UPDATES_PER_HISTORY: Final = 200


def fuzz_updates(rng: Random, rounds: int) -> Counter[Fate]:
    """Apply mutated updates to documents with a history.

    Returns:
        The number of updates by fate.

    Raises:
        AssertionError: An applied update left an inconsistent document. Any other exception is a bug too.
    """
    fates: Counter[Fate] = Counter()
    while (done := fates.total()) < rounds:
        fates += _fuzz_history(rng, min(_UPDATES_PER_HISTORY, rounds - done))
    return fates


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """The fates of the updates, and the peak growth of memory, which is None if the platform does not report it."""

    fates: Counter[Fate]
    grown_bytes: int | None


def run(numbers: range) -> Fuzzed:
    """Apply the named attacks, and one mutated update for each number. The first number is the seed.

    Call it in a process of its own: earlier memory use would hide the growth.

    Raises:
        AssertionError: See fuzz_updates(), or memory grew by more than MEMORY_BYTES.
    """
    before = _peak_bytes()
    for name, attack in ATTACKS.items():
        assert _fate(Shard(1).snapshot(), attack) == "malformed", name
    fates = fuzz_updates(Random(numbers.start), len(numbers))
    after = _peak_bytes()
    grown = None if before is None or after is None else after - before
    assert grown is None or grown <= MEMORY_BYTES, f"memory grew by {grown} bytes"
    return Fuzzed(fates, grown)


def _peak_bytes() -> int | None:
    """Return the peak memory use of this process, or None on Windows."""
    if sys.platform == "win32":
        peak = None
    else:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return peak


def _fuzz_history(rng: Random, rounds: int) -> Counter[Fate]:
    history = History(rng, copies=3).run(30)
    here, *others = history.shards
    base = here.snapshot()
    updates = [other.diff(here.state_vector()) for other in others] + [
        update for edit in history.edits for update in edit.updates
    ]
    updates.append(base)
    return Counter(_fate(base, mutated(rng.choice(updates), updates, rng)) for _ in range(rounds))


def _fate(base: bytes, update: bytes) -> Fate:
    try:
        info = scan(update)
    except RemoteProtocolError:
        return "malformed"
    shard = Shard.load(1, [base])
    if not covers(shard.state_vector(), info.needs):
        return "gap"
    try:
        edit = shard.apply(update, info)
    except RemoteProtocolError:
        return "refused"
    _check_whole(shard, info, update)
    logged = Shard.load(2, [base, *edit.updates])
    assert logged.digest() == shard.digest(), "the log does not reproduce the document"
    return "applied"


def _check_whole(shard: Shard, info: Scan, update: bytes) -> None:
    """Raise AssertionError if a part of the update is pending, or a copy of the document differs from it."""
    assert covers(shard.state_vector(), info.after), "part of the update is missing"
    digest = shard.digest()
    snapshot = shard.snapshot()
    scan(snapshot)
    copy = Shard.load(3, [snapshot])
    assert copy.digest() == digest, "a copy has another digest"
    assert copy.births == shard.births, "a copy counts other births"
    assert _registers(copy) == _registers(shard), "a copy has other registers"
    assert not shard.apply(update).touched, "a known update changes registers"
    assert shard.digest() == digest, "a known update changes the document"


def _registers(shard: Shard) -> dict[str, str]:
    # As text, because a hostile update may contain NaN, which does not equal itself.
    return {memory_id: canonical(shard.registers(memory_id)) for memory_id in shard.ids()}
