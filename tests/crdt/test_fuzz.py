"""Mutated updates against a document with a history."""

from __future__ import annotations

from random import Random

import pytest

from memcrdt.testing.fuzz import fuzz_updates


@pytest.mark.parametrize("seed", range(10))
def test_a_mutated_update_is_refused_or_leaves_a_whole_document(seed: int) -> None:
    """Of 20,000 mutated updates each is refused with a documented error, or applied to a document that is whole."""
    fates = fuzz_updates(Random(seed), 2_000)
    assert fates.total() == 2_000
    assert all(fates[fate] > 10 for fate in ("malformed", "gap", "applied"))
