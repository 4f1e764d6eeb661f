"""`memcrdt status`, `peers` and `sync`: the state of this home and of other devices, and syncing now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import Column, Sentences, as_seen, readable, say, short, size, without
from memcrdt.errors import PeerError, UnreachableError

if TYPE_CHECKING:
    from memcrdt import Device, Memory, MirrorInfo, SearchStatus, SpaceStatus, Status, StoreAlarm

WATCH_S: Final = 1.0


def _connection(line: Device) -> str:
    if not line.connected:
        return ""
    return f"{line.via} {'via ' if line.found == 'relay' else ''}{_address(line)}"


def _address(line: Device) -> str:
    return f"{line.address}" + (f" ({line.found})" if line.found not in (None, "address", "relay") else "")


def _standing(space: SpaceStatus) -> str:
    if not space.digest:
        return "damaged, see memcrdt doctor"
    return f"revoked by {space.revoked_by}" if space.revoked_by else ""


_SPACES: tuple[Column[SpaceStatus], ...] = (
    Column("space", lambda space: space.name),
    Column("memories", lambda space: space.memories),
    Column("forgotten", lambda space: space.forgotten),
    Column("devices", lambda space: len(space.members)),
    Column("state", _standing),
)
_DIGESTS: tuple[Column[SpaceStatus], ...] = (*_SPACES, Column("digest", lambda space: space.digest))
_ALARMS: tuple[Column[StoreAlarm], ...] = (
    Column("since", lambda alarm: alarm.at),
    Column("alarm", lambda alarm: alarm.text),
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
# The whole id and the rest are printed below the table, which has no room for them.
_PEERS_ON_TERMINAL: tuple[Column[Device], ...] = (
    Column("device", lambda line: short(line.device, line.name)),
    Column("state", lambda line: line.state, whole=True),
    Column("connected", lambda line: "yes" if line.connected else "no", whole=True),
    Column("behind", lambda line: line.behind, whole=True),
    Column("agreed", lambda line: line.agreed_at, whole=True),
)


@command("status")
@click.option("--watch", is_flag=True, help="Repeat every second, until interrupted.")
@click.option(
    "--ack", is_flag=True, help="Acknowledge the alarms: show them once more, and then only if one comes back."
)
@click.option("-v", "--verbose", is_flag=True, help="Show more: digests, the budget, the model, acknowledged alarms.")
@pass_face
def status_command(face: Face, watch: bool, ack: bool, verbose: bool) -> None:
    """Say whether the devices have the same memories, and show the state of the home and of other devices."""
    if ack:
        with face.open() as memory:
            face.printer.table(memory.acknowledge_alarms(), _ALARMS)
        return
    with face.look() as memory:
        _show(watch, lambda: _print_status(face, memory, verbose))


@command("peers")
@click.option("--watch", is_flag=True, help="Repeat every second, until interrupted.")
@pass_face
def peers_command(face: Face, watch: bool) -> None:
    """List the other devices: accepted, revoked, and pending (they tried to connect)."""
    with face.look() as memory:
        _show(watch, lambda: print_peers(face, memory.devices()))


@command("sync")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), metavar="SECONDS", help="Maximum time to wait.")
@pass_face
def sync_command(face: Face, wait_s: float | None) -> None:
    """Sync now, and return when the reachable devices have the same data.

    It works with and without a serving process, for example in scripts and before a laptop is closed. Prints the
    devices. The exit code is 5 if no device was reached, and 1 if a reached device did not finish in time.
    """
    with without("memcrdt.net"), face.open() as memory:
        done = memory.sync.wait(timeout=wait_s)
    face.printer.table(done.devices, _PEERS, on_terminal=_PEERS_ON_TERMINAL)
    for peer in done.devices:
        if peer.error and not peer.connected:
            say(f"{short(peer.device, peer.name)}: {peer.error}")
    if done.synced:
        return
    if not done.devices:
        raise UnreachableError("no device is accepted, so there is no device to sync with; run: memcrdt pair")
    if not done.reached:
        raise UnreachableError("no device could be reached, so nothing was synced")
    late = ", ".join(short(peer.device, peer.name) for peer in done.reached)
    raise PeerError(
        f"the sync with {late} is not complete; it continues while `memcrdt serve` runs; see `memcrdt status`"
    )


def _show(watch: bool, show: Callable[[], None]) -> None:
    show()
    while watch:
        time.sleep(WATCH_S)
        click.clear()  # does nothing without a terminal
        show()


def _print_status(face: Face, memory: Memory, verbose: bool) -> None:
    from datetime import UTC, datetime

    from memcrdt.service.verdict import verdict

    status = memory.status()
    judged = verdict(status, datetime.now(UTC))
    if face.json:
        face.printer.record({"verdict": judged, **status.to_dict()})
        return
    face.printer.headline("verdict", judged.text)
    face.printer.record(_lines(status, verbose))
    face.printer.table(status.spaces, _DIGESTS if verbose else _SPACES)
    if status.peers:
        print_peers(face, status.peers)


def _lines(status: Status, verbose: bool) -> dict[str, object]:
    """Return the lines about the home. Without `verbose`, those that are as usual are left out."""
    search = status.search
    return {
        "home": status.home,
        "device": readable(status.device),
        "serving": _where(status),
        "size": _room(status, verbose),
        "search": _search(search, served=status.serving is not None)
        if verbose or not search.is_ready or search.suggestion
        else None,
        "ignored": status.ignored or None,
        "quarantined": status.quarantined or None,
        "to scrub": status.to_scrub or None,
        "clocks": Sentences(_skewed(peer) for peer in status.peers if peer.clock_differs),
        "mirrors": Sentences(line for each in status.mirrors if (line := _mirror(each))),
        "alarms": Sentences(alarm.text for alarm in status.alarms),
        "acknowledged": Sentences(alarm.text for alarm in status.acknowledged) if verbose else None,
    }


def print_peers(face: Face, peers: Sequence[Device]) -> None:
    """Print the other devices as a table, on a terminal with what else is known of each."""
    nobody = "no other device is known here; `memcrdt pair` adds one"
    face.printer.table(peers, _PEERS, on_terminal=_PEERS_ON_TERMINAL, empty=nobody)
    for peer in peers:
        face.printer.below([readable(peer.device), *(f"  {line}" for line in _details(peer))])


def _details(peer: Device) -> Iterator[str]:
    if peer.state == "pending":
        where = f" from {peer.addresses[0]}" if peer.addresses else ""
        yield f"tried to connect{where}; if it is yours, run: memcrdt accept {readable(peer.device)}"
    if peer.spaces:
        yield f"shares {', '.join(peer.spaces)}"
    if peer.since:
        side = "via" if peer.found == "relay" else "from" if peer.via == "accepted" else "at"
        yield f"connected since {as_seen(peer.since)} {side} {_address(peer)}"
    elif peer.seen_at:
        yield f"seen {as_seen(peer.seen_at)}"
    if peer.unscrubbed:
        yield f"forgotten memories without its confirmation that they are scrubbed: {peer.unscrubbed:,}"
    if peer.error:
        yield peer.error


def _skewed(line: Device) -> str:
    seconds = (line.skew_ms or 0) / 1_000
    side = "ahead of" if seconds > 0 else "behind"
    name = short(line.device, line.name)
    return f"the clock of {name} is {abs(seconds):,.0f} s {side} ours; correct the clock that is wrong"


def _mirror(mirror: MirrorInfo) -> str | None:
    """Return what to know about a mirror; None if all is well."""
    if mirror.error is not None:
        return f"{mirror.name}: {mirror.error}"
    left = len(mirror.lines)
    return f"{mirror.name}: files left as they are: {left:,}; see `memcrdt mirror status`" if left else None


def _room(status: Status, verbose: bool) -> str:
    budget = status.budget
    if budget.limit is None or not (verbose or budget.near):
        return size(status.size)
    return f"{size(status.size)}; {budget.used / budget.limit:.0%} of the budget of {size(budget.limit)} is in use"


def _search(search: SearchStatus, *, served: bool) -> str:
    """Return the model, its backlog with what works it off, and its error."""
    words = [" with ".join(filter(None, (search.model, search.second_model))) or "words only, without a model"]
    if search.next_model:
        words.append(f"changing to {search.next_model}")
    if search.waiting:
        words.append(f"memories waiting to be embedded: {search.waiting:,}")
        if not served and not search.error:
            words.append("`memcrdt serve` or `memcrdt model status --wait` embeds them")
    return "; ".join([*words, *(each for each in (search.error, search.suggestion) if each)])


def _of_service(status: Status) -> str:
    """Return what to know about the service of the home while nothing serves it."""
    from memcrdt.cli.autostart import manager_of, service_for

    if status.home is None:
        return ""
    if manager_of(service_for(Path(status.home), ())).file.exists():
        return "; its service is installed, but does not run: see `memcrdt service status` and `service logs`"
    return "; `memcrdt service install` runs it at each login"


def _where(status: Status) -> str:
    from memcrdt.service.verdict import NOT_SERVED

    serving = status.serving
    if serving is None:
        return f"no; {NOT_SERVED}{_of_service(status)}"
    if serving.port is not None:
        where = f"listening on port {serving.port}"
    elif serving.error is not None:
        where = f"not listening: {serving.error}"
    elif any(peer.state == "accepted" for peer in status.peers):
        where = "not listening"  # it only dials, or begins to listen within a second
    else:
        where = "not listening, because no device is accepted"
    return f"process {serving.pid}, {where}"
