"""The options of a node's network: where it listens, and how it finds other devices."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from memcrdt.errors import InputError
from memcrdt.model.checks import check_flag, check_port
from memcrdt.model.ports import AUTO, AUTO_PORTS, DEFAULT_PAIRING_PORT, DEFAULT_PORT
from memcrdt.net.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memcrdt.config import Config
    from memcrdt.net.discovery.finder import Finder


@dataclass(frozen=True, slots=True, kw_only=True)
class NetOptions:
    """Where to listen, and how devices are found.

    A node that listens only on the loopback interface is not found, and does not look for other devices. The
    constructor raises InputError for a host or port that cannot exist.

    Attributes:
        host: The host to listen at. Empty: all interfaces.
        port: The port; 0 for any free one, None to listen nowhere, "auto" to follow the home's settings.
        mdns: Whether to find devices on the local network. None: follow the home's settings.
        tailscale: Whether to look for devices in the tailnet. None: follow the home's settings.
        must_listen: Whether a port that another program has is an error at the start. Otherwise the network only dials
            and tries again every few seconds, and the status has the reason.
    """

    host: str = ""
    port: int | str | None = AUTO
    mdns: bool | None = None
    tailscale: bool | None = None
    must_listen: bool = True

    def __post_init__(self) -> None:
        Address(self.host, 0)
        if self.port is not None:
            check_port(self.port, "the port")
        for name in ("mdns", "tailscale", "must_listen"):
            if (given := getattr(self, name)) is not None:
                check_flag(given, name)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> NetOptions:
        """Return options from keyword arguments. Raises InputError for an unknown name or a wrong value."""
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(options) - set(known)):
            raise InputError(f"the network has no option {unknown[0]!r}; the options are {', '.join(known)}")
        return cls(**options)

    def finders(self, device: str, config: Config, *, pairing: int | None = None) -> list[Finder]:
        """Return the sources of addresses.

        Args:
            device: Our device id.
            config: The settings of the home, used where an option is None.
            pairing: The number of the pairing code that can be used at our port, if there is one.
        """
        from memcrdt.net.discovery.mdns import MdnsFinder
        from memcrdt.net.discovery.tailscale import TailscaleFinder

        if self.host == "localhost" or self.host.startswith("127.") or self.host == "::1":
            return []
        finders: list[Finder] = []
        if config.mdns if self.mdns is None else self.mdns:
            finders.append(MdnsFinder(device, pairing=pairing, interfaces=[self.host] if _is_ip(self.host) else None))
        if config.tailscale if self.tailscale is None else self.tailscale:
            finders.append(
                TailscaleFinder(port=DEFAULT_PAIRING_PORT if self.port == DEFAULT_PAIRING_PORT else DEFAULT_PORT)
            )
        return finders

    def addresses(self, config: Config) -> tuple[Address, ...]:
        """Return the addresses to listen at, of which the first free one is taken; none to listen nowhere."""
        port = config.port if self.port == AUTO else self.port
        if port is None:
            return ()
        ports = (*AUTO_PORTS, 0) if port == AUTO else (int(port),)
        return tuple(Address(self.host, each) for each in ports)


def _is_ip(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False
