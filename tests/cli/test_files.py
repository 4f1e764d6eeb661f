"""`memcrdt import` and `export`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import memcrdt
from memcrdt.cli.terminal import progress_bar

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "memories.jsonl"


def count(cli: Cli) -> int:
    return len(cli("list", "--all", "--json").json)


def test_what_is_exported_can_be_imported(cli: Cli, file: Path, tmp_path: Path) -> None:
    """Another home gets the same memories under the same ids. A second import finds them known."""
    other = ["--home", str(tmp_path / "other")]
    added = cli("add", "Deploys go out on Tuesdays", "--tag", "release", "--scope", "project/acme").out.strip()
    cli("add", "and another", "--tag", "office")
    assert cli("export", str(file), "--tag", "release", "--json").json == [{"memories": 1}]
    (report,) = cli("import", str(file), "--json", *other).json
    assert (report["added"], report["known"], report["refusals"], report["dry_run"]) == (1, 0, [], False)
    (memory,) = cli("get", added, "--json", *other).json
    assert (memory["text"], memory["tags"], memory["scope"]) == (
        "Deploys go out on Tuesdays", ["release"], "project/acme",
    )  # fmt: skip
    assert cli("import", str(file), "--json", *other).json[0]["known"] == 1


def test_a_dry_run_only_counts(cli: Cli, file: Path) -> None:
    """No memory is added, and no warning about sending is printed."""
    file.write_text('"one"\n"two"\n')
    ran = cli("import", str(file), "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert "added\t2\n" in ran.out
    assert count(cli) == 0


def test_options_go_before_what_the_file_says(cli: Cli, file: Path) -> None:
    """Each option is an argument of add() for every line."""
    file.write_text(json.dumps({"text": "one", "scope": "global", "tags": ["x"]}) + "\n")
    cli(
        "import", str(file), "--scope", "agent/scout", "--tag", "b", "--tag", "a", "--author", "ada", "--space", "local"
    )
    (memory,) = cli("list", "--json").json
    assert (memory["scope"], memory["tags"], memory["author"], memory["space"]) == (
        "agent/scout", ["a", "b"], "ada", "local",
    )  # fmt: skip


def test_refused_lines_are_named(cli: Cli, file: Path) -> None:
    """Each with its number and reason on stderr. The other lines are imported, and the exit code is 1."""
    file.write_text('"one"\n{"text": ""}\nnonsense\n"two"\n')
    ran = cli("import", str(file))
    assert ran.code == 1
    assert "refused\t2\n" in ran.out
    assert [line[: len("memcrdt: line 2:")] for line in ran.err.splitlines()[:2]] == [
        "memcrdt: line 2:", "memcrdt: line 3:",
    ]  # fmt: skip
    assert count(cli) == 2


def test_a_secret_is_refused_unless_it_is_allowed(cli: Cli, file: Path) -> None:
    """As in every command. --allow-secret accepts it."""
    file.write_text('"AKIAIOSFODNN7EXAMPLE"\n')
    assert cli("import", str(file)).code == 1
    assert cli("import", str(file), "--allow-secret").code == 0
    assert count(cli) == 1


def test_what_was_forgotten_stays_so_unless_wanted_again(cli: Cli, file: Path) -> None:
    """--again adds it as a new memory."""
    added = cli("add", "Deploys go out on Tuesdays").out.strip()
    cli("export", str(file))
    cli("forget", added)
    assert cli("import", str(file), "--json").json[0]["forgotten"] == 1
    assert count(cli) == 0
    assert cli("import", str(file), "--again", "--json").json[0]["added"] == 1
    assert count(cli) == 1


def test_files_that_cannot_be_read_are_usage_errors(cli: Cli, tmp_path: Path) -> None:
    """A missing file, and an unknown format."""
    cli("import", str(tmp_path / "nowhere.jsonl")).failed(2, "nowhere.jsonl")
    cli("import", str(tmp_path / "nowhere")).failed(2, "cannot be found")
    cli("export", str(tmp_path / "x.parquet")).failed(2, "parquet")
    cli("export", str(tmp_path / "no" / "where.jsonl")).failed(1, "cannot be written")


def test_a_dash_is_stdout_and_stdin(cli: Cli, tmp_path: Path) -> None:
    """Only the memories are printed. Stdin is read like a .jsonl file."""
    cli("add", "grün", "--tag", "a")
    cli("add", "rot")
    exported = cli("export", "-", "--tag", "a")
    assert [line["text"] for line in exported.json] == ["grün"]
    assert exported.err == ""
    other = ["--home", str(tmp_path / "other")]
    assert cli("import", "-", "--json", *other, stdin=exported.out.encode()).json[0]["added"] == 1
    assert cli("list", "--json", *other).json[0]["text"] == "grün"


def test_a_file_may_be_called_dash(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its folder before the name."""
    monkeypatch.chdir(tmp_path)
    cli("add", "one")
    assert cli("export", "./-", "--format", "jsonl").code == 0
    assert cli("import", "./-", "--format", "jsonl", "--json").json[0]["known"] == 1


