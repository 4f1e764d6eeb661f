"""Fixtures for the tests of the store."""

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

import memcrdt
from memcrdt.memory.memory import Memory
from memcrdt.model.statements import CONTEXT, Claim, Kind, Statement
from memcrdt.net.identity import Identity
from memcrdt.store.files import FILE
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from tests.bare_device import BareDevice


@pytest.fixture(scope="session", name="template")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty file with the schema. Making it takes longer than most tests, so the tests share it."""
    home = tmp_path_factory.mktemp("template")
    device = BareDevice(home, "T")
    with device.store.writing() as db:
        db.execute("DELETE FROM meta; DELETE FROM spaces")
    device.close()
    return home / FILE


@pytest.fixture(name="device")
def _device(tmp_path: Path, template: Path) -> Iterator[Callable[..., BareDevice]]:
    """Make devices by name, each with its own store. They are closed after the test."""
    made: list[BareDevice] = []

    def make(name: str, **options: Any) -> BareDevice:
        home = tmp_path / f"{name}{len(made)}"
        home.mkdir()
        shutil.copy(template, home / FILE)
        made.append(BareDevice(home, name, **options))
        return made[-1]

    yield make
    for device in made:
        device.close()


Apart = Callable[[Callable[[Path], None], Path], None]


@pytest.fixture(scope="session", name="on_small_disk")
def _on_small_disk() -> Apart:
    """Run a function of a test module with a folder on a small file system.

    The function runs in a process with private mounts. Skip the test if the system does not allow that.
    """
    alone = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare, and the right to mount")
    script = 'for last; do :; done; mount -t tmpfs -o size=20m none "$last" && exec "$0" "$@"'
    return partial(_run, [*alone, "sh", "-c", script])


@pytest.fixture(scope="session", name="by_modes")
def _by_modes() -> Apart:
    """Run a function of a test module with a folder, in a process that is bound by file modes.

    Skip the test if root cannot be bound by them.
    """
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


class Home:
    """A memory with its device key."""

    def __init__(self, folder: Path) -> None:
        self.memory: Memory = memcrdt.open(folder, embedder=None)
        self.identity = Identity.load_or_create(folder)
        self.id = self.identity.device_id
        self.members = Members(self.memory.store)
        self.peers = Peers(self.memory.store)

    def settle(self) -> None:
        self.members.settle(self.identity, self.memory.home.name)

    @property
    def space(self) -> str:
        return self.memory.space("personal").id()

    @property
    def known(self) -> set[str]:
        return set(self.members.of("personal").members)

    def says(self, kind: Kind, device: str, space: str = "", **fields: Any) -> bytes:
        """Return a statement signed with the device key."""
        claim = Claim(kind=kind, space=space or self.space, device=device, at=1, **fields)
        return Statement(claim, self.identity.public_key, self.identity.sign(CONTEXT + claim.packed())).packed()

    def hear(self, other: Home) -> None:
        """Learn the statements that another home has about `personal`."""
        self.members.learn(self.space, other.members.roll(self.space)[1])


@pytest.fixture(name="make_home")
def _make_home(tmp_path: Path) -> Iterator[Callable[[str], Home]]:
    homes: list[Home] = []

    def make(name: str) -> Home:
        homes.append(Home(tmp_path / name))
        return homes[-1]

    yield make
    for home in homes:
        home.memory.close()


@pytest.fixture(name="homes")
def _homes(make_home: Callable[[str], Home]) -> list[Home]:
    """Return three members of one space. The first invited the second, which invited the third."""
    first, second, third = (make_home(name) for name in ("first", "second", "third"))
    for inviter, joiner in ((first, second), (second, third)):
        inviter.peers.accept(joiner.id)
        joiner.members.join(inviter.members.entries(["personal"])[0])
        joiner.peers.accept(inviter.id)
        inviter.settle()
        joiner.hear(inviter)
    first.hear(second)
    return [first, second, third]
