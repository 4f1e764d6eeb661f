"""Other devices, through Memory and AsyncMemory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError, ReadOnlyError
from memcrdt.memory.memory import Memory
from memcrdt.model.device_ids import device_id, shown
from memcrdt.node.lock import ServeLock
from memcrdt.store.membership.peers import PeerConnection, Peers

PHONE = "B" * 51 + "A"


@pytest.fixture(name="memory")
def _memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        yield memory


def test_an_accepted_device_is_shown_with_what_is_shared(memory: Memory) -> None:
    """With any form of its id, and before the first connection."""
    memory.add("Deploys go out on Tuesdays")
    device = memory.accept(shown(PHONE).lower(), name="phone", address="192.168.1.20")
    assert memory.devices() == [device]
    assert (device.device, device.name, device.state, device.spaces) == (PHONE, "phone", "accepted", ("personal",))
    assert (device.connected, device.addresses, device.behind) == (False, ("192.168.1.20:27380",), 1)
    assert (device.since, device.agreed_at, device.seen_at, device.error) == (None, None, None, None)


def test_accepting_again_adds_to_what_is_shared(memory: Memory) -> None:
    """One name or several. An empty list shares nothing."""
    memory.space("acme").create()
    assert memory.accept(PHONE, spaces=()).spaces == ()
    assert memory.accept(PHONE, spaces="acme", name="phone").spaces == ("acme",)
    again = memory.accept(PHONE, spaces=["personal", "acme"])
    assert (again.name, again.spaces) == ("phone", ("personal", "acme"))


def test_accepting_again_for_an_address_shares_nothing_more(memory: Memory) -> None:
    """`personal` is the default only while no other space is shared with the device."""
    memory.space("acme").create()
    memory.accept(PHONE, spaces="acme")
    again = memory.accept(PHONE, address="192.168.1.20")
    assert (again.spaces, again.addresses) == (("acme",), ("192.168.1.20:27380",))


def test_a_device_that_knocked_is_pending(memory: Memory) -> None:
    """With its address and the time. Times have a time zone."""
    Peers(memory.store).knocked(PHONE, b"k" * 32, "192.168.1.20:1")
    (device,) = memory.devices()
    assert (device.state, device.spaces, device.addresses) == ("pending", (), ("192.168.1.20:1",))
    assert device.seen_at is not None
    assert abs((datetime.now(UTC) - device.seen_at).total_seconds()) < 60


def test_a_connected_device_says_how_and_since_when(memory: Memory) -> None:
    """While a process runs the network. Afterwards, the last error is shown."""
    memory.accept(PHONE)
    peers = Peers(memory.store)
    lock = ServeLock(memory.home)
    peers.connected(PHONE, b"k" * 32, PeerConnection("dialed", "10.0.0.2:1", 1_000, "mdns", -70))
    (device,) = memory.devices()
    lock.release()
    assert not memory.devices()[0].connected
    assert (device.connected, device.via, device.found, device.address) == (True, "dialed", "mdns", "10.0.0.2:1")
    assert (device.since, device.skew_ms) == (datetime.fromtimestamp(1, UTC), -70)
    peers.failed(PHONE, "it is gone")
    assert memory.devices()[0].error == "it is gone"


def test_a_revoked_device_stays_known(memory: Memory) -> None:
    """No space is shared with it. A second call is not an error."""
    memory.accept(PHONE)
    for _ in range(2):
        memory.revoke(shown(PHONE))
    (device,) = memory.devices()
    assert (device.state, device.spaces) == ("revoked", ())


def test_the_name_of_a_device_that_was_paired_again_means_its_new_key(memory: Memory) -> None:
    """The revoked key keeps the name, and is still found by its id, or if no accepted device fits."""
    memory.accept(PHONE, name="phone")
    memory.revoke(PHONE)
    assert memory.sync.find("phone") == PHONE
    again = device_id(b"A" * 32)
    memory.accept(again, name="phone")
    assert memory.sync.find("phone") == again
    assert memory.sync.find(shown(PHONE)[:7]) == PHONE


@pytest.mark.parametrize(
    ("device", "options", "word"),
    [
        (shown(PHONE)[:-1] + "7", {}, "groups 7 and 8"),
        ("laptop", {}, "memcrdt peers"),
        (5, {}, "is an int"),
        (PHONE, {"address": "no host"}, "HOST:PORT"),
        (PHONE, {"address": 5}, "is an int"),
        (PHONE, {"name": ""}, "the device's name"),
        (PHONE, {"spaces": 5}, "a list of names"),
        (PHONE, {"spaces": [""]}, "a name among the spaces"),
        (PHONE, {"spaces": ["local"]}, "never leaves"),
    ],
)
def test_what_cannot_be_accepted_is_refused(memory: Memory, device: Any, options: dict[str, Any], word: str) -> None:
    """The error names the problem, and nothing is changed."""
    with pytest.raises(InputError, match=word):
        memory.accept(device, **options)
    assert memory.devices() == []


def test_our_own_device_and_strangers_are_told_apart(memory: Memory) -> None:
    """The own device can be neither accepted nor revoked. Unknown devices and spaces raise NotFoundError."""
    own = memory.store.device
    for call in (memory.accept, memory.revoke):
        with pytest.raises(InputError, match="own id"):
            call(own)
    with pytest.raises(NotFoundError, match="memcrdt peers"):
        memory.revoke(PHONE)
    with pytest.raises(NotFoundError, match="the spaces are personal, local"):
        memory.accept(PHONE, spaces="nowhere")
    with pytest.raises(NotFoundError, match="the spaces are personal, local"):
        memory.space("nowhere").revoke(PHONE)


def test_a_memory_that_is_open_for_reading_only_decides_nothing(memory: Memory) -> None:
    """It shows the devices."""
    memory.accept(PHONE)
    with memcrdt.open(memory.home, embedder=None, read_only=True) as reader:
        assert [device.device for device in reader.devices()] == [PHONE]
        for call in (reader.accept, reader.revoke, reader.space("personal").invite, reader.space("personal").revoke):
            with pytest.raises(ReadOnlyError):
                call(PHONE)


async def test_devices_and_spaces_are_awaitable_too(tmp_path: Path) -> None:
    """The methods have the same names and the same implementation."""
    async with memcrdt.open_async(tmp_path / "home", embedder=None) as memory:
        accepted = await memory.accept(PHONE, spaces=())
        space = memory.space("acme")
        await space.create()
        assert (space.name, memory.scoped(project="acme").scope) == ("acme", "project/acme")
        await space.invite(PHONE)
        assert [member.device for member in await space.members()] == [memory.memory.store.device, PHONE]
        await space.revoke(PHONE)
        assert [member.state for member in await space.members(revoked=True)] == ["member", "revoked"]
        await memory.revoke(PHONE)
        assert (accepted.state, [device.state for device in await memory.devices()]) == ("accepted", ["revoked"])
        with pytest.raises(InputError, match="revoked is 5"):
            await space.members(revoked=5)  # type: ignore[arg-type]


def test_changes_that_stay_here_are_warned_of(memory: Memory) -> None:
    """Only if other devices share the space, and only for changes of this program."""
    memory.space("acme").create()
    memory.accept(PHONE)
    assert memory.sync.warnings() == ()
    memory.add("shared with nobody", space="acme")
    assert memory.sync.warnings() == ()
    memory.add("shared with the phone")
    (warning,) = memory.sync.warnings()
    assert (warning.reason, warning.spaces) == ("not served", ("personal",))
    assert "memcrdt serve" in warning.text
    lock = ServeLock(memory.home)
    try:
        assert memory.sync.warnings() == ()
    finally:
        lock.release()


def test_a_sync_says_whom_it_reached(memory: Memory) -> None:
    """Accepted devices are listed even if no device can be reached."""
    memory.accept(PHONE, address="127.0.0.1:1")
    done = memory.sync.wait(timeout=1)
    assert (done.synced, [device.device for device in done.devices], done.reached) == (False, [PHONE], ())


def test_revoking_says_who_does_not_hear_of_it(memory: Memory) -> None:
    """The result is empty if this device may write."""
    memory.accept(PHONE)
    assert memory.revoke(PHONE) == ()


def test_a_clock_over_a_minute_apart_differs(memory: Memory) -> None:
    """The later of two edits is shown, so clocks matter."""
    device = memory.accept(PHONE)
    assert [replace(device, skew_ms=ms).clock_differs for ms in (None, 0, -60_000, 60_001)] == [
        False,
        False,
        False,
        True,
    ]
