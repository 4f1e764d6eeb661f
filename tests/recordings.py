"""The recordings of terminals in docs/pictures, made by running memcrdt as two machines.

`python -m tests.recordings` runs the sessions and writes a picture of each whose text has changed.
tests/test_recordings.py runs them, too, and compares the text, which each picture contains as its description.

The two machines are two homes of this computer, each with a shell of its own on a terminal of 92 columns.
"""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape, unescape
from pathlib import Path
from typing import Final, Self

from tests.code_blocks import ROOT
from tests.transcripts import ESCAPE, alike, as_seen

PICTURES: Final = ROOT / "docs" / "pictures"
COLUMNS: Final = 92

_END: Final = "end of command\n"
_LOOP: Final = 'while read -r -u "$1" line; do eval "$line"; echo end of command; done'
_PORT: Final = re.compile(r"127\.0\.0\.1:\d+")
_DEVICE: Final = re.compile(r"\([A-Z2-7]{7}\)")
_CODE: Final = re.compile(r"\b\d+-[a-z]+-[a-z]+\b")
_DESCRIPTION: Final = re.compile(r"<desc>(.*?)</desc>", re.DOTALL)
_FONTS: Final = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)


class Machine:
    """A home and a shell on a terminal, with everything that was typed and printed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.screen = ""
        self._folder = folder / name
        home = self._folder / "memories"
        home.mkdir(parents=True)
        (home / "config.toml").write_text(
            f'device_name = "{name}"\nmdns = false\ntailscale = false\nport = {_free_port()}\n', encoding="utf-8"
        )
        program = self._folder / "memcrdt"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m memcrdt "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        self._environment = {
            "HOME": str(self._folder),
            "MEMCRDT_EMBEDDER": "static",  # scores do not depend on how far a transformer has come
            "MEMCRDT_HOME": str(home),
            "MEMCRDT_STATE": str(self._folder / "state"),
            "PATH": f"{self._folder}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "COLUMNS": str(COLUMNS),
            "LINES": "1000",
            "NO_COLOR": "1",
            "TERM": "xterm",
            "TZ": "UTC",
        }

    def __enter__(self) -> Self:
        import pty  # Unix only

        self._terminal, theirs = pty.openpty()
        read, self._typed = os.pipe()
        self._shell = subprocess.Popen(
            ["bash", "-c", _LOOP, "bash", str(read)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self._folder,
            env=self._environment,
            pass_fds=[read],
            start_new_session=True,  # so that `@1` is that of this terminal
        )
        os.close(theirs)
        os.close(read)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._typed)  # ends the loop
        self._shell.wait(30)
        os.close(self._terminal)

    def type(self, command: str, until: str = _END) -> str:
        """Type a command, wait until it has printed a text, by default until it has ended, and return the output."""
        self.screen += f"$ {command}\n"
        os.write(self._typed, f"{command}\n".encode())
        return self.wait(until)

    def wait(self, until: str = _END) -> str:
        """Wait until the running command has printed a text, or has ended, and return the new output."""
        said = ""
        while until not in said:
            said += ESCAPE.sub("", os.read(self._terminal, 65_536).decode().replace("\r\n", "\n"))
        said = "\n".join(map(as_seen, said.replace(_END, "").split("\n")))
        self.screen += said
        return said

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve, unseen, as the service does at each login."""
        command = [sys.executable, "-m", "memcrdt", "serve", "--host", "127.0.0.1", "--json"]
        with subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
        ) as process:
            next(line for line in process.stdout or () if '"port": null' not in line)  # it listens
            try:
                yield
            finally:
                process.terminate()


def pairing(laptop: Machine, desktop: Machine) -> None:
    """A memory of the laptop is found on the desktop."""
    laptop.type('memcrdt add "Deploys go out on Tuesdays" --scope project/acme')
    said = laptop.type("memcrdt pair --host 127.0.0.1", until=")\n")
    (address,) = re.findall(r"--at (\S+)\)", said)
    desktop.type(f"memcrdt pair {said.split()[0]} --at {address}")
    laptop.wait()
    with laptop.serving():
        desktop.type("memcrdt sync")
    desktop.type('memcrdt search "when do we ship?"')


def conflict(laptop: Machine, desktop: Machine) -> None:
    """Both change one text while they are apart. Both see both, and one of them settles it."""
    laptop.type('memcrdt update @1 "Deploys go out on Wednesdays" > /dev/null')
    desktop.type('memcrdt update @1 "Deploys go out on Thursdays" > /dev/null')
    with laptop.serving():
        desktop.type("memcrdt sync > /dev/null")
        laptop.type("memcrdt conflicts")
        desktop.type("memcrdt conflicts")
        desktop.type('memcrdt resolve @1 --text "Deploys go out on Wednesdays and Thursdays" > /dev/null')
        desktop.type("memcrdt sync > /dev/null")
    laptop.type("memcrdt list")


def record() -> dict[str, str]:
    """Run the sessions, one after the other, and return what both terminals showed in each."""
    shown = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        with Machine("laptop", home) as laptop, Machine("desktop", home) as desktop:
            for session in (pairing, conflict):
                laptop.screen = desktop.screen = ""
                session(laptop, desktop)
                shown[session.__name__] = "\n".join(
                    f"{machine.name}\n\n{machine.screen}" for machine in (laptop, desktop)
                )
                laptop.type("memcrdt list")  # what `@1` is in the next session
    return shown


def text_of(picture: Path) -> str:
    """Return the text that a picture shows."""
    (text,) = _DESCRIPTION.findall(picture.read_text(encoding="utf-8"))
    return unescape(text)


def draw(text: str) -> str:
    """Return a picture of the text of a session."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, file=io.StringIO(), width=COLUMNS + 4, legacy_windows=False)
    for line in text.splitlines():
        style = "bold" if line.startswith("$ ") or line in ("laptop", "desktop") else "none"
        console.print(Text(line, style, overflow="fold"))
    form = _FONTS.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code, monospace", "monospace")  # no font of another host
    drawn = console.export_svg(title="two machines", code_format=form, unique_id="memcrdt")
    return drawn.replace("<style>", f"<desc>{escape(text, quote=False)}</desc>\n    <style>", 1)


def steady(text: str) -> str:
    """Return a recording without the ids, times, ports and codes, which differ from run to run."""
    text = _PORT.sub("127.0.0.1:PORT", _CODE.sub("CODE", alike(text)))
    return _DEVICE.sub("(DEVICE)", text)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    """Write the pictures whose text has changed."""
    for name, text in record().items():
        picture = PICTURES / f"{name}.svg"
        if not picture.exists() or steady(text_of(picture)) != steady(text):
            picture.write_text(draw(text), encoding="utf-8")
            print(f"{picture.relative_to(ROOT)} has changed")


if __name__ == "__main__":
    main()
