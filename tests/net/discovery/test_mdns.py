"""Multicast DNS on the loopback interface: no packet leaves this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from memcrdt.net.addresses import Address
from memcrdt.net.discovery.finder import AddressCandidate
from memcrdt.net.discovery.mdns import SERVICE, MdnsFinder, candidates_of
from memcrdt.testing.finders import FinderAcceptance

LAPTOP, DESKTOP = "A" * 52, "B" * 52
LOOPBACK = ["127.0.0.1"]
Eventually = Callable[[Callable[[], object]], Awaitable[None]]

pytestmark = pytest.mark.xdist_group("mdns")  # one multicast group for all on the machine


class MdnsScene:
    """Devices that announce themselves."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def finder(self) -> MdnsFinder:
        return MdnsFinder(LAPTOP, interfaces=LOOPBACK)

    async def appear(self) -> AddressCandidate:
        other = MdnsFinder(DESKTOP, interfaces=LOOPBACK)
        other.announce(27380)
        self._tasks.append(asyncio.create_task(other.run(lambda _: None)))
        return AddressCandidate(Address("127.0.0.1", 27380), "mdns", DESKTOP)

    async def vanish(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


@pytest.fixture(name="scene")
async def _scene() -> AsyncIterator[MdnsScene]:
    scene = MdnsScene()
    yield scene
    await scene.vanish()


class TestMdnsFinder(FinderAcceptance):
    """The mDNS finder meets the contract of all finders."""


async def test_a_stopped_finder_withdraws_its_record(scene: MdnsScene) -> None:
    """After an orderly stop, the record disappears from the network at once."""
    await scene.appear()
    async with _asking() as names:
        await names.until(1)
        await scene.vanish()
        await names.until(0)


async def test_a_record_is_withdrawn_when_listening_ends() -> None:
    """While the process continues to run. The record is announced again with another port."""
    finder = MdnsFinder(DESKTOP, interfaces=LOOPBACK)
    task = asyncio.create_task(finder.run(lambda _: None))
    async with _asking() as names:
        finder.announce(1234)
        await names.until(1)
        finder.announce(None)
        await names.until(0)
        finder.announce(4321)
        await names.until(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_number_of_a_pairing_code_is_in_the_record(eventually: Eventually) -> None:
    """So that the right one of several devices is found."""
    found: list[AddressCandidate] = []
    waiting = MdnsFinder(DESKTOP, pairing=7, interfaces=LOOPBACK)
    waiting.announce(27382)
    tasks = [
        asyncio.create_task(waiting.run(lambda _: None)),
        asyncio.create_task(MdnsFinder(LAPTOP, interfaces=LOOPBACK).run(found.append)),
    ]
    await eventually(lambda: found)
    assert found[0] == AddressCandidate(Address("127.0.0.1", 27382), "mdns", DESKTOP, pairing=7)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("properties", "hosts"),
    [
        ({}, ["192.168.1.20"]),
        ({"v": "2", "id": DESKTOP}, ["192.168.1.20"]),
        ({"v": "1", "id": "short"}, ["192.168.1.20"]),
        ({"v": "1", "id": "é" * 52}, ["192.168.1.20"]),
        ({"v": "1", "id": DESKTOP}, ["224.0.0.251", "0.0.0.0"]),
    ],
)
def test_an_invalid_record_gives_no_candidate(properties: dict[str, str], hosts: list[str]) -> None:
    """Another version, no device id, no address of a single machine."""
    info = ServiceInfo(SERVICE, f"x.{SERVICE}", 27380, properties=properties, parsed_addresses=hosts)
    assert candidates_of(info) == []


def test_a_record_gives_at_most_four_addresses_and_a_plain_number() -> None:
    """Whatever the record contains."""
    hosts = [f"192.168.1.{number}" for number in range(1, 60)]
    properties = {"v": "1", "id": DESKTOP, "pair": "9" * 200}
    info = ServiceInfo(SERVICE, f"x.{SERVICE}", 27380, properties=properties, parsed_addresses=hosts)
    assert [(str(found.address), found.pairing) for found in candidates_of(info)] == [
        (f"192.168.1.{number}:27380", None) for number in (1, 2, 3, 4)
    ]


async def test_a_machine_without_a_network_is_not_an_error(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """The finder logs what to do, and tries again later."""
    monkeypatch.setattr("memcrdt.net.discovery.mdns.RETRY_S", 0.01)
    found: list[AddressCandidate] = []
    scene = MdnsScene()
    await scene.appear()
    failures: list[Exception] = [OSError("no such device"), RuntimeError("no adapters")]

    def opened(**options: object) -> AsyncZeroconf:
        if failures:
            raise failures.pop()
        return AsyncZeroconf(**options)

    monkeypatch.setattr("memcrdt.net.discovery.mdns.AsyncZeroconf", opened)
    task = asyncio.create_task(scene.finder().run(found.append))
    await eventually(lambda: found)
    assert "--no-mdns" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await scene.vanish()


class _asking:  # noqa: N801  reads as a verb
    """Browses with zeroconf alone, and counts the announced names."""

    async def __aenter__(self) -> _asking:
        self._names: set[str] = set()
        self._zeroconf = AsyncZeroconf(interfaces=LOOPBACK)
        await self._zeroconf.async_add_service_listener(SERVICE, self)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._zeroconf.async_close()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self._names) != count:  # noqa: ASYNC110  the listener of zeroconf has no event
                await asyncio.sleep(0.01)

    def add_service(self, zeroconf: object, kind: str, name: str) -> None:
        self._names.add(name)

    def update_service(self, zeroconf: object, kind: str, name: str) -> None: ...

    def remove_service(self, zeroconf: object, kind: str, name: str) -> None:
        self._names.discard(name)
