"""`memcrdt forget` and `forget-expired`: the question, the time to take it back, and who has confirmed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import asked, expected, filter_options
from memcrdt.cli.names import memory_id, with_names
from memcrdt.cli.output import CONTROLS, Column, memories, say, short
from memcrdt.cli.terminal import progress_line
from memcrdt.errors import NotFoundError
from memcrdt.model import limits

if TYPE_CHECKING:
    from memcrdt import ForgetProgress, Forgotten, Memory, MemoryRecord

UNDO_S: Final = 10
SHOWN: Final = 10  # memories that are shown before they are forgotten


def _state(line: ForgetProgress) -> str:
    """Return how far a device is. A hub never confirms that no byte is left."""
    left = line.left if line.live_left is None else line.live_left
    if left:
        return f"{left:,} to confirm"
    if line.live_left is None:
        return "confirmed"
    kept = "may keep it" if line.backup_days is None else f"keep it up to {line.backup_days:,} days"
    return f"forgotten in the live database; backups {kept}"


_CONFIRMED: Final[tuple[Column[ForgetProgress], ...]] = (
    Column("device", lambda line: short(line.device, line.name)),
    Column("state", _state),
    Column("seen", lambda line: line.seen_at),
)


@command("forget")
@click.argument("id", required=False)
@filter_options
@click.option("--status", is_flag=True, help="Show which devices have confirmed, for ID or everything forgotten.")
@click.option("--dry-run", is_flag=True, help="Count the memories, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--now", is_flag=True, help="On a terminal: do not wait ten seconds in which Ctrl-C takes it back.")
@expected
@pass_face
def forget_command(
    face: Face,
    /,
    id: str | None,
    *,
    status: bool,
    dry_run: bool,
    yes: bool,
    now: bool,
    expected: tuple[str, ...],
    **filters: Any,
) -> None:
    """Forget one memory, or all that match the filters, permanently and on every device.

    It shows the memories and asks for confirmation: without an ID always, with an ID on a terminal. Each device
    confirms when its file has no byte of them left; --status shows which have.
    """
    wanted = asked(filters)
    if id is not None and wanted:
        raise click.UsageError("give an ID or filters, not both")
    if status:
        if wanted or dry_run or yes or now:
            raise click.UsageError("--status takes an ID or nothing")
        _show_status(face, id)
        return
    on_terminal = sys.stdin.isatty()
    with face.changing() as memory:
        wanted = with_names(memory, wanted)
        one = None if id is None else memory_id(memory, id)
        ids: str | Sequence[str] | None = one
        if not dry_run and not yes and (on_terminal or id is None):
            ids = _confirmed(memory, one, wanted, wait=on_terminal and not now)
        with progress_line() as tell:
            forgotten = memory.forget(
                ids,
                dry_run=dry_run,
                expected=expected or None,
                progress=lambda done, total: tell(f"{done:,} of {total:,} memories"),
                **wanted,
            )
        named = _named(memory, forgotten)
        became = _what_became_of(memory, one) if one and not forgotten.count else ""
    face.printer.record(forgotten if face.json else named)
    if became:
        say(became)
    if forgotten.awaited:
        which = f" {one}" if one else ""
        say(f"still to confirm: {', '.join(named.awaited)}; to look again, run: memcrdt forget --status{which}")


def _what_became_of(memory: Memory, memory_id: str) -> str:
    """Return why a memory could not be forgotten now: it was forgotten or moved before."""
    try:
        memory.get(memory_id)
    except NotFoundError as exc:
        return str(exc)
    return ""


def _show_status(face: Face, id: str | None) -> None:
    """Print which devices have confirmed what was forgotten."""
    with face.look() as memory:
        status = memory.forget_status(None if id is None else memory_id(memory, id))
        here = {each.device for each in memory.devices() if each.connected}
    if face.json:
        face.printer.record(status)
        return
    face.printer.record({"forgotten": status.forgotten, "here": status.status})
    seen: Column[ForgetProgress] = Column("seen", lambda line: "now" if line.device in here else line.seen_at)
    face.printer.table(status.devices, _CONFIRMED, on_terminal=(*_CONFIRMED[:-1], seen))


def _confirmed(memory: Memory, id: str | None, wanted: dict[str, Any], *, wait: bool) -> str | Sequence[str] | None:
    """Show what will be forgotten, and ask. Return what the user has confirmed: no memory that is added meanwhile.

    With `wait`, let the user take the answer back. Raises Exit for a no.
    """
    count = memory.forget(id, dry_run=True, **wanted).count
    if not count:
        return id  # already forgotten, or no match
    everything = {**wanted, "include": ("expired", "superseded")}
    ids = [id] if id else [record.id for record in islice(memory.iterate(**everything), limits.BATCH_ITEMS)]
    _show_first(memory.get_many(ids[:SHOWN]), len(ids))
    if not click.confirm(f"memcrdt: forget {memories(len(ids))} permanently?", err=True):
        say("nothing was forgotten")
        raise click.exceptions.Exit(1)
    if wait:
        _wait_for_second_thoughts()
    return id or ids


def _show_first(first: Sequence[MemoryRecord], count: int) -> None:
    """Show the first line of each memory, and how many more there are."""
    for record in first:
        lines = record.text.splitlines() or [""]
        click.echo(f"  {record.id}  {lines[0]}{' …' * (len(lines) > 1)}".translate(CONTROLS), err=True)
    if count > len(first):
        click.echo(f"  and {count - len(first):,} more", err=True)


def _wait_for_second_thoughts() -> None:
    """Wait ten seconds, in which Ctrl-C takes the answer back, because nothing can undo a forget."""
    from memcrdt.cli.app import INTERRUPTED

    say(f"forgetting in {UNDO_S} s; Ctrl-C takes it back (--now does not wait)")
    try:
        time.sleep(UNDO_S)
    except KeyboardInterrupt:
        say("taken back; nothing was forgotten")
        raise click.exceptions.Exit(INTERRUPTED) from None


@command("forget-expired")
@click.option("--trust-clock", is_flag=True, help="The clock of this device is right, although it has jumped.")
@pass_face
def forget_expired_command(face: Face, trust_clock: bool) -> None:
    """Forget the memories of this device that expired long ago (`forget_expired_days` in config.toml).

    memcrdt also does that after a write, once an hour. Both wait while the clock of this device is doubted.
    """
    with face.changing() as memory:
        face.printer.record({"count": memory.forget_expired(trust_clock=trust_clock)})


def _named(memory: Memory, forgotten: Forgotten) -> Forgotten:
    """Return the result with short names of devices."""
    if not (forgotten.confirmed or forgotten.awaited):
        return forgotten
    shown = {each.device: short(each.device, each.name) for each in memory.devices()}
    confirmed, awaited = (tuple(map(shown.__getitem__, ids)) for ids in (forgotten.confirmed, forgotten.awaited))
    return replace(forgotten, confirmed=confirmed, awaited=awaited)
