"""The command line: translates arguments into calls of Memory, and prints what comes back."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `memcrdt`: runs sys.argv and ends the process with the exit code."""
    from memcrdt.cli.app import run

    sys.exit(run(sys.argv[1:]))
