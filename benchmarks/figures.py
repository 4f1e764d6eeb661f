"""The header that every benchmark prints, and its summary of times."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version

PACKAGES = ("memcrdt", "pycrdt", "apsw", "sqlite-vec", "numpy", "aiohttp", "zeroconf")


def machine() -> str:
    """Return the machine and versions, for the head of a table."""
    import os

    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}, {versions}"


def p50_p95(seconds: Sequence[float]) -> str:
    """Return the median and 95th percentile in milliseconds."""
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1e3:.2f} / {ordered[int(len(ordered) * 0.95)] * 1e3:.2f} ms"
