"""NetOptions: where a node listens, and how it finds other devices."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from memcrdt.errors import InputError
from memcrdt.model.checks import check_flag
from memcrdt.model.ports import DEFAULT_PAIRING_PORT, DEFAULT_PORT
from memcrdt.net.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memcrdt.config import Config
    from memcrdt.net.discovery.finder import Finder


@dataclass(frozen=True, slots=True, kw_only=True)
class NetOptions:
    """Where to listen, and how devices are found.

    A node that listens on the loopback interface only is not found, and does not look for others. Raises InputError for
    a host or port that cannot exist.

    Attributes:
        host: Where to listen. Empty: all interfaces.
        port: The port; 0 for any free one, None to listen nowhere.
        mdns: Whether to find devices on the local network. None: as the home's settings say.
        tailscale: Whether to look for devices in the tailnet. None: as the home's settings say.
    """

    host: str = ""
    port: int | None = DEFAULT_PORT
    mdns: bool | None = None
    tailscale: bool | None = None

    def __post_init__(self) -> None:
        _ = self.address
        for name in ("mdns", "tailscale"):
            if (given := getattr(self, name)) is not None:
                check_flag(given, name)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> NetOptions:
        """Make options from keyword arguments. Raises InputError, also for an unknown name."""
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(options) - set(known)):
            raise InputError(f"the network has no option {unknown[0]!r}; its options are {', '.join(known)}")
        return cls(**options)

    def finders(self, device: str, config: Config, *, pairing: int | None = None) -> list[Finder]:
        """Make the sources of addresses.

        Args:
            device: Our device id.
            config: The settings of the home, where the options are None.
            pairing: The number of a code that waits at our port, if one does.
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

    @property
    def address(self) -> Address | None:
        """Where to listen; None: nowhere."""
        return None if self.port is None else Address(self.host, self.port)


def _is_ip(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False
