"""JSON files that are read one element at a time."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.importing import json_files
from memcrdt.importing.json_files import elements, json_elements


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
@pytest.mark.parametrize(
    "value", [[], [1, -2.5e3, 1234567], [{"a": [1, {"b": "]"}]}, "x, [y", None], [[[]], {}], [123]], ids=str
)
def test_a_list_is_read_in_pieces(value: list[Any], chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the pieces end."""
    monkeypatch.setattr(json_files, "_CHUNK_CHARS", chunk)
    for text in (json.dumps(value), json.dumps(value, indent=3) + "\n"):
        assert list(elements(io.BytesIO(text.encode()))) == value
        named = f'{{"skip": [1, {{"data": []}}], "data": {text}, "more": 5}}'
        assert list(elements(io.BytesIO(named.encode()), ("data",))) == value


@pytest.mark.parametrize(
    ("text", "before"),
    [
        (b"[1, 2", [1, 2]),
        (b"[1 2]", [1]),
        (b"", []),
        (b'[1, {"a": ', [1]),
        (b"[1, NaN]", [1]),
        (b"[1, \xff]", []),
        (b"[" + b"[" * 50_000, []),
        (b"[1, " + b"9" * 5_000 + b"]", [1]),
        (b"plain", []),
    ],
    ids=["end", "comma", "empty", "half", "nan", "bytes", "deep", "digits", "text"],
)
def test_a_file_that_is_not_json_says_so_after_its_elements(text: bytes, before: list[Any]) -> None:
    """What stands before the damage is read."""
    *found, last = elements(io.BytesIO(text))
    assert found == before
    assert isinstance(last, InputError)


def test_a_mistake_early_in_a_large_file_is_named() -> None:
    """Without reading the rest. A long text that ends in a later piece is no mistake."""
    text = '[1, {"a" 5}, "' + "x" * 1_000_000 + '"]'
    *found, last = elements(io.BytesIO(text.encode()))
    assert (found, "Expecting ':' delimiter" in str(last)) == ([1], True)
    fine = ["\U0001f600" * 100_000, '\n\t"' * 100_000]
    assert list(elements(io.BytesIO(json.dumps(fine).encode()))) == fine


def test_an_element_has_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is checked before the rest is read."""
    monkeypatch.setattr(json_files, "ELEMENT_CHARS", 100_000)
    (refusal,) = elements(io.BytesIO(json.dumps(["x" * 1_000_000]).encode()))
    assert "the maximum" in str(refusal)


def test_files_in_zip_files_and_folders_are_found_by_name(tmp_path: Path) -> None:
    """In the order of the patterns, then of the names."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr("../../talks-1.json", "[1]")
        file.writestr("other.json", "[9]")
        file.writestr("memories.json", "[2]")
    (tmp_path / "a.json").write_text("[8]")
    (tmp_path / "talks-0.json").write_text("[0]")
    wanted = ("memories.json", "talks*.json")
    assert [value for _, value in json_elements(tmp_path, wanted)] == [2, 1, 0]
    assert [value for _, value in json_elements(tmp_path / "b.zip", wanted)] == [2, 1]
    assert [value for _, value in json_elements(tmp_path / "a.json", wanted)] == [8]


def test_a_zip_file_that_was_not_downloaded_to_its_end_is_no_bad_json(tmp_path: Path) -> None:
    """The list of its members is missing, which stands at the end."""
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as members:
        members.writestr("a.json", json.dumps(list(range(5_000))))
    file = tmp_path / "part.zip"
    file.write_bytes((tmp_path / "whole.zip").read_bytes()[:2_000])
    ((name, refusal),) = json_elements(file, ("a*.json", "*.json"))
    assert (name, isinstance(refusal, InputError), "zip" in str(refusal)) == ("part.zip", True, True)


def test_a_damaged_zip_file_is_refused(tmp_path: Path) -> None:
    """With its name."""
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("a.json", json.dumps(list(range(5_000))))
    data = bytearray(file.read_bytes())
    data[60:80] = bytes(20)
    file.write_bytes(data)
    *_, (name, refusal) = json_elements(file, ("*.json",))
    assert name == "a.zip"
    assert isinstance(refusal, InputError)
