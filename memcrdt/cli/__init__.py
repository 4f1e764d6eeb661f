"""The command line: translates arguments into calls of Memory, and prints the results."""

from __future__ import annotations

import sys


def main() -> None:
    """Run sys.argv and exit with its exit code. The entry point of `memcrdt`."""
    try:
        from memcrdt.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # during the import; later `run` handles it
        code = 130
    sys.exit(code)
