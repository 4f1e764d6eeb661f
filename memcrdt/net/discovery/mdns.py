"""Discovery by multicast DNS (mDNS, RFC 6762): devices on one local network find each other, over IPv4 and IPv6.

A device that listens announces a `_memcrdt._tcp.local.` record with its id and port, under a random name. It withdraws
the record when it stops. If it is killed, the record expires after two minutes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from zeroconf import Error, InterfaceChoice, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from memcrdt.errors import InputError
from memcrdt.model.device_ids import DEVICE_ID_CHARS
from memcrdt.net.addresses import Address, interface_hosts, unicast_hosts
from memcrdt.net.discovery.finder import AddressCandidate, Found
from memcrdt.net.tasks import BackgroundTasks

if TYPE_CHECKING:
    from zeroconf import ServiceInfo

log = logging.getLogger("memcrdt.net")

SERVICE: Final = "_memcrdt._tcp.local."
VERSION: Final = "1"
RESCAN_S: Final = 5.0  # between two checks for a change of the network
RETRY_S: Final = 30.0  # after multicast could not be used
RESOLVE_MS: Final = 3_000
RESOLVED_AT_ONCE: Final = 8  # records; further records are resolved when they are announced again
ADDRESSES: Final = 4  # used from one record
TTL_S: Final = 120
_PAIRING_MAX: Final = 999_999


class MdnsFinder:
    """Announces one device and finds others."""

    def __init__(self, device: str, *, pairing: int | None = None, interfaces: Sequence[str] | None = None) -> None:
        """Take the parameters; nothing is announced yet.

        Args:
            device: Our device id.
            pairing: The number of the pairing code that can be used at the announced port, if there is one.
            interfaces: Addresses of this machine whose interfaces are used. None: all but the loopback interface.
        """
        self._device = device
        self._pairing = pairing
        self._interfaces = interfaces
        self._name = f"{secrets.token_hex(8)}.{SERVICE}"
        self._port: int | None = None
        self._changed = asyncio.Event()

    def announce(self, port: int | None) -> None:
        """Implement Finder: publish, change or withdraw the record."""
        self._port = port
        self._changed.set()

    async def run(self, found: Found) -> None:
        """Implement Finder."""
        while True:
            try:
                await self._run(found)
            except (OSError, RuntimeError, Error) as exc:  # no network, or another program uses the port exclusively
                log.warning(
                    "mDNS cannot find other devices: %s; give their addresses, or turn mDNS off (mdns=False in Python, "
                    "--no-mdns on the command line)",
                    exc,
                )
            await asyncio.sleep(RETRY_S)

    async def _run(self, found: Found) -> None:
        interfaces = InterfaceChoice.All if self._interfaces is None else list(self._interfaces)
        versions = None if self._interfaces is not None else IPVersion.All
        zeroconf = AsyncZeroconf(interfaces=interfaces, ip_version=versions)
        resolving = _Resolving(zeroconf.zeroconf, self._name, found)
        browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[resolving.changed])
        try:
            await self._keep_announced(zeroconf)
        finally:
            await resolving.stop()
            await browser.async_cancel()
            await zeroconf.async_close()  # withdraws the record
            await asyncio.sleep(0)  # sockets that were just opened are freed in the next iteration of the event loop

    async def _keep_announced(self, zeroconf: AsyncZeroconf) -> None:
        announced: ServiceInfo | None = None
        while True:
            self._changed.clear()
            wanted = self._record()
            if announced is not None and wanted is None:
                await (await zeroconf.async_unregister_service(announced))
            elif wanted is not None and announced is None:
                # The name is random, so there is no conflict to probe for. The second await waits until zeroconf has
                # repeated the announcement: a repetition after our goodbye packet would publish the record again.
                await (await zeroconf.async_register_service(wanted, cooperating_responders=True))
            elif wanted is not None and announced is not None and not _same(wanted, announced):
                await (await zeroconf.async_update_service(wanted))
            announced = wanted
            with suppress(TimeoutError):
                async with asyncio.timeout(RESCAN_S):
                    await self._changed.wait()
            await zeroconf.zeroconf.async_update_interfaces()

    def _record(self) -> AsyncServiceInfo | None:
        addresses = interface_hosts() if self._interfaces is None else list(self._interfaces)
        if self._port is None or not addresses:
            return None
        properties = {"v": VERSION, "id": self._device}
        if self._pairing is not None:
            properties["pair"] = str(self._pairing)
        return AsyncServiceInfo(
            SERVICE,
            self._name,
            self._port,
            properties=properties,
            server=self._name,
            parsed_addresses=addresses,
            host_ttl=TTL_S,
            other_ttl=TTL_S,
        )


class _Resolving:
    """Resolves the names that the browser reports to ports and addresses."""

    def __init__(self, zeroconf: Zeroconf, own_name: str, found: Found) -> None:
        self._zeroconf = zeroconf
        self._own_name = own_name
        self._found = found
        self._names: set[str] = set()
        self._tasks = BackgroundTasks()

    def changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:  # zeroconf passes these arguments by name
        """Resolve a new or changed name. The browser calls this."""
        if state_change is ServiceStateChange.Removed or name == self._own_name or name in self._names:
            return
        if len(self._names) < RESOLVED_AT_ONCE:
            self._names.add(name)
            self._tasks.spawn(self._resolve(name))

    async def stop(self) -> None:
        """Cancel all lookups."""
        await self._tasks.cancel()

    async def _resolve(self, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE, name)
            if await info.async_request(self._zeroconf, RESOLVE_MS):
                for candidate in candidates_of(info):
                    self._found(candidate)
        finally:
            self._names.discard(name)


def candidates_of(info: ServiceInfo) -> list[AddressCandidate]:
    """Return the valid candidates in a record. Any machine on the network may have sent it, so its fields are checked.

    Returns:
        At most 4; none if the record has another version or no device id.
    """
    properties = info.decoded_properties
    device, pairing = properties.get("id") or "", properties.get("pair") or ""
    if properties.get("v") != VERSION or len(device) != DEVICE_ID_CHARS or not device.isascii() or not info.port:
        return []
    number = int(pairing) if pairing.isdecimal() and len(pairing) <= len(str(_PAIRING_MAX)) else None
    candidates = []
    for host in unicast_hosts(info.parsed_scoped_addresses())[:ADDRESSES]:
        with suppress(InputError):
            candidates.append(AddressCandidate(Address(host, info.port), "mdns", device, number))
    return candidates


def _same(one: ServiceInfo, other: ServiceInfo) -> bool:
    return one.port == other.port and set(one.parsed_addresses()) == set(other.parsed_addresses())
