"""The public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import memcrdt

HEAVY = frozenset(
    ("aiohttp", "apsw", "cryptography", "fastembed", "numpy", "pycrdt", "rich", "sqlite_vec", "tokenizers", "zeroconf")
)


def test_every_public_name_is_there() -> None:
    """They are sorted and unique, and every name exists."""
    assert sorted(set(memcrdt.__all__), key=lambda name: (name.lower() == name, name)) == memcrdt.__all__
    for name in memcrdt.__all__:
        assert getattr(memcrdt, name) is not None
    assert dir(memcrdt) == memcrdt.__all__
    with pytest.raises(AttributeError, match="no attribute 'Memroy'"):
        _ = memcrdt.Memroy


@pytest.mark.parametrize(("module", "allowed"), [("memcrdt", set()), ("memcrdt.memory.memory", {"apsw"})])
def test_importing_loads_nothing_heavy(module: str, allowed: set[str]) -> None:
    """Heavy libraries are imported on first use."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY <= allowed
