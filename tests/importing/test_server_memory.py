"""The file of the MCP server server-memory. The lines are written by hand, from the description of the format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.importing.server_memory import translate
from memcrdt.memory.memory import Memory

ADA = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea", "lives in Bern"]}
KNOWS = {"type": "relation", "from": "Ada", "to": "Max", "relationType": "knows"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "memory.jsonl"


def _write(file: Path, *lines: Any) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return file


def _import(memory: Memory, file: Path, **options: Any) -> Any:
    return memory.import_(file, format="server-memory", **options)


def test_entities_and_relations_become_memories(memory: Memory, file: Path) -> None:
    """With kind, source and trust. A second import knows all of them."""
    assert _import(memory, _write(file, ADA, KNOWS)).added == 2
    told = {(each.text, each.kind, each.source, each.trust) for each in memory.list()}
    assert told == {
        ("Ada\n- likes tea\n- lives in Bern", "person", "server-memory", "imported"),
        ("Ada knows Max", "relation", "server-memory", "imported"),
    }
    assert _import(memory, file).known == 2


def test_two_devices_give_each_memory_the_same_id(open_memory: Callable[..., Memory], file: Path) -> None:
    """So after they meet there is one of each."""
    _write(file, ADA, KNOWS)
    ids = []
    for memory in (open_memory("A"), open_memory("B")):
        _import(memory, file)
        ids.append({each.id for each in memory.list()})
    assert ids[0] == ids[1]


def test_new_observations_update_the_memory_of_their_entity(memory: Memory, file: Path) -> None:
    """The key is made of the name alone."""
    _import(memory, _write(file, ADA))
    assert _import(memory, _write(file, {**ADA, "observations": ["moved to Rome"]})).updated == 1
    assert [each.text for each in memory.list()] == ["Ada\n- moved to Rome"]


def test_a_forgotten_memory_stays_forgotten_unless_asked_for(memory: Memory, file: Path) -> None:
    """Another import counts it."""
    _import(memory, _write(file, ADA))
    memory.forget(memory.list()[0].id)
    assert _import(memory, file).forgotten == 1
    assert not memory.list()
    assert _import(memory, file, again=True).added == 1


def test_lines_of_other_forms_are_refused_and_listed(memory: Memory, file: Path) -> None:
    """Also the half of a last line. The other lines are imported."""
    _write(
        file,
        5,
        "text",
        {},
        {"revision": "x"},
        {**ADA, "name": 1},
        {**ADA, "observations": "x"},
        {**KNOWS, "to": ""},
        ADA,
    )
    with file.open("a") as end:
        end.write('{"type":"entity","na')
    report = _import(memory, file)
    assert (report.added, [each.line for each in report.refusals]) == (1, [1, 2, 3, 4, 5, 6, 7, 9])


def test_a_secret_is_refused(memory: Memory, file: Path) -> None:
    """As in every import."""
    secret = "ghp_" + "aB3dE5fG7h" * 3 + "iJ9kL1"
    assert _import(memory, _write(file, {**ADA, "observations": [secret]})).refused == 1


def test_names_with_the_same_letters_have_keys_of_their_own() -> None:
    """The ends of the names are part of the key."""
    one = translate({**KNOWS, "from": "a b", "relationType": "c"})
    assert one["key"] != translate({**KNOWS, "from": "a", "relationType": "b c"})["key"]


def test_a_line_without_a_type_is_known_by_its_fields() -> None:
    """Some writers leave the type out. Further fields are left out."""
    untyped = {name: value for name, value in ADA.items() if name != "type"}
    assert translate({**untyped, "createdAt": "2026-01-01"}) == translate(ADA)
    with pytest.raises(InputError):
        translate({"type": "observation", "name": "x"})


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("shape", ["object", "list"])
def test_a_file_may_be_one_value(memory: Memory, file: Path, indent: int | None, shape: str) -> None:
    """On one line or on many, as a file or a stream. The keys are those of the lines."""
    entities = [{**ADA, "observations": ["x" * 1_000] * 20, "name": f"Ada {number}"} for number in range(40)]
    elements = [*entities, 5, KNOWS]
    whole: Any = elements if shape == "list" else {"entities": elements[:-1], "version": 1, "relations": [KNOWS]}
    data = ("\ufeff" + json.dumps(whole, indent=indent)).encode()
    file.write_bytes(data)
    report = memory.import_from("server-memory", file)
    assert (report.added, [each.name for each in report.refusals]) == (41, ["element 41"])
    assert _import(memory, io.BytesIO(data)).known == 41
    assert memory.import_from("server-memory", _write(file, *entities, KNOWS)).known == 41


@pytest.mark.parametrize("text", ['{"entities": [{"name"', "{\n", "[", '{\n"entities": {}}'])
def test_a_cut_value_is_refused(memory: Memory, file: Path, text: str) -> None:
    """Or one without a list, which has nothing to import."""
    file.write_text(text)
    assert _import(memory, file).added == 0


def test_a_stream_stays_open(memory: Memory) -> None:
    """The caller closes it."""
    stream = io.BytesIO(json.dumps(ADA).encode())
    assert _import(memory, stream).added == 1
    assert not stream.closed


def test_other_spellings_are_the_same_graph() -> None:
    """Other tools write the names with underscores, or have ids. An id beside a name is left out."""
    entity = {"entityName": "Ada", "entity_type": "person", "observations": ADA["observations"]}
    assert translate(entity) == translate({**ADA, "id": 7}) == translate(ADA)
    assert translate({"id": "Ada", "observations": []}) == translate({"name": "Ada"})
    relation = {"id": "r1", "from_id": "Ada", "to_id": "Max", "relation_type": "knows"}
    assert translate(relation) == translate({**relation, "type": "relation"}) == translate(KNOWS)
