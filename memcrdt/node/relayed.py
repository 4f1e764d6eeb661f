"""Which relays this device uses, its registration there, and direct paths to devices that it reaches through one.

A relay is one of the home's settings, or listed by a space. Members list relays, and one of them may be hostile: so the
number that this device waits at has a limit, and a relay is sent no more than a proof of this device's key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from memcrdt.errors import InputError, MemcrdtError
from memcrdt.net.addresses import Address
from memcrdt.net.relay.client import wait_for_call

if TYPE_CHECKING:
    from random import Random

    from memcrdt.model.device_ids import Signer
    from memcrdt.net.listener import Listener
    from memcrdt.net.tasks import BackgroundTasks

log = logging.getLogger("memcrdt.net")

RETRY_S: Final = 1.0  # after the first failure; doubled with each further one
RETRY_MAX_S: Final = 60.0
LISTEN_POLL_S: Final = 0.5  # between two looks whether this device listens
CALL_PAUSE_S: Final = 0.02  # between two calls: a relay that floods us leaves most of the processor to searches
DIRECT_S: Final = 60.0  # between two tries of direct paths; a failed one costs a few packets
WAITED_AT: Final = 16  # relays at which this device waits: the four of the settings, and four of each of three spaces


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """The relays of this device.

    Attributes:
        own: The relays of the settings, for every device.
        listed: By device: the relays of the spaces that it shares.
    """

    own: tuple[Address, ...] = ()
    listed: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, own: Iterable[str], listed: Mapping[str, Iterable[str]]) -> RelayPlan:
        """Return the plan for relays as HOST:PORT. Addresses that cannot exist are left out."""
        return cls(_parsed(own), {device: _parsed(relays) for device, relays in listed.items()})

    def to(self, device: str) -> list[Address]:
        """Return the relays at which the device may wait."""
        return list(dict.fromkeys((*self.own, *self.listed.get(device, ()))))

    def waited_at(self) -> list[Address]:
        """Return the relays at which this device waits: those that most devices know first, at most 16."""
        known_to: dict[Address, int] = {}
        for relays in self.listed.values():
            for relay in relays:
                known_to[relay] = known_to.get(relay, 0) + 1
        listed = sorted(known_to, key=lambda relay: (-known_to[relay], str(relay)))
        return list(dict.fromkeys((*self.own, *listed)))[:WAITED_AT]


def _parsed(relays: Iterable[str]) -> tuple[Address, ...]:
    found = []
    for relay in relays:
        with suppress(InputError):  # a member may list anything that looks like an address
            found.append(Address.parse(relay))
    return tuple(found)


class Relays:
    """Waits at each relay for devices that call, while this device listens."""

    def __init__(self, identity: Signer, listener: Listener, rng: Random, *, pairing: int | None = None) -> None:
        """Take the parts. `pairing` is the number of the pairing code that this device shows, if it shows one."""
        self._identity = identity
        self._place = None if pairing is None else str(pairing)
        self._listener = listener
        self._rng = rng
        self._waits: dict[Address, asyncio.Task[None]] = {}

    def wait_at(self, relays: Sequence[Address], tasks: BackgroundTasks) -> None:
        """Register at these relays, and no longer at others, until `tasks` are cancelled."""
        for relay in self._waits.keys() - set(relays):
            self._waits.pop(relay).cancel()
        for relay in relays:
            if relay not in self._waits:
                self._waits[relay] = tasks.spawn(self._wait_at(relay))

    async def _wait_at(self, relay: Address) -> None:
        failures, said = 0, ""

        def registered() -> None:
            nonlocal failures, said
            if said or not failures:
                log.debug("this device waits at the relay %s", relay)
            failures, said = 0, ""

        while True:
            while self._listener.port is None:  # noqa: ASYNC110 - a look at an attribute costs less than a signal
                await asyncio.sleep(LISTEN_POLL_S)
            try:
                self._listener.take(await wait_for_call(relay, self._identity, registered, self._place), relay)
                await asyncio.sleep(CALL_PAUSE_S)
            except MemcrdtError as exc:
                if str(exc) != said:
                    said = str(exc)
                    log.warning("%s", said)
                await asyncio.sleep(min(RETRY_MAX_S, RETRY_S * 2**failures) * self._rng.uniform(0.5, 1.0))
                failures = min(failures + 1, 10)


async def watch_relayed(relayed: Callable[[], Iterable[str]], dial_directly: Callable[[str], Awaitable[None]]) -> None:
    """Try now and then to reach the devices directly that are connected through a relay.

    Args:
        relayed: Returns the ids of those devices.
        dial_directly: Tries the direct paths to a device.
    """
    while True:
        await asyncio.sleep(DIRECT_S)
        for device in relayed():
            await dial_directly(device)
