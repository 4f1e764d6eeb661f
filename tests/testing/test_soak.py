"""The long run, a short one: `python -m memcrdt.testing soak --minutes 10` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from memcrdt.testing import soak
from memcrdt.testing.soak import Outcome, SoakError


async def test_three_nodes_agree_after_writes_restarts_and_cuts(tmp_path: Path) -> None:
    """Handles and memory stay what they were when it was warm; run() raises otherwise."""
    outcome = await soak.run(tmp_path, 10.0, seed=4)
    assert outcome.writes > 50
    assert outcome.restarts + outcome.cuts > 1


@pytest.mark.parametrize(
    "outcome", [Outcome(handles=[50, 90], memory_mb=[70, 70]), Outcome(handles=[50, 50], memory_mb=[70, 300])]
)
def test_what_grows_is_an_error(outcome: Outcome) -> None:
    """Handles or memory."""
    with pytest.raises(SoakError):
        soak._check(outcome)
