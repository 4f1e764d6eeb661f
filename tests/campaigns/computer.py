"""Simulated computers: a home with a real store, used by the process of an agent and by the syncing process."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memcrdt.config import Config
from memcrdt.errors import RemoteProtocolError
from memcrdt.memory.memory import Memory
from memcrdt.memory.offline import Offline
from memcrdt.model.clocks import StateVector, decode_state_vector
from memcrdt.model.device_ids import KEY_BYTES
from memcrdt.model.membership import Adoption, side
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.statements import Statement, unpack
from memcrdt.net.auth import HANDSHAKE_FRAME_BYTES
from memcrdt.net.identity import Identity
from memcrdt.node.driver import PEERS_INTERVAL_S
from memcrdt.node.store_replica import StoreReplica
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.search import SearchIndex
from memcrdt.search.searcher import Searcher
from memcrdt.store import log
from memcrdt.store.files import FILE
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.membership.introductions import Introductions
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.statement_store import creator_of
from memcrdt.store.recovery.restore import restore
from memcrdt.store.spaces import space_number
from memcrdt.store.store import Store
from memcrdt.sync.events import Committed, Revoked, SyncNow
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.replica import MembershipRecord
from memcrdt.testing.faults import UNSYNCED, Disk, Fault, FaultyVfs
from memcrdt.testing.simulator import Reactor, SimulatedNode, Simulator
from tests.bare_device import spoil_rows

DOORBELL_S: Final = 0.025  # delay until the syncing process learns of a commit of another process
DEAF_S: Final = DOORBELL_S + PEERS_INTERVAL_S  # maximum delay until it learns of a change of the peers
SCRUB_S: Final = 0.05  # delay until waiting bytes are scrubbed
_EPOCH_MS: Final = 1_800_000_000_000
_VECTOR: Final = "SELECT state_vector FROM shards JOIN spaces USING(space) WHERE id = ? AND number = ?"
_LOG: Final = ("updates", "snapshots")
_REVOKED: Final = "SELECT device FROM peers WHERE state = 'revoked'"
_MAINS: Final = FaultyVfs("memcrdt-mains", Disk())  # only one computer of a simulation can lose its power
_CRAFTED: Final = """
INSERT INTO peers(device, name, state, added_at) VALUES(:device, 'old laptop', 'accepted', 1);
INSERT OR REPLACE INTO shares(space, device, read_only) SELECT space, :device, 0 FROM spaces;
INSERT OR REPLACE INTO invited(space, device, read_only) SELECT space, :device, 0 FROM spaces;
CREATE TRIGGER hide AFTER INSERT ON updates BEGIN DELETE FROM memories; DELETE FROM revisions; END;
UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'updates'"""
_TRUST: Final = (
    "SELECT device, name, state FROM peers ORDER BY device",
    "SELECT space, device, read_only FROM shares ORDER BY space, device",
    "SELECT space, device, read_only FROM invited ORDER BY space, device",
    "SELECT space, id FROM members ORDER BY space, id",
    "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name",
)

Files = dict[str, bytes]


logging.getLogger("memcrdt").addHandler(logging.NullHandler())  # warnings are expected


class QuietStore(Store):
    """A store without threads. Its computer sets `on_scrub`, which is called when bytes wait to be scrubbed."""

    on_scrub: Callable[[], None] = staticmethod(lambda: None)

    def scrub_later(self) -> None:
        self.on_scrub()


class _Replica(StoreReplica):
    """A replica that reports new statements of members. A real syncing process learns of them after a commit."""

    def __init__(self, store: Store, learnt: Callable[[], None]) -> None:
        super().__init__(store)
        self._learnt = learnt

    def merge_membership(self, peer: str, space: str, record: MembershipRecord) -> bool:
        with self.noticing():
            return super().merge_membership(peer, space, record)

    def merge_space(self, peer: str, name: str, space: str, record: MembershipRecord) -> Adoption:
        with self.noticing():
            return super().merge_space(peer, name, space, record)

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Report a change of the statements inside the block."""
        writer = self._store.writer()
        before = writer.total_changes()
        yield
        if writer.total_changes() != before:
            self._learnt()


