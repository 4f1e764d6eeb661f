"""`memcrdt demo`: three real nodes, a cut, and equal data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memcrdt.cli import demo_story
from memcrdt.cli.demo_nodes import DemoNode, NodeView
from memcrdt.cli.demo_story import EDITED_HERE, EDITED_THERE, DemoOutcome

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_the_three_nodes_end_with_the_same(process: Cli, tmp_path: Path) -> None:
    """Exit code 0, equal digests and results, both texts of the conflict on every node, and no files left."""
    state = tmp_path / "state"
    ran = process("demo", "--json", TMPDIR=str(tmp_path), TEMP=str(tmp_path), MEMCRDT_STATE=str(state))
    assert ran.code == 0, ran.err
    (outcome,) = ran.json
    assert outcome["equal"] is True
    assert [node["name"] for node in outcome["nodes"]] == ["laptop", "desktop", "studio"]
    assert len({node["digest"] for node in outcome["nodes"]}) == 1
    answers = [node["answers"] for node in outcome["nodes"]]
    assert answers[0][0]["text"] in (EDITED_HERE, EDITED_THERE)
    assert answers == [answers[0]] * 3
    assert [node["memories"] for node in outcome["nodes"]] == [12] * 3
    assert set(outcome["conflict"]) == {EDITED_HERE, EDITED_THERE}
    assert list(tmp_path.glob("memcrdt-demo-*")) == []
    assert not state.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child")
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """If it is interrupted, it ends its processes and removes its homes."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "memcrdt", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        encoding="utf-8",
    )
    with demo:
        assert demo.stderr is not None
        while "added on each" not in demo.stderr.readline():
            assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert err.splitlines()[-1] == "memcrdt: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """If a process ends at once, the exit code is 1, and its message is shown."""

    def failing(node: DemoNode, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit('no luck')"], stdout=stdout, stderr=stderr)

    monkeypatch.setattr(DemoNode, "_spawn", failing)
    ran = cli("demo")
    assert (ran.code, ran.out) == (1, "")
    assert "the node laptop ended: no luck" in ran.err.splitlines()[-1]


def test_a_difference_is_exit_code_1_and_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict names the state of each node."""
    view = NodeView(name="laptop", serving=True, memories=12, digest="aa", answers=())
    views = (view, replace(view, name="desktop"), replace(view, name="studio", memories=11, digest="bb"))
    outcome = DemoOutcome(equal=False, seconds=18.0, query="q", conflict=(), nodes=views)
    monkeypatch.setattr(demo_story.Story, "play", lambda story: outcome)
    ran = cli("demo")
    assert ran.code == 1
    assert "studio: 11 memories, digest bb" in ran.err
    assert ran.out.splitlines()[2].split("\t")[:4] == ["studio", "on", "11", "bb"]
