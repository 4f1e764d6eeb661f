"""The verdict: every state of a home has its sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memcrdt.memory.devices import Device
from memcrdt.memory.status import Status
from memcrdt.memory.sync import Serving
from memcrdt.service.verdict import verdict
from memcrdt.store.overview import SpaceStatus

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1, hours=3)
STOPPED = "; nothing is sent or received until `memcrdt serve` runs."


def device(name: str | None, **given: Any) -> Device:
    """Return a device that shares `personal`, is connected, and agreed two seconds ago."""
    known = {"spaces": ("personal",), "connected": True, "agreed_at": NOW - timedelta(seconds=2)}
    blank = {**dict.fromkeys(Device.__dataclass_fields__), "behind": 0, "unscrubbed": 0, "state": "accepted"}
    return Device(**{**blank, "device": "B" * 52, "name": name, **known, **given})


def away(name: str | None, seen_at: datetime | None = YESTERDAY, **given: Any) -> Device:
    """Return a device that is not connected."""
    return device(name, **{"connected": False, "seen_at": seen_at, "agreed_at": seen_at, **given})


def space(name: str = "personal", **given: Any) -> SpaceStatus:
    known = {"digest": "d", "members": (), "revoked_by": None, **given}
    return SpaceStatus(**{**dict.fromkeys(SpaceStatus.__dataclass_fields__), "name": name, **known})


def said(*peers: Device, spaces: tuple[SpaceStatus, ...] = (space(),), serving: bool = True) -> tuple[str, str]:
    """Return the state and the sentence."""
    parts = {"peers": peers, "spaces": spaces, "serving": Serving(1, 27380) if serving else None}
    found = verdict(Status(**{**dict.fromkeys(Status.__dataclass_fields__), **parts}), NOW)
    return found.state, found.text


LAPTOP, DESKTOP = device("laptop-b"), device("desktop")


@pytest.mark.parametrize(
    ("peers", "state", "text"),
    [
        ((LAPTOP,), "in_sync", "In sync with laptop-b, 2 s ago."),
        ((LAPTOP, DESKTOP), "in_sync", "In sync with laptop-b and desktop, 2 s ago."),
        (
            (LAPTOP, device("desktop", agreed_at=NOW - timedelta(minutes=5))),
            "in_sync",
            "In sync with laptop-b and desktop, 5 min ago.",
        ),
        (tuple(device(f"d{n}") for n in range(6)), "in_sync", "In sync with d0, d1, d2 and 3 others, 2 s ago."),
        ((device(None),), "in_sync", "In sync with BBBBBBB, 2 s ago."),
        (
            (LAPTOP, away("desktop")),
            "in_sync",
            "In sync with laptop-b, 2 s ago; not connected: desktop, last seen yesterday.",
        ),
        ((away("desktop"),), "in_sync", "All changes are on desktop, last seen yesterday."),
        (
            (device("desktop", unscrubbed=2),),
            "in_sync",
            "In sync with desktop, 2 s ago; desktop still has to confirm what was forgotten.",
        ),
        ((away("desktop", behind=3),), "behind", "3 changes not yet on desktop, last seen yesterday."),
        (
            (LAPTOP, away("desktop", behind=3)),
            "behind",
            "In sync with laptop-b, 2 s ago; 3 changes not confirmed by desktop, last seen yesterday.",
        ),
        (
            (away("laptop-b"), away("desktop", behind=3)),
            "behind",
            "3 changes not confirmed by desktop, last seen yesterday.",
        ),
        (
            (away("phone", None, behind=1), away("desktop", behind=1_234)),
            "behind",
            "1,234 changes not yet on desktop, last seen yesterday; 1 change not yet on phone, never reached.",
        ),
        (
            tuple(away(f"d{n}", behind=9 - n) for n in range(5)),
            "behind",
            "9 changes not yet on d0, last seen yesterday; 8 changes not yet on d1, last seen yesterday;"
            " 7 changes not yet on d2, last seen yesterday; and 2 more.",
        ),
        ((LAPTOP, away("phone", None)), "waiting", "No sync with phone yet, never reached."),
        ((device("desktop", behind=3), LAPTOP), "syncing", "Syncing with desktop: 3 changes to confirm."),
        ((device("desktop", agreed_at=None),), "syncing", "Syncing with desktop."),
        ((), "alone", "No other device shares the memories of this one; `memcrdt pair` adds one."),
    ],
)
def test_the_devices_decide(peers: tuple[Device, ...], state: str, text: str) -> None:
    """The worst state is told, with the devices that are in it."""
    assert said(*peers) == (state, text)


@pytest.mark.parametrize(
    "other",
    [device("x", state="pending", spaces=()), device("x", state="revoked", spaces=()), device("x", spaces=())],
    ids=["pending", "revoked", "shares nothing"],
)
def test_a_device_that_shares_nothing_does_not_count(other: Device) -> None:
    """Alone, or beside one that does."""
    assert said(other)[0] == "alone"
    assert said(other, LAPTOP) == ("in_sync", "In sync with laptop-b, 2 s ago.")


def test_without_a_serving_process_nothing_moves() -> None:
    """The sentence says so, whatever the other devices have."""
    assert said(away("desktop"), serving=False) == (
        "stopped",
        f"All changes are on desktop, last seen yesterday{STOPPED}",
    )
    assert said(away("desktop", behind=1), serving=False) == (
        "behind",
        f"1 change not yet on desktop, last seen yesterday{STOPPED}",
    )
    assert said(serving=False)[0] == "alone"


def test_a_revocation_comes_before_everything_that_it_makes_untrue() -> None:
    """With the spaces and the devices that made it."""
    lost = (space(revoked_by="laptop-a"), space("acme", revoked_by="laptop-a"), space("local"))
    assert said(away("laptop-a", behind=3), spaces=lost) == (
        "revoked",
        "This device was revoked from personal and acme by laptop-a; what you add there stays here.",
    )
    lost = (space(revoked_by="laptop-a"), space("acme", revoked_by="phone"))
    assert "from personal by laptop-a and from acme by phone;" in said(spaces=lost, serving=False)[1]


def test_damage_comes_first() -> None:
    """Its digest is missing."""
    found = said(LAPTOP, spaces=(space(digest="", revoked_by="laptop-a"),))
    assert found == ("damaged", "Rows of personal are damaged; run `memcrdt doctor`.")
