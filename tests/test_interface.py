"""The public interface: names, arguments, defaults and fields that programs rely on."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt import errors
from memcrdt._open import open as open_memory
from memcrdt._open import open_async
from memcrdt.memory.async_memory import AsyncMemory
from memcrdt.memory.async_parts import (
    AsyncFiles,
    AsyncMirrors,
    AsyncModels,
    AsyncScopedMemory,
    AsyncSpace,
    AsyncSync,
    AsyncYjsTokens,
)
from memcrdt.memory.files import Files
from memcrdt.memory.memory import Memory
from memcrdt.memory.mirrors import Mirrors
from memcrdt.memory.models import Models
from memcrdt.memory.scoped import ScopedMemory
from memcrdt.memory.spaces import Space
from memcrdt.memory.sync import Sync
from memcrdt.memory.threads import awaitable
from memcrdt.memory.tokens import YjsTokens
from memcrdt.model.attributes import AddOptions, UpdateOptions
from memcrdt.model.filters import CheckedFilters, Filters, ScopedFilters
from memcrdt.model.records import Change, Forgotten, Hit, MemoryRecord, Page, Revision

# `*` comes before keyword-only arguments, `**` stands for filters, options or arguments of add().
SIGNATURES = {
    "add": "text * space='personal' scope='global' kind=None tags=() metadata=None author=None source=None trust=None"
    " importance=None pinned=False created_at=None expires_at=None ttl=None id=None key=None dedupe=False replace=False"
    " expected=None allow_secret=False vector=None",
    "add_many": "items **",
    "get": "id",
    "get_by_key": "key * space='personal' scope='global'",
    "get_many": "ids",
    "count": "**",
    "tags": "**",
    "iterate": "* order='newest' **",
    "find_id": "id",
    "find_space": "space",
    "search": "query * limit=10 min_score=None explain=False diversity=0.0 fold=False recency=0.0 importance=0.0"
    " vector=None rerank=False rerank_ms=250 **",
    "similar": "id=None * limit=10 vector=None **",
    "list": "* limit=100 cursor=None order='newest' **",
    "update": "id * text=Ellipsis tags=Ellipsis add_tags=() remove_tags=() metadata=None kind=Ellipsis"
    " importance=Ellipsis pinned=Ellipsis expires_at=Ellipsis ttl=None superseded_by=Ellipsis scope=Ellipsis"
    " trust=Ellipsis author=None expected=None allow_secret=False vector=None",
    "update_many": "items **",
    "forget": "id=None * dry_run=False expected=None progress=None **",
    "forget_status": "id=None",
    "forget_expired": "* trust_clock=False",
    "move": "id * space",
    "rename_key": "id key * text=None metadata=None author=None expected=None allow_secret=False",
    "rename_keys": "items * author=None allow_secret=False",
    "rename_scope": "old new",
    "history": "id",
    "conflicts": "id",
    "link": "id rel to",
    "unlink": "id rel to",
    "related": "id rel=None",
    "scoped": "* project=None agent=None conversation=None",
    "subscribe": "callback **",
    "changes": "**",
    "import_": "path * format=None again=False dry_run=False progress=None **",
    "import_from": "source path=None * again=False dry_run=False progress=None **",
    "export": "path * format=None history=False **",
    "stats": "",
    "status": "",
    "acknowledge_alarms": "",
    "compact": "",
    "backup": "path",
    "restore": "path",
    "doctor": "* repair=False give_up=False",
    "use_model": "name",
    "wait_indexed": "* timeout=None",
    "close": "",
    "space": "name",
    "devices": "",
    "accept": "device * name=None address=None spaces=None",
    "revoke": "device",
    "start_sync": "**",
    "stop_sync": "",
    "wait_synced": "* timeout=None peers=None",
}
SPACE = {
    "create": "",
    "id": "",
    "members": "* revoked=False",
    "invite": "device",
    "revoke": "device",
    "leave": "",
    "relays": "",
    "add_relay": "address",
    "remove_relay": "address",
    "digest": "",
}
MIRRORS = {
    "add": "source folder * scope='global' space='personal' deletes=False serving=True create=False dry_run=False",
    "run": "name * dry_run=False",
    "list": "",
    "remove": "name",
}
SYNC = {
    "start": "**",
    "stop": "",
    "serving": "",
    "wait": "* timeout=None peers=None",
    "devices": "",
    "find": "device",
    "accept": "device * name=None address=None spaces=None",
    "revoke": "device",
    "invite": "**",
    "join": "code * address=None timeout=60.0 **",
    "spell": "code",
    "warnings": "",
}
FILES = {
    "check_backup": "path",
    **{name: SIGNATURES[name] for name in ("import_", "import_from", "export", "backup", "restore", "doctor")},
    "compact": SIGNATURES["compact"],
}
TOKENS = {
    "create": "name * spaces=('personal',) read_only=False rights=None origins=()",
    "list": "",
    "find": "secret",
    "revoke": "name",
}
MODELS = {"list": "", "pull": "name * progress=None", "use": "name", "load": "", "status": "", "wait": "* timeout=None"}
FIELDS: dict[type[Any], str] = {
    MemoryRecord: "id text space scope category kind tags metadata links created_at updated_at expires_at pinned"
    " importance author device source trust superseded_by imported_from conflicted revision",
    Revision: "id revision text at by device base head",
    Hit: "memory score passage marks parts",
    Page: "items next_cursor",
    Change: "kind id space origin at",
    Forgotten: "count status confirmed awaited",
    CheckedFilters: "space scope ancestors category kind tags all_tags not_tags after before updated_after"
    " updated_before metadata contains pinned conflicts author device source include as_of",
}
ERRORS = {
    "InputError": "MemcrdtError ValueError",
    "NotFoundError": "MemcrdtError KeyError",
    "StaleRevisionError": "MemcrdtError",
    "ReadOnlyError": "MemcrdtError",
    "StoreError": "MemcrdtError",
    "LockedError": "StoreError",
    "CorruptError": "StoreError",
    "SchemaError": "StoreError",
    "SecretError": "InputError",
    "DiskFullError": "StoreError",
    "ProtocolError": "MemcrdtError",
    "RemoteProtocolError": "ProtocolError",
    "LocalProtocolError": "ProtocolError",
    "PeerError": "MemcrdtError",
    "UntrustedPeerError": "PeerError",
    "UnreachableError": "PeerError",
    "PairingError": "PeerError",
    "EmbedderError": "MemcrdtError",
    "ModelMissingError": "EmbedderError",
}


def _public(kind: type[Any]) -> dict[str, Callable[..., Any]]:
    return {name: getattr(kind, name) for name in dir(kind) if name[0] != "_" and callable(getattr(kind, name))}


def _told(function: Callable[..., Any]) -> str:
    """Return a signature in the short form of the tables above."""
    words = []
    for parameter in list(inspect.signature(function).parameters.values()):
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            words.append("**")
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        words.append(parameter.name + default)
    return " ".join(words)


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (Memory, SIGNATURES),
        (Space, SPACE),
        (Files, FILES),
        (Mirrors, MIRRORS),
        (Sync, SYNC),
        (YjsTokens, TOKENS),
        (Models, MODELS),
    ],
)
def test_names_arguments_and_defaults_stand(kind: type[Any], table: dict[str, str]) -> None:
    """New names and arguments have to be added here. Renamed ones break programs."""
    assert {name: _told(method) for name, method in _public(kind).items()} == table


@pytest.mark.parametrize(
    ("options", "method"), [(AddOptions, Memory.add), (UpdateOptions, Memory.update)], ids=["add", "update"]
)
def test_the_options_are_the_arguments(options: type[Any], method: Callable[..., Any]) -> None:
    """add_many(), update_many() and ScopedMemory accept the arguments of the methods that they call."""
    first, *others = list(inspect.signature(method).parameters)[1:]
    assert first in ("text", "id")
    assert options.__optional_keys__ == set(others)


@pytest.mark.parametrize("name", ["search", "list", "count", "iterate", "forget"])
def test_a_scoped_memory_takes_the_same_arguments(name: str) -> None:
    """Only the filters lack the scope."""
    assert _told(getattr(ScopedMemory, name)) == SIGNATURES[name]
    assert Filters.__optional_keys__ - ScopedFilters.__optional_keys__ == {"scope"}


@pytest.mark.parametrize(
    ("kind", "twin"),
    [
        (Memory, AsyncMemory),
        (ScopedMemory, AsyncScopedMemory),
        (Space, AsyncSpace),
        (Files, AsyncFiles),
        (Mirrors, AsyncMirrors),
        (Sync, AsyncSync),
        (YjsTokens, AsyncYjsTokens),
        (Models, AsyncModels),
    ],
)
def test_all_of_it_is_awaitable_under_the_same_names(kind: type[Any], twin: type[Any]) -> None:
    """With the same arguments. Both sides have the same names."""
    ours, theirs = _public(kind), _public(twin)
    assert {name: _told(method) for name, method in theirs.items()} == {name: _told(ours[name]) for name in ours}


BLOCKING = {
    "Self",
    "Memory",
    "ScopedMemory",
    "Space",
    "Files",
    "Mirrors",
    "Sync",
    "YjsTokens",
    "Models",
    "Subscription",
    "Invitation",
}


@pytest.mark.parametrize(
    "twin",
    [AsyncMemory, AsyncScopedMemory, AsyncSpace, AsyncFiles, AsyncMirrors, AsyncSync, AsyncYjsTokens, AsyncModels],
)
def test_no_awaitable_method_returns_an_object_that_blocks(twin: type[Any]) -> None:
    """`awaitable` passes on the result of the synchronous method, so that method must not return such an object."""
    passed_on = [each for each in _public(twin).values() if each.__code__ is awaitable(Memory.get).__code__]
    returned = {each.__name__: set(re.findall(r"\w+", str(each.__annotations__.get("return")))) for each in passed_on}
    assert {name: names & BLOCKING for name, names in returned.items() if names & BLOCKING} == {}


@pytest.mark.parametrize("record", FIELDS)
def test_the_fields_of_what_comes_back_stand(record: type[Any]) -> None:
    """In the order of the documentation."""
    assert [field.name for field in fields(record)] == FIELDS[record].split()


def test_every_error_has_its_parents() -> None:
    """Programs catch errors by class. An InputError is also a ValueError."""
    kinds = {kind.__name__: kind for kind in vars(errors).values() if inspect.isclass(kind)}
    del kinds["MemcrdtError"]
    assert {name: " ".join(base.__name__ for base in kind.__bases__) for name, kind in kinds.items()} == ERRORS


def test_opening_takes_what_is_documented() -> None:
    """The defaults of `embedder` and `device_name` are the settings of config.toml."""
    assert (
        _told(open_async)
        == _told(open_memory)
        == "home=None * embedder=Ellipsis device_name=None read_only=False sync=False port=None"
    )


# Parts of Memory and Node that callers never name.
INTERNAL = {
    "Store",
    "YjsListener",
    "Searcher",
    "Network",
    "Pairing",
    "WaitingCode",
    "PairOptions",
    "Config",
    "Feed",
    "ChangeCursor",
}


def _annotated(function: Callable[..., Any]) -> set[str]:
    """Return the names of classes of memcrdt in a signature."""
    text = " ".join(map(str, getattr(inspect.unwrap(function), "__annotations__", {}).values()))
    return set(re.findall(r"[A-Za-z_]\w*", text)) & _classes().keys()


@cache
def _classes() -> Counter[str]:
    """Return the names of all public classes of memcrdt, with the number of modules that define each."""
    bodies = (ast.parse(path.read_text(encoding="utf-8")).body for path in Path(memcrdt.__file__).parent.rglob("*.py"))
    classes = (node.name for body in bodies for node in body if isinstance(node, ast.ClassDef))
    return Counter(name for name in classes if name[0] != "_")


def test_no_two_public_classes_share_a_name() -> None:
    """A name in a traceback, a log or a search leads to one class."""
    assert [name for name, count in _classes().items() if count > 1] == []


def _members(kind: type[Any]) -> list[Callable[..., Any]]:
    """Return the public methods, and the getters of the properties."""
    getters = [each.fget for _, each in inspect.getmembers(kind, lambda each: isinstance(each, property)) if each.fget]
    return [*_public(kind).values(), *getters]


@pytest.mark.parametrize("name", [name for name in memcrdt.__all__ if name[0] != "_"])
def test_what_a_public_name_takes_or_returns_is_public(name: str) -> None:
    """A caller can name the type of every argument, result, property and field."""
    value = getattr(memcrdt, name)
    functions = _members(value) if inspect.isclass(value) else [value] if inspect.isfunction(value) else []
    mentioned = set().union(*map(_annotated, functions)) if functions else set()
    if inspect.isclass(value):
        mentioned |= _annotated(value)
    assert mentioned - set(memcrdt.__all__) - INTERNAL == set()
