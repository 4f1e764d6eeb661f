"""Tests of `memcrdt service`: what it writes for each system, and what it calls there."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from memcrdt.cli.autostart import LoginService, Manager, manager_of, service_for
from memcrdt.cli.serve import LOG_BYTES, _LogFile
from tests.cli.conftest import Cli

ODD = ("/opt/my python/python", "-m", "memcrdt", "serve", "--home", '/data/50% "off" $HOME\\x')
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
# The children that the schema of Windows allows, of those that we write.
ALLOWED = {
    "Task": {"RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"},
    "Triggers": {"LogonTrigger"},
    "LogonTrigger": {"Enabled", "UserId"},
    "Principal": {"UserId", "LogonType", "RunLevel"},
    "Settings": {
        "MultipleInstancesPolicy",
        "DisallowStartIfOnBatteries",
        "StopIfGoingOnBatteries",
        "ExecutionTimeLimit",
        "RestartOnFailure",
    },
    "RestartOnFailure": {"Interval", "Count"},
    "Exec": {"Command", "Arguments"},
}

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for the programs of the systems on the path, and return the file in which they note their calls."""
    said, programs = tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "loginctl", "launchctl", "journalctl"):
        program = programs / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {said}\n'
            'case "$*" in *show*) printf "ActiveState=active\\nSubState=running\\nMainPID=4711\\n";;\n'
            '*print*) printf "\\tstate = running\\n\\tpid = 4711\\n";; *--lines*) echo "a line";; esac\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return said


