"""Bare devices that share `personal`, and exchange with the code that syncs in the network, in simulated time."""

from __future__ import annotations

from pathlib import Path
from random import Random

from memcrdt.store import alarms
from memcrdt.store.membership.peers import Peers
from memcrdt.sync.events import Committed
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.wire import decode
from memcrdt.testing.simulator import SimulatedNode, Simulator
from tests.bare_device import BareDevice

SOON_S = 120
HOSTILE = "H" * 52  # a member that may write; it is not in the network


class Devices:
    """Devices that share `personal`, and their network."""

    def __init__(self, folder: Path, names: str) -> None:
        self.sim = Simulator(seed=1)
        self.sim.watch = self._note_sent
        self.sent: list[object] = []
        self.all = {name: BareDevice(folder / name, name) for name in names}
        first = self.all[names[0]]
        (genesis,) = first.rows("SELECT id, creator, nonce FROM spaces WHERE name = 'personal'")
        for device in self.all.values():
            with device.store.writing() as db:
                db.execute("UPDATE spaces SET id = ?, creator = ?, nonce = ? WHERE name = 'personal'", genesis)
            for other in (*self.all.values(), HOSTILE):
                if other is not device:
                    Peers(device.store).accept(other if isinstance(other, str) else other.id)
        self.nodes = {
            name: self.sim.start(
                SimulatedNode(device.id, device.replica, Gossip(device.id, f"of {name}", rng=Random(name)))
            )
            for name, device in self.all.items()
        }

    def restrict(self, name: str) -> None:
        """Let a device only read."""
        for device in self.all.values():
            with device.store.writing() as db:
                if device is self.all[name]:
                    db.execute("UPDATE spaces SET read_only = 1")
                else:
                    db.execute("UPDATE shares SET read_only = 1 WHERE device = ?", (self.all[name].id,))

    def connect(self, one: str, other: str) -> int:
        """Connect two devices, and let them exchange. Return the number of the link."""
        number = self.sim.connect(self.nodes[one], self.nodes[other])
        self.sim.run(SOON_S)
        return number

    def add(self, name: str, text: str) -> str:
        memory = self.all[name].add(text)
        self.committed(name)
        return memory

    def committed(self, name: str) -> None:
        self.sim.give(self.nodes[name], Committed())
        self.sim.run(SOON_S)

    def send(self, name: str, update: bytes) -> None:
        """Let the hostile member send an update to one device."""
        assert self.all[name].apply(update, origin=HOSTILE).status == "applied"

    def views(self) -> list[list[object]]:
        return [device.views() for device in self.all.values()]

    def count(self, kind: type) -> int:
        return sum(isinstance(each, kind) for each in self.sent)

    def alarms(self, name: str) -> str:
        with self.all[name].store.reading() as db:
            return "\n".join(alarm.text for alarm in alarms.raised(db))

    def close(self) -> None:
        for device in self.all.values():
            device.close()

    def _note_sent(self, _: SimulatedNode, __: SimulatedNode, frame: bytes) -> None:
        self.sent.append(decode(frame))
