"""A hub in the simulated network: laptops that meet only the hub become equal, over connections that are cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from memcrdt.net.identity import Identity
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.sync.events import Committed
from memcrdt.sync.gossip import Gossip
from memcrdt.testing.simulator import NetworkConditions, SimulatedNode, Simulator
from tests.bare_device import BareDevice
from tests.hub.hub_device import HubDevice
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("postgres")

_ROUND_S = 15.0  # of virtual time: longer than from one comparison to the next


class _Member:
    """A device with a key, and its process in the simulated network."""

    def __init__(self, name: str, home: Path, rng: Random, open_device: Callable[[Path, str], BareDevice]) -> None:
        self.name, self._rng = name, rng
        self.identity = Identity.load_or_create(home)
        self.device = open_device(home, self.identity.device_id)
        self.node = self.process(self.device)

    def process(self, device: BareDevice) -> SimulatedNode:
        incarnation = device.store.facts.incarnation
        gossip = Gossip(device.id, incarnation, rng=Random(self._rng.random()))
        return SimulatedNode(device.id, device.replica, gossip)

    def settle(self) -> None:
        """Sign what this device has decided about its members, as the driver does."""
        Members(self.device.store).settle(self.identity, self.name)


@pytest.mark.parametrize("seed", range(2))
def test_laptops_that_meet_only_the_hub_become_equal(server: Server, tmp_path: Path, seed: int) -> None:
    """Their three spaces of one name become one. In between, the process of the hub is killed and another goes on."""
    rng, dsn = Random(seed), server.make_schema()
    hub = _Member("hub", tmp_path / "H", rng, lambda home, device: HubDevice(home, device, dsn))
    laptops = [_Member(name, tmp_path / name, rng, BareDevice) for name in ("A", "B")]
    members = [hub, *laptops]
    for laptop in laptops:
        Peers(laptop.device.store).accept(hub.device.id, name="hub")
        Peers(hub.device.store).accept(laptop.device.id, name=laptop.name)
    simulator = Simulator(seed, NetworkConditions(latency_s=0.01, jitter_s=0.05, loss=0.02, cut=0.01, store_s=0.02))
    for member in members:
        simulator.start(member.node)

    def go_on() -> None:
        for _ in range(2):
            for member in members:
                member.settle()
                simulator.give(member.node, Committed())
            for laptop in laptops:
                simulator.connect(laptop.node, hub.node)
            simulator.run(_ROUND_S)

    for member in members:
        member.device.add_many(f"{member.name} {number}" for number in range(20))
    go_on()
    other = HubDevice(tmp_path / "H", hub.device.id, dsn)  # another process of the hub
    simulator.kill(hub.node)
    hub.node = simulator.start(hub.process(other))
    memory = laptops[0].device.add("while the hub was away")
    laptops[1].device.forget(next(iter(laptops[1].device.texts())))
    other.update(next(iter(other.texts())), add_tags=["by the hub"])
    go_on()
    simulator.conditions = NetworkConditions(latency_s=0.01)  # no connection is cut any more
    go_on()
    first = laptops[0].device
    for each in (first, laptops[1].device, other, hub.device):
        assert each.space() == first.space()
        assert (each.digest(), each.views()) == (first.digest(), first.views())
    assert memory in other.texts()
    assert len(other.texts()) == 60
    for each in (first, laptops[1].device, other, hub.device):
        each.close()
