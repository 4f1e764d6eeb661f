"""The accepted devices with their addresses and rights, and the changes since the last read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcrdt.model.device_ids import shown
from memcrdt.net.addresses import Address
from memcrdt.sync.events import Known, Revoked, SpacesChanged, SyncNow

if TYPE_CHECKING:
    from memcrdt.store.membership.peers import Peers


class TrustedPeers:
    """The accepted devices in the peers table, as of the last `read`. Other processes change the table too."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._addresses: dict[str, frozenset[str]] = {}
        self._names: dict[str, str] = {}
        self._hosts: set[str] = set()
        self._writers: frozenset[str] = frozenset()
        self._hubs: frozenset[str] = frozenset()
        self._shares: frozenset[tuple[int, str]] = frozenset()
        self._statements: frozenset[bytes] = frozenset()
        self._revoked = False  # whether any device is revoked
        self._asked = peers.asked_to_sync()

    def __contains__(self, device: str) -> bool:
        return device in self._addresses

    @property
    def devices(self) -> frozenset[str]:
        """The ids of all accepted devices."""
        return frozenset(self._addresses)

    @property
    def is_sought(self) -> bool:
        """Whether we have to listen: for accepted devices, or to tell revoked devices that they were revoked."""
        return self._revoked or bool(self._addresses)

    def has_host(self, host: str) -> bool:
        """Return whether the address of an accepted device is at this host."""
        return host in self._hosts

    def name(self, device: str) -> str:
        """Return how messages call a device: its name and, if another device has that too, the beginning of its id."""
        name, group = self._names.get(device), shown(device).partition("-")[0]
        if name is None:
            return group
        return f"{name} ({group})" if [*self._names.values()].count(name) > 1 else name

    def known(self, device: str) -> Known:
        """Return the event that lets the gossip dial an accepted device."""
        return Known(device, device in self._writers, device in self._hubs)

    def read(self) -> list[Known | Revoked | SpacesChanged | SyncNow]:
        """Read the table, and return the events for the gossip. Raises StoreError."""
        before, wrote, said_before = self._addresses, self._writers, (self._shares, self._statements)
        known = self._peers.all()
        self._addresses = {peer.device: frozenset(peer.addresses) for peer in known if peer.state == "accepted"}
        self._names = {peer.device: peer.name for peer in known if peer.name and peer.state != "pending"}
        self._hosts = {Address.parse(each).host for addresses in self._addresses.values() for each in addresses}
        self._revoked = any(peer.state == "revoked" for peer in known)
        self._writers, self._hubs = self._peers.writers(), frozenset(self._peers.hubs())
        self._shares, self._statements = self._peers.shares(), self._peers.statements()
        events: list[Known | Revoked | SpacesChanged | SyncNow]
        events = [Revoked(device) for device in before.keys() - self._addresses]
        if (self._shares, self._statements) != said_before:
            events.append(SpacesChanged())
        for device, addresses in self._addresses.items():
            changed_rights = device in before and device in wrote ^ self._writers
            if addresses - before.get(device, frozenset()) or (addresses and changed_rights):
                events.append(self.known(device))
        asked, self._asked = self._asked, self._peers.asked_to_sync()
        if asked != self._asked:
            events.append(SyncNow())
        return events