@dataclass(frozen=True, slots=True)
class Site:
    """The simulator, and a folder for the homes of the simulated computers."""

    sim: Simulator
    folder: Path


class Computer:
    """A simulated device with a letter for a name.

    While it is on, `memory` is the agent's memory, and `node` is the node of the simulation.

    Args:
        site: The simulator and the folder.
        name: The letter.
        skew_ms: The error of its clock, which may change. Each reading of the clock takes a millisecond.
        on_mains: Whether its disk loses unsynced data when the power is cut. Only one computer of a simulation may.
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
        self.on = False
        self.outcasts: dict[str, float] = {}  # devices that this store knows to be revoked, with the virtual time
        self._vfs = _MAINS.name if on_mains else UNSYNCED.name
        self._disk = Disk()
        self._marks = site.folder / f"{name} marks"
        self._rng = Random(f"{site.sim.rng.random()} {name}")
        self._looks = 0
        self._boots = 0
        self._reading: apsw.Connection | None = None

    # --- on and off ---------------------------------------------------------------------------------------------------

    @property
    def on_mains(self) -> bool:
        """Whether its power can be cut."""
        return self._vfs == _MAINS.name

    def boot(self) -> None:
        """Start both processes after a start of the machine."""
        self._boots += 1
        self.start()

    def start(self) -> None:
        """Start both processes."""
        if self.on_mains:
            _MAINS.disk = self._disk
        self._server, agent = self._open(), self._open()
        self.memory = Memory(
            self.home,
            agent,
            Offline,
            pairing=Offline,
            searcher=Searcher(agent, SearchIndex(None)),
            config=Config(budget_mb=0),
        )
        self.memory.retention.note_time()  # as memcrdt.open() does
        self.replica = _Replica(self._server, self.told)
        self.peers = Peers(self._server)
        self.members = Members(self._server)
        self._roster = TrustedPeers(self.peers)
        self.on = True
        self._note_outcasts()
        gossip = self.reactor(self._server.facts.incarnation)
        self.node = self.sim.start(SimulatedNode(self.id, self.replica, gossip, self))
        self._refresh(self.node)

    def reactor(self, incarnation: str) -> Reactor:
        """Return the state machine of this computer's syncing process."""
        return Gossip(self.id, incarnation, rng=Random(self._rng.random()))

    def stop(self) -> None:
        """Shut both processes down in order."""
        self.on = False
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        self.sim.kill(self.node)
        self.memory.close()
        self._server.close()

    def crash(self) -> None:
        """Kill both processes, and leave the files unchanged."""
        left = self.files()
        self.stop()
        self.put(left)

    def spoil(self, rng: Random) -> bool:
        """Change a byte of a row of the log or of a snapshot on the disk, and restart both processes.

        Return whether there was a row to change.
        """
        with self.memory.store.writing() as db:
            rows = [(table, seq) for table in _LOG for (seq,) in db.execute(f"SELECT seq FROM {table} ORDER BY seq")]
            if not rows:
                return False
            table, seq = rng.choice(rows)
            spoil_rows(db, table, f"seq = {seq}")
            db.execute("UPDATE shards SET digest = NULL")  # so that the damage is noticed
        self.crash()
        self.start()
        return True

    def lose_power_within(self, operations: int) -> None:
        """Make the power fail at the given operation of the disk, counted from 1."""
        self._disk.fault = Fault("cut", self._disk.done + operations)

    def cut_power(self) -> None:
        """Cut the power, unless it has already failed. Unsynced data is lost or torn."""
        with tempfile.TemporaryDirectory(dir=self.home.parent) as folder:
            left = Path(folder)
            self._disk.after_power_cut(left, self._rng)
            self.stop()
            self.put({path.name: path.read_bytes() for path in sorted(left.iterdir())})

    @contextmanager
    def failing_disk(self) -> Iterator[None]:
        """Make every commit of the agent fail inside the block."""
        writer = self.memory.store.writer()
        writer.set_commit_hook(lambda: True)
        try:
            yield
        finally:
            writer.set_commit_hook(None)

    def files(self) -> Files:
        """Return the present content of the store's files."""
        return {path.name: path.read_bytes() for path in (self.home / FILE, self.home / f"{FILE}-wal") if path.exists()}

    def has_to_scrub(self) -> bool:
        """Return whether the store knows of bytes of forgotten memories that it has yet to erase."""
        with self.memory.store.reading() as db:
            return log.is_anything_to_scrub(db)

    def put(self, files: Files) -> None:
        """Overwrite the files of the store while the computer is off."""
        for path in self.home.glob(f"{FILE}-*"):
            path.unlink()
        for name, content in files.items():
            (self.home / name).write_bytes(content)
        self._disk = Disk()

    def restore_crafted(self, files: Files, stranger: str) -> list[tuple[Any, ...]]:
        """Restore a backup into which somebody has put a device, triggers, and a sequence at its end.

        Return what trust() finds before this computer starts again, and signs what it has not signed yet.
        """
        self.stop()
        with tempfile.TemporaryDirectory(dir=self.home.parent) as folder, closing(self._open()) as store:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            path = Path(folder) / FILE
            with closing(apsw.Connection(str(path))) as db:
                db.pragma("journal_mode", "delete")
                db.execute(_CRAFTED, {"device": stranger})
            restore(store, path)
        found = self.trust()
        self.start()
        return found

    def trust(self) -> list[tuple[Any, ...]]:
        """Return everything by which other devices are trusted, and what could act on its own in the file."""
        return [row for sql in _TRUST for row in self._reader().execute(sql)]

    def copy_to(self, other: Computer) -> None:
        """Copy this home to a new computer."""
        shutil.copytree(self.home, other.home)
        for path in other.home.glob("*-shm"):
            path.unlink()

    # --- operations ---------------------------------------------------------------------------------------------------

    def accept(self, other: Computer, spaces: Iterable[str], *, read_only: bool = False) -> None:
        """Trust another computer and share spaces with it."""
        peers = Peers(self.memory.store)
        peers.accept(other.id, name=other.name, spaces=spaces, read_only=read_only)
        self.told()

    def revoke(self, other: Computer) -> None:
        """Stop trusting another computer."""
        Peers(self.memory.store).revoke(other.id)
        self.told()

    def committed(self) -> None:
        """Notify the syncing process, after a delay, of a commit of the agent."""
        node = self.node
        self.sim.after(DOORBELL_S, lambda: self.sim.give(node, Committed()))

    def told(self) -> None:
        """Notify the syncing process, after a delay, of a change of the table of peers."""
        self._note_outcasts()
        node = self.node
        self.sim.after(self._rng.uniform(DOORBELL_S, DEAF_S), lambda: self._refresh(node))

    def sync_now(self) -> None:
        self.sim.give(self.node, SyncNow())

    def durable_vector(self, space: str, shard: int) -> StateVector | None:
        """Return the state vector of the shard in the file, or None if the space has another id now."""
        if self._reader().execute("SELECT 1 FROM spaces WHERE id = ?", (space,)).get is None:
            return None
        row = self._reader().execute(_VECTOR, (space, shard)).get
        return decode_state_vector(row) if row else {}

    def true_ms(self) -> int:
        """Return the virtual time in ms since 1970, which a correct clock shows."""
        return _EPOCH_MS + round(1000 * self.sim.now)

    def space(self, name: str) -> str:
        """Return the id of the space with this name."""
        return self.memory.space(name).id()

    def name_of(self, space: str) -> str | None:
        """Return the name of the space with this id, or None."""
        name = self._reader().execute("SELECT name FROM spaces WHERE id = ?", (space,)).get
        return None if name is None else str(name)

    def creator(self, name: str) -> str:
        """Return the device that created the space with this name, perhaps by taking it over."""
        with self.memory.store.reading() as db:
            return creator_of(db, space_number(db, name))

    def is_joined(self, name: str) -> bool:
        """Return whether another device than its creator has signed something about the space with this name."""
        return side(self.space(name), self.creator(name), self.statements(name)).is_joined

    def may_write(self, name: str) -> bool:
        """Return whether this computer may write the space by the statements in its store."""
        return Members(self.memory.store).of(name).may_write(self.id)

    def knows(self, other: Computer, space: str) -> bool:
        """Return whether the other computer is a member by the statements in this computer's store."""
        return other.id in Members(self.memory.store).of(space).members

    def statements(self, space: str) -> list[Statement]:
        """Return the statements about the space with this name in this computer's store."""
        sql = "SELECT statement FROM members JOIN spaces USING(space) WHERE name = ?"
        return [unpack(bytes(data)) for (data,) in self._reader().execute(sql, (space,))]

    def has_cast_out(self, other: Computer) -> bool:
        """Return whether this computer knows that the other was revoked."""
        return other.id in self.outcasts or other.id in Members(self.memory.store).of(PERSONAL).revoked

    # --- access policy ------------------------------------------------------------------------------------------------

    def accepts(self, device: str) -> bool:
        """Implement AccessPolicy."""
        if not self.peers.is_accepted(device):
            return False
        if device not in self._roster:
            self._refresh(self.node)
        return True

    def admits(self, device: str, introduction: bytes | None) -> bool:
        """Implement AccessPolicy."""
        introductions = Introductions(self._server)
        if introduction is None or introductions.revoker_of(device) is not None:
            return False
        with suppress(RemoteProtocolError), self.replica.noticing():
            return introductions.take(device, introduction) and self.accepts(device)
        return False

    def introduction(self, device: str) -> bytes | None:
        """Implement AccessPolicy."""
        return Introductions(self._server).to(device, HANDSHAKE_FRAME_BYTES)

    # --- internals ----------------------------------------------------------------------------------------------------

    def _refresh(self, node: SimulatedNode) -> None:
        """Act like the network driver when peers may have changed. New devices are found at once."""
        if not node.running:
            return
        before = self._roster.devices
        self.members.settle(self.identity, self.name)
        for event in self._roster.read():
            self.sim.give(node, event)
            if isinstance(event, Revoked):
                self.sim.hang_up(node, event.peer)
        for device in sorted(self._roster.devices - before):
            self.sim.give(node, self._roster.known(device))

    def _note_outcasts(self) -> None:
        revoked = [str(device) for (device,) in self._reader().execute(_REVOKED)]
        self.outcasts = {device: self.outcasts.get(device, self.sim.now) for device in revoked}

    def _reader(self) -> apsw.Connection:
        if self._reading is None:
            self._reading = apsw.Connection(str(self.home / FILE), vfs=UNSYNCED.name)
        return self._reading

    def _open(self) -> QuietStore:
        options = StoreOptions(
            vfs=self._vfs,
            marks=self._marks,
            machine=self.id,
            boot=f"boot {self._boots}",
            clock=self._look,
            random=self._rng.randbytes,
        )
        store = QuietStore(self.home, self.id, SearchIndex(None), options)
        store.on_scrub = lambda: self.sim.after(SCRUB_S, lambda: self._scrub(store))
        store.on_scrub()  # the store called it before the callback was set
        return store

    def _look(self) -> int:
        self._looks += 1
        return self.true_ms() + self.skew_ms + self._looks

    def _scrub(self, store: Store) -> None:
        if self.on and store in (self.memory.store, self._server):
            store.scrub()
            self.committed()
