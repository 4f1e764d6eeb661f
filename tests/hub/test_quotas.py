"""How much a member may send in a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from memcrdt.errors import InputError
from memcrdt.hub.quotas import MINUTE_S, QuotaReplica, Quotas
from memcrdt.store.membership.peers import Peers
from tests.bare_device import BareDevice, agree
from tests.hub.conftest import MakeHub
from tests.hub.hub_device import HubDevice

pytestmark = pytest.mark.xdist_group("postgres")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def _limited(hub: MakeHub, quotas: Quotas) -> tuple[HubDevice, Clock]:
    device, clock = hub(), Clock()
    device.replica = QuotaReplica(device.store, quotas, clock)
    return device, clock


@pytest.mark.parametrize("quotas", [Quotas(updates=2), Quotas(size=1)], ids=["updates", "size"])
def test_what_is_over_a_quota_is_taken_later(hub: MakeHub, tmp_path: Path, quotas: Quotas) -> None:
    """The sender is told why. When the time has passed, it goes on, and nothing was lost."""
    device, clock = _limited(hub, quotas)
    laptop = BareDevice(tmp_path / "L", "L")
    taken = []
    for number in range(4):
        laptop.add(f"text {number}")
        taken += device.take(laptop)
    laptop_bytes = len(laptop.replica.diff(laptop.space(), 0, {}).update)
    allowed = quotas.updates or 1
    assert [each.status for each in taken] == ["applied"] * allowed + ["later"] * (4 - allowed)
    assert "a minute from a device" in taken[-1].reason
    assert len(device.texts()) == allowed
    clock.now_s += laptop_bytes * MINUTE_S  # the smallest quota is a byte a minute
    agree([device, laptop])
    assert device.digest() == laptop.digest()
    laptop.close()


def test_each_member_has_its_own_quota(hub: MakeHub, tmp_path: Path) -> None:
    """One that sends a lot does not take from another."""
    device, _ = _limited(hub, Quotas(updates=1))
    laptops = [BareDevice(tmp_path / name, name) for name in "KL"]
    for laptop in laptops:
        Peers(device.store).accept(laptop.id)
        laptop.add(f"a text of {laptop.id}")
    first = [device.take(laptop)[0].status for laptop in laptops]
    laptops[0].add("another text")
    assert first == ["applied", "applied"]
    assert [each.status for each in device.take(laptops[0])] == ["later"]
    for laptop in laptops:
        laptop.close()


def test_no_more_than_the_quota_is_taken_in_a_minute(hub: MakeHub, tmp_path: Path) -> None:
    """However the updates are spread over it. In the next one, as many are taken."""
    device, clock = _limited(hub, Quotas(updates=3))
    laptop = BareDevice(tmp_path / "L", "L")
    taken = []
    for second in range(0, 120, 6):
        clock.now_s = 1_000.0 + second
        laptop.add(f"text {second}")
        taken += [second for each in device.take(laptop) if each.status == "applied"]
    assert taken == [0, 6, 12, 60, 66, 72]
    laptop.close()


def test_a_quota_below_one_is_refused() -> None:
    """Nothing could ever be sent."""
    with pytest.raises(InputError, match="smallest"):
        Quotas(updates=0)
