"""Pairing from Python, with and without an event loop. tests/pairing tests the protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import memcrdt
from memcrdt import AsyncMemory, Memory
from memcrdt.errors import InputError, PairingError
from memcrdt.testing.memories import temporary

LOOPBACK = "127.0.0.1"


@pytest.fixture(name="two")
def _two(tmp_path: Path) -> Iterator[tuple[Memory, Memory]]:
    """Return a laptop that shows a code, and a desktop on which it is typed."""
    with (
        memcrdt.open(tmp_path / "laptop", embedder=None, device_name="laptop") as laptop,
        memcrdt.open(tmp_path / "desktop", embedder=None, device_name="desktop") as desktop,
    ):
        yield laptop, desktop


def _no_thread_is_left() -> bool:
    return not any(thread.name == "memcrdt-pairing" for thread in threading.enumerate())


def test_two_devices_pair_without_an_event_loop(two: tuple[Memory, Memory]) -> None:
    """The device that shows the code chooses the spaces. Then both know each other, and no thread is left."""
    laptop, desktop = two
    laptop.space("acme").create()
    with ThreadPoolExecutor(1) as thread, laptop.sync.invite(spaces="acme", host=LOOPBACK, name="tower") as invitation:
        typing = thread.submit(desktop.sync.join, invitation.code.upper(), address=invitation.addresses[0])
        theirs, ours = invitation.joined(timeout=20), typing.result(20)
    assert (theirs.device, theirs.name, theirs.spaces) == (desktop.device, "tower", ("acme",))
    assert (ours.device, ours.name, ours.spaces) == (laptop.device, "laptop", ("acme",))
    assert [device.name for device in laptop.devices()] == ["tower"]
    assert _no_thread_is_left()


async def test_two_devices_pair_in_an_event_loop(two: tuple[Memory, Memory]) -> None:
    """The methods have the same names, awaitable. A reader is a reader on both sides."""
    laptop, desktop = map(AsyncMemory, two)
    async with await laptop.sync.invite(read_only=True, host=LOOPBACK) as invitation:
        ours, theirs = await asyncio.gather(
            desktop.sync.join(invitation.code, address=invitation.addresses[0]), invitation.joined(timeout=20)
        )
    assert (ours.device, theirs.device) == (laptop.device, desktop.device)
    assert [each.rights for each in two[1].space("personal").members() if each.ours] == ["read"]


def test_a_closed_invitation_has_no_result(two: tuple[Memory, Memory]) -> None:
    """joined() raises the documented error after close(), and when close() ends its wait."""
    invitation = two[0].sync.invite(host=LOOPBACK)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(invitation.joined)
        invitation.close()
        with pytest.raises(PairingError, match="closed"):
            waiting.result(20)
    with pytest.raises(PairingError, match="closed"):
        invitation.joined(timeout=1)
    assert _no_thread_is_left()


async def test_a_closed_invitation_has_no_result_in_an_event_loop(two: tuple[Memory, Memory]) -> None:
    """The error is the same, and the task is not cancelled."""
    async with await AsyncMemory(two[0]).sync.invite(host=LOOPBACK) as invitation:
        pass
    with pytest.raises(PairingError, match="closed"):
        await invitation.joined(timeout=1)


def test_a_code_that_nobody_types_expires(two: tuple[Memory, Memory]) -> None:
    """The caller sets the time. The invitation ends with its block, and a second close() does nothing."""
    with two[0].sync.invite(host=LOOPBACK) as invitation, pytest.raises(PairingError, match="was not typed"):
        invitation.joined(timeout=0)
    invitation.close()
    assert _no_thread_is_left()


def test_what_can_not_be_shared_or_typed_is_refused_at_once(two: tuple[Memory, Memory]) -> None:
    """No port is opened, and no thread is left."""
    sync = two[0].sync
    with pytest.raises(InputError, match="local"):
        sync.invite(spaces="local", host=LOOPBACK)
    with pytest.raises(InputError, match="no option 'port' here; the options are name"):
        sync.invite(port=1)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="no option 'spaces' here"):
        sync.join("7-crossover-granite", spaces="personal")  # type: ignore[call-arg]
    with pytest.raises(InputError, match="is not a code"):
        sync.join("seven")
    assert sync.spell("7 CROSSOVER granite") == "7-crossover-granite"
    assert _no_thread_is_left()


def test_a_memory_without_a_folder_has_nobody_to_pair_with() -> None:
    """It has no device key, and the error says so."""
    with temporary() as memory, pytest.raises(InputError, match="no device key"):
        memory.sync.invite()
