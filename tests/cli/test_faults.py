"""Unusable homes and stores: one line, the exit code, and no change."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from memcrdt.store import connections

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture(params=["list", "add"])
def arguments(request: pytest.FixtureRequest) -> list[str]:
    """One command that reads, and one that writes."""
    return [request.param, *(["text"] if request.param == "add" else [])]


def test_a_home_that_is_a_file(cli: Cli, home: Path, arguments: list[str]) -> None:
    """The file is left unchanged."""
    home.write_text("notes")
    cli(*arguments).failed(1, str(home), "not a folder")
    assert home.read_text() == "notes"


def test_a_home_without_a_name(cli: Cli, arguments: list[str]) -> None:
    """An empty --home, perhaps from an unset variable, is refused."""
    cli(*arguments, "--home", "").failed(2, "home")


def test_a_home_that_cannot_be_made(cli: Cli, home: Path, arguments: list[str]) -> None:
    """The message names the folder."""
    home.write_text("notes")
    cli(*arguments, "--home", str(home / "inside")).failed(1 if "add" in arguments else 3, str(home / "inside"))


def test_a_store_that_is_no_database(cli: Cli, home: Path, arguments: list[str]) -> None:
    """Its bytes stay unchanged."""
    home.mkdir()
    store = home / "memories.db"
    store.write_bytes(b"these are notes, no database" * 300)
    cli(*arguments).failed(1, str(store))
    assert store.read_bytes() == b"these are notes, no database" * 300


def test_a_database_of_another_program(cli: Cli, home: Path, arguments: list[str]) -> None:
    """A SQLite file of another program is not turned into a store."""
    home.mkdir()
    store = home / "memories.db"
    with sqlite3.connect(store) as db:
        db.execute("CREATE TABLE bookmarks(url TEXT)")
    db.close()
    before = store.read_bytes()
    cli(*arguments).failed(1, str(store))
    assert store.read_bytes() == before


def test_a_store_of_a_newer_memcrdt(cli: Cli, home: Path, arguments: list[str]) -> None:
    """A store with an unknown schema is left unchanged."""
    cli("add", "text")
    with sqlite3.connect(home / "memories.db") as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    cli(*arguments).failed(1, "newer")
    with sqlite3.connect(home / "memories.db") as db:
        assert db.execute("SELECT count(*) FROM memories").fetchone() == (1,)
    db.close()


@pytest.mark.parametrize("content", ["", "garbage", "{}"])
def test_a_key_file_that_is_none(cli: Cli, home: Path, arguments: list[str], content: str) -> None:
    """An unreadable device key is never replaced."""
    home.mkdir()
    key = home / "device.key"
    key.write_text(content)
    key.chmod(0o600)
    cli(*arguments).failed(1, str(key))
    assert key.read_text() == content


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_a_key_that_others_can_read(cli: Cli, home: Path, arguments: list[str]) -> None:
    """The message explains the fix."""
    cli("init")
    (home / "device.key").chmod(0o644)
    cli(*arguments).failed(1, "chmod 600")


def test_commands_that_read_do_so_in_a_home_that_may_not_be_written(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that write name the file that they may not write."""
    cli("add", "lantern")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "lantern" in cli("list").out
    assert "lantern" in cli("search", "lantern").out
    assert cli("status").code == 0
    cli("add", "no").failed(1, "is not writable", "memories.db")


def _python(message: str) -> bool:
    """Return whether a message has an argument of Python."""
    return re.search(r"\w=(True|False|None|\d)|\w\(", message) is not None


def test_a_home_that_may_not_be_written_says_what_a_shell_can_do(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its permissions, and another home. No argument of Python."""
    cli("add", "lantern")
    monkeypatch.setattr(os, "access", lambda *_: False)
    ran = cli("add", "no")
    ran.failed(1, "memories.db is not writable", "ls -l", "chmod u+w", "another home")
    assert not _python(ran.err)


@contextmanager
def _locked(home: Path) -> Iterator[Callable[[], object]]:
    """Let another process keep the write lock. Yield a function that makes it release the lock."""
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('BEGIN IMMEDIATE'); print(flush=True)"
    command = [sys.executable, "-c", f"{code}; sys.stdin.read()", str(home / "memories.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        yield other.stdin.close


def test_a_locked_store_says_what_a_shell_can_do(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which commands name the process that has the lock."""
    cli("add", "lantern")
    monkeypatch.setattr(connections, "BUSY_TIMEOUT_S", 0.05)
    with _locked(home):
        ran = cli("add", "no")
    ran.failed(4, "locked", "try again", "memcrdt status", "lsof")
    assert not _python(ran.err)


def test_a_long_wait_for_a_lock_is_said_once(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says what it waits for, and succeeds when the lock is free."""
    cli("add", "lantern")
    monkeypatch.setattr(connections, "TELL_AFTER_S", 0.0)
    with _locked(home) as release:
        emit = connections._log.warning

        def told(*said: object) -> None:
            emit(*said)
            release()

        monkeypatch.setattr(connections._log, "warning", told)
        ran = cli("add", "a second one")
    assert (ran.code, ran.err.count("other processes have kept"), ran.err.count("\n")) == (0, 1, 1)
    assert "memories.db" in ran.err


def test_a_full_disk_says_what_a_shell_can_do(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes room, also on a full disk, if the store has its reserve."""
    cli("add", "lantern")

    def full(*_: object, **__: object) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr("memcrdt.store.changes.bear", full)
    ran = cli("add", "no")
    ran.failed(1, "is full, and nothing was changed", "memcrdt forget", "memcrdt compact")
    assert not _python(ran.err)
    (home / "store.reserve").unlink()
    monkeypatch.setattr("memcrdt.store.reserve._LEAST_FREE", 1 << 62)  # as if the disk had never had room for one
    ran = cli("add", "no")
    ran.failed(1, "is full, and nothing was changed; make room on it")
    assert "memcrdt forget" not in ran.err
