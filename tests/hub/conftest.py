"""Fixtures for tests of the hub: one server for all of them, and a schema for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt import config
from memcrdt.memory.memory import Memory
from tests.hub.hub_device import HubDevice
from tests.postgres import Server, running_server

MakeHub = Callable[..., HubDevice]


@pytest.fixture(name="server", scope="session")
def _server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(name="dsn")
def _dsn(server: Server) -> str:
    """Return the address of an empty hub."""
    return server.make_schema()


@pytest.fixture(name="hub")
def _hub(server: Server, tmp_path: Path) -> Iterator[MakeHub]:
    """Open the process of a hub by the letter of its device. With `dsn`, it is another process of the same hub."""
    with ExitStack() as opened:

        def make(name: str = "H", dsn: str | None = None, **options: Any) -> HubDevice:
            device = HubDevice(tmp_path / name, name, dsn or server.make_schema(), **options)
            opened.callback(device.close)
            return device

        yield make


@pytest.fixture(name="make_laptop")
def _make_laptop(tmp_path: Path) -> Iterator[Callable[[str], Memory]]:
    """Open the memory of a laptop by its name, in a home of its own that looks for no other devices."""
    with ExitStack() as opened:

        def make(name: str) -> Memory:
            config.change(tmp_path / name, "mdns", False)
            return opened.enter_context(memcrdt.open(tmp_path / name, embedder=None, device_name=name))

        yield make
