"""`memcrdt init`, `path`, `config`, `stats`, `compact`, `backup`, `restore` and `doctor`: the home as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import Column, readable, say

if TYPE_CHECKING:
    from memcrdt import DoctorReport

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorFinding:
    """A line of doctor's: what was found (`problem`), what was done about it (`done`), what stays wrong (`left`), and
    what is no damage (`note`)."""

    what: Literal["problem", "done", "left", "note"]
    text: str


_FINDINGS: tuple[Column[DoctorFinding], ...] = (
    Column("what", lambda finding: finding.what),
    Column("text", lambda finding: finding.text),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLine:
    """A setting as it is printed. `origin` is the file that says so, or `default`."""

    name: str
    value: str | int | bool | None
    origin: str


_SETTINGS: tuple[Column[SettingLine], ...] = (
    Column("setting", lambda line: line.name),
    Column("value", lambda line: line.value),
    Column("from", lambda line: line.origin),
)


@command("init")
@pass_face
def init_command(face: Face) -> None:
    """Make the memory and the key of this device.

    Every other command does it too when it is the first. A second time, this only shows what is there.
    """
    with face.open() as memory:
        device = memory.device if face.json else readable(memory.device)
        face.printer.record({"home": str(memory.home), "device": device})


@command("path")
@pass_face
def path_command(face: Face) -> None:
    """Print the folder that holds the memory, which need not be there yet."""
    from memcrdt.paths import home_folder

    face.printer.value("home", str(home_folder(face.home)))


@command("config")
@pass_face
def config_command(face: Face) -> None:
    """Show the settings of this home, and where each comes from. They are changed in its config.toml."""
    from memcrdt import config
    from memcrdt.paths import home_folder

    home = home_folder(face.home)
    said = config.written(home)
    origins = dict.fromkeys(said, str(home / config.FILE))
    settings = asdict(config.Config(**said))
    lines = [SettingLine(name=k, value=v, origin=origins.get(k, "default")) for k, v in settings.items()]
    face.printer.table(lines, _SETTINGS)


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
    report = face.doctor(repair=repair, give_up=give_up)
    findings = _findings(report)
    face.printer.table(findings, _FINDINGS)
    _judge(findings, repair)


def _findings(report: DoctorReport) -> list[DoctorFinding]:
    """The lines of a report."""
    kinds: tuple[tuple[Literal["problem", "done", "left", "note"], tuple[str, ...]], ...] = (
        ("problem", report.problems),
        ("done", report.done),
        ("left", report.left),
        ("note", report.notes),
    )
    return [DoctorFinding(what=what, text=text) for what, texts in kinds for text in texts]


def _judge(findings: Sequence[DoctorFinding], repair: bool) -> None:
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
