"""Records as JSON values, as keys of a set, and as types of other libraries."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import memcrdt
from memcrdt import testing
from memcrdt.cli.output import as_json
from memcrdt.errors import InputError
from memcrdt.memory.transfer import RefusedLine
from memcrdt.model.limits import TIME_MAX_MS
from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.store.recovery.doctor import DoctorReport

ID = "01JD8Z6Q4M0000000000000001"
RECORD = memcrdt.MemoryRecord(
    id=ID,
    text="The client wants invoices in PDF",
    space="personal",
    scope="project/acme",
    category="project",
    kind=None,
    tags=("billing", "pdf"),
    metadata={"n": 1, "share": 0.5, "nested": {"list": [1, None, True, "a"]}},
    links=(memcrdt.Link("about", ID),),
    created_at=datetime(2026, 11, 22, 9, 30, 0, 123_000, tzinfo=UTC),
    updated_at=datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    expires_at=None,
    pinned=False,
    importance=1,
    author="bot",
    device="YXRKM",
    source=None,
    trust="verified",
    superseded_by=None,
    imported_from=None,
    conflicted=False,
    revision=ID,
)
HIT = memcrdt.Hit(memory=RECORD, score=0.75, passage=None, marks=((4, 10), (17, 25)), parts={"words": 0.5})
AT = RECORD.created_at
RECORDS = [
    RECORD,
    HIT,
    memcrdt.Page((RECORD, RECORD), "cursor"),
    memcrdt.Page((), None),
    memcrdt.Revision(id=ID, revision=ID, text="a", at=AT, by=None, device="YXRKM", base=(ID,), head=True),
    memcrdt.Change(kind="missed", id="", space="", origin="local", at=AT),
    memcrdt.Forgotten(count=2, status="pending", confirmed=("YXRKM",), awaited=()),
    memcrdt.Link("about", ID),
    memcrdt.Device(
        device="YXRKM",
        name=None,
        state="accepted",
        spaces=("personal",),
        connected=True,
        via="dialed",
        found="mdns",
        address="192.0.2.1:8400",
        since=AT,
        skew_ms=5,
        behind=0,
        unscrubbed=0,
        agreed_at=AT,
        confirmed_at=None,
        seen_at=AT,
        addresses=("192.0.2.1:8400",),
        error=None,
        error_at=None,
    ),
    memcrdt.SpaceMember(device="YXRKM", name="laptop", rights="read", state="member", ours=False),
    memcrdt.SpaceRelay(address="relay.example:27392", space="personal", listed_by="YXRKM"),
    memcrdt.ImportReport(
        added=1,
        updated=0,
        conflicting=0,
        known=0,
        forgotten=0,
        repeated=0,
        refused=1,
        refusals=(RefusedLine(2, "the line is no JSON"),),
        dry_run=False,
    ),
    DoctorReport(("a row is damaged",), notes=("the disk is full",)),
]
WRITTEN = {
    "id": ID,
    "text": "The client wants invoices in PDF",
    "space": "personal",
    "scope": "project/acme",
    "category": "project",
    "kind": None,
    "tags": ["billing", "pdf"],
    "metadata": {"n": 1, "share": 0.5, "nested": {"list": [1, None, True, "a"]}},
    "links": [{"rel": "about", "to": ID}],
    "created_at": "2026-11-22T09:30:00.123000+00:00",
    "updated_at": "2026-11-22T09:30:00+00:00",
    "expires_at": None,
    "pinned": False,
    "importance": 1,
    "author": "bot",
    "device": "YXRKM",
    "source": None,
    "trust": "verified",
    "superseded_by": None,
    "imported_from": None,
    "conflicted": False,
    "revision": ID,
}


ARGUMENTS = {memcrdt.RelayLimits, memcrdt.RelayOptions, memcrdt.YjsOptions}


def _results() -> set[type[Record]]:
    """Return the exported dataclasses that public functions, methods and fields of results give to callers."""
    exported = [getattr(memcrdt, name) for name in memcrdt.__all__]
    methods = [method for kind in exported if isinstance(kind, type) for method in vars(kind).values()]
    functions = [getattr(each, "fget", None) or getattr(each, "__func__", each) for each in (*exported, *methods)]
    returned = [getattr(each, "__annotations__", {}).get("return") for each in functions if not isinstance(each, type)]
    held = [each.type for kind in exported if is_dataclass(kind) and kind not in ARGUMENTS for each in fields(kind)]
    names = set(re.findall(r"\w+", " ".join(map(str, (*returned, *held)))))
    return {kind for kind in exported if is_dataclass(kind) and kind.__name__ in names}


def _example(kind: Any, place: int) -> Any:
    """Return a value of the type of a field: one item in each collection, and the last alternative of a literal."""
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        return _example(next(each for each in args if each is not NoneType), place)
    if origin is Literal:
        return args[-1]
    if origin is Mapping:
        key = None if NoneType in get_args(args[0]) else "a"
        return {key: _example(args[1], place), "b": _example(args[1], place)}
    if origin is tuple:
        return tuple(_example(each, place) for each in args if each is not Ellipsis)
    if is_dataclass(origin):
        return _example_of(origin)
    plain = {str: f"text {place}", int: place, float: 0.5, bool: True, datetime: AT, Any: [1, None]}
    return {**plain, frozenset: frozenset("abcde")}[origin]


def _example_of(kind: type[Any], *, empty: bool = False) -> Any:
    types = get_type_hints(kind)
    values = {each.name: _example(types[each.name], place) for place, each in enumerate(fields(kind))}
    nones = {name: None for name in values if empty and NoneType in get_args(types[name])}
    return kind(**{**values, **nones})


RESULTS = sorted(_results(), key=lambda kind: kind.__name__)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_the_trip_through_json(record: Record) -> None:
    """The record that is read is equal and has the same type and hash."""
    read = type(record).from_dict(json.loads(json.dumps(record.to_dict())))
    assert read == record
    assert type(read) is type(record)
    assert hash(read) == hash(record)
    assert pickle.loads(pickle.dumps(record)) == record


@given(
    text=texts,
    tags=st.lists(texts, max_size=3).map(tuple),
    metadata=st.dictionaries(texts, json_values, max_size=3),
    importance=st.none() | st.floats(0, 1),
    created_at=st.integers(0, TIME_MAX_MS).map(from_ms),
)
def test_any_memory_record_survives_json(**fields: Any) -> None:
    """This holds for any text, tags, metadata, importance and time."""
    record = replace(RECORD, **fields)
    assert memcrdt.MemoryRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_the_json_form_is_pinned() -> None:
    """Programs on other machines read this form, and the command line prints it."""
    assert RECORD.to_dict() == WRITTEN
    assert json.loads(as_json(RECORD)) == WRITTEN
    assert HIT.to_dict() == {
        "memory": WRITTEN,
        "score": 0.75,
        "passage": None,
        "marks": [[4, 10], [17, 25]],
        "parts": {"words": 0.5},
    }


def test_every_exported_dataclass_is_a_result_or_an_argument() -> None:
    """So no result escapes the next test."""
    exported = {getattr(memcrdt, name) for name in memcrdt.__all__ if is_dataclass(getattr(memcrdt, name))}
    assert exported - set(RESULTS) == ARGUMENTS


@pytest.mark.parametrize("empty", [False, True], ids=["full", "empty"])
@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_every_result_has_the_same_json_form(kind: type[Record], empty: bool) -> None:
    """It is hashable, survives JSON and pickle, and pydantic reads and writes the same form."""
    result = _example_of(kind, empty=empty)
    written = json.loads(json.dumps(result.to_dict()))
    assert written == result.to_dict()
    for read in (kind.from_dict(written), pickle.loads(pickle.dumps(result))):
        assert read == result
        assert hash(read) == hash(result)
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    assert adapter.dump_python(result, mode="json") == written
    assert json.loads(adapter.dump_json(result)) == written
    assert adapter.validate_python(written) == result
    assert adapter.validate_json(json.dumps(written)) == result
    assert adapter.json_schema(mode="serialization")["type"] == "object"


def test_the_state_of_a_home_survives_json() -> None:
    """With its parts, and with memories without a kind, whose count has no name."""
    with testing.temporary() as memory:
        memory.add_many(["a", {"text": "b", "kind": "fact"}])
        status, stats = memory.status(), memory.stats()
    assert memcrdt.Status.from_dict(json.loads(json.dumps(status.to_dict()))) == status
    assert TypeAdapter(memcrdt.Status).validate_json(json.dumps(status.to_dict())) == status
    assert stats.to_dict()["by_kind"] == {"": 1, "fact": 1}
    assert memcrdt.Stats.from_dict(json.loads(json.dumps(stats.to_dict()))) == stats


def test_a_time_of_another_zone_is_read_as_utc() -> None:
    """All times in records are in UTC."""
    read = memcrdt.MemoryRecord.from_dict({**WRITTEN, "updated_at": "2026-11-22T10:30:00+01:00"})
    assert read == RECORD
    assert read.updated_at.tzinfo is UTC


def test_fields_with_defaults_may_be_missing_and_unknown_fields_are_ignored() -> None:
    """Another version may have written the record."""
    assert memcrdt.Forgotten.from_dict({"count": 1, "status": "done", "colour": "red"}) == memcrdt.Forgotten(
        count=1, status="done"
    )


@pytest.mark.parametrize(
    ("record", "given", "named"),
    [
        (memcrdt.Link, {"rel": "about"}, "Link.to is missing"),
        (memcrdt.Link, ["about", ID], "not from a list"),
        (memcrdt.MemoryRecord, {**WRITTEN, "tags": "billing"}, "MemoryRecord.tags is a str"),
        (memcrdt.MemoryRecord, {**WRITTEN, "tags": ["a", 1]}, r"MemoryRecord.tags\[1\] is an int"),
        (memcrdt.MemoryRecord, {**WRITTEN, "pinned": 1}, "MemoryRecord.pinned is an int"),
        (memcrdt.MemoryRecord, {**WRITTEN, "importance": True}, "MemoryRecord.importance is a bool"),
        (memcrdt.MemoryRecord, {**WRITTEN, "metadata": []}, "MemoryRecord.metadata is a list"),
        (memcrdt.MemoryRecord, {**WRITTEN, "links": [5]}, r"MemoryRecord.links\[0\] is an int"),
        (memcrdt.MemoryRecord, {**WRITTEN, "created_at": 5}, "MemoryRecord.created_at is an int"),
        (memcrdt.MemoryRecord, {**WRITTEN, "created_at": "2026-11-22T09:30:00"}, "no time zone"),
        (memcrdt.MemoryRecord, {**WRITTEN, "created_at": "yesterday"}, "not an ISO 8601 time"),
        (memcrdt.Hit, {**HIT.to_dict(), "marks": [[1, 2, 3]]}, r"Hit.marks\[0\] is a list"),
        (memcrdt.Hit, {**HIT.to_dict(), "parts": {"words": "a"}}, r"Hit.parts\['words'\] is a str"),
        (memcrdt.Forgotten, {"count": 1, "status": "perhaps"}, "Forgotten.status is a str"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_to_dict_does_not_write_are_refused(record: type[Record], given: Any, named: str) -> None:
    """The message names the field."""
    with pytest.raises(InputError, match=named):
        record.from_dict(given)


def test_records_are_hashable() -> None:
    """Equal records have equal hashes, whichever mapping type their metadata has."""
    twin = replace(RECORD, metadata=dict(RECORD.metadata))
    assert len({RECORD, twin}) == 1
    assert len({HIT, replace(HIT, memory=twin, parts=dict(HIT.parts))}) == 1
    other = replace(RECORD, metadata={"n": 2})
    assert other != RECORD
    assert len({RECORD, other}) == 2


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_pydantic_accepts_records_as_types(record: Record) -> None:
    """pydantic validates a record, dumps it, reads it from JSON, and makes a schema."""
    adapter: TypeAdapter[Any] = TypeAdapter(type(record))
    assert adapter.validate_python(record) is record
    assert adapter.validate_python(record.to_dict()) == record
    assert adapter.validate_json(adapter.dump_json(record)) == record
    assert type(record).from_dict(adapter.dump_python(record, mode="json")) == record
    assert adapter.json_schema()["type"] == "object"


def test_pydantic_refuses_an_invalid_record() -> None:
    """A wrong value raises pydantic's ValidationError."""
    adapter: TypeAdapter[memcrdt.MemoryRecord] = TypeAdapter(memcrdt.MemoryRecord)
    with pytest.raises(ValidationError):
        adapter.validate_python({**WRITTEN, "pinned": "perhaps"})


async def test_a_route_returns_hits() -> None:
    """A route also accepts records, and the OpenAPI description has their schemas."""
    app = FastAPI()

    @app.get("/search")
    async def search() -> list[memcrdt.Hit]:
        return [HIT]

    @app.post("/echo")
    async def echo(record: memcrdt.MemoryRecord) -> memcrdt.MemoryRecord:
        return record

    (hit,) = await _asked(app, "GET", "/search")
    assert memcrdt.Hit.from_dict(hit) == HIT
    assert memcrdt.MemoryRecord.from_dict(await _asked(app, "POST", "/echo", WRITTEN)) == RECORD
    assert {"Hit", "MemoryRecord", "Link"} <= set(app.openapi()["components"]["schemas"])


async def _asked(app: FastAPI, method: str, path: str, body: object = None) -> Any:
    """Call an ASGI application like a server, and return the JSON of its response."""
    answered: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: Any) -> None:
        answered.append(message)

    headers = [(b"content-type", b"application/json")]
    request = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    await app(request, receive, send)
    assert answered[0]["status"] == 200
    return json.loads(b"".join(message.get("body", b"") for message in answered))