def managed(platform: str, command: tuple[str, ...] = ODD) -> Manager:
    return manager_of(LoginService("memcrdt", command, Path("/logs/memcrdt.log")), platform)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("command", [ODD, (sys.executable, "-m", "memcrdt", "serve", "--no-mdns")])
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path, command: tuple[str, ...]) -> None:
    """It also reads the words as they were given, although they have characters that mean something in a unit."""
    unit = tmp_path / "memcrdt.service"
    unit.write_bytes(managed("linux", ("/bin/echo", *command[1:])).content())
    ran = subprocess.run(["systemd-analyze", "--user", "verify", unit], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    broken = tmp_path / "broken.service"
    broken.write_text(unit.read_text("utf-8").replace("ExecStart=", "ExecStart=echo\nRestart="), "utf-8")
    ran = subprocess.run(["systemd-analyze", "--user", "verify", broken], capture_output=True, text=True, check=False)
    assert ran.stderr


def test_a_unit_replaces_nothing_in_the_words_of_the_command() -> None:
    """Percent, dollar, quotes and backslashes are escaped. The service starts again after a failure."""
    unit = managed("linux").content().decode()
    assert 'serve" "--home" "/data/50%% \\"off\\" $$HOME\\\\x"\n' in unit
    assert "Restart=on-failure\n" in unit
    assert "WantedBy=default.target\n" in unit


def test_the_agent_of_launchd() -> None:
    """It starts at login, again after a failure, and writes a log."""
    agent = plistlib.loads(managed("darwin").content())
    assert agent["Label"] == "memcrdt"
    assert agent["ProgramArguments"] == [*ODD, "--log", "/logs/memcrdt.log"]
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert managed("darwin").file.parts[-3:] == ("Library", "LaunchAgents", "memcrdt.plist")


def test_the_task_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is UTF-16 with a mark, as schtasks reads it, and has only elements of the schema."""
    monkeypatch.setenv("USERDOMAIN", "DESK")
    monkeypatch.setenv("USERNAME", "someone")
    content = managed("win32").content()
    assert content[:2] in (b"\xff\xfe", b"\xfe\xff")
    task = ElementTree.fromstring(content.decode("utf-16").replace("UTF-16", "utf-8"))
    for element in task.iter():
        children = {child.tag.removeprefix(TASK) for child in element}
        assert children <= ALLOWED.get(element.tag.removeprefix(TASK), children)
    assert task.tag == f"{TASK}Task"
    assert task.findtext(f"{TASK}Principals/{TASK}Principal/{TASK}UserId") == r"DESK\someone"
    assert task.findtext(f"{TASK}Actions/{TASK}Exec/{TASK}Command") == ODD[0]
    arguments = task.findtext(f"{TASK}Actions/{TASK}Exec/{TASK}Arguments") or ""
    assert r'"/data/50% \"off\" $HOME\x" --log /logs/memcrdt.log' in arguments


def test_each_home_has_a_service_of_its_own(tmp_path: Path) -> None:
    """The default home has the plain name."""
    from platformdirs import user_data_path

    assert service_for(user_data_path("memcrdt", appauthor=False), ()).name == "memcrdt"
    one, two = service_for(tmp_path / "one", ()), service_for(tmp_path / "two", ("--port", "0"))
    assert len({one.name, two.name, "memcrdt"}) == 3
    assert two.command[1:] == ("-m", "memcrdt", "serve", "--home", str(tmp_path / "two"), "--port", "0")


@posix_only
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has launchd")
def test_the_service_is_installed_shown_and_removed(cli: Cli, home: Path, tmp_path: Path, calls: Path) -> None:
    """Installing again replaces it."""
    printed = cli("service", "install", "--print", "--no-mdns")
    assert not calls.exists()
    assert f'"--home" "{home}" "--no-mdns"' in printed.out
    (installed,) = cli("service", "install", "--no-mdns", "--json").json
    file = Path(installed["file"])
    assert file.parent == tmp_path / "config" / "systemd" / "user"
    assert file.read_text("utf-8") == printed.out
    assert (installed["running"], installed["state"]) == (True, "active (running), process 4711")
    unit = file.name
    made = [f"systemctl --user {done}" for done in ("daemon-reload", f"enable {unit}", f"restart {unit}")]
    assert calls.read_text("utf-8").splitlines()[:3] == made
    assert cli("service", "status", "--json").json == [installed]
    cli("service", "install")
    assert "--no-mdns" not in file.read_text("utf-8")
    assert cli("service", "logs").code == 0
    assert f"journalctl --user --unit {unit} --lines 50 --no-pager" in calls.read_text("utf-8")
    assert cli("service", "uninstall").code == 0
    assert not file.exists()
    assert f"systemctl --user disable --now {unit}" in calls.read_text("utf-8")
    cli("service", "logs").failed(3, "is not installed", "memcrdt service install")
    cli("service", "uninstall").failed(3, "is not installed")


def test_options_of_serve_are_checked_before_anything_is_written(cli: Cli, home: Path, calls: Path) -> None:
    """A service that fails at every start would only tell its log."""
    cli("service", "install", "--prot", "1").failed(2, "--prot")
    cli("service", "install", "--port", "70000").failed(2, "65535")
    assert not calls.exists()


@posix_only
@pytest.mark.skipif(sys.platform == "darwin", reason="launchd always runs")
def test_a_systemd_that_cannot_be_reached_is_no_dead_end(cli: Cli, home: Path, calls: Path, tmp_path: Path) -> None:
    """As for a user without a session. The message has the words of systemctl and another way."""
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n")
    cli("service", "install").failed(1, "Failed to connect to bus", "run: memcrdt serve")


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="these systems always have theirs")
def test_a_machine_without_systemd_is_told_what_to_do(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    cli("service", "install").failed(1, "there is no systemctl here", "memcrdt serve")
    assert list(tmp_path.glob("systemd/user/*")) == []


def test_serve_writes_a_log(home: Path, tmp_path: Path) -> None:
    """As the service does where the system keeps none. What the process prints goes there, each line with its time."""
    log = tmp_path / "serve.log"
    command = [sys.executable, "-m", "memcrdt", "serve", "--no-mdns", "--port", "0", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 60
        while "no device is accepted yet" not in (log.read_text("utf-8") if log.exists() else ""):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.communicate()[0] == b""
    lines = log.read_text("utf-8").splitlines()
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line)] == []
    assert lines[0][20:].startswith("device\t")


def test_a_log_has_times_and_begins_anew(tmp_path: Path) -> None:
    """The former log is kept beside it."""
    path = tmp_path / "serve.log"
    with _LogFile(path) as log:
        log.write("one\ntwo")
        log.write(" and a half\n")
    assert [line[20:] for line in path.read_text("utf-8").splitlines()] == ["one", "two and a half"]
    path.write_text("x" * (LOG_BYTES + 1), "utf-8")
    with _LogFile(path) as log:
        log.write("new\n")
    assert path.read_text("utf-8").endswith(" new\n")
    assert path.with_name("serve.log.1").stat().st_size > LOG_BYTES
