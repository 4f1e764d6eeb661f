"""A clear error if a framework is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import a framework in this context, so that a missing one is named with the extra that installs it.

    Raises:
        ModuleNotFoundError: A package is missing. The message says what to install.

    Example:
        >>> with needs("langgraph"):
        ...     from langgraph.store.base import BaseStore
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            f"this adapter needs the package {exc.name}; install memcrdt[{extra}]", name=exc.name, path=exc.path
        ) from exc
