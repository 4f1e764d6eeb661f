"""Fixtures that run the command line, in this process or in another one."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memcrdt.cli.app import run


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def failed(self, code: int, *words: str) -> None:
        """Assert a well-formed failure: the exit code, an empty stdout, one line on stderr."""
        assert (self.code, self.out) == (code, "")
        assert self.err.startswith("memcrdt: ")
        assert self.err.count("\n") == 1
        assert self.err.endswith("\n")
        assert [word for word in words if word not in self.err] == []


Cli: TypeAlias = Callable[..., Ran]


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Let child processes handle Ctrl-C, even if the test run was started in the background and ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of a new user, in whose project the commands run."""
    folder = tmp_path / "user"
    (folder / "work").mkdir(parents=True)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.setenv("APPDATA", str(folder / "AppData"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(folder / "work")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the default home of the commands, which is empty."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MEMCRDT_HOME", str(folder))
    return folder


class _Keyboard(io.TextIOWrapper):
    """The stdin of a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in this process, with `stdin` as its input, or `typed` on a terminal."""

    def ran(*arguments: str, stdin: bytes = b"", typed: str | None = None) -> Ran:
        given = stdin if typed is None else typed.encode()
        stream = io.TextIOWrapper if typed is None else _Keyboard
        monkeypatch.setattr(sys, "stdin", stream(io.BytesIO(given), encoding="utf-8"))
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return ran


@pytest.fixture
def process(home: Path) -> Cli:
    """Run a command in a process of its own."""

    def ran(*arguments: str, stdin: bytes = b"", **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "memcrdt", *arguments],
            input=stdin,
            capture_output=True,
            env={**os.environ, **environment},
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode().replace("\r\n", "\n"))

    return ran


@dataclass
class Server:
    """A `memcrdt serve` process on a free port of the loopback interface."""

    process: subprocess.Popen[str]
    said: list[Any] = field(default_factory=list)

    def says(self) -> Any:
        """Return the next line of stdout."""
        assert self.process.stdout is not None
        self.said.append(json.loads(self.process.stdout.readline()))
        return self.said[-1]

    def ended(self) -> Ran:
        """Return the exit code and the rest of the output."""
        out, err = self.process.communicate(timeout=30)
        return Ran(self.process.returncode, out, err)


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    """Start servers. The fixture ends those that still run after the test."""
    started: list[Server] = []

    def start(home: Path, *options: str) -> Server:
        command = [sys.executable, "-m", "memcrdt", "serve", "--json", "--home", str(home)]
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        started.append(Server(process))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition is met, for up to a minute: a busy machine is slow, and a dial may have to be repeated."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not come to hold in time"
            time.sleep(0.02)

    return wait
