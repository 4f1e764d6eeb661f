"""The header that every benchmark prints, and its summary of times."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version

PACKAGES = ("memcrdt", "pycrdt", "apsw", "sqlite-vec", "numpy", "aiohttp", "zeroconf")


def machine() -> str:
    """Return the machine and versions, for the head of a table."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}, {versions}"


def installed_environment() -> dict[str, str]:
    """Return the environment of a measured process. Like an installed program, it finds its modules compiled.

    Where PYTHONDONTWRITEBYTECODE is set, as in containers, each process compiles them again: 0.2 s of the processor.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def p50_p95(seconds: Sequence[float]) -> str:
    """Return the median and 95th percentile in milliseconds."""
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1e3:.2f} / {ordered[int(len(ordered) * 0.95)] * 1e3:.2f} ms"
