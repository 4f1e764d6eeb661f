"""The metrics of a home, a hub and a relay: what `memcrdt status` shows, as numbers for Prometheus."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from memcrdt.memory.devices import device_of
from memcrdt.store import log
from memcrdt.store.overview import peer_states

if TYPE_CHECKING:
    from datetime import datetime

    from prometheus_client import Metric

    from memcrdt.hub.hub import Hub
    from memcrdt.hub.node import HubNode
    from memcrdt.memory.devices import Device
    from memcrdt.memory.memory import Memory
    from memcrdt.memory.status import Status
    from memcrdt.net.relay.server import Relay
    from memcrdt.node.node import Node
    from memcrdt.store.overview import SpaceStatus


class ServeMetrics:
    """The metrics and the readiness of a process that runs the network of a home.

    Args:
        memory: The memory.
        node: Its network, entered.
        version: The version of memcrdt.
    """

    def __init__(self, memory: Memory, node: Node, version: str) -> None:
        self._memory = memory
        self._node = node
        self._version = version

    async def collect(self) -> Iterable[Metric]:
        """Return the metrics. Raises StoreError."""
        return await asyncio.to_thread(self._families)

    async def check(self) -> Sequence[str]:
        """Return why the process does not do its work. Raises StoreError if the store cannot be read."""
        status = await asyncio.to_thread(self._memory.status)
        serving = status.serving
        if serving is None:
            return ["no process runs the network"]
        damaged = [space.name for space in status.spaces if not space.digest]
        problems = [f"the space {name} is damaged; run memcrdt doctor" for name in damaged]
        return [serving.error, *problems] if serving.error else problems

    def _families(self) -> list[Metric]:
        status = self._memory.status()
        with self._memory.store.reading() as db:
            rows = log.head(db)
        return [
            *_of_store(self._version, rows),
            *_of_home(status),
            *_of_spaces(status.spaces),
            *_of_devices(status.peers),
        ]


def _of_store(version: str, rows: int) -> Iterator[Metric]:
    info = GaugeMetricFamily("memcrdt_build_info", "The version, always 1", labels=["version"])
    info.add_metric([version], 1)
    yield info
    yield CounterMetricFamily("memcrdt_log_rows", "Rows written to the log of the store", value=rows)


def _of_home(status: Status) -> Iterator[Metric]:
    connected = sum(peer.connected for peer in status.peers)
    numbers = {
        "memcrdt_store_bytes": ("Size of the store", status.size),
        "memcrdt_budget_used_bytes": ("Bytes of the store in use", status.budget.used),
        "memcrdt_budget_limit_bytes": ("Limit of the bytes in use, 0 for none", status.budget.limit or 0),
        "memcrdt_listening": ("Whether this device listens for others", bool(status.serving and status.serving.port)),
        "memcrdt_devices_connected": ("Devices that are connected", connected),
        "memcrdt_alarms": ("Alarms that nobody has acknowledged", len(status.alarms)),
        "memcrdt_acknowledged_alarms": ("Alarms that were acknowledged and go on", len(status.acknowledged)),
        "memcrdt_quarantined_updates": ("Updates that were refused", status.quarantined),
        "memcrdt_ignored_registers": ("Registers that are malformed, and kept", status.ignored),
        "memcrdt_shards_to_scrub": ("Shards with bytes of forgotten memories", status.to_scrub),
        "memcrdt_waiting_embeddings": ("Memories that wait to be embedded", status.search.waiting),
    }
    for name, (text, value) in numbers.items():
        yield GaugeMetricFamily(name, text, value=float(value))


def _of_spaces(spaces: Iterable[SpaceStatus]) -> Iterator[Metric]:
    memories = GaugeMetricFamily("memcrdt_memories", "Memories of a space", labels=["space"])
    forgotten = GaugeMetricFamily("memcrdt_forgotten_memories", "Forgotten memories of a space", labels=["space"])
    members = GaugeMetricFamily("memcrdt_space_members", "Devices that share a space", labels=["space"])
    damaged = GaugeMetricFamily("memcrdt_space_damaged", "Whether rows of a space are damaged", labels=["space"])
    for space in spaces:
        memories.add_metric([space.name], space.memories)
        forgotten.add_metric([space.name], space.forgotten)
        members.add_metric([space.name], len(space.members))
        damaged.add_metric([space.name], not space.digest)
    yield from (memories, forgotten, members, damaged)


def _of_devices(peers: Iterable[Device]) -> Iterator[Metric]:
    peers = list(peers)
    states = GaugeMetricFamily("memcrdt_devices", "Other devices by state", labels=["state"])
    counts = Counter(peer.state for peer in peers)
    for state in ("accepted", "pending", "revoked"):
        states.add_metric([state], counts[state])
    yield states
    for name, (text, value) in _DEVICE.items():
        family = GaugeMetricFamily(f"memcrdt_device_{name}", text, labels=["device", "name"])
        for peer in peers:
            if peer.state == "accepted" and (found := value(peer)) is not None:
                family.add_metric([peer.device, peer.name or ""], found)
        yield family


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


_DEVICE: Final[dict[str, tuple[str, Callable[[Device], float | None]]]] = {
    "connected": ("Whether a device is connected", lambda peer: float(peer.connected)),
    "relayed": ("Whether a relay joins a device with this one", lambda peer: float(peer.found == "relay")),
    "behind_changes": ("Changes that a device has not confirmed", lambda peer: peer.behind),
    "unscrubbed_memories": ("Forgotten memories that a device may still have", lambda peer: peer.unscrubbed),
    "agreed_timestamp_seconds": ("When a device had the same data last", lambda peer: _seconds(peer.agreed_at)),
    "seen_timestamp_seconds": ("When a device was in contact last", lambda peer: _seconds(peer.seen_at)),
}


class HubMetrics:
    """The metrics of one process of a hub. Only the number of connections differs between its processes.

    Args:
        hub: The hub.
        node: The network of the process, entered.
        version: The version of memcrdt.
    """

    def __init__(self, hub: Hub, node: HubNode, version: str) -> None:
        self._hub = hub
        self._node = node
        self._version = version

    async def collect(self) -> Iterable[Metric]:
        """Return the metrics. Raises StoreError."""
        return await asyncio.to_thread(self._families)

    def _families(self) -> list[Metric]:
        with self._hub.store.reading() as db:
            rows = log.head(db)
            memories = list(db.execute(_MEMORIES))
        numbers = {
            "memcrdt_listening": ("Whether this process listens for devices", self._node.port is not None),
            "memcrdt_devices_connected": ("Devices that are connected to this process", len(self._node.connected)),
        }
        by_space = GaugeMetricFamily("memcrdt_memories", "Memories of a space", labels=["space"])
        for space, count in memories:
            by_space.add_metric([space], count)
        return [
            *_of_store(self._version, rows),
            by_space,
            *(GaugeMetricFamily(name, text, value=float(value)) for name, (text, value) in numbers.items()),
            *_of_devices(map(device_of, peer_states(self._hub.store))),
        ]


_MEMORIES: Final = """
SELECT s.name, count(m.memory) FROM spaces s LEFT JOIN memories m USING(space) GROUP BY 1 ORDER BY 1"""


async def relay_metrics(relay: Relay) -> list[Metric]:
    """Return the metrics of a relay, which names no device."""
    opened, pairs = relay.opened_total, relay.joined_total
    return [
        GaugeMetricFamily("memcrdt_relay_connections", "Open connections", value=relay.connections),
        GaugeMetricFamily("memcrdt_relay_waiting", "Connections in which a device waits", value=relay.waiting),
        GaugeMetricFamily("memcrdt_relay_joined_pairs", "Pairs of devices that are joined now", value=relay.joined),
        CounterMetricFamily("memcrdt_relay_opened_connections", "Connections that were opened", value=opened),
        CounterMetricFamily("memcrdt_relay_pairs", "Pairs of devices that were joined", value=pairs),
        CounterMetricFamily("memcrdt_relay_passed_bytes", "Bytes that were passed on", value=relay.passed_bytes),
    ]
