"""Updates that stock yjs 13.6.33 encoded, recorded once, so that the tests need no JavaScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_RECORDED = json.loads(Path(__file__).with_name("yjs_updates.json").read_text(encoding="utf-8"))


@pytest.fixture
def yjs_sequence() -> list[bytes]:
    """Updates of one client, in order: births, overwrites, nulls, a delete, and values under keys of no memory."""
    return [bytes.fromhex(update) for update in _RECORDED["sequence"]]


@pytest.fixture
def yjs_refused_by_name() -> dict[str, bytes]:
    """The updates that are refused, by what is wrong with them."""
    return {name: bytes.fromhex(update) for name, update in _RECORDED["refused"].items()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the argument `yjs_accepted` or `yjs_refused` once for each update of that sort."""
    for sort in ("accepted", "refused"):
        if (name := f"yjs_{sort}") in metafunc.fixturenames:
            cases: dict[str, Any] = _RECORDED[sort]
            metafunc.parametrize(name, [bytes.fromhex(update) for update in cases.values()], ids=list(cases))
