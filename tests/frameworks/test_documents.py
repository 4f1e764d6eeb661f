"""The table of what syncs, in docs/frameworks/index.md, says what the adapters do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.model.scopes import PERSONAL

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "frameworks"
SPACES = {"PERSONAL": PERSONAL, "LOCAL": "local"}


def adapters() -> Iterator[tuple[str, str | None]]:
    """Yield each adapter with the space that it writes to unless told otherwise, or None if it does not say so itself.

    They are read and not imported: no environment has all frameworks.
    """
    for path in sorted(Path(memcrdt.__file__).with_name("frameworks").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and re.match(r"(Async)?Memcrdt", node.name):
                yield node.name, space_of(node)


def space_of(node: ast.ClassDef) -> str | None:
    """Return the default of the parameter `space` of a class, if it has one that names a space."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            for argument, default in zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True):
                if argument.arg == "space" and isinstance(default, ast.Name):
                    return SPACES[default.id]
    return None


def rows() -> list[list[str]]:
    """Return the cells of each row of the table."""
    text = (PAGES / "index.md").read_text(encoding="utf-8")
    section = text.partition("\n## What syncs\n")[2].partition("\n## ")[0]
    return [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(("name", "space"), list(adapters()))
def test_the_table_of_what_syncs_has_each_adapter_with_its_space(name: str, space: str | None) -> None:
    """A new adapter, or a new default, needs a new row."""
    (row,) = (cells for cells in rows() if f"`{name}`" in cells[0])
    assert space is None or f"`{space}`" in row[3]


@pytest.mark.parametrize("module", sorted({name for name, _ in adapters()}))
def test_each_adapter_has_a_page_that_says_what_stands_where(module: str) -> None:
    """The index links every page, and every adapter is in a page with a table."""
    pages = {page.name: page.read_text(encoding="utf-8") for page in PAGES.glob("*.md") if page.name != "index.md"}
    listed = (PAGES / "index.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in listed for name in pages)
    assert any(f"`{module}" in text and "| in memcrdt |" in text for text in pages.values())