def test_what_to_do_is_said_in_options(cli: Cli, file: Path, tmp_path: Path) -> None:
    """For a file without a known suffix, which may be of another program, and for an unknown space."""
    cli("init")
    cli("export", str(tmp_path / "all")).failed(2, "--format")
    cli("import", str(tmp_path)).failed(2, "--from")
    file.write_text(json.dumps({"text": "one", "space": "nowhere"}) + "\n")
    assert "--space" in cli("import", str(file)).err


def test_an_export_says_what_it_leaves_out(cli: Cli, tmp_path: Path) -> None:
    """Earlier texts and devices are in the file only with --history."""
    memory_id = cli("add", "one").out.strip()
    cli("update", memory_id, "two")
    assert "--history" in cli("export", str(tmp_path / "a.jsonl")).err
    assert cli("export", str(tmp_path / "b.jsonl"), "--history").err == ""
    lines = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text("utf-8").splitlines()]
    assert [line["text"] for line in lines] == ["two", "one", "two"]


def test_an_import_from_another_program(cli: Cli, tmp_path: Path) -> None:
    """Counts, and names the refused files."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "Ada.md").write_text("Ada likes tea.")
    (notes / "bad.md").write_bytes(b"\xff")
    ran = cli("import", "--from", "markdown", str(notes), "--tag", "old")
    assert ran.code == 1
    assert "notes/bad.md: it is not UTF-8" in ran.err
    (listed,) = cli("list", "--json").json
    assert (listed["text"], listed["tags"], listed["trust"]) == ("# Ada\n\nAda likes tea.", ["old"], "imported")


def test_an_import_of_nothing_says_so(cli: Cli, tmp_path: Path) -> None:
    """Such as of the wrong folder, whose counts are all zero. A second import of something is no such case."""
    notes = tmp_path / "notes"
    notes.mkdir()
    ran = cli("import", "--from", "markdown", str(notes))
    assert (ran.code, f"there is nothing to import in {notes}" in ran.err) == (0, True)
    (notes / "Ada.md").write_text("Ada likes tea.")
    for _ in range(2):
        assert cli("import", "--from", "markdown", str(notes)).err == ""


def test_a_file_of_another_program_that_is_taken_for_ours_is_not_a_riddle(cli: Cli, file: Path) -> None:
    """If no line of it is one of ours, the program has to be named. A file with a line of ours is ours."""
    entity = json.dumps({"type": "entity", "name": "Ada", "entityType": "person", "observations": []})
    file.write_text(f"{entity}\n")
    hint = "if the file is from another program"
    assert hint in cli("import", str(file)).err
    assert hint not in cli("import", str(file), "--from", "server-memory").err
    file.write_text(f'{entity}\n"Ada likes tea"\n')
    assert hint not in cli("import", str(file)).err


def test_an_import_of_nothing_from_stdin_names_stdin(cli: Cli) -> None:
    """Not the dash that was typed."""
    assert "nothing to import in stdin" in cli("import", "-", stdin=b"").err


def test_an_import_needs_a_file_or_a_program(cli: Cli, file: Path) -> None:
    """And a program has no format."""
    cli("import").failed(2, "--from")
    cli("import", "--from", "paper", str(file)).failed(2, "markdown, claude-code")
    cli("import", "--from", "markdown", str(file), "--format", "jsonl").failed(2, "--format")


def test_an_export_for_another_program(cli: Cli, tmp_path: Path) -> None:
    """A folder of notes, with the filters of search, that another home imports."""
    cli("add", "Deploys go out on Tuesdays", "--tag", "release")
    cli("add", "Ask Max")
    folder = tmp_path / "notes"
    ran = cli("export", str(folder), "--format", "markdown", "--tag", "release", "--json")
    assert (ran.json, ran.err) == ([{"memories": 1}], "")
    (file,) = folder.iterdir()
    assert file.name.startswith("Deploys go out on Tuesdays-")
    other = ["--home", str(tmp_path / "other")]
    assert cli("import", "--from", "markdown", str(folder), "--json", *other).json[0]["added"] == 1
    assert cli("list", "--json", *other).json[0]["tags"] == ["release"]
    cli("export", "-", "--format", "markdown").failed(2, "name a folder")
    cli("export", str(folder), "--format", "mem0", "--history").failed(2, "no place for earlier texts")


def test_what_there_is_to_import_is_shown(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command for it. No store is made for it."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "MEM0_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = ["--home", str(tmp_path / "new")]
    nothing = cli("import", "--detect", *home)
    assert (nothing.code, nothing.out) == (0, "")
    assert "--from" in nothing.err
    (tmp_path / "basic-memory").mkdir()
    (tmp_path / "basic-memory" / "Ada.md").write_text("Ada likes tea.")
    source, items, command = cli("import", "--detect", *home).out.strip().split("\t")
    assert (source, items) == ("markdown", "1")
    assert command.startswith("memcrdt import --from markdown ")
    assert cli("import", "--detect", "--json", *home).json[0]["items"] == 1
    assert not (tmp_path / "new").exists()
    cli("import", "--detect", "file.jsonl").failed(2, "--detect")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child")
def test_an_import_goes_on_after_ctrl_c(cli: Cli, home: Path, tmp_path: Path) -> None:
    """What was imported stays, and a second run brings the rest: each memory once."""
    count = 6_000
    notes = [{"id": f"m{number}", "memory": f"The {number}th note of a long list"} for number in range(count)]
    file = tmp_path / "mem0.json"
    file.write_text(json.dumps(notes))
    cli("add", "there is a store")
    command = [sys.executable, "-m", "memcrdt", "import", "--from", "mem0", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        with memcrdt.open(home, read_only=True) as memory:
            deadline = time.monotonic() + 60
            while memory.count() == 1:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    done = int(re.search(r"interrupted after ([\d,]+) items", err)[1].replace(",", ""))  # type: ignore[index]
    with memcrdt.open(home) as memory:
        kept = memory.count() - 1
        assert done <= kept < count
        report = memory.import_from("mem0", file)
        assert (report.known, report.added) == (kept, count - kept)
        assert memory.count() == count + 1
        assert memory.doctor().problems == ()


def test_a_terminal_sees_how_far_an_import_is(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of all items, and how many a second. Without a terminal nothing is shown."""
    (tmp_path / "list.txt").write_text("".join(f"item {number}\n" for number in range(700)))
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys.stderr, "isatty", lambda: True)
        shown = cli("import", "--from", "text", str(tmp_path / "list.txt"), "--dry-run").err
    assert "/700" in shown
    assert "/s" in shown
    ran = cli("import", "--from", "text", str(tmp_path / "list.txt"))
    assert (ran.code, ran.err) == (0, "")


def test_a_progress_bar_tells_the_rate_and_the_time_that_remains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the rate so far: 2,000 of 7,000 things in ten seconds leave 25 seconds."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    now = 50.0
    with progress_bar("items", lambda: 7_000, lambda: now) as tell:
        for done in range(0, 2_001, 100):
            tell(done)
            now += 0.5
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "memcrdt: items" in shown
    assert "2000/7000 200/s 0:00:25" in shown
