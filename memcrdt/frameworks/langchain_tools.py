"""Tools for LangChain with which a model searches and manages memories, in the shape of langmem's tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from memcrdt.errors import InputError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.recall import ACTIONS, CHARS_PER_TOKEN, Action, Recall, recall_of
from memcrdt.frameworks.services import raising
from memcrdt.frameworks.threads import in_thread
from memcrdt.service.answers import MAX_CHARS, check_chars
from memcrdt.service.problems import problem_of
from memcrdt.service.service import LIMIT

with needs("langchain"):
    from langchain_core.tools import BaseTool, StructuredTool, ToolException
    from pydantic import BaseModel, Field, create_model

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

INSTRUCTIONS: Final = (
    "Call it when the user states a preference or asks you to remember something, when you learn what will matter in"
    " later conversations, and when a memory turns out to be wrong or outdated. Write each memory as one sentence that"
    " is clear without this conversation."
)


def create_search_memory_tool(
    memory: Memory | AsyncMemory | Recall,
    *,
    project: str | None = None,
    space: str | None = None,
    scope: str | None = None,
    instructions: str = "",
    response_format: Literal["content", "content_and_artifact"] = "content",
    max_tokens: int = MAX_CHARS // CHARS_PER_TOKEN,
    name: str = "search_memory",
) -> BaseTool:
    """Return a tool with which a model searches the memories. It has the parameters of langmem's tool of this name.

    Args:
        memory: The memory, which stays open as long as the tool is used, or a Recall.
        project: The project; None for memories outside of projects.
        space: The only space to search; None for all of them.
        scope: The scope to search, as for Recall.search(); None for the project and `global`.
        instructions: More text for the description of the tool.
        response_format: With `content_and_artifact`, the artifact of the message is the list of hits.
        max_tokens: Maximum length of an answer, at four characters for a token.
        name: The name of the tool.

    Raises:
        InputError: `max_tokens` or the scope is invalid.
        NotFoundError: The space does not exist here.

    Example:
        >>> tool = create_search_memory_tool(memory, project="acme")
        >>> print(tool.invoke({"query": "how do we send bills?"}))
        <memories>
        …
    """
    recall = recall_of(memory, project=project, space=space)
    check_chars(max_tokens * CHARS_PER_TOKEN)
    recall.service.context.to_read(scope)

    def search(query: str, limit: int = LIMIT, offset: int = 0, filter: dict[str, Any] | None = None) -> Any:
        told, hits = recall.tell(query, scope=scope, limit=limit, offset=offset, max_tokens=max_tokens, metadata=filter)
        return (told, hits) if response_format == "content_and_artifact" else told

    about = f"Search the long-term memory for what is known from earlier conversations. {instructions}".strip()
    return _tool(search, name=name, description=about, args_schema=_SearchArguments, response_format=response_format)


def create_manage_memory_tool(
    memory: Memory | AsyncMemory | Recall,
    *,
    project: str | None = None,
    agent: str | None = None,
    space: str | None = None,
    scope: str | None = None,
    instructions: str = INSTRUCTIONS,
    actions_permitted: Sequence[Action] = ACTIONS,
    name: str = "manage_memory",
) -> BaseTool:
    """Return a tool with which a model creates, corrects and deletes memories, as langmem's tool of this name does.

    Args:
        memory: The memory, which stays open as long as the tool is used, or a Recall.
        project: The project of new memories; None for `global`.
        agent: The name of the agent, the author of its memories.
        space: The only space that the tool changes; None for all of them, and `personal` for new memories.
        scope: The scope of new memories, instead of the project.
        instructions: When to call the tool, for its description.
        actions_permitted: Any of `create`, `update` and `delete`.
        name: The name of the tool.

    Raises:
        InputError: An action or the scope is invalid.
        NotFoundError: The space does not exist here.

    Example:
        >>> tool = create_manage_memory_tool(memory, project="acme", agent="planner")
        >>> tool.invoke({"content": "The client wants invoices in PDF"})
        'created memory 01K9XQ3V7M2ZC4T8N6B5R1D0PE'
    """
    recall = recall_of(memory, project=project, agent=agent, space=space)
    actions = tuple(actions_permitted)
    if not actions or not set(actions) <= set(ACTIONS):
        raise InputError(f"the actions are {actions!r}; give any of {', '.join(ACTIONS)}")
    default = "create" if "create" in actions else actions[0]
    recall.service.context.to_write(scope)

    def manage(content: str | None = None, action: Action = default, id: str | None = None) -> str:
        return recall.manage(action, content, id, scope=scope)

    permitted: Any = Literal[actions]
    arguments = create_model(
        "_ManageArguments",
        content=(str | None, Field(None, description="The text of the memory, to create or update it.")),
        action=(permitted, Field(default, description="What to do.")),
        id=(str | None, Field(None, description="The id of the memory to update or delete, as search shows it.")),
    )
    about = f"{' or '.join(actions).capitalize()} a memory that lasts beyond this conversation. {instructions}"
    return _tool(manage, name=name, description=about.strip(), args_schema=arguments)


class _SearchArguments(BaseModel):
    query: str = Field(description="A question or keywords.")
    limit: int = Field(LIMIT, description="Maximum number of memories, up to 100.")
    offset: int = Field(0, description="Number of memories to skip.")
    filter: dict[str, Any] | None = Field(None, description="Metadata that the memories have.")


def _tool(call: Callable[..., Any], **described: Any) -> BaseTool:
    """Return a tool that tells the model about errors, so that it can correct its call."""
    told = raising(ToolException, problem_of)(call)
    handled = {"handle_tool_error": True, "handle_validation_error": True}
    return StructuredTool(func=told, coroutine=in_thread(told), **handled, **described)
