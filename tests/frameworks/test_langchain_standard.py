"""LangChain's standard suites are collected as a whole, and no test of them is left out or expected to fail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("langchain_tests", reason="the package langchain-tests is not installed")

#: The number of tests of each class with langchain-tests 1.1. A later version may have more.
LEAST = {
    "TestVectorStore": 25,
    "TestDocumentIndex": 11,
    "TestAsyncDocumentIndex": 11,
    "TestByteStore": 12,
    "TestAsyncByteStore": 12,
    "TestCache": 8,
    "TestAsyncCache": 8,
    "TestRetriever": 5,
    "TestSearchToolUnit": 6,
    "TestSearchToolIntegration": 5,
    "TestManageToolUnit": 6,
    "TestManageToolIntegration": 5,
}
MARKS = ("xfail", "skip", "skipif")


class _Collected:
    """What pytest collects."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


def _inherited(item: pytest.Function) -> bool:
    """Return whether a test is one of langchain-tests, as it is there."""
    return item.function.__module__.startswith("langchain_tests.")


def test_every_standard_test_runs() -> None:
    """None is missing, replaced by one of ours, skipped by a mark or expected to fail."""
    modules = sorted(str(path) for path in Path(__file__).parent.glob("test_langchain_*.py") if str(path) != __file__)
    collected = _Collected()
    pytest.main(["--collect-only", "-qqq", "-p", "no:cacheprovider", "-n", "0", *modules], plugins=[collected])
    standard = [item for item in collected.items if isinstance(item, pytest.Function) and item.cls and _inherited(item)]
    counts = Counter(item.cls.__name__ for item in standard)
    assert counts.keys() == LEAST.keys()
    assert {name: count for name, count in counts.items() if count < LEAST[name]} == {}
    assert [item.nodeid for item in standard if any(item.get_closest_marker(mark) for mark in MARKS)] == []
