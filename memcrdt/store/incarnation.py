"""Incarnations: detect a file that is not the store that was in this home, and give it a new identity.

A client id belongs to one incarnation of the store, one boot of the machine and one mounted volume. A file that was
copied, restored or moved to another machine becomes another incarnation, with another client id, before it is written.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import apsw

from memcrdt.store import alarms, log, machine, meta, reprojection
from memcrdt.store.high_water_mark import HighWaterMark, hashed
from memcrdt.store.location import Location
from memcrdt.store.meta import Facts

_REINCARNATED: Final = (
    "It continues under a new identity, so that its writes are not confused with those of the original. Missing changes"
    " come back from paired devices. Never use two copies with one device key: give one of them a home of its own"
)
NEW_KEY: Final = (
    "this home has a new device key, so it is another device than before; other devices do not know it until it is"
    " paired: run `memcrdt pair`, and there revoke the former device, unless that was done"
)
_GONE: Final = (
    "The store of this home is gone: its file was missing or empty, and this is a new one. Restore a backup, if you"
    " have one, or pair again with devices that have its memories"
)
_VOLUME: Final = "volume"  # the key of the file system's name in the facts


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How to open a store.

    Attributes:
        read_only: Open the file for reading only. It must exist.
        vfs: The name of an APSW VFS; None uses the default of the platform.
        marks: The folder for the second copies of high-water marks; None uses $MEMCRDT_STATE or the platform's folder.
        runtime: The folder for the third copies; None uses the platform's folder for temporary files.
        machine: A name of this machine; None asks the system.
        boot: A name of this boot of the machine; None asks the system.
        clock: Returns the time in ms since 1970.
        random: Returns the given number of random bytes.
    """

    read_only: bool = False
    vfs: str | None = None
    marks: Path | None = None
    runtime: Path | None = None
    machine: str | None = None
    boot: str | None = None
    clock: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)
    random: meta.Random = secrets.token_bytes


class Incarnation:
    """Gives a store its identity when it is opened, and writes its high-water marks.

    The methods that take a connection run inside the caller's transaction.
    """

    def __init__(self, location: Location, device: str, options: StoreOptions) -> None:
        self._location = location
        self._device = device
        self._options = options

    @property
    def boot(self) -> str:
        """The name of this boot of the machine."""
        return self._options.boot or machine.boot_id()

    def establish(self, db: apsw.Connection) -> Facts:
        """Write the facts of a new store, make a copied or restored store another incarnation, and return the facts."""
        now_ms, random = self._options.clock(), self._options.random
        if meta.initialize(db, self._device, now_ms, random):
            meta.renew_client_id(db, self.boot, random)
            reprojection.note_all(db)
            if self._location.had_store():
                alarms.raise_alarm(db, now_ms, _GONE)
        elif meta.facts(db).device != self._device:
            meta.reincarnate(db, self._device, self.boot, random)
            alarms.raise_alarm(db, now_ms, NEW_KEY)
        elif suspicion := self._suspicion(db):
            meta.reincarnate(db, self._device, self.boot, random)
            text = f"This is not the store that was in this home: {suspicion}. {_REINCARNATED}"
            alarms.raise_alarm(db, now_ms, text)
        elif not (self._is_same_boot(db) and meta.read(db, _VOLUME) in (None, self._location.volume)):
            meta.renew_client_id(db, self.boot, random)  # two clones of a disk are two volumes at least
        meta.write(db, _VOLUME, self._location.volume)
        self._write_mark(db)  # before COMMIT: from now on, a file without this incarnation counts as an older copy
        return meta.facts(db)

    def adopt(self, db: apsw.Connection) -> None:
        """Follow a replacement of the file's content while it is open."""
        if meta.facts(db).device != self._device:
            meta.reincarnate(db, self._device, self.boot, self._options.random)
        self._write_mark(db)

    def raise_mark(self, incarnation: str, head: int) -> None:
        """Note that the log of the store has reached row `head`."""
        self._location.write_mark(replace(self._marked, incarnation=incarnation, head=head))

    def _suspicion(self, db: apsw.Connection) -> str | None:
        mark = self._mark(db)
        if self._is_same_boot(db):  # it is this machine, whatever its id: containers get one of their own
            mark = replace(mark, machine="")
        return self._location.suspicion(mark)

    def _is_same_boot(self, db: apsw.Connection) -> bool:
        return machine.is_same_boot(meta.read(db, "boot"), self.boot)

    def _write_mark(self, db: apsw.Connection) -> None:
        self._marked = self._mark(db)
        self._location.write_mark(self._marked)

    def _mark(self, db: apsw.Connection) -> HighWaterMark:
        return HighWaterMark(
            incarnation=meta.facts(db).incarnation,
            head=log.head(db),
            machine=hashed(machine.machine_id() if self._options.machine is None else self._options.machine),
            file=self._location.file_number,
        )
