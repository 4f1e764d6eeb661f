"""What memcrdt logs while a command runs, as lines on stderr like every other message."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from memcrdt.cli.output import say


class _Messages(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())
        if record.exc_info:  # a bug, then: where it happened helps to mend it
            click.echo(logging.Formatter().formatException(record.exc_info), err=True)


_MESSAGES = _Messages()


@contextmanager
def without(logger: str) -> Iterator[None]:
    """Shows nothing of this logger: the command tells it in its own way."""
    quiet = logging.getLogger(logger)
    quiet.addFilter(_nothing)
    try:
        yield
    finally:
        quiet.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def show_messages() -> None:
    """Shows warnings and errors from now on. A second call does nothing."""
    logging.getLogger("memcrdt").addHandler(_MESSAGES)
