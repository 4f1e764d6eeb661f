"""The bounded collection of addresses that finders have found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from memcrdt.errors import UnreachableError
from memcrdt.net.addresses import Address
from memcrdt.net.discovery.candidates import ADDRESSES, ASKED, STRANGERS, Candidates
from memcrdt.net.discovery.finder import AddressCandidate

DESKTOP = "B" * 52
Eventually = Callable[[Callable[[], object]], Awaitable[None]]


class Scene:
    """Candidates of a node that accepts the desktop."""

    def __init__(self) -> None:
        self.fresh: list[str] = []
        self.asked: list[str] = []
        self.there: dict[str, str] = {}
        self.accepted = {DESKTOP}
        self.candidates = Candidates(
            (), accepted=lambda device: device in self.accepted, fresh=self.fresh.append, identify=self.identify
        )

    async def identify(self, address: Address) -> str:
        self.asked.append(str(address))
        if address.host not in self.there:
            raise UnreachableError("nobody there")
        return self.there[address.host]

    def find(self, host: str, device: str | None) -> AddressCandidate:
        candidate = AddressCandidate(Address(host, 27380), "mdns", device)
        self.candidates.found(candidate)
        return candidate


async def test_an_accepted_device_is_reported_once() -> None:
    """However often its record is seen."""
    scene = Scene()
    found = [scene.find("192.168.1.20", DESKTOP) for _ in range(3)]
    assert scene.fresh == [DESKTOP]
    assert scene.candidates.of(DESKTOP) == found[:1]


async def test_forged_records_cause_few_dials_and_use_little_memory() -> None:
    """64 for an accepted device: eight addresses, one dial in five seconds. For unknown devices: no dial."""
    scene = Scene()
    first = scene.find("192.168.1.20", DESKTOP)
    for number in range(64):
        scene.find(f"10.0.0.{number}", DESKTOP)
        scene.find(f"10.0.1.{number}", f"stranger {number}")
        scene.find(f"10.0.2.{number}", f"stranger {64 + number}")
    assert scene.fresh == [DESKTOP]
    assert len(scene.candidates.of(DESKTOP)) == ADDRESSES
    assert scene.candidates.of(DESKTOP)[0] == first
    assert len(scene.candidates._of) == STRANGERS + 1


async def test_a_failed_address_is_dropped() -> None:
    """Forged addresses fail when they are dialed, and make room for others."""
    scene = Scene()
    for number in range(ADDRESSES):
        scene.candidates.failed(scene.find(f"10.0.0.{number}", DESKTOP))
    assert scene.candidates.of(DESKTOP) == []
    found = scene.find("192.168.1.20", DESKTOP)
    assert scene.candidates.of(DESKTOP) == [found]


async def test_an_address_without_a_device_id_is_asked_for_it(eventually: Eventually) -> None:
    """Once in five minutes, whatever the answer. An address that does not answer gives no candidate."""
    scene = Scene()
    scene.there["100.64.0.2"] = DESKTOP
    for _ in range(3):
        scene.find("100.64.0.2", None)
        scene.find("100.64.0.3", None)
    await eventually(lambda: scene.fresh)
    assert sorted(scene.asked) == ["100.64.0.2:27380", "100.64.0.3:27380"]
    assert [candidate.device for candidate in scene.candidates.of(DESKTOP)] == [DESKTOP]
    await scene.candidates.stop()


async def test_not_more_than_64_addresses_are_asked() -> None:
    """Within five minutes."""
    scene = Scene()
    for number in range(200):
        scene.find(f"100.64.1.{number}", None)
    async with asyncio.timeout(10):
        while scene.candidates._tasks._tasks:  # noqa: ASYNC110  the tasks have no event
            await asyncio.sleep(0.01)
    assert len(scene.asked) == ASKED
