"""`memcrdt status`, `peers` and `sync`: what is here, who has it, and bringing that about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import Column, as_seen, readable, say, short

if TYPE_CHECKING:
    from memcrdt.memory.devices import Device
    from memcrdt.memory.memory import Status
    from memcrdt.memory.retention import Budget
    from memcrdt.memory.sync import Serving
    from memcrdt.search.searcher import SearchStatus
    from memcrdt.store.overview import SpaceStatus

WATCH_S: Final = 1.0
SKEW_S: Final = 60  # clocks further apart than this are worth a word: the later of two edits is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLine:
    """Something that the user should know and that does not go away by itself."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusLine:
    """All that `memcrdt status` shows, as its JSON names it. `serving` is None when nothing serves."""

    home: str
    device: str
    serving: Serving | None
    size: int
    budget: Budget
    search: SearchStatus
    ignored: int
    quarantined: int
    to_scrub: int
    alarms: tuple[AlarmLine, ...]
    spaces: tuple[SpaceStatus, ...]
    peers: tuple[Device, ...]


def _connection(line: Device) -> str:
    if not line.connected:
        return ""
    return f"{line.via} {line.address}" + (f" ({line.found})" if line.found not in (None, "address") else "")


_SPACES: tuple[Column[SpaceStatus], ...] = (
    Column("space", lambda space: space.name),
    Column("memories", lambda space: space.memories),
    Column("forgotten", lambda space: space.forgotten),
    Column("devices", lambda space: len(space.members)),
    Column("digest", lambda space: space.digest or "damaged, see memcrdt doctor"),
)
_PEERS: tuple[Column[Device], ...] = (
    Column("device", lambda line: readable(line.device)),
    Column("name", lambda line: line.name),
    Column("state", lambda line: line.state),
    Column("connected", _connection),
    Column("behind", lambda line: line.behind),
    Column("unscrubbed", lambda line: line.unscrubbed),
    Column("agreed", lambda line: line.agreed_at),
    Column("seen", lambda line: line.seen_at),
    Column("error", lambda line: line.error),
    Column("spaces", lambda line: line.spaces),
)
# The rest, the whole id above all, stands below the table: it has no room there.
_PEERS_ON_TERMINAL: tuple[Column[Device], ...] = (
    Column("device", lambda line: short(line.device, line.name)),
    Column("state", lambda line: line.state, whole=True),
    Column("connected", _connection),
    Column("behind", lambda line: line.behind, whole=True),
    Column("agreed", lambda line: line.agreed_at, whole=True),
)


@command("status")
@click.option("--watch", is_flag=True, help="Show it again every second, until interrupted.")
@pass_face
def status_command(face: Face, watch: bool) -> None:
    """Show what is here, who has it, and whether anything serves."""
    with face.look() as memory:
        _show(watch, lambda: _print_status(face, status_line(memory.status())))


@command("peers")
@click.option("--watch", is_flag=True, help="Show them again every second, until interrupted.")
@pass_face
def peers_command(face: Face, watch: bool) -> None:
    """List the other devices: accepted, revoked, and those that knocked (pending)."""
    with face.look() as memory:
        _show(watch, lambda: _print_peers(face, memory.devices()))


@command("sync")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait for so long at most.")
@pass_face
def sync_command(face: Face, wait_s: float | None) -> None:
    """Sync now, and return when the devices within reach have everything.

    Works with and without a process that serves: before the lid closes, and in scripts. Prints the devices; exit code 5
    when none could be reached, 1 when one that was reached did not finish in time.
    """
    from memcrdt.cli.messages import without
    from memcrdt.errors import PeerError, UnreachableError

    started = datetime.now(UTC)
    with without("memcrdt.net"), face.open() as memory:
        synced = memory.wait_synced(timeout=wait_s)
        peers = [device for device in memory.devices() if device.state == "accepted"]
    face.printer.table(peers, _PEERS, on_terminal=_PEERS_ON_TERMINAL)
    for peer in peers:
        if peer.error and not peer.connected:
            say(f"{short(peer.device, peer.name)}: {peer.error}")
    if synced:
        return
    if not peers:
        raise UnreachableError("no device is accepted, so there is nobody to sync with; run: memcrdt pair")
    reached = [peer for peer in peers if peer.connected or (peer.seen_at and peer.seen_at >= started)]
    if not reached:
        raise UnreachableError("no device is within reach, so nothing was synced")
    late = ", ".join(short(peer.device, peer.name) for peer in reached)
    raise PeerError(f"not all is synced yet with {late}; it goes on while `memcrdt serve` runs: memcrdt status")


