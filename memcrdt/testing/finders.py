"""The contract of every Finder: a test class to inherit from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import pytest

from memcrdt.net.discovery.finder import AddressCandidate, Finder

WAIT_S: Final = 10.0


class FinderScene(Protocol):
    """A source of addresses that a test controls."""

    def finder(self) -> Finder:
        """Return a finder for the source."""
        ...

    async def appear(self) -> AddressCandidate:
        """Make another device appear. Return the candidate that the finder must report."""
        ...

    async def vanish(self) -> None:
        """Remove the source."""
        ...


class FinderAcceptance:
    """The tests. Inherit from the class, and give it a fixture `scene` that returns a FinderScene."""

    async def test_what_is_there_is_found(self, scene: FinderScene) -> None:
        """Devices that appeared before the search are found."""
        there = await scene.appear()
        async with _searching(scene) as (found, _):
            await _until(lambda: there in found)

    async def test_what_appears_later_is_found(self, scene: FinderScene) -> None:
        """No second search is needed."""
        async with _searching(scene) as (found, _):
            there = await scene.appear()
            await _until(lambda: there in found)

    async def test_a_source_that_is_not_there_is_no_error(self, scene: FinderScene) -> None:
        """The finder keeps looking for the source."""
        await scene.vanish()
        async with _searching(scene) as (found, task):
            there = await scene.appear()
            await _until(lambda: there in found)
            await scene.vanish()
            await asyncio.sleep(0)
            assert not task.done()

    async def test_a_search_ends_when_it_is_cancelled(self, scene: FinderScene) -> None:
        """It ends in seconds, without another exception."""
        async with _searching(scene) as (_, task):
            task.cancel()
            async with asyncio.timeout(WAIT_S):
                with pytest.raises(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def _searching(scene: FinderScene) -> AsyncIterator[tuple[list[AddressCandidate], asyncio.Task[None]]]:
    found: list[AddressCandidate] = []
    task = asyncio.create_task(scene.finder().run(found.append))
    try:
        yield found, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  a condition of any kind, without an event of its own
            await asyncio.sleep(0.01)
