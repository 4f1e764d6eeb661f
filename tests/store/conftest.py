"""What the tests of the store share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memcrdt.store.store import FILE
from memcrdt.testing.devices import Device


@pytest.fixture(scope="session", name="template")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty file with the schema in it: making that takes longer than most tests."""
    home = tmp_path_factory.mktemp("template")
    device = Device(home, "T")
    with device.store.writing() as db:
        db.execute("DELETE FROM meta; DELETE FROM spaces")
    device.close()
    return home / FILE


@pytest.fixture(name="device")
def _device(tmp_path: Path, template: Path) -> Iterator[Callable[..., Device]]:
    """Makes devices by name, each with a store of its own; they are closed at the end."""
    made: list[Device] = []

    def make(name: str, **options: Any) -> Device:
        home = tmp_path / f"{name}{len(made)}"
        home.mkdir()
        shutil.copy(template, home / FILE)
        made.append(Device(home, name, **options))
        return made[-1]

    yield make
    for device in made:
        device.close()


Apart = Callable[[Callable[[Path], None], Path], None]


@pytest.fixture(scope="session", name="on_small_disk")
def _on_small_disk() -> Apart:
    """Runs a function of a test module with a folder on which a small file system is mounted, in a process whose mounts
    nobody else sees. Skips where that can't be done."""
    alone = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare, and the right to mount")
    script = 'for last; do :; done; mount -t tmpfs -o size=20m none "$last" && exec "$0" "$@"'
    return partial(_run, [*alone, "sh", "-c", script])


@pytest.fixture(scope="session", name="by_modes")
def _by_modes() -> Apart:
    """Runs a function of a test module with a folder, in a process that may do only what the modes of files allow.
    Skips where root can't be held to them."""
    if sys.platform == "win32":
        pytest.skip("Windows has no modes")
    if os.geteuid():
        return partial(_run, [])
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, so that root may not write everything either")
    return partial(_run, ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"])


def _run(prefix: list[str], function: Callable[[Path], None], folder: Path) -> None:
    code = "import pathlib, runpy, sys; runpy.run_path(sys.argv[1])[sys.argv[2]](pathlib.Path(sys.argv[3]))"
    command = [sys.executable, "-c", code, function.__code__.co_filename, function.__name__, str(folder)]
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
