"""One source of addresses, as the network sees it. memcrdt.testing.finders holds what each has to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from memcrdt.net.addresses import Address


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which a device may be; nothing of it is proven.

    `device` is whose it is said to be, None if nobody said; `pairing` the number of the code that waits there.
    """

    address: Address
    found: Literal["address", "mdns", "tailscale"]
    device: str | None = None
    pairing: int | None = None


Found: TypeAlias = Callable[[Candidate], None]


class Finder(Protocol):
    """One source."""

    async def run(self, found: Found) -> None:
        """Calls `found` for each candidate, again when it was seen again, until it is cancelled; then nothing that was
        announced is left behind. A source that is not there is no error: it is looked for again."""
        ...

    def announce(self, port: int | None) -> None:
        """We listen at this port from now on, or no longer. A source that announces nothing does nothing."""
        ...
