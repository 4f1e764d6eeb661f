"""The seam of discovery: a source of addresses. memcrdt.testing.finders has the acceptance suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from memcrdt.net.addresses import Address


@dataclass(frozen=True, slots=True)
class AddressCandidate:
    """An address where a device may be. Nothing about it is proven.

    Attributes:
        address: The address.
        found: The kind of source.
        device: The id of the device, if the source names one.
        pairing: The number of the code that waits there, if one does.
    """

    address: Address
    found: Literal["address", "mdns", "tailscale"]
    device: str | None = None
    pairing: int | None = None


Found: TypeAlias = Callable[[AddressCandidate], None]


class Finder(Protocol):
    """A source of addresses."""

    async def run(self, found: Found) -> None:
        """Call `found` for each candidate, and again when it is seen again, until cancelled.

        Once cancelled, it leaves no announcement behind. A missing source is no error: it is looked for again.
        """
        ...

    def announce(self, port: int | None) -> None:
        """Announce that we listen at this port from now on, or no longer (None). Many sources announce nothing."""
        ...
