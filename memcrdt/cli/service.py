"""`memcrdt service install`, `uninstall`, `status` and `logs`: `memcrdt serve` as a service of the system."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from memcrdt.cli.autostart import LoginService, Manager, manager_of, service_for
from memcrdt.cli.face import Face, FaceGroup, command, pass_face
from memcrdt.cli.output import say
from memcrdt.errors import MemcrdtError, NotFoundError
from memcrdt.paths import home_folder

_FOLLOW_S: Final = 0.5  # between two looks at the log
_LONGEST: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """The service of a home.

    Attributes:
        name: Its name for the system.
        file: The file that describes it.
        installed: Whether the file is there.
        running: Whether it runs; None if it is not installed, or the system does not say it.
        state: The state, in the words of the system.
        log: The file of its lines; None if the system's journal has them.
    """

    name: str
    file: str
    installed: bool
    running: bool | None = None
    state: str | None = None
    log: str | None = None


@click.group("service", cls=FaceGroup)
def service_command() -> None:
    """Run `memcrdt serve` at login, as a service: systemd, launchd, or a Windows task."""


@command("install", context_settings={"ignore_unknown_options": True})
@click.option("--print", "only_print", is_flag=True, help="Print the file, and change nothing.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@pass_face
def install_command(face: Face, /, only_print: bool, options: tuple[str, ...]) -> None:
    """Install and start the service. OPTIONS are those of `memcrdt serve`. Again, it replaces them."""
    from memcrdt.cli.serve import serve_command

    serve_command.make_context("memcrdt serve", list(options))  # an error is found now, and not in a log
    service, manager = _service_of(face, options)
    content = manager.content()
    if only_print:
        click.echo(f"# {manager.file}", err=True)
        click.echo(content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"), nl=False)
        return
    service.log.parent.mkdir(parents=True, exist_ok=True)
    _start(manager, content)
    face.printer.record(_report(service, manager))
    say(f"{manager.advice()}; `memcrdt service logs` shows what it says")


@command("uninstall")
@pass_face
def uninstall_command(face: Face) -> None:
    """Stop the service and delete its file. The memories stay."""
    service, manager = _service_of(face)
    _check_installed(service, manager)
    manager.stop()
    manager.file.unlink(missing_ok=True)
    face.printer.record(ServiceReport(name=service.name, file=str(manager.file), installed=False))


@command("status")
@pass_face
def status_command(face: Face) -> None:
    """Show whether the service is installed and running."""
    face.printer.record(_report(*_service_of(face)))


@command("logs")
@click.option("-n", "--lines", type=click.IntRange(1, _LONGEST), default=50, show_default=True, help="How many lines.")
@click.option("-f", "--follow", is_flag=True, help="Show new lines too, until interrupted.")
@pass_face
def logs_command(face: Face, lines: int, follow: bool) -> None:
    """Show the last lines of the service."""
    service, manager = _service_of(face)
    _check_installed(service, manager)
    if shown := manager.log_command(lines, follow=follow):
        subprocess.run(shown, check=False)  # noqa: S603 - fixed words, and the name of the service
    else:
        _show(service.log, lines, follow=follow)


for _each in (install_command, uninstall_command, status_command, logs_command):
    service_command.add_command(_each)


def _service_of(face: Face, options: tuple[str, ...] = ()) -> tuple[LoginService, Manager]:
    service = service_for(home_folder(face.home), options)
    return service, manager_of(service)


def _start(manager: Manager, content: bytes) -> None:
    """Write the file and start the service. If that fails, leave the file as it was."""
    former = manager.file.read_bytes() if manager.file.exists() else None
    manager.file.parent.mkdir(parents=True, exist_ok=True)
    manager.file.write_bytes(content)
    try:
        manager.start()
    except MemcrdtError:
        if former is None:
            manager.file.unlink()
        else:
            manager.file.write_bytes(former)
        raise


def _check_installed(service: LoginService, manager: Manager) -> None:
    if not manager.file.exists():
        raise NotFoundError(f"the service {service.name} is not installed; run: memcrdt service install")


def _report(service: LoginService, manager: Manager) -> ServiceReport:
    installed = manager.file.exists()
    state = manager.state() if installed else None
    return ServiceReport(
        name=service.name,
        file=str(manager.file),
        installed=installed,
        running=state.running if state else None,
        state=state.text if state else None,
        log=None if manager.log_command(1, follow=False) else str(service.log),
    )


def _show(log: Path, lines: int, *, follow: bool) -> None:
    """Print the last lines of a log, and then new ones. The service begins the file anew when it is long."""
    at = 0
    if log.exists():
        with log.open("rb") as file:
            click.echo(b"".join(deque(file, lines)), nl=False)
            at = file.tell()
    elif not follow:
        say(f"{log} is not there yet: the service has said nothing")
    while follow:
        time.sleep(_FOLLOW_S)
        if log.exists():
            with log.open("rb") as file:
                file.seek(at if log.stat().st_size >= at else 0)
                click.echo(file.read(), nl=False)
                at = file.tell()
