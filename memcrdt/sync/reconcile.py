"""Range-based set reconciliation: find the shards that differ between two copies of a space, in few small messages.

Both sides sort their shards by number. One side sends the fingerprint of all of them. Where the fingerprints of a range
differ, the range is split into 16 parts, and each part is compared again. A range with few shards is listed instead.
This module is pure arithmetic; `anti_entropy` sends the messages.
Source: Aljoscha Meyer, Range-Based Set Reconciliation, https://arxiv.org/abs/2212.13567.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from memcrdt.model.limits import SHARDS
from memcrdt.sync.messages import Leaf, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from memcrdt.sync.replica import Digest

FAN_OUT: Final = 16
LEAF: Final = 32  # a range of up to 32 shards is listed, not split: the list is about as long as 16 fingerprints


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of comparing ranges: the shards in equal ranges, and spans and leaves to send for the other ranges."""

    equal: tuple[int, ...]
    spans: tuple[Span, ...]
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The result of comparing lists.

    Attributes:
        equal: The shards with the same digest on both sides.
        wanted: The shards that differ, and the shards that only the other side has.
        lacking: The shards that only we have.
    """

    equal: tuple[int, ...]
    wanted: tuple[int, ...]
    lacking: tuple[int, ...]


class Shards:
    """The digests of a space's shards, sorted by shard number and comparable by ranges."""

    def __init__(self, digests: Mapping[int, Digest]) -> None:
        self._digests = digests
        self._numbers = sorted(digests)

    def root(self) -> Span:
        """Return the span over the whole space."""
        return self._span(0, SHARDS)

    def within(self, lo: int, hi: int) -> Sequence[int]:
        """Return the numbers of our shards from `lo` to `hi` - 1, ascending."""
        return self._numbers[bisect_left(self._numbers, lo) : bisect_left(self._numbers, hi)]

    def leaf(self, lo: int, hi: int) -> Leaf:
        """Return our shards with numbers from `lo` to `hi` - 1, with their digests."""
        return Leaf(lo, hi, tuple((number, self._digests[number].digest) for number in self.within(lo, hi)))

    def compare(self, theirs: Sequence[Span]) -> Comparison:
        """Compare the other side's ranges with ours."""
        equal: list[int] = []
        spans: list[Span] = []
        leaves: list[Leaf] = []
        for span in theirs:
            ours = self.within(span.lo, span.hi)
            if self._span(span.lo, span.hi) == span:
                equal += ours
            elif len(ours) <= LEAF:
                leaves.append(self.leaf(span.lo, span.hi))
            else:
                spans += self._split(span, ours)
        return Comparison(tuple(equal), tuple(spans), tuple(leaves))

    def difference(self, theirs: Leaf) -> Difference:
        """Compare a leaf of the other side with our shards."""
        listed = dict(theirs.shards)
        ours = {number: self._digests[number].digest for number in self.within(theirs.lo, theirs.hi)}
        return Difference(
            equal=tuple(number for number in listed if ours.get(number) == listed[number]),
            wanted=tuple(number for number in listed if ours.get(number) != listed[number]),
            lacking=tuple(number for number in ours if number not in listed),
        )

    def _split(self, span: Span, ours: Sequence[int]) -> Iterator[Span]:
        """Split a range into at most 16 spans with about the same number of our shards."""
        size = -(-len(ours) // FAN_OUT)
        bounds = [span.lo, *ours[size::size], span.hi]
        for lo, hi in pairwise(bounds):
            yield self._span(lo, hi)

    def _span(self, lo: int, hi: int) -> Span:
        hasher = hashlib.blake2b(digest_size=16, person=b"memcrdt range")
        numbers = self.within(lo, hi)
        for number in numbers:
            hasher.update(number.to_bytes(4, "big") + self._digests[number].digest)
        return Span(lo, hi, hasher.digest(), len(numbers))


def is_root(spans: Sequence[Span]) -> bool:
    """Return whether the spans of a message are a single span over the whole space."""
    return len(spans) == 1 and (spans[0].lo, spans[0].hi) == (0, SHARDS)
