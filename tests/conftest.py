"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from memcrdt.config import EMBEDDER_VARIABLE
from memcrdt.memory.memory import Memory
from memcrdt.model.ports import DEFAULT_PAIRING_PORT
from memcrdt.paths import STATE_VARIABLE
from memcrdt.testing.memories import Clock, open_memory
from memcrdt.testing.models import write_tiny_model

pytest_plugins = ["tests.network"]

# A folder on a disk makes each of hundreds of thousands of syncs take a millisecond. Linux has this one in memory.
_MEMORY_DISK = Path("/dev/shm")
_ROOM = 6 << 30  # bytes; what tests leave there takes a third of it

# Machines under load are sometimes slow. The result of a test must not depend on that.
settings.register_profile("memcrdt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("memcrdt")


def pytest_configure() -> None:
    """Put the folders of tests on a disk in memory if it has room, and if nobody has chosen another place."""
    if _MEMORY_DISK.is_dir() and shutil.disk_usage(_MEMORY_DISK).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY_DISK))


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of the garbage collector, which would look at them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests, and the processes that they start, from writing to the platform's own folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, EMBEDDER_VARIABLE, "static")  # the transformer of "auto" has tests of its own
        patch.setitem(os.environ, STATE_VARIABLE, str(tmp_path_factory.mktemp("state")))
        patch.setitem(os.environ, "XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        if sys.dont_write_bytecode:  # each of hundreds of processes would compile the whole package again
            patch.delitem(os.environ, "PYTHONDONTWRITEBYTECODE", raising=False)
            folder = tmp_path_factory.getbasetemp()
            shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
            patch.setitem(os.environ, "PYTHONPYCACHEPREFIX", str(shared / "bytecode"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _pairing_port() -> Iterator[None]:
    """Let each worker show its codes at a port of its own, so that no test dials the device of another test."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memcrdt.pairing.inviting.DEFAULT_PAIRING_PORT", DEFAULT_PAIRING_PORT + 100 * (worker + 1))
        yield


OpenMemory = Callable[..., Memory]


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="in_memory")
def _in_memory() -> bool:
    """Return whether `open_memory` opens stores in memory. Modules override it to run on both kinds of stores."""
    return False


@pytest.fixture(name="open_memory")
def _open_memory(tmp_path: Path, clock: Clock, in_memory: bool) -> Iterator[OpenMemory]:
    """Open the memories of devices by their letter, all with one clock, and without an embedder unless one is given."""
    with ExitStack() as opened:

        def make(device: str = "A", **options: Any) -> Memory:
            home = None if in_memory else tmp_path / device
            return opened.enter_context(open_memory(home, device, clock, **options))

        yield make


@pytest.fixture(name="memory")
def _memory(open_memory: OpenMemory) -> Memory:
    """Open the memory of device A."""
    return open_memory()


@pytest.fixture(name="tiny_model")
def _tiny_model(tmp_path: Path) -> Path:
    """Return a folder with a model of 16 dimensions and a few words, in the form that fastembed expects."""
    return write_tiny_model(tmp_path / "tiny", dim=16)


@pytest.fixture(name="certificate")
def _certificate(tmp_path: Path) -> Path:
    """Return a self-signed certificate for localhost with its key, in one PEM file."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    encoding = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(encoding)
    )
    return path
