"""/v1/export and /v1/import: what one memory exports, another one has, line by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import memcrdt
from memcrdt.errors import DiskFullError
from memcrdt.server import files
from memcrdt.service.transfer import LineImport
from tests.server.conftest import bearer

if TYPE_CHECKING:
    import pytest
    from starlette.testclient import TestClient

    from tests.conftest import OpenMemory

NDJSON = {"Content-Type": "application/x-ndjson"}


def _import(client: TestClient, content: Any, token: str | None = None, query: str = "") -> list[dict[str, Any]]:
    headers = {**NDJSON, **({} if token is None else bearer(token))}
    answer = client.post(f"/v1/import{query}", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_an_export_is_imported_elsewhere(client: TestClient, open_memory: OpenMemory) -> None:
    """With its ids, its dates and its history, and a second time it changes nothing."""
    other = open_memory("B")
    ids = other.add_many([{"text": f"Note {n}", "scope": "project/acme", "tags": ["x"]} for n in range(250)])
    other.update(ids[0], text="Note 0, corrected")
    path = other.home / "out.jsonl"
    other.export(path, history=True)
    first = _import(client, path.read_bytes())
    assert (len(first), all(line["ok"] for line in first[:-1])) == (253, True)
    assert (first[-1]["report"]["added"], first[-1]["report"]["refused"]) == (250, 0)
    assert _import(client, path.read_bytes())[-1]["report"]["known"] == 250
    back = client.get("/v1/export", params={"history": True, "tags": "x"})
    assert back.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in back.text.splitlines()]
    assert (len(lines), {line["id"] for line in lines}) == (252, set(ids))
    assert [each["text"] for each in client.get(f"/v1/memories/{ids[0]}/history").json()] == [
        "Note 0",
        "Note 0, corrected",
    ]


def test_each_line_has_a_result(client: TestClient, memory: memcrdt.Memory) -> None:
    """Refused ones say why, and do not stop the others. A dry run adds nothing, and what was forgotten stays so."""
    lines = [
        b'{"text": "one", "key": "k"}',
        b"not json",
        b"",
        b'"a bare text"',
        b'{"text": " "}',
        b'{"text": "x", "revision": "y"}',
        b'{"text": "long", "source": "' + b"x" * 600_000 + b'"}',
        b'{"text": "last", "space": 7}',
    ]
    results = _import(client, b"\n".join(lines), query="?dry_run=true")
    assert [(each["line"], each["ok"]) for each in results[:-1]] == [
        (1, True),
        (2, False),
        (4, True),
        (5, False),
        (6, False),
        (7, False),
        (8, False),
    ]
    assert all(each["reason"] for each in results[:-1] if not each["ok"])
    assert results[-1]["report"] == {
        "added": 2,
        "updated": 0,
        "conflicting": 0,
        "known": 0,
        "forgotten": 0,
        "repeated": 0,
        "refused": 5,
        "dry_run": True,
    }
    assert memory.count() == 0
    _import(client, lines[3])
    memory.forget(memory.list()[0].id)
    assert _import(client, lines[3])[-1]["report"]["forgotten"] == 1
    assert _import(client, lines[3], query="?again=true")[-1]["report"]["added"] == 1


def test_lines_go_only_to_the_spaces_of_the_token(
    client: TestClient, memory: memcrdt.Memory, tokens: dict[str, str]
) -> None:
    """A line that names another space is refused, and an export has nothing of it."""
    memory.add("mine")
    named, usual = b'{"text": "x", "space": "personal"}', b'{"text": "plan"}'
    results = _import(client, named + b"\n" + usual, tokens["team"])
    assert [each["ok"] for each in results[:-1]] == [False, True]
    assert [record.text for record in memory.iterate(space="team")] == ["plan"]
    exported = client.get("/v1/export", headers=bearer(tokens["team"])).text
    assert ("plan" in exported, "mine" in exported) == (True, False)
    refused = client.post("/v1/import", content=usual, headers={**NDJSON, **bearer(tokens["reader"])})
    assert (refused.status_code, refused.json()["code"]) == (403, "read_only")
    assert client.post("/v1/import", json={"text": "x"}).status_code == 415


def test_an_import_is_streamed_and_limited(
    client: TestClient, memory: memcrdt.Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be larger than other requests, and arrive in any parts; the number of lines is limited."""
    text = "x" * 50_000
    lines = b"\n".join(json.dumps({"text": f"{n} {text}"}).encode() for n in range(100))
    assert len(lines) > 4 << 20
    parts = (lines[start : start + 77_777] for start in range(0, len(lines), 77_777))
    assert _import(client, parts)[-1]["report"]["added"] == 100
    assert memory.count() == 100
    monkeypatch.setattr(files, "LINES", 150)
    many = b"\n".join(b'"%d"' % n for n in range(300))
    refused = client.post("/v1/import", content=many, headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_an_import_that_the_store_ends_says_so_in_its_last_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a problem as every other one: the client reads what happened, and what to do."""

    def full(*_: object) -> None:
        raise DiskFullError("the disk is full, and nothing was changed; make room on it")

    monkeypatch.setattr(LineImport, "take", full)
    (last,) = _import(client, b'"Deploys go out on Tuesdays"')
    problem = last["error"]
    assert (problem["type"], problem["status"], problem["code"]) == ("/v1/problems/disk_full", 507, "disk_full")
    assert problem["detail"] == "the disk is full, and nothing was changed; make room on it"
    assert problem["remedy"]
