"""What the tests of the store share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memcrdt.store.store import FILE
from memcrdt.testing.devices import Device


@pytest.fixture(scope="session", name="template")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty file with the schema in it: making that takes longer than most tests."""
    home = tmp_path_factory.mktemp("template")
    device = Device(home, "T")
    with device.store.writing() as db:
        db.execute("DELETE FROM meta; DELETE FROM spaces")
    device.close()
    return home / FILE


@pytest.fixture(name="device")
def _device(tmp_path: Path, template: Path) -> Iterator[Callable[..., Device]]:
    """Makes devices by name, each with a store of its own; they are closed at the end."""
    made: list[Device] = []

    def make(name: str, **options: Any) -> Device:
        home = tmp_path / f"{name}{len(made)}"
        home.mkdir()
        shutil.copy(template, home / FILE)
        made.append(Device(home, name, **options))
        return made[-1]

    yield make
    for device in made:
        device.close()
