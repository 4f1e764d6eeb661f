"""Simulated computers: a machine whose store is used by the process of an agent and by the syncing process."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import apsw

from memcrdt.config import Config
from memcrdt.errors import RemoteProtocolError, StoreError
from memcrdt.memory.memory import Memory
from memcrdt.memory.offline import Offline
from memcrdt.model.clocks import StateVector, decode_state_vector
from memcrdt.model.membership import Adoption, side
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.statements import Statement, unpack
from memcrdt.net.auth import HANDSHAKE_FRAME_BYTES
from memcrdt.node.driver import PEERS_INTERVAL_S
from memcrdt.node.store_replica import StoreReplica
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.search import SearchIndex
from memcrdt.search.searcher import Searcher
from memcrdt.store import log, meta
from memcrdt.store.files import FILE
from memcrdt.store.membership.introductions import Introductions
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.statement_store import creator_of
from memcrdt.store.recovery.restore import restore
from memcrdt.store.spaces import space_number
from memcrdt.store.store import Store, in_file
from memcrdt.sync.events import Committed, Revoked, SyncNow
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.replica import MembershipRecord
from memcrdt.testing.faults import UNSYNCED
from memcrdt.testing.simulator import Reactor, SimulatedNode
from tests.bare_device import spoil_rows
from tests.campaigns.machine import Files, Machine, QuietStore, Site

DOORBELL_S: Final = 0.025  # delay until the syncing process learns of a commit of another process
DEAF_S: Final = DOORBELL_S + PEERS_INTERVAL_S  # maximum delay until it learns of a change of the peers
SCRUB_S: Final = 0.05  # delay until waiting bytes are scrubbed
_VECTOR: Final = "SELECT state_vector FROM shards JOIN spaces USING(space) WHERE id = ? AND number = ?"
_LOG: Final = ("updates", "snapshots")
_REVOKED: Final = "SELECT device FROM peers WHERE state = 'revoked'"
_CRAFTED: Final = """
INSERT INTO peers(device, name, state, added_at) VALUES(:device, 'old laptop', 'accepted', 1);
INSERT OR REPLACE INTO shares(space, device, read_only) SELECT space, :device, 0 FROM spaces;
INSERT OR REPLACE INTO invited(space, device, read_only) SELECT space, :device, 0 FROM spaces;
CREATE TRIGGER hide AFTER INSERT ON updates BEGIN DELETE FROM memories; DELETE FROM revisions; END;
UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'updates'"""
_ALARMS: Final = "SELECT value FROM meta WHERE key = 'alarms'"
_TRUST: Final = (
    "SELECT device, name, state FROM peers ORDER BY device",
    "SELECT space, device, read_only FROM shares ORDER BY space, device",
    "SELECT space, device, read_only FROM invited ORDER BY space, device",
    "SELECT space, id FROM members ORDER BY space, id",
    "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name",
)

logging.getLogger("memcrdt").addHandler(logging.NullHandler())  # warnings are expected


def _fails(store: Store) -> bool:
    """Return whether a store refuses to read and to write."""
    refused = 0
    for using in (store.reading, store.writing):
        try:
            with using():
                pass
        except StoreError:
            refused += 1
    return refused == 2


class _Replica(StoreReplica):
    """A replica that reports new statements of members, and what it confirms.

    A real syncing process learns of statements after a commit.
    """

    def __init__(self, store: Store, learnt: Callable[[], None], confirms: Callable[[str], None]) -> None:
        super().__init__(store)
        self._file = store
        self._learnt = learnt
        self._confirms = confirms

    def is_scrubbed(self, space: str) -> bool:
        is_scrubbed = super().is_scrubbed(space)
        if is_scrubbed:
            self._confirms(space)
        return is_scrubbed

    def merge_membership(self, peer: str, space: str, record: MembershipRecord) -> bool:
        with self.noticing():
            return super().merge_membership(peer, space, record)

    def merge_space(self, peer: str, name: str, space: str, record: MembershipRecord) -> Adoption:
        with self.noticing():
            return super().merge_space(peer, name, space, record)

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Report a change of the statements inside the block."""
        writer = self._file.writer()
        before = writer.total_changes()
        yield
        if writer.total_changes() != before:
            self._learnt()


