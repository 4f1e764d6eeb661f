"""Tests of the command `python -m tests.campaigns`."""

from __future__ import annotations

import re
import sys

import pytest

from tests.campaigns import __main__ as command
from tests.campaigns.mutants import MUTANTS
from tests.mirror.life import Life


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tests.campaigns", *arguments])
    command.main()


def test_a_simulation_says_that_no_seed_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line has the number of failures and the amount simulated."""
    run(monkeypatch, "sim", "--seeds", "2")
    assert capsys.readouterr().out.startswith("0 of 2 seeds failed: ")


def test_a_simulation_prints_a_line_for_each_seed_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the seed. A run of that seed alone fails again with the same error, and so does the command."""
    with MUTANTS["forget by overwriting the birth"]():
        with pytest.raises(SystemExit, match=r"^1 of 1 seeds failed: "):
            run(monkeypatch, "sim", "--seeds", "1")
        [line] = capsys.readouterr().out.splitlines()
        with pytest.raises(SystemExit, match=r"^1 of 1 seeds failed: "):
            run(monkeypatch, "sim", "--seed", "0")
    assert line.startswith("seed 0: ")
    assert capsys.readouterr().out.splitlines()[0] == line


def test_a_fuzzing_says_how_much_memory_it_took(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result has the fates of the updates and the memory use."""
    run(monkeypatch, "fuzz", "--updates", "200")
    assert capsys.readouterr().out.startswith("every document stayed intact: 200 updates, by fate ")


def test_lives_with_a_mirror_lose_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The result has the number of crashes. A lost text is an error with the seed."""
    run(monkeypatch, "mirror", "--lives", "1", "--steps", "120")
    assert re.match(r"no text was lost: 1 lives of 120 steps, [1-9]\d* crashes, in ", capsys.readouterr().out)
    monkeypatch.setattr(Life, "found", lambda life: set())
    with pytest.raises(AssertionError, match=r"seed 2: markdown with deletes: lost at the end: \['t"):
        run(monkeypatch, "mirror", "--lives", "1", "--steps", "60", "--first", "2")
