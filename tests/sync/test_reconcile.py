"""Range-based set reconciliation."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.model.limits import SHARDS
from memcrdt.sync.messages import Leaf
from memcrdt.sync.reconcile import FAN_OUT, LEAF, Shards, is_root
from memcrdt.sync.replica import Digest

contents = st.dictionaries(st.integers(0, 300), st.integers(0, 2), max_size=200)


def shards(content: dict[int, int]) -> Shards:
    return Shards({number: Digest(bytes([value]) * 16, seq=1) for number, value in content.items()})


def reconcile(ours: Shards, theirs: Shards) -> tuple[set[int], int]:
    """Simulate the exchange, and return the shards that differ and the number of messages with ranges."""
    found: set[int] = set()
    spans, sides, sent = (ours.root(),), (theirs, ours), 0
    while spans:
        sent += 1
        comparison = sides[0].compare(spans)
        for leaf in comparison.leaves:
            difference = sides[1].difference(leaf)
            found.update(difference.wanted, difference.lacking)
        spans, sides = comparison.spans, sides[::-1]
    return found, sent


@given(contents, contents)
def test_exactly_the_shards_that_differ_are_found(ours: dict[int, int], theirs: dict[int, int]) -> None:
    """Shards on one side only and shards with another digest are found, and no others."""
    expected = {number for number in {*ours, *theirs} if ours.get(number) != theirs.get(number)}
    assert reconcile(shards(ours), shards(theirs))[0] == expected


@given(contents)
def test_equal_copies_need_one_message(content: dict[int, int]) -> None:
    """The root fingerprints are equal, so nothing else is sent."""
    comparison = shards(content).compare((shards(content).root(),))
    assert (comparison.equal, comparison.spans, comparison.leaves) == (tuple(sorted(content)), (), ())


@pytest.mark.parametrize("count", [33, 1_000, 10_000, 100_000])
def test_one_difference_is_found_in_a_logarithmic_number_of_messages(count: int) -> None:
    """Fan-out 16 down to lists of up to 32: each message divides the remaining shards by 16."""
    content = dict.fromkeys(range(count), 1)
    other = {**content, Random(count).randrange(count): 2}
    found, sent = reconcile(shards(content), shards(other))
    levels = 1
    while count > LEAF:
        count, levels = -(-count // FAN_OUT), levels + 1
    assert (len(found), sent) == (1, levels)


def test_an_empty_copy_answers_with_one_list() -> None:
    """Compared with 10,000 shards, the empty side sends one list."""
    full, empty = shards(dict.fromkeys(range(10_000), 1)), shards({})
    comparison = empty.compare((full.root(),))
    assert comparison.leaves == (Leaf(0, SHARDS, ()),)
    assert len(full.difference(comparison.leaves[0]).lacking) == 10_000


def test_only_the_span_over_the_whole_space_is_a_root() -> None:
    """A part of the space is not, and two parts that cover it are not."""
    root = shards({}).root()
    halves = (replace(root, hi=SHARDS // 2), replace(root, lo=SHARDS // 2))
    assert is_root((root,))
    assert not is_root(halves)
    assert not is_root(halves[:1])
