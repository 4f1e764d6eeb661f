"""`memcrdt mirror`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

import memcrdt

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Server

    Serve: TypeAlias = Callable[[Path], Server]
    Eventually: TypeAlias = Callable[[Callable[[], object]], None]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def write(path: Path, text: str) -> None:
    """Write a file that has been there for a while."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - 60,) * 2)


def test_a_vault_is_mirrored_once_and_the_status_says_how(cli: Cli, tmp_path: Path, home: Path) -> None:
    """The story of a user with notes and an agent."""
    write(tmp_path / "vault" / "Ada.md", "Phone 555-1234\n")
    write(tmp_path / "vault" / "bad.md", "the key is ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6\n")
    cli("add", "Deploys go out on Tuesdays", "--home", str(home))
    arguments = ("mirror", "markdown", str(tmp_path / "vault"), "--once", "--home", str(home))
    preview = cli(*arguments, "--dry-run", "--json").json[0]
    assert {(line["path"], line["text"]) for line in preview["done"]} >= {("Ada.md", "added to the memories")}
    assert [line["path"] for line in preview["left"]] == ["bad.md"]
    assert cli("mirror", "list", "--home", str(home), "--json").json == []

    done = cli(*arguments, "--json").json[0]
    assert done["equal"] == 2
    assert [line["path"] for line in done["left"]] == ["bad.md"]
    assert (tmp_path / "vault" / "Deploys go out on Tuesdays.md").exists()
    assert "555-1234" in cli("search", "what is Ada's number?", "--home", str(home)).out
    [mirror] = cli("mirror", "status", "vault", "--home", str(home), "--json").json
    assert (mirror["files"], mirror["serving"], mirror["error"]) == (2, False, None)
    assert cli(*arguments).out == ""
    assert "vault: files left as they are: 1" in cli("status", "--home", str(home)).out
    cli("mirror", "remove", "vault", "--home", str(home))
    cli("mirror", "status", "vault", "--home", str(home)).failed(3, "vault", "mirror list")
    assert (tmp_path / "vault" / "Ada.md").exists()


