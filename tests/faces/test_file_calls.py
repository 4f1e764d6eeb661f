"""The adapter of files answers, refuses and leaves behind what the calls do under the keys of its files.

The calls are its own: the forty of the faces have no paths. rename() and clear() have no counterpart there, and are
tested with the adapter (tests/frameworks/test_files.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memcrdt.errors import MemcrdtError
from memcrdt.frameworks.files import KIND, NEW, FileTree
from memcrdt.memory.memory import Memory
from memcrdt.model.rights import READ
from memcrdt.service.access import Access
from memcrdt.service.context import Context
from memcrdt.service.problems import problem_of
from memcrdt.service.service import Service
from memcrdt.testing import temporary

SECRET = "AKIA" + "Z7Q2M4X3K3T6W5RA"
# A write expects the version that was read first ("old"), the present one ("now"), no file ("new"), or any (None).
CALLS: list[tuple[str, str, str, str | None]] = [
    ("write", "todo.md", "Ask Ada", "new"),
    ("write", "todo.md", "Ask Ben", "new"),
    ("read", "todo.md", "", None),
    ("write", "todo.md", "Ask Ben", "now"),
    ("write", "todo.md", "Ask Cleo", "old"),
    ("write", "notes/a.md", "Invoices go out as PDF", None),
    ("write", "notes/a.md", "Invoices go out as XML", None),
    ("write", "notes/secret.md", SECRET, None),
    ("write", "notes/long.md", "x" * 70_000, None),
    ("read", "notes/long.md", "", None),
    ("search", "", "how do invoices go out?", None),
    ("delete", "todo.md", "", "old"),
    ("delete", "todo.md", "", "now"),
    ("delete", "todo.md", "", None),
    ("read", "todo.md", "", None),
    ("edit", "todo.md", "Ask Ada again", None),
    ("write", "todo.md", "Ask Ada again", "new"),
    ("edit", "todo.md", "Ask Ada tomorrow", None),
    ("files", "", "", None),
    ("files", "notes", "", None),
]


class _Files:
    """The calls by the adapter."""

    def __init__(self, service: Service) -> None:
        self._tree = FileTree(service)

    def write(self, path: str, text: str, expected: tuple[str, ...] | None) -> str:
        return self._tree.write(path, text, expected=expected).text

    def read(self, path: str) -> str:
        return self._tree.read(path).text

    def version(self, path: str) -> tuple[str, ...]:
        return self._tree.read(path).version

    def edit(self, path: str, text: str) -> str:
        return self._tree.edit(path, lambda _: text).text

    def files(self, folder: str) -> list[tuple[str, str]]:
        return [(file.path, file.text) for file in self._tree.files(folder)]

    def search(self, query: str) -> list[str]:
        return [file.text for file, _ in self._tree.search(query)]

    def delete(self, path: str, expected: tuple[str, ...] | None) -> None:
        self._tree.delete(path, expected=expected)


class _Keys:
    """The same by keys."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def write(self, path: str, text: str, expected: tuple[str, ...] | None) -> str:
        about: dict[str, Any] = {"kind": KIND, "metadata": {"path": path}, "replace": True}
        self._service.add(text, key=f"file:{path}", expected=expected, **about)
        return self.read(path)

    def read(self, path: str) -> str:
        return self._service.get_by_key(f"file:{path}").text

    def version(self, path: str) -> tuple[str, ...]:
        return self._service.get(self._service.get_by_key(f"file:{path}").id).revisions

    def edit(self, path: str, text: str) -> str:
        return self.write(path, text, self.version(path))

    def files(self, folder: str) -> list[tuple[str, str]]:
        found = [(str(each.metadata["path"]), each.text) for each in self._service.iterate(kind=KIND)]
        return sorted(each for each in found if each[0].startswith(folder))

    def search(self, query: str) -> list[str]:
        return [hit.memory.text for hit in self._service.find(query, kind=KIND)]

    def delete(self, path: str, expected: tuple[str, ...] | None) -> None:
        self._service.forget(self._service.get_by_key(f"file:{path}").id, expected=expected)


def _play(made: Callable[[Service], _Files | _Keys], memory: Memory, access: Access) -> list[Any]:
    """Make the calls. Return the outcomes, and what the memory contains afterwards."""
    face = made(Service(memory, Context(project="acme", agent="planner"), access))
    outcomes: list[Any] = []
    old: tuple[str, ...] = ()
    for verb, path, text, wanted in CALLS:
        try:
            expected = {None: None, "new": NEW, "old": old}[wanted] if wanted != "now" else face.version(path)
            if verb == "search":
                outcomes.append(face.search(text))
            elif verb == "edit":
                outcomes.append(face.edit(path, text))
            elif verb == "files":
                outcomes.append(face.files(path))
            elif verb == "read":
                outcomes.append(face.read(path))
                old = face.version(path)
            elif verb == "delete":
                outcomes.append(face.delete(path, expected))
            else:
                outcomes.append(face.write(path, text, expected))
        except MemcrdtError as exc:
            outcomes.append(problem_of(exc).code)
    left = [(each.text, each.scope, each.kind, each.author, each.metadata) for each in memory.iterate()]
    return [*outcomes, sorted(left, key=str)]


@pytest.mark.parametrize("access", [Access(), Access(rights=READ), Access(spaces=("personal",))], ids=str)
def test_files_answer_as_the_calls_under_their_keys(access: Access) -> None:
    """For everybody, for a reader, and for a token of one space."""
    with temporary(embedder=None) as one, temporary(embedder=None) as other:
        by_files, by_keys = _play(_Files, one, access), _play(_Keys, other, access)
    assert by_files == by_keys
    if access == Access():
        assert {"stale_revision", "not_found", "secret_refused", "invalid_input"} <= {str(each) for each in by_files}
        assert by_files[-3] == [("notes/a.md", "Invoices go out as XML"), ("todo.md", "Ask Ada tomorrow")]
