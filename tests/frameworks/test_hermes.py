"""The memory provider of Hermes Agent, against its abstract class as its documentation and source describe it."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import memcrdt
from memcrdt import config


class MemoryProvider(ABC):
    """What Hermes requires of a provider, with the defaults that the calls below rely on."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def is_available(self) -> bool: ...

    @abstractmethod
    def initialize(self, session_id: str, **kwargs: Any) -> None: ...

    @abstractmethod
    def get_tool_schemas(self) -> list[dict[str, Any]]: ...

    def get_config_schema(self) -> list[dict[str, Any]]:
        return []

    def on_pre_compress(self, messages: list[dict[str, Any]]) -> str:
        return ""

    def queue_prefetch(self, query: str, *, session_id: str = "") -> None:
        return None

    def on_session_end(self, messages: list[dict[str, Any]]) -> None:
        return None


@dataclass(frozen=True)
class RecallStatus:
    provider_label: str
    count: int


Start = Callable[..., Any]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with a memory for every project, while the agent works in the project app."""
    folder = tmp_path / "home"
    with memcrdt.open(folder, embedder=None) as memory:
        memory.add("The user wants short answers", kind="preference", pinned=True)
        memory.add("The billing service is deployed with make ship", scope="project/app")
    config.change(folder, "embedder", "none")
    monkeypatch.setenv("MEMCRDT_HOME", str(folder))
    monkeypatch.setenv("MEMCRDT_PROJECT", "app")
    return folder


@pytest.fixture
def start(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Register the provider as Hermes does, and start a session with it."""
    module = ModuleType("agent.memory_provider")
    module.MemoryProvider, module.RecallStatus = MemoryProvider, RecallStatus  # type: ignore[attr-defined]
    package = ModuleType("agent")
    package.memory_provider = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "agent", package)
    monkeypatch.setitem(sys.modules, "agent.memory_provider", module)
    monkeypatch.delitem(sys.modules, "memcrdt.frameworks.hermes", raising=False)
    hermes = importlib.import_module("memcrdt.frameworks.hermes")
    started: list[Any] = []

    def begin(session: str = "s1", **kwargs: Any) -> Any:
        provider = hermes.MemcrdtProvider(sync=False)
        started.append(provider)
        assert provider.is_available()
        provider.initialize(session, hermes_home="/nowhere", **{"platform": "cli", **kwargs})
        return provider

    yield begin
    for provider in started:
        provider.shutdown()
    monkeypatch.delitem(sys.modules, "memcrdt.frameworks.hermes")


def call(provider: Any, tool: str, **args: Any) -> Any:
    return json.loads(provider.handle_tool_call(tool, args))