def test_claude_code_is_found_from_the_project(cli: Cli, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a subfolder of the repository. The name of the project comes from its remote."""
    project = user / "my.app"
    (project / ".git").mkdir(parents=True)
    (project / ".git" / "config").write_text('[remote "origin"]\n\turl = git@git.example.org:team/app.git\n')
    (project / "src").mkdir()
    monkeypatch.chdir(project / "src")
    slug = "".join(each if each.isalnum() else "-" for each in str(project.resolve()))
    folder = user / ".claude" / "projects" / slug / "memory"
    write(folder / "testing.md", "---\nname: testing\ndescription: Use real databases\n---\nMocks hid a bug.\n")
    ran = cli("mirror", "claude-code", "--once", "--home", str(user / "home"), "--json")
    assert ran.json[0]["done"] == [{"path": "testing.md", "text": "added to the memories"}]
    [record] = cli("list", "--home", str(user / "home"), "--json").json
    assert record["scope"] == "project/git.example.org/team/app"
    assert record["text"] == "Use real databases\n\nMocks hid a bug."
    cli("mirror", "claude-code", "--project", "a", "--scope", "global").failed(2, "--project and --scope")


def test_a_folder_is_in_one_mirror_only(cli: Cli, tmp_path: Path, home: Path) -> None:
    (tmp_path / "vault" / "sub").mkdir(parents=True)
    cli("mirror", "markdown", str(tmp_path / "vault"), "--once", "--home", str(home))
    for folder, word in ((tmp_path / "vault" / "sub", "mirrored already"), (home / "x", "folder of the store")):
        cli("mirror", "markdown", str(folder), "--once", "--home", str(home)).failed(2, word)


def test_a_folder_that_is_missing_forgets_nothing(cli: Cli, tmp_path: Path, home: Path) -> None:
    write(tmp_path / "vault" / "a.md", "text")
    arguments = ("mirror", "markdown", str(tmp_path / "vault"), "--once", "--deletes", "--home", str(home))
    cli(*arguments)
    (tmp_path / "vault").rename(tmp_path / "elsewhere")
    cli(*arguments).failed(1, "is missing, and nothing was changed")
    assert "is missing" in cli("mirror", "list", "--home", str(home)).out
    assert len(cli("list", "--home", str(home), "--json").json) == 1


def test_what_is_no_folder_is_refused_and_becomes_no_mirror(cli: Cli, tmp_path: Path, home: Path) -> None:
    """With and without --dry-run: otherwise every `serve` would report a mirror that never was."""
    file = tmp_path / "notes.md"
    write(file, "text")
    for options in (("--dry-run",), ()):
        cli("mirror", "markdown", str(file), *options, "--home", str(home)).failed(2, "is a file; name a folder")
    assert cli("mirror", "list", "--home", str(home), "--json").json == []


def test_a_dry_run_counts_a_file_that_was_just_written(cli: Cli, tmp_path: Path, home: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "new.md").write_text("text", encoding="utf-8")
    [report] = cli("mirror", "markdown", str(tmp_path / "vault"), "--dry-run", "--home", str(home), "--json").json
    assert [(line["path"], line["text"]) for line in report["done"]] == [("new.md", "added to the memories")]


def test_a_dry_run_names_each_side_that_would_be_refused(cli: Cli, tmp_path: Path, home: Path) -> None:
    """New files, changed files, and memories that no file may have, as the run itself."""
    vault = tmp_path / "vault"
    secret = "the key is ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6"
    write(vault / "changed.md", "harmless")
    arguments = ("mirror", "markdown", str(vault), "--once", "--home", str(home), "--json")
    cli(*arguments)
    write(vault / "changed.md", secret)
    write(vault / "new.md", secret)
    write(vault / "fine.md", "text")
    cli("add", secret, "--allow-secret", "--home", str(home))
    preview, done = cli(*arguments, "--dry-run").json[0], cli(*arguments).json[0]
    assert [line["path"] for line in preview["done"]] == [line["path"] for line in done["done"]] == ["fine.md"]
    assert len(preview["left"]) == 3
    assert preview["left"] == done["left"]


def test_a_folder_that_is_missing_is_made_only_on_request(cli: Cli, tmp_path: Path, home: Path) -> None:
    """Otherwise a typing error would fill a new folder with all memories."""
    typo, at_home = tmp_path / "typo", ("--home", str(home))
    for options in (("--dry-run",), ()):
        cli("mirror", "markdown", str(typo), *options, *at_home).failed(2, "does not exist", "--create")
    cli("mirror", "markdown", str(typo), "--create", "--dry-run", *at_home).failed(2, "without --dry-run it is created")
    cli("mirror", "claude-code", str(typo), "--project", "x", *at_home).failed(2, "there is no folder")
    assert not typo.exists()
    assert cli("mirror", "list", "--home", str(home), "--json").json == []
    cli("mirror", "markdown", str(typo), "--create", "--once", *at_home)
    assert typo.is_dir()


def test_serve_keeps_a_mirror_equal(cli: Cli, tmp_path: Path, home: Path, serve: Serve, eventually: Eventually) -> None:
    """An edit of a file is found, a memory becomes a file, and the status shows the mirror."""
    vault = tmp_path / "vault"
    write(vault / "a.md", "# a\none")
    assert "memcrdt serve" in cli("mirror", "markdown", str(vault), "--home", str(home)).err
    serve(home).says()
    write(vault / "b.md", "# b\nof the folder")
    eventually(lambda: "of the folder" in cli("list", "--home", str(home)).out)
    cli("add", "Of an agent", "--home", str(home))
    eventually((vault / "Of an agent.md").exists)
    eventually(lambda: cli("mirror", "list", "--home", str(home), "--json").json[0]["files"] == 3)
    cli("mirror", "markdown", str(vault), "--once", "--home", str(home)).failed(4, "another process runs the mirror")


KILLED = """
import sys, time, memcrdt
with memcrdt.open(sys.argv[1], embedder=None) as memory:
    print("ready", flush=True)
    memory.mirrors.add("markdown", sys.argv[2], serving=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process is killed with SIGKILL")
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3])
def test_a_process_that_is_killed_in_a_pass_loses_nothing(tmp_path: Path, home: Path, after_s: float) -> None:
    """After kill -9, the next pass makes both sides equal, with each text once."""
    vault = tmp_path / "vault"
    with memcrdt.open(home, embedder=None) as memory:
        memory.add_many([f"Memory {number} of an agent" for number in range(30)])
    for number in range(30):
        write(vault / f"{number}.md", f"# {number}\nof the folder")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(home), str(vault)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)  # it is in the middle of the pass
        os.kill(process.pid, signal.SIGKILL)
    with memcrdt.open(home, embedder=None) as memory:
        report = memory.mirrors.add("markdown", vault, serving=False)
        texts = [record.text for record in memory.iterate()]
        assert report.left == ()
        assert report.equal == 60
        assert sorted(texts) == sorted(
            {f"Memory {number} of an agent" for number in range(30)} | {f"# {n}\nof the folder" for n in range(30)}
        )
        assert not any(record.conflicted for record in memory.iterate())
        assert len([path for path in vault.iterdir() if path.suffix == ".md"]) == 60
        assert not [path for path in vault.iterdir() if path.name.startswith(".")]
        assert memory.mirrors.run(report.name).done == ()


async def test_mirrors_are_awaitable_too(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "vault" / "a.md", "text")
    async with memcrdt.open_async(home, embedder=None) as memory:
        report = await memory.mirrors.add("markdown", tmp_path / "vault", serving=False)
        assert (await memory.mirrors.run(report.name)).equal == 1
        [mirror] = await memory.mirrors.list()
        assert json.loads(json.dumps(mirror.to_dict()))["name"] == "vault"
