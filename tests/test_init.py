"""The public names."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import memcrdt

WHEEL_BYTES = 45_000_000
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


def test_the_package_is_smaller_than_a_wheel_may_be() -> None:
    """The models are most of it. A wheel, which compresses its files, stays under 45 MB like them."""
    with resources.as_file(resources.files("memcrdt")) as folder:
        files = [each for each in Path(folder).rglob("*") if each.is_file() and "__pycache__" not in each.parts]
        sizes = [each.stat().st_size for each in files]
    assert any(each.suffix == ".onnx" for each in files)
    assert sum(sizes) < WHEEL_BYTES


@pytest.mark.parametrize(("module", "allowed"), [("memcrdt", set()), ("memcrdt.memory.memory", {"apsw"})])
def test_importing_loads_nothing_heavy(module: str, allowed: set[str]) -> None:
    """Heavy libraries are imported on first use."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY <= allowed


def test_a_process_that_only_adds_and_searches_has_no_event_loop(tmp_path: Path) -> None:
    """Event loops belong to the network, and take as long to import as a search takes."""
    script = (
        "import sys, memcrdt\n"
        f"with memcrdt.open({str(tmp_path)!r}, embedder='static') as memory:\n"
        "    memory.add('Deploys go out on Tuesdays')\n"
        "    print(len(memory.search('deploys')), *sorted({'asyncio', 'ssl'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
