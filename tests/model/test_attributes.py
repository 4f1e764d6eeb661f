"""Every attribute in the table works in every place that follows the table.

The tests go through the table, so they test a new attribute as soon as it has a row.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError
from memcrdt.memory.memory import Memory
from memcrdt.model import attributes
from memcrdt.model.attributes import (
    ATTRIBUTES,
    FLAG,
    LABEL,
    MEMORY,
    SCOPE,
    SHARE,
    SOURCE,
    TIME,
    Attribute,
)
from memcrdt.model.records import MemoryRecord
from memcrdt.store.recovery import rebuild

ROOT = Path(__file__).parents[2]
OTHER = "01JD8Z6Q4M0000000000000002"
# Two valid values of each type, neither of them a default, and one invalid value.
SAMPLES: dict[attributes.ValueType, tuple[Any, Any, Any]] = {
    LABEL: ("one", "another", ""),
    SOURCE: ("notes.md", "https://example.org/a", ""),
    SCOPE: ("project/acme", "agent/bot", "planet/earth"),
    MEMORY: (OTHER, OTHER, "nobody"),
    SHARE: (0, 0.75, 1.5),
    FLAG: (True, True, 1),
    TIME: (datetime(2100, 1, 2, tzinfo=UTC), datetime(2101, 1, 2, 3, 4, 5, 6000, tzinfo=UTC), "never"),
}

by_name = {"ids": lambda each: each.name, "argvalues": ATTRIBUTES}
updated = [each for each in ATTRIBUTES if "update" in each.verbs]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path / "home", embedder=None) as opened:
        opened.add("the other one", id=OTHER)
        yield opened


def _made(memory: Memory, attribute: Attribute, value: Any) -> str:
    """Return a memory with this value. If add() does not take the attribute, an update or an import sets it."""
    if "add" in attribute.verbs:
        return memory.add("a memory", **{attribute.name: value})
    if "update" not in attribute.verbs:
        memory.import_(io.BytesIO(json.dumps({"text": "a memory", attribute.name: value}).encode()), format="jsonl")
        return memory.list(contains="a memory")[0].id
    memory_id = memory.add("a memory")
    memory.update(memory_id, **{attribute.name: value})
    return memory_id


def _views_are_those_of_the_log(memory: Memory) -> bool:
    return memory.doctor().problems == ()


@pytest.mark.parametrize("attribute", **by_name)
def test_every_attribute_comes_back_as_it_was_given(memory: Memory, attribute: Attribute) -> None:
    """get() returns the value, the views agree with the log, and a memory without a value has the default."""
    value = SAMPLES[attribute.type][0]
    memory_id = _made(memory, attribute, value)
    assert getattr(memory.get(memory_id), attribute.name) == value
    plain = memory.get(memory.add("another memory"))
    assert getattr(plain, attribute.name) == attribute.to_record(attribute.default)
    assert _views_are_those_of_the_log(memory)


@pytest.mark.parametrize("attribute", updated, ids=lambda each: each.name)
def test_every_changeable_attribute_can_be_changed_and_removed(memory: Memory, attribute: Attribute) -> None:
    """None removes an optional value, whether the birth or a register has it. For other attributes it is refused."""
    first, second, wrong = SAMPLES[attribute.type]
    memory_id = _made(memory, attribute, first)
    assert getattr(memory.update(memory_id, **{attribute.name: second}), attribute.name) == second
    with pytest.raises(InputError):
        memory.update(memory_id, **{attribute.name: wrong})
    if attribute.default is None:
        assert getattr(memory.update(memory_id, **{attribute.name: None}), attribute.name) is None
        assert getattr(memory.update(_made(memory, attribute, first), **{attribute.name: None}), attribute.name) is None
    else:
        with pytest.raises(InputError):
            memory.update(memory_id, **{attribute.name: None})
    assert _views_are_those_of_the_log(memory)


@pytest.mark.parametrize("attribute", **by_name)
def test_every_attribute_is_exported_and_imported(memory: Memory, attribute: Attribute, tmp_path: Path) -> None:
    """An export and import into another home keeps the value."""
    value = SAMPLES[attribute.type][0]
    memory_id = _made(memory, attribute, value)
    file = io.BytesIO()
    memory.export(file, include=["superseded", "expired"])
    file.seek(0)
    with memcrdt.open(tmp_path / "other", embedder=None) as other:
        assert other.import_(file).refused == 0
        assert getattr(other.get(memory_id), attribute.name) == value


@pytest.mark.parametrize("attribute", **by_name)
def test_every_attribute_goes_with_a_memory_to_another_space(memory: Memory, attribute: Attribute) -> None:
    """A move creates a new memory in the other space with the same value."""
    memory_id = memory.move(_made(memory, attribute, SAMPLES[attribute.type][0]), space="local")
    assert getattr(memory.get(memory_id), attribute.name) == SAMPLES[attribute.type][0]


@pytest.mark.parametrize("attribute", **by_name)
def test_stored_values_are_valid_json(attribute: Attribute) -> None:
    """The check of callers' arguments and the check of registers accept the same values."""
    *right, wrong = SAMPLES[attribute.type]
    for value in (*right, attribute.to_record(attribute.default)):
        kept = attribute.check(value)
        assert json.loads(json.dumps(kept)) == kept
        assert attribute.is_valid(kept)
        assert attribute.to_record(kept) == value
        assert attribute.from_record(value) == kept
    with pytest.raises(InputError):
        attribute.check(wrong)


def test_every_attribute_has_its_argument_its_field_and_its_column() -> None:
    """Signatures, the record and the schema are written by hand and have every attribute of the table."""
    names = [attribute.name for attribute in ATTRIBUTES]
    assert set(names) <= {field.name for field in fields(MemoryRecord)}
    for verb, method in (("add", Memory.add), ("update", Memory.update)):
        taken = {attribute.name for attribute in attributes.taken_by(verb)}  # type: ignore[arg-type]
        assert taken <= set(inspect.signature(method).parameters)
    with rebuild.empty_store() as db:
        assert set(names) <= {str(row[1]) for row in db.execute("PRAGMA table_info(memories)")}


def test_an_attribute_is_named_in_few_files() -> None:
    """Only the table, the record, the signatures and a column in the schema name an attribute.

    Other files name it only for special behaviour: `trust` is shown in prompts, and set by importers. In `net`
    the word is about devices.
    """
    files = (path for path in (ROOT / "memcrdt").rglob("*.py") if path.parent.name != "net")
    named = {path.relative_to(ROOT / "memcrdt").as_posix() for path in files if "trust" in _names(path)}
    assert named - {
        "model/prompt.py",
        "service/answers.py",
        "service/documents.py",
        "importing/server_memory.py",
        "importing/rows.py",
    } == {
        "model/attributes.py",
        "model/records.py",
        "memory/memory.py",
    }


def _names(path: Path) -> set[str]:
    """Return every name in the code of a file: variables, arguments, fields, and strings that are only a name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                names.add(name)
            case ast.Constant(value=str(name)):
                names.add(name)
    return names
