"""A simulated computer: one home with a real store, used by an agent's process and by the process that syncs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import apsw

from memcrdt.config import Config
from memcrdt.finding import Finder
from memcrdt.memory import Memory
from memcrdt.model.clocks import StateVector, decode_state_vector
from memcrdt.net.replica import StoreReplica
from memcrdt.search import SearchIndex
from memcrdt.store import compaction
from memcrdt.store.peers import Peers
from memcrdt.store.store import FILE, Store, StoreOptions
from memcrdt.sync.events import Committed, Known, SpacesChanged, SyncNow
from memcrdt.sync.gossip import Gossip
from memcrdt.testing.devices import UNSYNCED
from memcrdt.testing.memories import NoNetwork
from memcrdt.testing.simulator import Node, Reactor, Simulator

DOORBELL_S: Final = 0.025  # until the process that syncs hears of another one's commit
SCRUB_S: Final = 0.05  # until what waits to be scrubbed is
_EPOCH_MS: Final = 1_800_000_000_000
_VECTOR: Final = "SELECT state_vector FROM shards JOIN spaces USING(space) WHERE id = ? AND number = ?"

Files = dict[str, bytes]


class QuietStore(Store):
    """A store without threads: `scrub_later` is what its computer does about bytes that are to be scrubbed."""

    on_scrub: Callable[[], None] = staticmethod(lambda: None)

    def scrub_later(self) -> None:
        self.on_scrub()


@dataclass(frozen=True, slots=True)
class Site:
    """Where simulated computers stand: the simulator, and a folder for their homes."""

    sim: Simulator
    folder: Path


class Computer:
    """A device named by a letter. Its clock is `skew_ms` off; every look at it takes a millisecond.

    While it is on, `memory` is what the agent holds, and `node` what the others of the simulation see.
    """

    def __init__(self, site: Site, name: str, *, skew_ms: int = 0) -> None:
        self.id = name * 52
        self.home = site.folder / name
        self.sim = site.sim
        self.skew_ms = skew_ms
        self.friends: dict[str, Computer] = {}
        self.on = False
        self._marks = site.folder / f"{name} marks"
        self._rng = Random(f"{site.sim.rng.random()} {name}")
        self._looks = 0
        self._boots = 0
        self._reading: apsw.Connection | None = None

    # --- on and off ---------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Starts both processes, after a start of the machine."""
        self._boots += 1
        self.start()

    def start(self) -> None:
        """Starts both processes."""
        self._server, agent = self._open(), self._open()
        self.memory = Memory(
            self.home, agent, NoNetwork, finder=Finder(agent, SearchIndex(None)), config=Config(budget_mb=0)
        )
        self.replica = StoreReplica(self._server)
        self.peers = Peers(self._server)
        self.on = True
        for friend in self.friends:
            self._trust(friend)
        self.node: Node = self.sim.start(self.id, self.replica, self.reactor(self._server.facts.incarnation))
        for friend in self.friends:
            self.sim.give(self.node, Known(friend))

    def reactor(self, incarnation: str) -> Reactor:
        """What speaks for this computer."""
        return Gossip(self.id, incarnation, rng=Random(self._rng.random()))

    def stop(self) -> None:
        """Ends both processes in order."""
        self.on = False
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        self.sim.kill(self.node)
        self.memory.close()
        self._server.close()

    def crash(self) -> None:
        """Ends both processes at once: the files stay as they are."""
        left = self.files()
        self.stop()
        self.put(left)

    @contextmanager
    def failing_disk(self) -> Iterator[None]:
        """Within it, no commit of the agent succeeds."""
        writer = self.memory.store._opened()
        writer.set_commit_hook(lambda: True)
        try:
            yield
        finally:
            writer.set_commit_hook(None)

    def files(self) -> Files:
        """What stands in the files of the store at this moment."""
        return {path.name: path.read_bytes() for path in (self.home / FILE, self.home / f"{FILE}-wal") if path.exists()}

    def put(self, files: Files) -> None:
        """Puts files in the place of those of the store, while it is off: by writing over them."""
        for path in self.home.glob(f"{FILE}-*"):
            path.unlink()
        for name, content in files.items():
            (self.home / name).write_bytes(content)

    def copy_to(self, other: Computer) -> None:
        """Makes the home of a new computer a copy of this one's."""
        shutil.copytree(self.home, other.home)
        for path in other.home.glob("*-shm"):
            path.unlink()

    # --- what is done with it -----------------------------------------------------------------------------------------

    def meet(self, others: Iterable[Computer]) -> None:
        """Accepts the others, and shares `personal` with them."""
        for other in others:
            self.friends[other.id] = other
            if self.on:
                self._trust(other.id)
                self.sim.give(self.node, SpacesChanged())
                self.sim.give(self.node, Known(other.id))

    def committed(self) -> None:
        """The agent has written: the process that syncs hears of it in a moment."""
        node = self.node
        self.sim.after(DOORBELL_S, lambda: self.sim.give(node, Committed()))

    def sync_now(self) -> None:
        self.sim.give(self.node, SyncNow())

    def durable_vector(self, space: str, shard: int) -> StateVector | None:
        """How far the shard stands on the disk; None where the space goes on under another id."""
        if self._reader().execute("SELECT 1 FROM spaces WHERE id = ?", (space,)).get is None:
            return None
        row = self._reader().execute(_VECTOR, (space, shard)).get
        return decode_state_vector(row) if row else {}

    @property
    def space(self) -> str:
        """The id that `personal` has here."""
        return self.memory.space("personal").id()

    def _reader(self) -> apsw.Connection:
        if self._reading is None:
            self._reading = apsw.Connection(str(self.home / FILE), vfs=UNSYNCED.name)
        return self._reading

    def _open(self) -> QuietStore:
        options = StoreOptions(
            vfs=UNSYNCED.name,
            marks=self._marks,
            machine=self.id,
            boot=f"boot {self._boots}",
            clock=self._look,
            random=self._rng.randbytes,
        )
        store = QuietStore(self.home, self.id, SearchIndex(None), options)
        store.on_scrub = lambda: self.sim.after(SCRUB_S, lambda: self._scrub(store))
        store.on_scrub()  # what opening asked for came too early
        return store

    def _look(self) -> int:
        self._looks += 1
        return _EPOCH_MS + self.skew_ms + round(1000 * self.sim.now) + self._looks

    def _scrub(self, store: Store) -> None:
        if self.on and store in (self.memory.store, self._server):
            compaction.scrub(store)
            self.committed()

    def _trust(self, friend: str) -> None:
        if not self.peers.is_accepted(friend):
            self.peers.accept(friend)
