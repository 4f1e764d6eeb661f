"""The service that runs `memcrdt serve` at login: a systemd user unit, a launchd agent, or a Windows task.

Sources: systemd.service(5) and systemd.syntax(7); launchd.plist(5); the Task Scheduler schema of Windows.
"""

from __future__ import annotations

import csv
import hashlib
import os
import plistlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from memcrdt.errors import MemcrdtError
from memcrdt.paths import STATE_VARIABLE

RESTART_S: Final = 30  # after a failure; the network may be down
USAGE_ERROR: Final = 2  # exit code; starting again would not help
_WAIT_S: Final = 60.0
_TASKS: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"


@dataclass(frozen=True, slots=True)
class LoginService:
    """A service and what it runs.

    Attributes:
        name: Its name for the system, one for each home.
        command: The program with its arguments.
        log: The file of its lines, where the system keeps none.
    """

    name: str
    command: tuple[str, ...]
    log: Path


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What the system says about a service. `running` is None if it cannot be told."""

    running: bool | None
    text: str


def service_for(home: Path, options: Sequence[str]) -> LoginService:
    """Return the service for a home. The name has a part of the home's path, unless it is the default home.

    Args:
        home: The folder of the memory.
        options: The options of `memcrdt serve`.
    """
    from platformdirs import user_data_path, user_log_path

    is_default = home == user_data_path("memcrdt", appauthor=False)
    name = "memcrdt" if is_default else f"memcrdt-{hashlib.blake2b(os.fsencode(home), digest_size=4).hexdigest()}"
    log = user_log_path("memcrdt", appauthor=False) / f"{name}.log"
    return LoginService(name, (*_python(), "-m", "memcrdt", "serve", "--home", str(home), *options), log)


def _python() -> tuple[str]:
    """Return the interpreter; on Windows the one that opens no window."""
    windowless = Path(sys.executable).with_name("pythonw.exe")
    return (str(windowless) if windowless.exists() else sys.executable,)


class Systemd:
    """The user manager of systemd. Its journal has the lines of the service."""

    def __init__(self, service: LoginService) -> None:
        self._service = service
        self._unit = f"{service.name}.service"
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        self.file = Path(base) / "systemd" / "user" / self._unit

    def content(self) -> bytes:
        """Return the unit."""
        state = os.environ.get(STATE_VARIABLE)
        environment = f"Environment={_quoted(f'{STATE_VARIABLE}={state}')}\n" if state else ""
        return (
            "[Unit]\n"
            "Description=memcrdt: sync memories with the user's other devices\n"
            "\n"
            "[Service]\n"
            "Type=exec\n"
            f"ExecStart={' '.join(map(_quoted, self._service.command))}\n"
            f"{environment}"
            "Restart=on-failure\n"
            f"RestartSec={RESTART_S}\n"
            f"RestartPreventExitStatus={USAGE_ERROR}\n"
            "\n"
            "[Install]\n"
            "WantedBy=default.target\n"
        ).encode()

    def start(self) -> None:
        """Start the service now and at each login."""
        self._manage("daemon-reload")
        self._manage("enable", self._unit)
        self._manage("restart", self._unit)

    def stop(self) -> None:
        """Stop the service, now and for good. The file may then be deleted."""
        self._manage("disable", "--now", self._unit)

    def state(self) -> ServiceState:
        """Return the state of the service."""
        shown = self._manage("show", self._unit, "--property=ActiveState,SubState,MainPID")
        found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        running = found.get("ActiveState") == "active"
        process = f", process {found.get('MainPID')}" if running else ""
        return ServiceState(running, f"{found.get('ActiveState')} ({found.get('SubState')}){process}")

    def log_command(self, lines: int, *, follow: bool) -> list[str] | None:
        """Return the command that shows the last lines of the service; None if a file has them."""
        shown = ["journalctl", "--user", "--unit", self._unit, "--lines", str(lines)]
        return [*shown, "--follow"] if follow else [*shown, "--no-pager"]

    def advice(self) -> str:
        """Return what the user has to know about when it runs."""
        lingers = _run("loginctl", "show-user", "--property=Linger", "--value", may_fail=True).strip() == "yes"
        if lingers:
            return "it runs from the start of the machine on (lingering is on)"
        return "it runs while you are logged in; to keep it running without a login: loginctl enable-linger"

    def _manage(self, *arguments: str) -> str:
        return _run("systemctl", "--user", *arguments)


class _WithLogFile:
    """What runs a service while its user is logged in, and lets it write its lines into a file."""

    def log_command(self, lines: int, *, follow: bool) -> list[str] | None:
        """Return the command that shows the last lines of the service; None if a file has them."""
        return None

    def advice(self) -> str:
        """Return what the user has to know about when it runs."""
        return "it runs while you are logged in"


class Launchd(_WithLogFile):
    """The agents of launchd on macOS."""

    def __init__(self, service: LoginService) -> None:
        self._service = service
        self.file = Path.home() / "Library" / "LaunchAgents" / f"{service.name}.plist"

    def content(self) -> bytes:
        """Return the property list."""
        state = os.environ.get(STATE_VARIABLE)
        return plistlib.dumps(
            {
                "Label": self._service.name,
                "ProgramArguments": [*self._service.command, "--log", str(self._service.log)],
                **({"EnvironmentVariables": {STATE_VARIABLE: state}} if state else {}),
                "RunAtLoad": True,
                "KeepAlive": {"SuccessfulExit": False},
                "ThrottleInterval": RESTART_S,
                "ProcessType": "Background",
            }
        )

    def start(self) -> None:
        """Start the service now and at each login."""
        self._bootout()
        _run("launchctl", "bootstrap", self._domain(), str(self.file))

    def stop(self) -> None:
        """Stop the service. Without its file it does not start again."""
        self._bootout()

    def state(self) -> ServiceState:
        """Return the state of the service."""
        shown = _run("launchctl", "print", f"{self._domain()}/{self._service.name}", may_fail=True)
        found = dict(line.strip().split(" = ", 1) for line in shown.splitlines() if " = " in line)
        process = f", process {found['pid']}" if "pid" in found else ""
        return ServiceState(found.get("state") == "running", f"{found.get('state', 'not loaded')}{process}")

    def _bootout(self) -> None:
        _run("launchctl", "bootout", f"{self._domain()}/{self._service.name}", may_fail=True)

    def _domain(self) -> str:
        return f"gui/{getattr(os, 'getuid', int)()}"  # Windows has no such function


class TaskScheduler(_WithLogFile):
    """The scheduled tasks of Windows."""

    def __init__(self, service: LoginService) -> None:
        from platformdirs import user_config_path

        self._service = service
        self.file = user_config_path("memcrdt", appauthor=False) / f"{service.name}.xml"

    def content(self) -> bytes:
        """Return the description of the task, in UTF-16 as schtasks reads it."""
        user = "\\".join(os.environ[name] for name in ("USERDOMAIN", "USERNAME") if os.environ.get(name))
        program, *arguments = (*self._service.command, "--log", str(self._service.log))
        task = ElementTree.Element("Task", version="1.2", xmlns=_TASKS)
        _add(
            task,
            {
                "RegistrationInfo": {"Description": "Sync memories with the user's other devices"},
                "Triggers": {"LogonTrigger": {"Enabled": "true", "UserId": user}},
                "Principals": {
                    "Principal": {"UserId": user, "LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"}
                },
                "Settings": {
                    "MultipleInstancesPolicy": "IgnoreNew",
                    "DisallowStartIfOnBatteries": "false",
                    "StopIfGoingOnBatteries": "false",
                    "ExecutionTimeLimit": "PT0S",  # none
                    "RestartOnFailure": {"Interval": "PT1M", "Count": "255"},
                },
                "Actions": {"Exec": {"Command": program, "Arguments": subprocess.list2cmdline(arguments)}},
            },
        )
        task.find("Principals/Principal").set("id", "Author")  # type: ignore[union-attr]
        task.find("Actions").set("Context", "Author")  # type: ignore[union-attr]
        ElementTree.indent(task)
        content: bytes = ElementTree.tostring(task, encoding="UTF-16", xml_declaration=True)
        return content

    def start(self) -> None:
        """Start the service now and at each login."""
        _run("schtasks", "/Create", "/TN", self._service.name, "/XML", str(self.file), "/F")
        _run("schtasks", "/Run", "/TN", self._service.name)

    def stop(self) -> None:
        """Stop the service, now and for good."""
        _run("schtasks", "/End", "/TN", self._service.name, may_fail=True)
        _run("schtasks", "/Delete", "/TN", self._service.name, "/F")

    def state(self) -> ServiceState:
        """Return the state of the service, in the language of the system."""
        shown = _run("schtasks", "/Query", "/TN", self._service.name, "/FO", "CSV", "/NH", may_fail=True)
        row = next(csv.reader(shown.splitlines()), [])
        return ServiceState(None, row[-1] if row else "not known to the Task Scheduler")


Manager = Systemd | Launchd | TaskScheduler


def manager_of(service: LoginService, platform: str = sys.platform) -> Manager:
    """Return what runs services on a platform."""
    kinds: dict[str, type[Manager]] = {"darwin": Launchd, "win32": TaskScheduler}
    return kinds.get(platform, Systemd)(service)


def _quoted(word: str) -> str:
    """Return a word of a line of a unit, in which systemd replaces nothing."""
    if not word.isprintable():
        raise MemcrdtError(f"a unit cannot have the line break or control character in {word!r}")
    for special, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(special, written)
    return f'"{word}"'


def _add(parent: ElementTree.Element, content: dict[str, object]) -> None:
    for name, value in content.items():
        child = ElementTree.SubElement(parent, name)
        if isinstance(value, dict):
            _add(child, value)
        else:
            child.text = str(value)


def _run(*command: str, may_fail: bool = False) -> str:
    """Return what a command of the system prints.

    Raises:
        MemcrdtError: It is not there or fails, unless `may_fail`.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_WAIT_S, check=False)  # noqa: S603 - fixed words, and the name of the service
    except FileNotFoundError:
        if may_fail:
            return ""
        raise MemcrdtError(
            f"there is no {command[0]} here, so services cannot be managed; let whatever starts programs on this"
            " machine run: memcrdt serve"
        ) from None
    except subprocess.TimeoutExpired:
        raise MemcrdtError(f"`{' '.join(command)}` did not end within {_WAIT_S:.0f} s") from None
    if done.returncode and not may_fail:
        said = " ".join((done.stderr or done.stdout).split())[:500]
        raise MemcrdtError(
            f"`{' '.join(command)}` failed: {said or f'exit code {done.returncode}'}; if that cannot be mended, let"
            " whatever starts programs on this machine run: memcrdt serve"
        )
    return done.stdout
