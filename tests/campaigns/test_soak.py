"""A short soak test. `python -m tests.campaigns soak --minutes 10` runs a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns import soak
from tests.campaigns.soak import Sample, SoakError, SoakOutcome


@pytest.mark.timeout(240)  # a quarter of a minute, and the time until the nodes agree
async def test_three_nodes_agree_after_writes_restarts_and_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end, run() raises if handles, memory or objects have grown since warm-up."""
    for pause in ("WRITE_S", "REST_S", "SAMPLE_S"):  # as much happens as else in half a minute
        monkeypatch.setattr(soak, pause, getattr(soak, pause) / 2)
    outcome = await soak.run(tmp_path, 15.0, seed=4)
    assert outcome.writes > 150
    assert outcome.restarts > 0
    assert outcome.cuts > 0


@pytest.mark.parametrize(
    ("grown", "name"),
    [(Sample(70, 80, 1000), "handles"), (Sample(50, 105, 1000), "MB"), (Sample(50, 80, 1101), "objects")],
)
def test_what_grows_is_an_error(grown: Sample, name: str) -> None:
    """The medians after warm-up and at the end are compared, because single samples vary."""
    warm = Sample(50, 80, 1000)
    steady = [Sample(1, 1, 1)] * 4 + [warm] * 11
    soak.check(SoakOutcome(samples=[*steady[:-1], grown]))
    with pytest.raises(SoakError, match=name):
        soak.check(SoakOutcome(samples=[*steady[:-2], grown, grown]))
