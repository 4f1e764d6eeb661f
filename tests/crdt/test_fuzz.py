"""Mutated updates against a document with a history."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.campaigns.fuzz import MEMORY_BYTES, run
from tests.campaigns.kill import processes


@pytest.mark.parametrize("part", range(4))
def test_a_mutated_update_is_refused_or_leaves_a_whole_document(part: int) -> None:
    """Each of 10,000 mutated updates is refused with a documented error, or applied without damage to the document, and
    the process needs at most 256 MiB more memory."""
    with ProcessPoolExecutor(1, mp_context=processes()) as pool:
        fuzzed = pool.submit(run, range(part * 2_500, (part + 1) * 2_500)).result()
    assert fuzzed.fates.total() == 2_500
    assert all(fuzzed.fates[fate] > 10 for fate in ("malformed", "gap", "applied"))
    assert (fuzzed.grown_bytes is None) == (sys.platform == "win32")
    assert (fuzzed.grown_bytes or 0) <= MEMORY_BYTES
