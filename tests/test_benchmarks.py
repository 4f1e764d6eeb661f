"""Benchmarks run: each in a small size, so that none breaks unnoticed. Their figures mean nothing here."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("command", "expected"),
    [("sync.py --memories 60 --edits 10 --nodes 4", "a month disconnected, 10 edits on both sides")],
)
@pytest.mark.timeout(600)
def test_a_benchmark_runs_to_its_end(command: str, expected: str) -> None:
    name, *options = command.split()
    ran = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert expected in ran.stdout


STORES = {"chroma": "chromadb", "lancedb": "lancedb", "langgraph": "langgraph-checkpoint-sqlite", "mem0": "mem0ai"}


def _side_by_side(folder: Path, command: str) -> dict[str, Any]:
    """Run a command of `python -m benchmarks` in a tiny size, and return its JSON."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command.split(), "--memories=40", "--calls=3", "--out", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    name = command.split(maxsplit=1)[0]
    assert (folder / f"{name}.md").read_text(encoding="utf-8").strip() == ran.stdout.strip()
    assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _are_whole(found: dict[str, Any]) -> None:
    for figures in found["figures"].values():
        assert set(found["measures"]) - set(figures) <= {"syncs_per_add", "peak_mb"}  # not on every platform
        assert figures["recall"][0] > 0.3
        assert figures["file_mb"][0] > 0


@pytest.mark.parametrize("store", STORES)
@pytest.mark.timeout(600)
def test_a_store_is_measured_beside_memcrdt(store: str, tmp_path: Path) -> None:
    """Every figure is there for both; a hybrid or vector search of 40 texts finds most of the nearest."""
    try:
        version(STORES[store])
    except PackageNotFoundError:
        pytest.skip(f"{STORES[store]} is not installed: pip install --group benchmarks")
    found = _side_by_side(tmp_path, f"compare --rounds 1 --only {store}")
    assert found["absent"] == {}
    assert len(found["figures"]) == 2
    _are_whole(found)


@pytest.mark.timeout(600)
def test_the_floor_gives_ratios_within_each_round(tmp_path: Path) -> None:
    pytest.importorskip("sqlite_vec", reason="there is no sqlite-vec for this platform")
    found = _side_by_side(tmp_path, "floor --rounds 2")
    assert [len(figures["bulk_per_s"]) for figures in found["figures"].values()] == [2, 2]
    _are_whole(found)
    assert any(note.startswith("- one add, p50, ms: ") for note in found["notes"])


def test_a_store_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    compare, stores = (importlib.import_module(name) for name in ("compare", "stores"))
    absent = replace(stores.SYSTEMS["chroma"], packages=("no-such-package",))
    monkeypatch.setitem(stores.SYSTEMS, "chroma", absent)
    found = compare.measure(["chroma"], compare.Plan(memories=1, calls=1, rounds=1, timeout_s=1))
    assert found == ({}, {"chroma": "not installed: no-such-package"})


NPM = ROOT / "benchmarks" / "npm" / "node_modules"
LIBRARIES = {
    "pycrdt": lambda: importlib.util.find_spec("httpx_ws") and importlib.util.find_spec("pycrdt.websocket"),
    "y-websocket": (NPM / "y-websocket").exists,
    "automerge": (NPM / "@automerge" / "automerge-repo").exists,
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.timeout(600)
def test_sync_is_measured_beside_memcrdt(library: str, tmp_path: Path) -> None:
    """Both sync, and every figure is there for both."""
    if not LIBRARIES[library]():
        pytest.skip(f"{library} is not installed: see `python -m benchmarks --help`")
    found = _side_by_side(tmp_path, f"sync --rounds 1 --only {library}")
    assert found["absent"] == {}
    assert len(found["figures"]) == 2
    for figures in found["figures"].values():
        assert set(found["measures"]) - set(figures) <= {"first_peak_mb"}  # not on every platform
        assert figures["first_mb"][0] > 40 * 50 / 1e6  # texts of 40 memories
        assert 0 < figures["reconnect_bytes"][0] < 10_000


# `python -m benchmarks`, which waits less until devices are idle and connections are quiet.
_HASTY = """
import runpy, sys
sys.path.insert(0, "benchmarks")
import scale, socket_meter
scale.SETTLE_S = socket_meter.QUIET_S = 0.2
runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)
"""


@pytest.mark.timeout(600)
def test_growth_is_measured_with_memories_and_with_devices(tmp_path: Path) -> None:
    """Every figure is there for each size, and what must grow with the memories does."""
    command = "scale --sizes=20,200 --devices=2 --memories=30 --calls=3 --rounds=1 --idle=1 --out"
    ran = subprocess.run(
        [sys.executable, "-c", _HASTY, *command.split(), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=500,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = {what: json.loads((tmp_path / f"scale-{what}.json").read_text("utf-8")) for what in ("memories", "devices")}
    told_by_linux = {"idle_percent", "idle_wakes", "resident_mb"}
    for what, columns in (("memories", ["20 memories", "200 memories"]), ("devices", ["2 devices"])):
        assert found[what]["absent"] == {}
        assert [*found[what]["figures"]] == columns
        drawn = ElementTree.parse(tmp_path / f"scale-{what}.svg").getroot()
        assert len(drawn.findall("{*}polyline")) >= len(found[what]["measures"]) - len(told_by_linux)
        for figures in found[what]["figures"].values():
            assert set(found[what]["measures"]) - set(figures) <= {*told_by_linux, "peak_mb", "first_peak_mb"}
    few, many = found["memories"]["figures"].values()
    assert many["first_mb"][0] > few["first_mb"][0] + 180 * 50 / 1e6


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    compare, replicas, syncs = (importlib.import_module(name) for name in ("compare", "replicas", "sync_compare"))
    absent = replace(replicas.SYNC_SYSTEMS["pycrdt"], packages=("no-such-package",))
    monkeypatch.setitem(replicas.SYNC_SYSTEMS, "pycrdt", absent)
    found = syncs.measure_sync(["pycrdt"], compare.Plan(memories=1, calls=1, rounds=1, timeout_s=1))
    assert found == ({}, {"pycrdt": "no-such-package not installed: pip install --group benchmarks"})


def test_a_phase_that_hangs_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output stays open as long as any child lives, so the call returns only after all have ended."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    compare = importlib.import_module("compare")
    sleep = [sys.executable, "-c", "import time; time.sleep(500)"]
    command = (
        sleep if sys.platform == "win32" else [sys.executable, "-c", f"import subprocess; subprocess.run({sleep})"]
    )
    with pytest.raises(compare.PhaseError, match="the phase took over 1 s"):
        compare.finish(command, "the phase", 1.0)