def status_line(status: Status) -> StatusLine:
    """The status as it is printed."""
    from memcrdt.memory.devices import device_of
    from memcrdt.model.values import from_ms

    store = status.store
    return StatusLine(
        home=str(status.home),
        device=store.device,
        serving=status.serving,
        size=store.size,
        budget=status.budget,
        search=status.search,
        ignored=store.ignored,
        quarantined=store.quarantined,
        to_scrub=store.to_scrub,
        alarms=tuple(AlarmLine(at=from_ms(alarm.at), text=alarm.text) for alarm in store.alarms),
        spaces=store.spaces,
        peers=tuple(device_of(peer) for peer in store.peers),
    )


def _show(watch: bool, show: Callable[[], None]) -> None:
    show()
    while watch:
        time.sleep(WATCH_S)
        click.clear()  # does nothing where there is no terminal
        show()


def _print_status(face: Face, status: StatusLine) -> None:
    if face.json:
        face.printer.record(status)
        return
    face.printer.record(
        {
            "home": status.home,
            "device": readable(status.device),
            "serving": _where(status.serving),
            "size": _room(status),
            "search": _search(status.search),
            "ignored": status.ignored or None,
            "quarantined": status.quarantined or None,
            "to scrub": status.to_scrub or None,
            "clocks": tuple(_skewed(peer) for peer in status.peers if _is_skewed(peer)),
            "alarms": tuple(alarm.text for alarm in status.alarms),
        }
    )
    face.printer.table(status.spaces, _SPACES)
    if status.peers:
        _print_peers(face, status.peers)


def _print_peers(face: Face, peers: Sequence[Device]) -> None:
    face.printer.table(peers, _PEERS, on_terminal=_PEERS_ON_TERMINAL)
    for peer in peers:
        face.printer.below([readable(peer.device), *(f"  {line}" for line in _details(peer))])


def _details(peer: Device) -> Iterator[str]:
    if peer.state == "pending":
        where = f" from {peer.addresses[0]}" if peer.addresses else ""
        yield f"knocked{where}; if it is yours, run: memcrdt accept {readable(peer.device)}"
    if peer.spaces:
        yield f"shares {', '.join(peer.spaces)}"
    if peer.since:
        yield f"connected since {as_seen(peer.since)}"
    elif peer.seen_at:
        yield f"seen {as_seen(peer.seen_at)}"
    if peer.unscrubbed:
        yield f"has not confirmed that it scrubbed what was forgotten: {peer.unscrubbed:,}"
    if peer.error:
        yield peer.error


def _is_skewed(line: Device) -> bool:
    return line.skew_ms is not None and abs(line.skew_ms) > SKEW_S * 1_000


def _skewed(line: Device) -> str:
    seconds = (line.skew_ms or 0) / 1_000
    side = "ahead of" if seconds > 0 else "behind"
    return f"the clock of {short(line.device, line.name)} is {abs(seconds):,.0f} s {side} ours; set the wrong one"


def _room(status: StatusLine) -> str:
    limit = status.budget.limit
    budget = "" if limit is None else f"; {status.budget.used / limit:.0%} of the budget of {limit:,} are in use"
    return f"{status.size:,} bytes{budget}"


def _search(search: SearchStatus) -> str:
    """Which model, and what is still to be done or is in the way."""
    words = [search.model or "by words only"]
    if search.next_model:
        words.append(f"changing to {search.next_model}")
    if search.waiting:
        words.append(f"{search.waiting:,} memories wait to be embedded")
    return "; ".join([*words, search.error] if search.error else words)


def _where(serving: Serving | None) -> str:
    if serving is None:
        return "no: nothing is sent or received until `memcrdt serve` runs"
    where = "nowhere, since nobody is accepted" if serving.port is None else f"at port {serving.port}"
    return f"process {serving.pid}, listening {where}"
