"""The command line: translates arguments into calls of Memory, and prints what comes back."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `memcrdt`: runs sys.argv and ends the process with the exit code."""
    try:
        from memcrdt.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while it is imported; afterwards `run` says so
        code = 130
    sys.exit(code)
