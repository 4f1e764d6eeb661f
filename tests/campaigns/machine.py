"""Simulated machines: the key of a device, its disk, its clock, and the files of its home."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memcrdt.model.device_ids import KEY_BYTES
from memcrdt.net.identity import Identity
from memcrdt.search import SearchIndex
from memcrdt.store import clock
from memcrdt.store.files import FILE
from memcrdt.store.high_water_mark import FILE as MARK
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.store import Store
from memcrdt.testing.faults import UNSYNCED, Disk, Fault, FaultyVfs
from memcrdt.testing.simulator import Simulator

_EPOCH_MS: Final = 1_800_000_000_000
_MAINS: Final = FaultyVfs("memcrdt-mains", Disk())  # only one machine of a simulation can lose its power

Files = dict[str, bytes]


class QuietStore(Store):
    """A store without threads. Its computer sets `on_scrub`, which is called when bytes wait to be scrubbed."""

    on_scrub: Callable[[], None] = staticmethod(lambda: None)

    def scrub_later(self) -> None:
        self.on_scrub()


@dataclass(frozen=True, slots=True)
class Site:
    """The simulator, and a folder for the homes of the simulated computers."""

    sim: Simulator
    folder: Path


class Machine:
    """The hardware of a simulated device, with a letter for a name.

    Args:
        site: The simulator and the folder.
        name: The letter.
        skew_ms: The error of its clock, which may change. Each reading of the clock takes a millisecond.
        on_mains: Whether its disk loses unsynced data when the power is cut. Only one machine of a simulation may.
    """

    def __init__(self, site: Site, name: str, *, skew_ms: int = 0, on_mains: bool = False) -> None:
        private = site.sim.rng.randbytes(KEY_BYTES)
        public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
        self.identity = Identity(site.folder / f"{name}.key", public, private)
        self.id = self.identity.device_id
        self.name = name
        self.home = site.folder / name
        self.sim = site.sim
        self.skew_ms = skew_ms
        self._vfs = _MAINS.name if on_mains else UNSYNCED.name
        self._disk = Disk()
        self._state = site.folder / f"{name} state"
        self._runtime = site.folder / f"{name} runtime"
        self._rng = Random(f"{site.sim.rng.random()} {name}")
        self._looks = 0
        self._boots = 0

    # --- power --------------------------------------------------------------------------------------------------------

    @property
    def on_mains(self) -> bool:
        """Whether its power can be cut."""
        return self._vfs == _MAINS.name

    def begin_boot(self) -> None:
        """Begin another boot: the folder for temporary files is empty."""
        self._boots += 1
        shutil.rmtree(self._runtime, ignore_errors=True)

    def connect_disk(self) -> None:
        """Let the simulated disk be the one of this machine, if its power can be cut."""
        if self.on_mains:
            _MAINS.disk = self._disk

    def lose_power_within(self, operations: int) -> None:
        """Make the power fail at the given operation of the disk, counted from 1."""
        self._disk.fault = Fault("cut", self._disk.done + operations)

    def left_by_power_cut(self) -> Files:
        """Return what is left of the files of the store if the power fails now, unless it has already failed."""
        with tempfile.TemporaryDirectory(dir=self.home.parent) as folder:
            left = Path(folder)
            self._disk.after_power_cut(left, self._rng)
            return {path.name: path.read_bytes() for path in sorted(left.iterdir())}

    # --- files --------------------------------------------------------------------------------------------------------

    def files(self) -> Files:
        """Return the present content of the store's files."""
        return {path.name: path.read_bytes() for path in (self.home / FILE, self.home / f"{FILE}-wal") if path.exists()}

    def put(self, files: Files) -> None:
        """Overwrite the files of the store while the machine is off."""
        for path in self.home.glob(f"{FILE}-*"):
            path.unlink()
        for name, content in files.items():
            (self.home / name).write_bytes(content)
        self._disk = Disk()

    def image(self) -> Files:
        """Return the present content of everything that a disk rolled back would have: the store and its marks.

        The folder for temporary files is on no such disk.
        """
        marks = (self.home / MARK, *sorted(self._state.glob("*.mark")))
        return {str(path): path.read_bytes() for path in (*map(self.home.joinpath, self.files()), *marks)}

    def put_image(self, image: Files) -> None:
        """Roll the disk back to an image while the processes are off. The files keep their inodes."""
        self.put({})
        for path in self._state.glob("*.mark"):
            path.unlink()
        for name, content in image.items():
            Path(name).write_bytes(content)

    def replace(self, files: Files) -> None:
        """Put other files in the place of those of the store while its processes have them open."""
        for path in self.home.glob(f"{FILE}-*"):
            path.unlink()
        for name, content in files.items():
            (self.home / f"{name}.new").write_bytes(content)
            (self.home / f"{name}.new").replace(self.home / name)

    def copy_to(self, other: Machine) -> None:
        """Copy this home to a new machine."""
        shutil.copytree(self.home, other.home)
        for path in other.home.glob("*-shm"):
            path.unlink()

    def open_store(self) -> QuietStore:
        """Open the store of the home."""
        options = StoreOptions(
            vfs=self._vfs,
            marks=self._state,
            runtime=self._runtime,
            machine=self.id,
            boot=f"boot {self._boots}",
            clock=self._look,
            random=self._rng.randbytes,
        )
        return QuietStore(self.home, self.id, SearchIndex(None), options)

    # --- clock --------------------------------------------------------------------------------------------------------

    def true_ms(self) -> int:
        """Return the virtual time in ms since 1970, which a correct clock shows."""
        return _EPOCH_MS + round(1000 * self.sim.now)

    def meet_clock(self, other: Machine, store: Store) -> None:
        """Compare the clock with the one that another machine shows when they connect."""
        shown, now = other.shown_ms(), self._look()
        with store.writing() as db:
            clock.compare(db, now, None if shown is None else shown - now)

    def shown_ms(self) -> int | None:
        """Return the time that this machine shows to others, or None."""
        with closing(apsw.Connection(str(self.home / FILE), vfs=UNSYNCED.name)) as db:
            return clock.shown(clock.read(db), self._look())

    def _look(self) -> int:
        self._looks += 1
        return self.true_ms() + self.skew_ms + self._looks
