"""The verdict on a status: whether the devices have the same memories, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from memcrdt.memory.devices import Device
from memcrdt.memory.status import Status
from memcrdt.model.serialization import Record
from memcrdt.service.times import ago

State: TypeAlias = Literal["damaged", "revoked", "alone", "behind", "waiting", "syncing", "stopped", "in_sync"]

NAMED: Final = 3  # devices or spaces that a sentence names; it counts the others
NOT_SERVED: Final = "nothing is sent or received until `memcrdt serve` runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Record):
    """The state of a home in one sentence. Of several states that hold, it is the first in this list.

    Attributes:
        state: `damaged` if rows of a space are damaged, `revoked` if this device was revoked from a space, `alone` if
            no device shares a space with it, `behind` if a device that is not connected lacks changes, `waiting` if
            nothing was exchanged with a device yet, `syncing` if a connected device lacks changes, `stopped` if the
            devices have all changes but no process runs the network, `in_sync` otherwise.
        text: The sentence.
    """

    state: State
    text: str


def verdict(status: Status, now: datetime) -> Verdict:
    """Return the verdict on a status.

    Args:
        status: The status, as Memory.status() returns it.
        now: The present time.

    Example:
        >>> verdict(memory.status(), datetime.now(UTC)).text
        'In sync with laptop-b and desktop, 2 s ago.'
    """
    if damaged := [space.name for space in status.spaces if not space.digest]:
        return Verdict(state="damaged", text=f"Rows of {names(damaged)} are damaged; run `memcrdt doctor`.")
    lost: dict[str, list[str]] = {}
    for space in status.spaces:
        if space.revoked_by:
            lost.setdefault(space.revoked_by, []).append(space.name)
    if lost:
        by = " and ".join(f"from {names(spaces)} by {who}" for who, spaces in lost.items())
        return Verdict(state="revoked", text=f"This device was revoked {by}; what you add there stays here.")
    devices = [device for device in status.peers if device.state == "accepted" and device.spaces]
    if not devices:
        return Verdict(state="alone", text="No other device shares the memories of this one; `memcrdt pair` adds one.")
    state, text = _of_devices(devices, now)
    if status.serving is not None:
        return Verdict(state=state, text=f"{text}.")
    return Verdict(state="stopped" if state == "in_sync" else state, text=f"{text}; {NOT_SERVED}.")


def line_of(device: Device, now: datetime) -> str:
    """Return the state of one other device in a line, without an end."""
    lacks = f"{_changes(device.behind)} not confirmed" if device.behind else "has all changes"
    return f"{name_of(device)}: {_seen(device, now)}, {lacks}" + (f" ({device.error})" if device.error else "")


def name_of(device: Device) -> str:
    """Return the name of a device, or the beginning of its id."""
    return device.name or device.device[:7]


def names(items: Sequence[str]) -> str:
    """Return a few names in a sentence, such as `laptop, phone and 2 others`."""
    if len(items) > NAMED + 1:
        return f"{', '.join(items[:NAMED])} and {len(items) - NAMED:,} others"
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def _of_devices(devices: Sequence[Device], now: datetime) -> tuple[State, str]:
    """Return the state of the devices that share a space, and the sentence without its end."""
    away = [device for device in devices if not device.connected]
    if late := sorted((device for device in away if device.behind), key=lambda device: -device.behind):
        return "behind", _behind(late, [device for device in devices if not device.behind], now)
    if new := [device for device in away if device.agreed_at is None]:
        return "waiting", _rest([f"No sync with {name_of(device)} yet, {_seen(device, now)}" for device in new])
    here = [device for device in devices if device.connected]
    if busy := [device for device in here if device.behind or device.agreed_at is None]:
        count = sum(device.behind for device in busy)
        what = f": {_changes(count)} to confirm" if count else ""
        return "syncing", f"Syncing with {names([name_of(device) for device in busy])}{what}"
    return "in_sync", _in_sync(here, away, now)


def _behind(late: Sequence[Device], others: Sequence[Device], now: datetime) -> str:
    """Return the sentence for devices that lack changes. One of the others may have brought them there meanwhile."""
    lack = "not confirmed by" if others else "not yet on"
    text = _rest([f"{_changes(device.behind)} {lack} {name_of(device)}, {_seen(device, now)}" for device in late])
    here = [device for device in others if device.connected and device.agreed_at]
    return f"{_with(here, now)}; {text}" if here else text


def _with(here: Sequence[Device], now: datetime) -> str:
    at = min(device.agreed_at for device in here if device.agreed_at)
    return f"In sync with {names([name_of(device) for device in here])}, {ago(at, now)}"


def _in_sync(here: Sequence[Device], away: Sequence[Device], now: datetime) -> str:
    """Return the sentence for devices that have all changes, connected and not."""
    gone = [f"{name_of(device)}, {_seen(device, now)}" for device in away]
    erasing = [name_of(device) for device in (*here, *away) if device.unscrubbed]
    if here:
        parts = [_with(here, now)]
        parts += [f"not connected: {_rest(gone)}"] if gone else []
    else:
        parts = [f"All changes are on {_rest(gone)}"]
    parts += [f"{names(erasing)} still has to confirm what was forgotten"] if erasing else []
    return "; ".join(parts)


def _rest(parts: Sequence[str]) -> str:
    """Join parts of a sentence, and count those that there is no room for."""
    more = len(parts) - NAMED
    return "; ".join([*parts[:NAMED], *([f"and {more:,} more"] if more > 0 else [])])


def _changes(count: int) -> str:
    return "1 change" if count == 1 else f"{count:,} changes"


def _seen(device: Device, now: datetime) -> str:
    if device.connected:
        return "connected"
    return "never reached" if device.seen_at is None else f"last seen {ago(device.seen_at, now)}"
