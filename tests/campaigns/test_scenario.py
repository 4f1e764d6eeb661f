"""Tests of the simulator: after seeded runs with every kind of failure, every promise is kept."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.campaigns import mutants, scenario
from tests.campaigns.mutants import MUTANTS

pytestmark = pytest.mark.timeout(600)  # some seeds play attacks that take a minute on a slow machine

PARTS = 10  # of the seeds; the last ones end at about the same time in both processes
# Seeds in which every rare event occurs. Others are played if one is missing.
COVERING = (31, 2, 7, 58, 15, 63, 25, 13, 4813)
CAUGHT_BY = {  # a seed that soon catches the mutant; other seeds are played only if it no longer does
    "send before commit": 3,
    "ignore gaps": 3,
    "reuse a client id": 41,
    "compare state vectors only": 91,
    "forget by overwriting the birth": 0,
    "confirm a forgetting too early": 3,
    "compact a stale document": 1,
    "leave commits unsynced": 2,
    "take what readers send": 6,
    "keep talking to a revoked device": 7,
    "offer every space to everyone": 4,
    "trust signatures": 47,
    "follow smaller ids": 252,
    "let the latest add decide": 25,
    "cut lists of members": 223,
    "believe every keep": 14,
    "keep adds of others": 14,
    "leave shares": 9,
    "trust the clock": 5,
    "show a doubted clock": 5,
    "keep all marks on one disk": 5,
    "keep no mark of a home": 4813,
    "be clean before others deleted": 319,
    "go on without the file": 31,
    "take any number of client ids": 47,
    "take any shard": 25,
    "write nothing again": 41,
    "miss what is hidden": 91,
    "restore trust": 5,
    "leave moved rows": 3147,
}
SLOW = (10, 49)  # they take as long as ten others
# Every attack at least ten times, every rare event at least once, and every mutant is caught. Campaigns play more.
SEEDS = sorted({*range(60), *COVERING, *CAUGHT_BY.values()} - {*SLOW})
OTHERS = [seed for seed in SEEDS if seed not in COVERING]


@pytest.fixture(autouse=True)
def _brief_reports(caplog: pytest.LogCaptureFixture) -> None:
    """Keep the hundreds of warnings of doubted clocks out of the report of a failure."""
    caplog.set_level(logging.ERROR, logger="memcrdt")


@pytest.mark.parametrize("part", range(PARTS))
def test_devices_agree_and_nothing_is_lost(part: int) -> None:
    """Replicas are equal by documents, digests, views and search.

    Acknowledged texts are present, and forgotten texts are not. Nothing was sent before it was durable, only members
    got data of a space, and revoked devices are excluded.
    """
    failed = [(outcome.seed, outcome.error) for outcome in scenario.run(OTHERS[part::PARTS]) if outcome.error]
    assert failed == []


@pytest.mark.parametrize("seeds", [range(10), (*range(11, 20), 37, 303)])
def test_a_disk_that_spoils_rows_costs_only_what_nobody_else_had(seeds: Iterable[int]) -> None:
    """Everything else is the same as without faults.

    Data that other devices have is present, forgotten data is not, and no confirmation is false. All devices agree in
    the end, after the user has given up rows that no device sends again.
    """
    outcomes = scenario.run(seeds, rot=True)
    assert [(outcome.seed, outcome.error) for outcome in outcomes if outcome.error] == []
    assert sum(outcome.counts["row spoiled"] for outcome in outcomes) > 1


@pytest.mark.parametrize("name", MUTANTS)
def test_a_build_that_is_broken_is_caught(name: str) -> None:
    """Each of these plausible mistakes breaks a promise."""
    assert mutants.catch(name, (CAUGHT_BY[name], *SEEDS))


def test_everything_that_is_to_be_tried_happens() -> None:
    """Every action and failure occurs, and the devices agree. A check of what never happens would check nothing."""
    missing = {
        "clock that is days off",
        "clock that jumps",
        "clocks that jump together",
        "crafted backup restored",
        "disk rolled back with the marks",
        "forgetting confirmed by another device",
        "groups that stayed apart",
        "invited later",
        "item imported here and elsewhere while apart",
        "member that was taken over",
        "power cut",
        "revocation everywhere",
        "second key ahead of the revocation",
        "second key kept out",
        "space of which others know nothing",
        "space under another id",
        "stock edit applied",
        "store cloned",
        "store replaced while it was in use",
        "store restored",
        "write refused where one may only read",
        "work after an attack",
        "written by one who may not",
    }
    outcomes = scenario.run(COVERING)
    assert [(outcome.seed, outcome.error) for outcome in outcomes if outcome.error] == []
    missing = missing.difference(*(outcome.counts for outcome in outcomes))
    for seed in OTHERS:
        if missing:
            missing -= scenario.play(seed).counts.keys()
    assert missing == set()


def test_a_seed_replays_identically() -> None:
    """Another process, with other hash seeds, has the same events at the same times."""
    here = scenario.play(7)
    code = "from tests.campaigns import scenario; print(scenario.play(7).trace)"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (here.trace, here.frames > 100) == (there.stdout.strip(), True)
