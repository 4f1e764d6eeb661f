"""The transcripts in the documents: blocks of the language `console`, run as they are written.

`python -m tests.transcripts` runs them and writes their output into the documents. tests/test_transcripts.py compares
it.

The blocks of a document run one after the other in one shell, on a terminal of 100 columns, in an empty home of their
own. Every line that begins with `$ ` is a command, and the lines below it are its output. What differs from run to run,
such as ids, times and sizes, is not compared. Output that differs only in that is left as it is in the document.

A transcript with a comment such as `<!-- not run: it shows another program -->` above it is not run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.code_blocks import ROOT, pages

BLOCK: Final = re.compile(r"(?<! -->\n)^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COLUMNS: Final = 100
PROMPT: Final = "$ "

_END: Final = "end of command"
ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")
_VARIABLE: Final = (
    (re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b"), "ID"),
    (re.compile(r"\b(?:[A-Z2-7]{7}-){7}[A-Z2-7]{7}\b|\b[A-Z2-7]{52}\b"), "DEVICE"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[+-]\d\d:\d\d| [A-Z]{3,4}\b)?"), "TIME"),
    (re.compile(r"\bjust now\b|\b\d+ (?:s|min|h) ago\b"), "AGE"),
    (re.compile(r"\b[01]\.\d{3}\b"), "SCORE"),
    (re.compile(r"\b[\d.,]+ (?:bytes|kB|MB)\b"), "SIZE"),
    (re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])"), "SECRET"),
    (re.compile(r"[─-]{4,}"), "LINE"),
    (re.compile(r"[ \t]+"), " "),
)


def documents() -> list[Path]:
    """Return the documents with transcripts that are run."""
    return [path for path in pages() if BLOCK.search(path.read_text(encoding="utf-8"))]


def alike(text: str) -> str:
    """Return a transcript without what differs from run to run."""
    for pattern, name in _VARIABLE:
        text = pattern.sub(name, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def transcripts(document: Path) -> list[str]:
    """Return the blocks of a document."""
    return BLOCK.findall(document.read_text(encoding="utf-8"))


def run(blocks: list[str]) -> list[str]:
    """Run the commands of the blocks, and return the blocks with the output that they have now."""
    commands = [
        [line.removeprefix(PROMPT) for line in block.splitlines() if line.startswith(PROMPT)] for block in blocks
    ]
    if foreign := [command for block in commands for command in block if not command.startswith("memcrdt")]:
        raise AssertionError(f"a transcript runs memcrdt alone; say above it why it is not run: {foreign}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve() / "ada"
        said = iter(_outputs([command for block in commands for command in block], home))
        shown = ["".join(f"{PROMPT}{command}\n{next(said)}" for command in block) for block in commands]
    return [block.replace(str(home), "~") for block in shown]


def commands_of(block: str) -> list[str]:
    """Return the commands of a block."""
    return [line.removeprefix(PROMPT) for line in block.splitlines() if line.startswith(PROMPT)]


def _outputs(commands: list[str], home: Path) -> Iterator[str]:
    """Yield what each command prints on a terminal, all in one shell."""
    home.mkdir()
    programs = home.parent / "bin"
    programs.mkdir()
    program = programs / "memcrdt"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m memcrdt "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = "".join(f"{command}\necho {_END}\n" for command in commands)
    done = _on_terminal(script, home, programs)
    parts = done.split(f"{_END}\n")
    if len(parts) != len(commands) + 1:
        raise AssertionError(f"a command ended the shell: {done[-500:]}")
    yield from parts[:-1]


def _on_terminal(script: str, home: Path, programs: Path) -> str:
    """Return what a shell prints on a terminal."""
    import pty  # Unix only

    environment = {name: os.environ[name] for name in ("PYTHONPATH", "LANG", "LC_ALL") if name in os.environ}
    environment |= {"HOME": str(home), "XDG_DATA_HOME": str(home / ".local/share"), "NO_COLOR": "1", "TERM": "xterm"}
    environment |= {"COLUMNS": str(COLUMNS), "LINES": "1000", "PATH": f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    environment |= {"PYTHONPATH": str(ROOT), "TZ": "UTC", "PYTHONUTF8": "1"}
    environment |= {"MEMCRDT_EMBEDDER": "static"}  # scores do not depend on how far a transformer has come
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            ["sh", "-c", script],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=home,
            env=environment,
            start_new_session=True,  # so that `@1` is that of this terminal
        ):
            os.close(theirs)
            said = ESCAPE.sub("", _all_of(ours).decode().replace("\r\n", "\n"))
            return "\n".join(map(as_seen, said.split("\n")))
    finally:
        os.close(ours)


def as_seen(line: str) -> str:
    """Return a line as a terminal shows it, after text that returned to its beginning was written over."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()


def _all_of(terminal: int) -> bytes:
    read = b""
    while True:
        try:
            more = os.read(terminal, 65_536)
        except OSError:  # the last program has closed the terminal
            return read
        if not more:
            return read
        read += more


def main() -> None:
    """Write the output of today into the documents."""
    for document in documents():
        written = text = document.read_text(encoding="utf-8")
        for before, after in zip(transcripts(document), run(transcripts(document)), strict=True):
            if alike(before) != alike(after):
                written = written.replace(f"```console\n{before}```", f"```console\n{after}```", 1)
        if written != text:
            document.write_text(written, encoding="utf-8")
            print(f"{document.relative_to(ROOT)} has changed")


if __name__ == "__main__":
    main()
