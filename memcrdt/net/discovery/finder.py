"""The interface of discovery: a source of addresses. memcrdt.testing.finders has the acceptance suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from memcrdt.net.addresses import Address


@dataclass(frozen=True, slots=True)
class AddressCandidate:
    """An address where a device may be. Nothing about it is proven.

    Attributes:
        address: The address; that of the relay if `found` is "relay".
        found: The kind of source.
        device: The id of the device, if the source names one.
        pairing: The number of the pairing code that the device shows, if it shows one.
    """

    address: Address
    found: Literal["address", "mdns", "tailscale", "relay"]
    device: str | None = None
    pairing: int | None = None


Found: TypeAlias = Callable[[AddressCandidate], None]


class Finder(Protocol):
    """A source of addresses."""

    async def run(self, found: Found) -> None:
        """Call `found` for each candidate, and again whenever the candidate is seen again, until cancelled.

        When cancelled, withdraw the announcement. A source that is not available is not an error: try it again later.
        """
        ...

    def announce(self, port: int | None) -> None:
        """Announce that we listen at this port, or no longer listen (None). Many sources announce nothing."""
        ...