class Computer(Machine):
    """A simulated device with a letter for a name.

    While it is on, `memory` is the agent's memory, and `node` is the node of the simulation. `on_confirming` is called
    with the id of a space before another device learns that no byte of a forgotten memory is left in its file.

    Args:
        site: The simulator and the folder.
        name: The letter.
        skew_ms: The error of its clock, which may change. Each reading of the clock takes a millisecond.
        on_mains: Whether its disk loses unsynced data when the power is cut. Only one computer of a simulation may.
    """

    def __init__(self, site: Site, name: str, *, skew_ms: int = 0, on_mains: bool = False) -> None:
        super().__init__(site, name, skew_ms=skew_ms, on_mains=on_mains)
        self.on = False
        self.on_confirming: Callable[[Computer, str], None] = lambda computer, space: None
        self.outcasts: dict[str, float] = {}  # devices that this store knows to be revoked, with the virtual time
        self._reading: apsw.Connection | None = None

    # --- on and off ---------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start both processes after a start of the machine."""
        self.begin_boot()
        self.start()

    def start(self) -> None:
        """Start both processes."""
        self.connect_disk()
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
        self.replica = _Replica(self._server, self.told, lambda space: self.on_confirming(self, space))
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
        with in_file(self.memory.store).writing() as db:
            rows = [(table, seq) for table in _LOG for (seq,) in db.execute(f"SELECT seq FROM {table} ORDER BY seq")]
            if not rows:
                return False
            table, seq = rng.choice(rows)
            spoil_rows(db, table, f"seq = {seq}")
            db.execute("UPDATE shards SET digest = NULL")  # so that the damage is noticed
        self.crash()
        self.start()
        return True

    def cut_power(self) -> None:
        """Cut the power, unless it has already failed. Unsynced data is lost or torn."""
        left = self.left_by_power_cut()
        self.stop()
        self.put(left)

    @contextmanager
    def failing_disk(self) -> Iterator[None]:
        """Make every commit of the agent fail inside the block."""
        writer = in_file(self.memory.store).writer()
        writer.set_commit_hook(lambda: True)
        try:
            yield
        finally:
            writer.set_commit_hook(None)

    def has_to_scrub(self) -> bool:
        """Return whether the store knows of bytes of forgotten memories that it has yet to erase."""
        with self.memory.store.reading() as db:
            return log.is_anything_to_scrub(db)

    def graves(self) -> set[str]:
        """Return the ids of the memories that the store knows to be forgotten."""
        with self.memory.store.reading() as db:
            return {str(row[0]) for row in db.execute("SELECT id FROM graves")}

    def has_met(self, other: Computer) -> bool:
        """Return whether the other's store, as it is now, has greeted this computer.

        An earlier state that came back is another incarnation. Its greeting voids what the store confirmed before.
        """
        with self.memory.store.reading() as db:
            return meta.read(db, f"incarnation of {other.id}") == other.memory.store.facts.incarnation

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

    def see_clock(self, other: Computer) -> None:
        """Compare clocks with another computer, as two devices do that connect."""
        self.meet_clock(other, self._server)

    def is_refused(self) -> bool:
        """Return whether neither process can write or read any more."""
        return all(_fails(store) for store in (in_file(self.memory.store), self._server))

    def alarms(self) -> list[str]:
        """Return the texts of the raised alarms."""
        return [text for _, text in json.loads(str(self._reader().execute(_ALARMS).get or "[]"))]

    def sync_now(self) -> None:
        self.sim.give(self.node, SyncNow())

    def durable_vector(self, space: str, shard: int) -> StateVector | None:
        """Return the state vector of the shard in the file, or None if the space has another id now."""
        if self._reader().execute("SELECT 1 FROM spaces WHERE id = ?", (space,)).get is None:
            return None
        row = self._reader().execute(_VECTOR, (space, shard)).get
        return decode_state_vector(row) if row else {}

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
        store = self.open_store()
        store.on_scrub = lambda: self.sim.after(SCRUB_S, lambda: self._scrub(store))
        store.on_scrub()  # the store called it before the callback was set
        return store

    def _scrub(self, store: Store) -> None:
        if self.on and store in (self.memory.store, self._server):
            store.scrub()
            self.committed()
