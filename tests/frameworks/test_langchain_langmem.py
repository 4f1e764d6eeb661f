"""The tools have the shape of langmem's: a prompt that was written for these works with ours."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langmem", reason="langmem is not installed")

import langmem
from langgraph.store.memory import InMemoryStore

from memcrdt.frameworks.langchain_tools import create_manage_memory_tool, create_search_memory_tool
from memcrdt.memory.memory import Memory


def shape(tool: Any) -> dict[str, Any]:
    """Return the name of a tool, and the name and the default of each parameter."""
    fields = tool.get_input_schema().model_fields
    return {
        "name": tool.name,
        **{name: None if field.is_required() else field.default for name, field in fields.items()},
    }


def test_the_tools_have_the_parameters_of_langmem(memory: Memory) -> None:
    """With the same defaults. An id is one of a memory here, and a UUID there."""
    store = InMemoryStore()
    theirs = [langmem.create_search_memory_tool, langmem.create_manage_memory_tool]
    ours = [create_search_memory_tool, create_manage_memory_tool]
    for make, other in zip(ours, theirs, strict=True):
        assert shape(make(memory)) == shape(other(namespace=("memories",), store=store))


@pytest.mark.parametrize(
    "permitted", [("create",), ("update", "delete"), ("update", "create"), ("create", "update", "delete")]
)
def test_the_same_actions_can_be_permitted(memory: Memory, permitted: tuple[Any, ...]) -> None:
    """And one of them is the default."""
    ours = create_manage_memory_tool(memory, actions_permitted=permitted)
    theirs = langmem.create_manage_memory_tool(("memories",), store=InMemoryStore(), actions_permitted=permitted)
    assert shape(ours) == shape(theirs)


def test_a_conversation_with_the_tools_goes_alike(memory: Memory) -> None:
    """Create, update, search and delete, with the id that the first answer gives."""
    said = []
    for manage, search in (
        (create_manage_memory_tool(memory), create_search_memory_tool(memory)),
        (
            langmem.create_manage_memory_tool(("memories",), store=(store := InMemoryStore())),
            langmem.create_search_memory_tool(("memories",), store=store),
        ),
    ):
        created = manage.invoke({"content": "Ada prefers tea", "action": "create"})
        made = created.rpartition(" ")[2]
        answers = [
            created,
            manage.invoke({"content": "Ada prefers coffee", "action": "update", "id": made}),
            search.invoke({"query": "what does Ada prefer?"}),
            manage.invoke({"action": "delete", "id": made}),
        ]
        said.append([answers[0], answers[1], "Ada prefers coffee" in answers[2], answers[3].lower()])
        said[-1] = [str(each).replace(made, "ID").replace(made.lower(), "ID") for each in said[-1]]
    assert said[0] == said[1]
