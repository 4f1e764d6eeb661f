"""`memcrdt stats`, `compact`, `backup`, `restore` and `doctor`: the store as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import Column, say

if TYPE_CHECKING:
    from memcrdt.errors import StoreError
    from memcrdt.memory.memory import Memory
    from memcrdt.store.recovery.doctor import DoctorReport

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A line of doctor's: what was found (`problem`), what was done about it (`done`), what stays wrong (`left`), and
    what is no damage (`note`)."""

    what: Literal["problem", "done", "left", "note"]
    text: str


_FINDINGS: tuple[Column[Finding], ...] = (
    Column("what", lambda finding: finding.what),
    Column("text", lambda finding: finding.text),
)


@command("stats")
@pass_face
def stats_command(face: Face) -> None:
    """Count what is remembered, by space, category and kind."""
    with face.look() as memory:
        face.printer.record(memory.stats())


@command("compact")
@pass_face
def compact_command(face: Face) -> None:
    """Give back room in the file that nothing needs any more.

    Old versions and what was forgotten took it. It happens by itself too.
    """
    with face.open() as memory:
        face.printer.record(memory.compact())


@command("backup")
@click.argument("file", type=_FILE)
@pass_face
def backup_command(face: Face, file: Path) -> None:
    """Write a copy of the store to FILE.

    The file must not be there yet. Others may go on working meanwhile.
    """
    with face.look() as memory:
        face.printer.record({"size": memory.backup(file)})
    say("it holds every memory in plain text; the key of this device and config.toml are not in it")


@command("restore")
@click.argument("file", type=_FILE)
@click.option("--yes", is_flag=True, help="Don't ask.")
@pass_face
def restore_command(face: Face, file: Path, yes: bool) -> None:
    """Go back to the store that `memcrdt backup` wrote to FILE. Asks first, unless nothing is here.

    What was added since is lost here, and what was forgotten since is back, unless another device knows better: what
    it has heard of comes again with the next sync.
    """
    from memcrdt.errors import InputError

    if not file.is_file():
        raise InputError(f"there is no file {file}; name a backup that `memcrdt backup` made")
    with face.open() as memory:
        here = memory.stats().memories
        if here and not yes and not click.confirm(f"memcrdt: put {file} in the place of {here:,} memories?", err=True):
            say("nothing was changed")
            raise click.exceptions.Exit(1)
        memory.restore(file)
        face.printer.record({"memories": memory.stats().memories})


@command("doctor")
@click.option("--repair", is_flag=True, help="Put right what can be.")
@click.option("--give-up", is_flag=True, help="With --repair: no other device will bring what is lost; do without it.")
@pass_face
def doctor_command(face: Face, repair: bool, give_up: bool) -> None:
    """Say what is wrong with the store, and with --repair put it right.

    Looks at every row, and changes nothing without --repair. The exit code is 0 when all is well, or is so again, and
    1 when something is wrong. Every line of output is a finding.
    """
    if give_up and not repair:
        raise click.UsageError("--give-up goes with --repair")
    from memcrdt.errors import CorruptError, SchemaError

    try:
        with face.open(read_only=not repair) as memory:
            findings = _findings(memory, repair, give_up)
    except (CorruptError, SchemaError) as exc:
        findings = _of_file(face, repair, exc)
        if repair:
            with face.open() as memory:
                findings += _findings(memory, repair, give_up)
    face.printer.table(findings, _FINDINGS)
    _judge(findings, repair)


def _findings(memory: Memory, repair: bool, give_up: bool) -> list[Finding]:
    """What doctor says; after a repair it looks again, since what is left wrong has to be told."""
    report = memory.doctor(repair=repair, give_up=give_up)
    findings = _told(report)
    if repair and findings:
        findings += [Finding(what="left", text=text) for text in memory.doctor().problems]
    return findings + [Finding(what="note", text=text) for text in report.notes]


def _of_file(face: Face, repair: bool, exc: StoreError) -> list[Finding]:
    """What doctor says of a file that can't even be opened. Raises what opening raised, if that is no damage to it."""
    from memcrdt._open import home_folder
    from memcrdt.store.recovery import doctor

    home = home_folder(face.home)
    report = doctor.repair_file(home) if repair else doctor.examine_file(home)
    if not report.problems:
        raise exc
    return _told(report)


def _told(report: DoctorReport) -> list[Finding]:
    findings = [Finding(what="problem", text=text) for text in report.problems]
    return findings + [Finding(what="done", text=text) for text in report.done]


def _judge(findings: Sequence[Finding], repair: bool) -> None:
    """Says in one line how it stands. Raises CorruptError when something is wrong."""
    from memcrdt.errors import CorruptError

    if wrong := sum(finding.what == ("left" if repair else "problem") for finding in findings):
        if repair:
            raise CorruptError(
                f"problems left: {wrong}; paired devices may mend them (memcrdt sync), `--repair --give-up` goes on"
                " without what is lost; export what is there (memcrdt export FILE) before anything else"
            )
        raise CorruptError(f"problems found: {wrong}; let `memcrdt doctor --repair` mend them")
    say("all is well again" if any(finding.what == "problem" for finding in findings) else "all is well")
