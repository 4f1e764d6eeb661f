"""The memory service of Google's ADK: it finds what the kit's own one finds, and keeps users apart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

pytest.importorskip("google.adk.memory", reason="the extra memcrdt[google-adk] is not installed")

from google.adk.agents import Agent
from google.adk.events import Event
from google.adk.memory import BaseMemoryService, InMemoryMemoryService
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService, Session
from google.adk.tools import preload_memory
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from memcrdt.frameworks.google_adk import MemcrdtMemoryService
from memcrdt.memory.memory import Memory
from memcrdt.testing import exchange, temporary

OpenMemory = Callable[..., Memory]

WORDS = ("invoice", "deploy", "coffee", "berlin", "keyboard")
USERS = st.sampled_from([("shop", "ada"), ("shop", "ben"), ("shop/ada", "x"), ("shop", "ada/x")])
EVENTS = st.lists(st.tuples(st.integers(1, 6), st.sets(st.sampled_from(WORDS), max_size=3)), max_size=4)
CALLS = st.one_of(
    st.tuples(st.just("add"), USERS, EVENTS),
    st.tuples(st.just("search"), USERS, st.sampled_from([*WORDS, "nothing", ""])),
    st.tuples(st.just("delete"), USERS, st.sampled_from(WORDS)),
)


def event(number: int | str, text: str) -> Event:
    """Return an event with an id of its number."""
    content = types.Content(role="user", parts=[types.Part(text=text)] if text else [])
    return Event(id=f"e{number}", author="user", content=content, timestamp=1_800_000_000 + len(text))


async def found(service: Any, app: str, user: str, query: str) -> dict[str, str]:
    """Return the ids of what a search finds, by the text."""
    response = await service.search_memory(app_name=app, user_id=user, query=query)
    return {entry.content.parts[0].text: entry.id for entry in response.memories}


async def do(service: Any, name: str, user: tuple[str, str], said: Any) -> set[str]:
    """Make a call, and return the texts that it found."""
    if name == "add":
        events = [event(number, " ".join(sorted(words))) for number, words in dict(said).items()]
        await service.add_events_to_memory(app_name=user[0], user_id=user[1], session_id="s", events=events)
        return set()
    there = await found(service, *user, said)
    if name == "delete":
        for each in there.values():
            await service.delete_memory(app_name=user[0], user_id=user[1], memory_id=each)
    return set(there)


@pytest.mark.skipif(
    not hasattr(BaseMemoryService, "delete_memory"),
    reason="the kit's own service in memory cannot delete in this version, so nothing can be compared",
)
@settings(max_examples=25)
@given(st.lists(CALLS, max_size=12))
def test_it_finds_what_the_service_in_memory_finds(calls: list[tuple[str, tuple[str, str], Any]]) -> None:
    """For one word, whatever was added and deleted before. The other one never changes an event that it knows."""
    known: dict[tuple[Any, ...], Any] = {}

    async def compare(memory: Memory) -> None:
        ours, theirs = MemcrdtMemoryService(memory), InMemoryMemoryService()
        for name, user, said in calls:
            first = (
                [(number, known.setdefault((user, number), words)) for number, words in said] if name == "add" else said
            )
            assert await do(ours, name, user, first) == await do(theirs, name, user, first)

    with temporary() as memory:
        asyncio.run(compare(memory))


async def test_a_user_is_remembered_on_every_machine(open_memory: OpenMemory) -> None:
    """In a scope of the application and the user, with author and time of what was said."""
    laptop, desktop = open_memory("A"), open_memory("B")
    session = Session(id="s", app_name="shop", user_id="ada", events=[event(1, "I want invoices in PDF"), event(2, "")])
    for _ in range(2):
        await MemcrdtMemoryService(laptop).add_session_to_memory(session)
    exchange(laptop, desktop)
    (record,) = desktop.list()
    assert (record.scope, record.author, record.source) == ("agent/shop/ada", "user", "conversation/s")
    asked = {"app_name": "shop", "user_id": "ada"}
    (entry,) = (await MemcrdtMemoryService(desktop).search_memory(**asked, query="which invoices?")).memories
    assert (entry.author, entry.timestamp) == ("user", "2027-01-15T08:00:22+00:00")
    await MemcrdtMemoryService(desktop).delete_memory(**{**asked, "user_id": "ben"}, memory_id=entry.id)
    await MemcrdtMemoryService(desktop).delete_memory(**asked, memory_id="e1")
    assert desktop.get(record.id) == record


async def test_an_event_that_cannot_be_kept_is_left_out(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """The others of its session are remembered."""
    said = ["I want invoices in PDF", "the key is AKIAIOSFODNN7EXAMPLE", "x" * 70_000]
    session = Session(id="s", app_name="shop", user_id="ada", events=[event(*each) for each in enumerate(said)])
    with caplog.at_level(logging.WARNING, "memcrdt"):
        await MemcrdtMemoryService(memory).add_session_to_memory(session)
    assert [record.text for record in memory.list()] == said[:1]
    assert len(caplog.records) == 2


async def test_memories_can_be_added_without_a_session(memory: Memory) -> None:
    """With metadata. One scope for all users can be chosen, in which other faces search, too."""
    service = MemcrdtMemoryService(memory, scope="project/acme")
    entry = MemoryEntry(content=types.Content(parts=[types.Part(text="Deploys are on Tuesdays")]), author="planner")
    for _ in range(2):
        await service.add_memory(app_name="a", user_id="b", memories=[entry], custom_metadata={"sure": True})
    (record,) = memory.list(scope="project/acme")
    assert (record.text, record.author, record.metadata) == ("Deploys are on Tuesdays", "planner", {"sure": True})
    assert await found(service, "other", "user", "deploys") == {"Deploys are on Tuesdays": record.id}


class _Echo(BaseLlm):
    """A model that repeats its instructions."""

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncIterator[LlmResponse]:
        told = str(llm_request.config.system_instruction) + str(llm_request.contents)
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=told)]))


@pytest.mark.usefixtures("off_loop")
@pytest.mark.filterwarnings("ignore")
async def test_an_agent_is_told_what_matches(memory: Memory) -> None:
    """By the tool of the kit, in a run that never blocks the event loop."""
    service = MemcrdtMemoryService(memory)
    session = Session(id="old", app_name="shop", user_id="ada", events=[event(1, "I want invoices in PDF")])
    await service.add_session_to_memory(session)
    agent = Agent(name="support", model=_Echo(model="echo"), tools=[preload_memory])
    sessions = InMemorySessionService()
    runner = Runner(app_name="shop", agent=agent, session_service=sessions, memory_service=service)
    await sessions.create_session(app_name="shop", user_id="ada", session_id="new")
    asked = types.Content(role="user", parts=[types.Part(text="How do I get my invoices?")])
    said = [each async for each in runner.run_async(user_id="ada", session_id="new", new_message=asked)]
    assert "I want invoices in PDF" in said[-1].content.parts[0].text
    await runner.close()
