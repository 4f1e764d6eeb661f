"""The command line: translates arguments into calls of Memory, and prints the results."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> None:
    """Run sys.argv and exit with its exit code. The entry point of `memcrdt`."""
    try:
        match sys.argv[1:]:  # the two forms that `mcp install --hooks` writes
            case ["hook", event] if not event.startswith("-"):
                _answer_hook(event, None)
            case ["hook", event, "--home", home] if not event.startswith("-"):
                _answer_hook(event, home)
        from memcrdt.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # during the import; later `run` handles it
        code = 130
    sys.exit(code)


def _answer_hook(event: str, home: str | None) -> NoReturn:
    """Answer a hook, for which a client waits: click takes 30 ms to import, and Python 15 ms to end."""
    import gc

    from memcrdt.cli.hook import respond

    gc.disable()  # looking for garbage among imported modules takes 5 ms, and the process ends anyway
    with suppress(OSError, ValueError, AttributeError):  # the client has closed the pipe, or never opened it
        respond(event, home=home)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)