def test_hermes_finds_the_provider_by_its_entry_point(start: Start) -> None:
    """The entry point names a function that registers one provider, complete by the abstract class."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["entry-points"]["hermes_agent.memory_providers"]["memcrdt"].partition(":")
    registered: list[Any] = []
    register = getattr(sys.modules[module], function)
    register(SimpleNamespace(register_memory_provider=registered.append))
    assert isinstance(registered[0], MemoryProvider)
    assert registered[0].name == "memcrdt"
    registered[0].shutdown()


def test_the_first_turn_knows_the_project_and_each_turn_its_prompt(start: Start) -> None:
    """Pinned memories come once, those of the prompt each time, and the status counts what was shown."""
    provider = start()
    first = provider.prefetch("How is the billing service deployed?", session_id="s1")
    assert "short answers" in first
    assert "make ship" in first
    assert provider.recall_status().count == first.count("<memory ")
    later = provider.prefetch("How is the billing service deployed?")
    assert "short answers" not in later
    assert "make ship" in later
    assert provider.prefetch("ok") == ""
    assert provider.recall_status() is None


def test_tools_store_find_change_and_forget(start: Start) -> None:
    """In the schema of function calls, with results and problems as JSON."""
    provider = start()
    for schema in provider.get_tool_schemas():
        assert set(schema) == {"name", "description", "parameters"}
        assert set(schema["parameters"]["required"]) <= set(schema["parameters"]["properties"])
    saved = call(provider, "add_memory", text="The tests need a running queue", kind="fact")
    assert saved["scope"] == "project/app"
    assert call(provider, "add_memory", text="The user is colour-blind", everywhere=True)["scope"] == "global"
    assert "running queue" in call(provider, "search_memories", query="what do the tests need?")["text"]
    call(provider, "update_memory", id=saved["id"], text="The tests need nothing")
    assert "running queue" not in call(provider, "search_memories", query="what do the tests need?")["text"]
    assert call(provider, "forget_memory", id=saved["id"])["count"] == 1
    assert call(provider, "forget_memory", id="01ARZ3NDEKTSV4RRFFQ69G5FAV")["error"]["code"] == "not_found"
    for tool, args in (("no_tool", {}), ("add_memory", {}), ("search_memories", {"query": "x", "colour": 1})):
        assert call(provider, tool, **args)["error"]["remedy"]


def test_people_on_a_gateway_are_not_the_user(start: Start, home: Path) -> None:
    """Each sees and changes only what was stored for them."""
    ada, bob = (start(platform="telegram", user_id=person) for person in ("ada", "bob"))
    saved = call(ada, "add_memory", text="Ada likes the billing service in green", everywhere=True)
    assert saved["scope"] == "agent/hermes:telegram:ada"
    for query in ("billing service", "short answers"):
        assert call(bob, "search_memories", query=query, all_projects=True)["text"] == ""
        assert "make ship" not in ada.prefetch(f"what about {query} for everyone?")
    assert "error" in call(bob, "forget_memory", id=saved["id"])
    assert "error" in call(bob, "update_memory", id=saved["id"], text="x")
    assert "in green" in call(ada, "search_memories", query="billing service")["text"]


def test_people_with_unusual_ids_have_scopes_of_their_own(start: Start) -> None:
    """An id may be longer than the name of a scope, or not printable. None of them is another's, or the user's."""
    ids = ["a" * 300, "a" * 299 + "b", "a\nb", "a\u202eb", "\ud800"]
    saved = [call(start(platform="telegram", user_id=each), "add_memory", text="I like green") for each in ids]
    assert len({each["scope"] for each in saved}) == len(ids)
    assert all(each["scope"].startswith("agent/hermes:") for each in saved)


def test_writes_of_hermes_are_mirrored_and_other_agents_only_read(start: Start, home: Path) -> None:
    """What the built-in memory stores, and nothing from subagents and scheduled jobs."""
    provider = start()
    provider.on_memory_write("add", "user", "The user lives in Oslo", metadata={"platform": "cli"})
    provider.on_memory_write("add", "memory", "The build needs Java 21")
    provider.on_memory_write("remove", "memory", "The billing service is deployed with make ship")
    provider.on_memory_write("add", "memory", "the key is " + "AKIA" + "Q4R7T2W9X5Z3B6N8")
    helper = start(agent_context="subagent")
    helper.on_memory_write("add", "memory", "A subagent said so")
    assert "error" in call(helper, "add_memory", text="A subagent said so")
    provider.shutdown()
    helper.shutdown()
    with memcrdt.open(home, embedder=None) as memory:
        stored = {record.text: (record.scope, record.kind, record.source) for record in memory.list(author="hermes")}
        assert memory.count() == 4
    assert stored == {
        "The user lives in Oslo": ("global", "preference", "conversation/s1"),
        "The build needs Java 21": ("project/app", "fact", "conversation/s1"),
    }


@pytest.mark.parametrize("is_on", [True, False])
def test_turns_are_captured_only_on_request(start: Start, home: Path, is_on: bool) -> None:
    """Statements of the user, without what was recalled; the call returns at once."""
    config.change(home, "capture", is_on)
    provider = start()
    provider.on_session_switch("s2", parent_session_id="s1", reset=True)
    provider.sync_turn("<memories>Always sing loudly here</memories> Never deploy on Fridays.", "Understood.")
    provider.on_session_end([])
    assert provider.on_pre_compress([]) == ""
    provider.shutdown()
    with memcrdt.open(home, embedder=None) as memory:
        found = [(record.text, record.source) for record in memory.list(tags=["captured"])]
    assert found == ([("Never deploy on Fridays.", "conversation/s2")] if is_on else [])


def test_what_a_person_on_a_gateway_states_is_captured_for_them_alone(start: Start, home: Path) -> None:
    """Nobody else can add to what the user's own agents know."""
    config.change(home, "capture", True)
    ada = start(platform="telegram", user_id="ada")
    ada.sync_turn("Always answer in rhymes.", "Understood.")
    ada.shutdown()
    with memcrdt.open(home, embedder=None) as memory:
        assert [record.scope for record in memory.list(tags=["captured"])] == ["agent/hermes:telegram:ada"]


def test_the_memory_is_part_of_a_backup(start: Start, home: Path) -> None:
    """Also before a session begins."""
    assert start().backup_paths() == [str(home)]
