"""Measure the cost of sync: whole stores, small changes, and the spread of an update through many nodes.

    python benchmarks/sync.py [--memories 10000] [--edits 10000] [--nodes 10,100,1000]

Two stores on the disk, with vectors, exchange frames within one process and one thread, without sockets. So seconds
include the computing and writing of both sides. The many nodes are simulated, with documents of one line.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from corpus import sentences
from figures import machine, p50_p95

from memcrdt.config import Config
from memcrdt.memory.memory import Memory
from memcrdt.memory.offline import Offline
from memcrdt.model.limits import SHARDS
from memcrdt.net.identity import Identity
from memcrdt.node.store_replica import StoreReplica
from memcrdt.search import SearchIndex, make_embedder
from memcrdt.search.searcher import Searcher
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.store import Store
from memcrdt.sync.events import Committed, Known
from memcrdt.sync.gossip import Gossip
from memcrdt.testing.fake_replica import FakeReplica
from memcrdt.testing.simulator import NetworkConditions, SimulatedNode, Simulator

REACHED = 0.999  # of the nodes
KNOWN = 50  # addresses that each node has


class Pair:
    """Two devices that share `personal`, and the number of bytes sent between them."""

    def __init__(self, folder: Path) -> None:
        self.sim = Simulator(1)
        self.sim.watch = self._count
        self.bytes = 0
        signers = [Identity.load_or_create(folder / name) for name in ("here", "there")]
        self.memories = [_memory(folder / signer.device_id[:8], signer.device_id) for signer in signers]
        self._pair(signers)
        self.nodes = [_node(self.sim, memory) for memory in self.memories]
        self.link = self.sim.connect(*self.nodes)
        self.sim.run(5)

    def _pair(self, signers: list[Identity]) -> None:
        here, there = self.memories
        Members(there.store).join(Members(here.store).entries(["personal"])[0])
        for memory, other, signer in zip(self.memories, reversed(signers), signers, strict=True):
            Peers(memory.store).accept(other.device_id)
            Members(memory.store).settle(signer, "")

    def part(self) -> None:
        self.sim.cut(self.link)
        self.sim.run(1)

    def meet(self) -> tuple[str, int]:
        """Connect the devices until they are equal; return the elapsed and processor time, and the bytes sent."""
        self.bytes, begun, computed = 0, time.perf_counter(), time.process_time()
        self.link = self.sim.connect(*self.nodes)
        while self.digest(0) != self.digest(1):
            self.sim.run(0.1)
        seconds = f"{time.perf_counter() - begun:.2f} s ({time.process_time() - computed:.2f} s of processor)"
        taken = seconds, self.bytes
        self.sim.run(40)
        return taken

    def push(self, number: int) -> float:
        """Send the last commit to the other side; return the seconds that took."""
        begun = time.perf_counter()
        self.sim.give(self.nodes[number], Committed())
        self.sim.run(0.001)
        return time.perf_counter() - begun

    def digest(self, number: int) -> str:
        space = self.memories[number].space("personal")
        return space.id() + space.digest()

    def close(self) -> None:
        for memory in self.memories:
            memory.close()

    def _count(self, source: SimulatedNode, target: SimulatedNode, frame: bytes) -> None:
        self.bytes += len(frame)


def _memory(home: Path, device: str) -> Memory:
    index = SearchIndex(make_embedder("static"))
    store = Store(home, device, index)
    return Memory(home, store, Offline, pairing=Offline, searcher=Searcher(store, index), config=Config())


def _node(sim: Simulator, memory: Memory) -> SimulatedNode:
    store = memory.store
    gossip = Gossip(store.device, store.facts.incarnation, rng=Random(store.device))
    return sim.start(SimulatedNode(store.device, StoreReplica(store), gossip))


@contextmanager
def _pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="memcrdt-bench-") as folder:
        os.environ["MEMCRDT_STATE"] = folder
        pair = Pair(Path(folder))
        yield pair
        pair.close()


def two_stores(memories: int, edits: int) -> None:
    """Measure a whole store, an idle connection, one change, and a month without a connection."""
    with _pair() as pair:
        here, there = pair.memories
        here.search("load the embedder")
        there.search("load the embedder")
        pair.part()
        ids = here.add_many(list(sentences(memories)))
        seconds, sent = pair.meet()
        assert there.search("the billing service", limit=5)
        updates = _bytes_of_updates(here)
        share = f"{sent / updates:.3f} times the updates"
        print(f"{memories:,} memories to an empty node  {seconds}, {sent:,} bytes, {share}")
        _idle(pair)
        _one_change(pair, ids)
        _a_month_apart(pair, ids, edits)


def _idle(pair: Pair) -> None:
    pair.part()
    pair.bytes = 0
    pair.link = pair.sim.connect(*pair.nodes)
    pair.sim.run(5)
    at_first = pair.bytes
    pair.sim.run(600)
    before = pair.bytes
    pair.sim.run(600)
    each = (pair.bytes - before) / 20
    print(f"idle: {at_first:,} bytes at reconnect, greetings included, then {each:.0f} per half minute")


def _one_change(pair: Pair, ids: list[str]) -> None:
    here = pair.memories[0]
    taken, sizes = [], []
    for text in sentences(200, seed=3):
        pair.bytes, begun = 0, time.perf_counter()
        here.add(text)
        added = time.perf_counter() - begun
        taken.append(added + pair.push(0))
        sizes.append(pair.bytes)
    assert pair.digest(0) == pair.digest(1)
    print(f"one add, durable and searchable on both sides, p50 / p95  {p50_p95(taken)}, {sorted(sizes)[100]} bytes")
    pair.bytes = 0
    here.update(ids[0], text="another text")
    pair.push(0)
    print(f"one edit  {pair.bytes} bytes")


def _a_month_apart(pair: Pair, ids: list[str], edits: int) -> None:
    pair.part()
    for number, memory in enumerate(pair.memories):
        rng, texts = Random(number), sentences(edits, seed=10 + number)
        mine = ids[number::2]
        for text in texts:
            kind = rng.random()
            if kind < 0.5 or len(mine) < 2:
                memory.add(text)
            elif kind < 0.9:
                memory.update(rng.choice(mine), text=text)
            else:
                memory.forget(mine.pop(rng.randrange(len(mine))))
    seconds, sent = pair.meet()
    print(f"a month disconnected, {edits:,} edits on both sides  {seconds}, {sent:,} bytes")
    assert pair.digest(0) == pair.digest(1)


def _bytes_of_updates(memory: Memory) -> int:
    replica = StoreReplica(memory.store)
    space = memory.space("personal").id()
    return sum(len(replica.diff(space, shard, {}).update) for shard in replica.digests(space) if shard < SHARDS)


def many_nodes(count: int) -> None:
    """Measure the spread of an update over links of 50 ms on which 1 % of the frames are lost and sent again."""
    sim = Simulator(count, NetworkConditions(latency_s=0.05, loss=0.01))
    size = [0]

    def watch(source: SimulatedNode, target: SimulatedNode, frame: bytes) -> None:
        size[0] += len(frame)

    sim.watch = watch
    ids = [f"node {number}" for number in range(count)]
    nodes = []
    for number, device in enumerate(ids):
        replica = FakeReplica(client=number + 1)
        replica.share("S", "shared", *(other for other in ids if other != device))
        nodes.append(sim.start(SimulatedNode(device, replica, Gossip(device, device, rng=Random(number)))))
    for node in nodes:
        for device in Random(node.id).sample(ids, min(count, KNOWN)):
            sim.give(node, Known(device))
    sim.run(120)
    degrees = [len(node.gossip.status()) for node in nodes]  # type: ignore[attr-defined]
    costs = _spread(sim, nodes, size)
    print(f"{count:,} nodes, {sum(degrees) / count:.1f} connections each  {costs}")


def _spread(sim: Simulator, nodes: list[SimulatedNode], size: list[int]) -> str:
    replicas: list[Any] = [node.replica for node in nodes]
    begun, size[0] = sim.now, 0
    replicas[0].write("S", 0, "x" * 200)
    sim.give(nodes[0], Committed())
    most = 0.0
    while (reached := sum(bool(replica.texts("S")) for replica in replicas)) < len(nodes):
        sim.run(0.05)
        if not most and reached >= REACHED * len(nodes):
            most = sim.now - begun
    last = sim.now - begun
    most = most or last
    reach = f"99.9 % after {most:.2f} s, all after {last:.2f} s, {round(last / 0.05)} times 50 ms"
    return f"{reach}; {size[0] / len(nodes):,.0f} bytes a node"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--nodes", default="10,100,1000")
    given = parser.parse_args()
    print(machine())
    if given.memories:
        two_stores(given.memories, given.edits)
    for count in filter(None, given.nodes.split(",")):
        many_nodes(int(count))


if __name__ == "__main__":
    main()
