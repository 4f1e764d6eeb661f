"""Unusable homes and stores: one line, the exit code, and no change."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
    cli(*arguments, "--home", str(home / "inside")).failed(1, str(home / "inside"))


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
