"""Mutated updates against a document with a history."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.campaigns.fuzz import MEMORY_BYTES, run
from tests.campaigns.kill import processes


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_update_is_refused_or_leaves_a_whole_document(seed: int) -> None:
    """Each of 20,000 mutated updates is refused with a documented error, or applied without damage to the document, and
    the process needs at most 256 MiB more memory."""
    with ProcessPoolExecutor(1, mp_context=processes()) as pool:
        fuzzed = pool.submit(run, range(seed, seed + 5_000)).result()
    assert fuzzed.fates.total() == 5_000
    assert all(fuzzed.fates[fate] > 10 for fate in ("malformed", "gap", "applied"))
    assert (fuzzed.grown_bytes is None) == (sys.platform == "win32")
    assert (fuzzed.grown_bytes or 0) <= MEMORY_BYTES
