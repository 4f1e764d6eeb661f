"""The simulation: seeded lives of a few devices, in which everything goes wrong, end with every promise kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from memcrdt.testing import scenario
from memcrdt.testing.mutants import MUTANTS

SEEDS = 300
CHUNK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_devices_agree_and_nothing_is_lost(first: int) -> None:
    """Replicas are equal by documents, digests, views and search; what was acknowledged is there, what was forgotten is
    not, nothing was sent before it was durable, and what is local stayed."""
    failed = [(outcome.seed, outcome.error) for outcome in scenario.run(range(first, first + CHUNK)) if outcome.error]
    assert failed == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_build_that_is_broken_is_caught(name: str) -> None:
    """Each of six plausible mistakes breaks a promise within 300 seeds."""
    with MUTANTS[name]():
        assert any(scenario.play(seed).error for seed in range(SEEDS))


def test_a_seed_replays_identically() -> None:
    """The same in another process, whose hashes are others: the same happens at the same times."""
    here = scenario.play(7)
    code = "from memcrdt.testing import scenario; print(scenario.play(7).trace)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (here.trace, here.frames > 100) == (there.stdout.strip(), True)
