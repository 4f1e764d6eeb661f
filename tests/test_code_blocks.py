"""Every code block of the documents runs, or says why not."""

from __future__ import annotations

import ast
import gzip
import importlib
import json
import re
import shlex
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import click
import pytest

from memcrdt.cli.app import root, run
from memcrdt.cli.serve import serve_command
from memcrdt.config import Config
from memcrdt.importing.claude_code import slug_of
from tests.code_blocks import ROOT, Block, blocks, name_of, pages
from tests.transcripts import alike

RUN = ("console", "json", "python", "sh", "toml")  # console: by tests/test_transcripts.py
PAGES = [pytest.param(page, id=name_of(page)) for page in pages() if blocks(page)]


def of(page: Path, *languages: str) -> list[Block]:
    """Return the blocks in one of the languages."""
    return [block for block in blocks(page) if block.language in languages]


def having(*languages: str) -> list[object]:
    """Return the pages with blocks in one of the languages, as parameters."""
    return [pytest.param(page, id=name_of(page)) for page in pages() if of(page, *languages)]


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    """Directives of the site and pictures are no code."""
    silent = [
        f"{name_of(page)}:{block.line}"
        for block in blocks(page)
        if block.language not in (*RUN, "mermaid") and not block.language.startswith("{") and block.reason is None
    ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_passed_over(page: Path) -> None:
    """Each fence of a page begins or ends a block, or is that of an output."""
    found = sum(1 + (block.output is not None) for block in blocks(page))
    assert 2 * found == len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", having("python"))
def test_python_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of a page run one after the other, in one namespace and one home."""
    for variable in ("HOME", "USERPROFILE", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("MEMCRDT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in of(page, "python"):
        code = compile(block.code, f"{name_of(page)}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if block.reason is None:
            exec(code, names)
            assert alike(capsys.readouterr().out.rstrip()) == alike(block.output or ""), f"line {block.line}"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has notes, and memories of other programs, where the pages name them."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("MEMCRDT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    notes = {folder: f"{folder}/Deploys.md" for folder in ("notes", "vault", "basic-memory")}
    notes["claude"] = f".claude/projects/{slug_of(str(tmp_path.resolve()))}/memory/deploys.md"
    for name in notes.values():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("---\nname: Deploys\n---\nDeploys go out on Tuesdays\n", "utf-8")
    for place, packed in {
        ".mem0/history.db": "mem0/history.db",
        "memories.json": "mem0/get_all.json",
        "chroma/chroma.sqlite3": "chroma/chroma.sqlite3",
        "memory.jsonl": "server-memory/memory.jsonl",
    }.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        data = (ROOT / "tests" / "importing" / "fixtures" / f"{packed}.gz").read_bytes()
        (tmp_path / place).write_bytes(gzip.decompress(data))
    with closing(sqlite3.connect(tmp_path / "chroma" / "chroma.sqlite3")) as db, db:
        db.execute("DELETE FROM embeddings WHERE embedding_id = 'e'")  # it has no text, so an import refuses it
    return tmp_path


@pytest.mark.parametrize(
    "page", [page for page in pages() if any(block.reason is None for block in of(page, "sh"))], ids=name_of
)
def test_commands_succeed(page: Path, user: Path) -> None:
    """The commands of a page run one after the other, in one home."""
    for block in of(page, "sh"):
        for line in block.code.splitlines() if block.reason is None else ():
            program, *words = words_of(line)
            assert program == "memcrdt"
            assert run([word.replace("~", str(user)) for word in words]) == 0, f"line {block.line}: {line}"
    assert (user / "home" / "memories.db").exists()


@pytest.mark.parametrize("page", having("python"))
def test_every_name_that_python_imports_from_memcrdt_is_there(page: Path) -> None:
    """Also in blocks that are not run."""
    for block in of(page, "python"):
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("memcrdt"):
                said = Path(ROOT, *(node.module or "").split(".")).with_suffix(".py")
                if said.exists() and "frameworks" in said.parts:  # its framework is not installed
                    defined = said.read_text(encoding="utf-8")
                    missing = [name.name for name in node.names if not re.search(rf"\b{name.name}\b", defined)]
                else:
                    module = importlib.import_module(node.module or "")
                    missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert missing == []


@pytest.mark.parametrize("page", having("json", "toml"))
def test_data_can_be_read(page: Path) -> None:
    """Settings are those of config.toml."""
    for block in of(page, "json"):
        json.loads(block.code)
    for block in of(page, "toml"):
        assert tomllib.loads(block.code).keys() <= {field.name for field in fields(Config)}


@pytest.mark.parametrize("page", having("sh", "console"))
def test_every_command_and_option_exists(page: Path) -> None:
    """In blocks that are not run. A transcript that is run may have mistakes on purpose."""
    for block in of(page, "sh", "console"):
        lines = block.code.replace("\\\n", " ").splitlines()
        if block.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and block.reason]
        for words in map(words_of, lines):
            for name in unknown(words):
                pytest.fail(f"{name_of(page)}:{block.line}: {name} in {shlex.join(words)}")


def words_of(line: str) -> list[str]:
    """Return the words of the last command of a line that is memcrdt's or pip's."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    commands = [index for index, word in enumerate(words) if word in ("memcrdt", "pip")]
    command = words[commands[-1] :] if commands else []
    end = next((index for index, word in enumerate(command) if set(word) <= set("&|;<>")), len(command))
    return command[:end]


def unknown(words: list[str]) -> list[str]:
    """Return the words of a command that name no command, option or extra."""
    if words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        return [name for word in words for name in re.findall(r"memcrdt\[(.+)\]", word) if name not in extras]
    if words[:1] != ["memcrdt"]:
        return []
    command: click.Command = root
    rest = words[1:]
    known = options(root)
    while isinstance(command, click.Group):
        name = next((word for word in rest if not word.startswith("-")), None)
        found = command.get_command(click.Context(command), name) if name else None
        if found is None:
            return [name] if name and command is root else []
        rest = rest[: rest.index(name or "")] + rest[rest.index(name or "") + 1 :]
        command = found
        known |= options(command)
    if words[1:3] == ["service", "install"]:
        known |= options(serve_command)
    return [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]


def options(command: click.Command) -> set[str]:
    """Return the options of a command."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own | {"--help", "--", "--json", "--home"}


def test_a_wrong_command_is_found() -> None:
    """The check of commands finds mistakes, so that a page without one means something."""
    assert unknown(words_of("memcrdt sarch tea  # finds tea")) == ["sarch"]
    assert unknown(words_of("memcrdt list --tags x && ls")) == ["--tags"]
    assert unknown(words_of('pip install "memcrdt[langchian]"')) == ["langchian"]
    assert unknown(words_of("memcrdt space invite acme laptop --json")) == []
