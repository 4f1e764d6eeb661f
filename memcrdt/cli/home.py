"""`memcrdt init`, `path`, `config`, `stats`, `compact`, `backup`, `restore` and `doctor`: the home as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from memcrdt.cli.face import Face, GivenPath, command, pass_face
from memcrdt.cli.output import Column, memories, say

if TYPE_CHECKING:
    from memcrdt import DoctorReport

_FILE = GivenPath()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorFinding:
    """One line of the doctor.

    Attributes:
        what: `problem`, `done` for a repair, `left` for a problem that remains, or `note` for what is not damage.
        text: The finding as a sentence.
    """

    what: Literal["problem", "done", "left", "note"]
    text: str


_FINDINGS: tuple[Column[DoctorFinding], ...] = (
    Column("what", lambda finding: finding.what),
    Column("text", lambda finding: finding.text),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLine:
    """A setting.

    Attributes:
        name: The name of the setting.
        value: Its value; None if it is unset.
        origin: The file that sets it, or `default`.
    """

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
    """Create the memory and the key of this device, and print them.

    Commands that need no memory yet, such as `add` and `pair`, create them too if they do not exist.
    """
    with face.begin() as memory:
        face.printer.record({"home": str(memory.home), "device": memory.device})


@command("path")
@pass_face
def path_command(face: Face) -> None:
    """Print the folder of the memory. It may not exist yet."""
    from memcrdt.paths import home_folder

    face.printer.value("home", str(home_folder(face.home)))


@command("config")
@pass_face
def config_command(face: Face) -> None:
    """Show the settings of this home and where each is set. Change them in its config.toml."""
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
    """Count the memories by space, category and kind."""
    with face.look() as memory:
        face.printer.record(memory.stats())


@command("compact")
@pass_face
def compact_command(face: Face) -> None:
    """Free the space of old versions and forgotten memories in the file.

    memcrdt also compacts automatically.
    """
    with face.open() as memory:
        face.printer.record(memory.compact())


@command("backup")
@click.argument("file", type=_FILE)
@pass_face
def backup_command(face: Face, file: Path) -> None:
    """Write a copy of the store to FILE, which must not exist.

    Other processes can read and write during the backup.
    """
    with face.look() as memory:
        face.printer.record({"size": memory.backup(file)})
    say(f"{file} contains every memory in plain text, but not the key of this device or config.toml")


@command("restore")
@click.argument("file", type=_FILE)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@pass_face
def restore_command(face: Face, file: Path, yes: bool) -> None:
    """Restore the store from FILE, which `memcrdt backup` wrote. Asks first, unless the store is empty.

    A backup brings memories, not trust: devices, members, revocations and tokens stay as they are.

    Changes made after the backup are undone here: memories added since are lost, and memories forgotten since are back.
    If another device has those changes, the next sync brings them again.
    """
    with face.begin() as memory:
        memory.files.check_backup(file)
        here = memory.stats().memories
        if (
            here
            and not yes
            and not click.confirm(f"memcrdt: replace {memories(here)} with the backup {file}?", err=True)
        ):
            say("nothing was changed")
            raise click.exceptions.Exit(1)
        memory.restore(file)
        face.printer.record({"memories": memory.stats().memories})


@command("doctor")
@click.option("--repair", is_flag=True, help="Repair the store.")
@click.option("--give-up", is_flag=True, help="With --repair: continue without lost rows that no other device has.")
@pass_face
def doctor_command(face: Face, repair: bool, give_up: bool) -> None:
    """Check the store, and repair it with --repair.

    Checks every row, and changes nothing without --repair. The exit code is 0 if no problem was found, or all were
    repaired, and 1 otherwise. Every line of output is a finding.
    """
    if give_up and not repair:
        raise click.UsageError("--give-up needs --repair")
    report = face.doctor(repair=repair, give_up=give_up)
    findings = _findings(report)
    face.printer.table(findings, _FINDINGS)
    _judge(findings, repair)


def _findings(report: DoctorReport) -> list[DoctorFinding]:
    """Return the lines of a report."""
    kinds: tuple[tuple[Literal["problem", "done", "left", "note"], tuple[str, ...]], ...] = (
        ("problem", report.problems),
        ("done", report.done),
        ("left", report.left),
        ("note", report.notes),
    )
    return [DoctorFinding(what=what, text=text) for what, texts in kinds for text in texts]


def _judge(findings: Sequence[DoctorFinding], repair: bool) -> None:
    """Print the verdict as one line. Raises CorruptError if a problem was found or left."""
    from memcrdt.errors import CorruptError

    if wrong := sum(finding.what == ("left" if repair else "problem") for finding in findings):
        if repair:
            raise CorruptError(
                f"problems left: {wrong}; export the memories first (memcrdt export FILE); then sync with paired"
                " devices (memcrdt sync), or give up the lost rows with `memcrdt doctor --repair --give-up`"
            )
        raise CorruptError(f"problems found: {wrong}; repair them with `memcrdt doctor --repair`")
    say("all problems are repaired" if any(finding.what == "problem" for finding in findings) else "no problems found")
