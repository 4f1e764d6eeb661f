"""Memories of a project for LangChain: a retriever, and tools with which a model searches and manages them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeAlias

from memcrdt import AsyncMemory
from memcrdt.errors import InputError, MemcrdtError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.recall import CHARS_PER_TOKEN, Recall
from memcrdt.frameworks.threads import in_thread
from memcrdt.service.access import Access
from memcrdt.service.answers import MAX_CHARS, answer, check_chars
from memcrdt.service.context import Context
from memcrdt.service.problems import problem_of
from memcrdt.service.service import LIMIT, Service

with needs("langchain"):
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.tools import BaseTool, StructuredTool, ToolException
    from pydantic import BaseModel, Field, PrivateAttr, create_model

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import Hit

P = ParamSpec("P")
Action: TypeAlias = Literal["create", "update", "delete"]
ACTIONS: Final[tuple[Action, ...]] = ("create", "update", "delete")
INSTRUCTIONS: Final = (
    "Call it when the user states a preference or asks you to remember something, when you learn what will matter in"
    " later conversations, and when a memory turns out to be wrong or outdated. Write each memory as one sentence that"
    " is clear without this conversation."
)


def recall_of(memory: Memory | AsyncMemory | Recall, *, space: str | None = None, **context: str | None) -> Recall:
    """Return the calls over a memory, for an agent.

    Args:
        memory: The memory, or calls that exist already.
        space: The only space that the agent sees and writes; None for all of them, and `personal` for what is new.
        **context: `project`, `agent` and `conversation`, as for Context.

    Raises:
        InputError: There are calls already, and a context or a space for them.
        NotFoundError: The space does not exist here.
    """
    if not isinstance(memory, Recall):
        opened = memory.memory if isinstance(memory, AsyncMemory) else memory
        if space is not None:
            opened.list(limit=1, space=space)  # raises if there is no such space
        access = Access(spaces=None if space is None else (space,))
        return Recall(Service(opened, Context(**context), access))
    given = [name for name, value in {"space": space, **context}.items() if value is not None]
    if given:
        raise InputError(f"{given[0]} is given beside a Recall, which has a context; give it there")
    return memory


class MemcrdtRetriever(BaseRetriever):
    """A retriever of LangChain over all memories of a project, whichever face or device added them.

    Each document has the text of a memory and its id. Its metadata are those of the memory, and under `memory` the rest
    of the record, such as its scope, author and device, with the score of the match.

    Args:
        memory: The memory, which stays open as long as the retriever is used, or a Recall.
        project: The project; None for memories outside of projects.
        space: The only space to search; None for all of them.
        scope: The scope to search, as for Recall.search(); None for the project and `global`.
        k: Maximum number of documents.
        min_score: Leave out memories below this score, from 0 to 1.
        filters: Filters as for Memory.search().

    Example:
        >>> MemcrdtRetriever(memory, project="acme").invoke("how do we send bills?")[0].page_content
        'The client wants invoices in PDF'
    """

    k: int = LIMIT
    scope: str | None = None
    min_score: float | None = None
    filters: dict[str, Any] = Field(default_factory=dict)
    _recall: Recall = PrivateAttr()

    def __init__(
        self,
        memory: Memory | AsyncMemory | Recall,
        *,
        project: str | None = None,
        space: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._recall = recall_of(memory, project=project, space=space)

    def _get_relevant_documents(self, query: str, *, run_manager: Any, **options: Any) -> list[Document]:
        asked = {"limit": options.pop("k", self.k), "scope": self.scope, "min_score": self.min_score, **self.filters}
        return [_document_of(hit) for hit in self._recall.search(query, **{**asked, **options})]


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
    chars = check_chars(max_tokens * CHARS_PER_TOKEN)
    recall.service.context.to_read(scope)

    def search(query: str, limit: int = LIMIT, offset: int = 0, filter: dict[str, Any] | None = None) -> Any:
        if not 1 <= limit <= 100 or not 0 <= offset <= 900:
            raise InputError(f"the limit is {limit} and the offset {offset}; give 1 to 100, and 0 to 900")
        hits = recall.search(query, scope=scope, limit=limit + offset, metadata=filter)[offset:]
        told = answer(hits, recall.service.origins(hits), (), max_chars=chars).text
        said = told or "No memory matches. Try other words."
        return (said, hits) if response_format == "content_and_artifact" else said

    described = f"Search the long-term memory for what is known from earlier conversations. {instructions}"
    return _tool(search, _SearchArguments, name, described, response_format)


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
        _check_manage(action, content, id)
        if action == "create":
            saved = recall.remember(str(content), scope=scope)
            return f"memory {saved.id} says this already" if saved.known else f"created memory {saved.id}"
        if action == "update":
            return f"updated memory {recall.service.update(str(id), text=content).id}"
        return f"deleted memory {id}" if recall.forget(str(id)) else f"memory {id} was deleted before"

    permitted: Any = Literal[actions]
    arguments = create_model(
        "_ManageArguments",
        content=(str | None, Field(None, description="The text of the memory, to create or update it.")),
        action=(permitted, Field(default, description="What to do.")),
        id=(str | None, Field(None, description="The id of the memory to update or delete, as search shows it.")),
    )
    verbs = ", ".join(actions[:-1]) + " or " + actions[-1] if len(actions) > 1 else actions[0]
    described = f"{verbs.capitalize()} a memory that lasts beyond this conversation. {instructions}"
    return _tool(manage, arguments, name, described)


class _SearchArguments(BaseModel):
    query: str = Field(description="A question or keywords.")
    limit: int = Field(LIMIT, description="Maximum number of memories, up to 100.")
    offset: int = Field(0, description="Number of memories to skip.")
    filter: dict[str, Any] | None = Field(None, description="Metadata that the memories have.")


def _tool(
    call: Callable[..., Any], arguments: type[BaseModel], name: str, description: str, response_format: Any = "content"
) -> BaseTool:
    """Return a tool that tells the model about errors, so that it can correct its call."""
    told = _telling(call)
    return StructuredTool(
        name=name,
        description=description.strip(),
        args_schema=arguments,
        func=told,
        coroutine=in_thread(told),
        response_format=response_format,
        handle_tool_error=True,
        handle_validation_error=True,
    )


def _telling(call: Callable[P, Any]) -> Callable[P, Any]:
    """Return a function that raises ToolException instead of errors of memcrdt."""

    @wraps(call)
    def told(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return call(*args, **kwargs)
        except MemcrdtError as exc:
            raise ToolException(str(problem_of(exc))) from exc

    return told


def _check_manage(action: Action, content: str | None, id: str | None) -> None:
    """Raise InputError if an action has not what it needs."""
    if action == "create" and id is not None:
        raise InputError("a new memory has no id yet; leave out the id, or update")
    if action != "create" and id is None:
        raise InputError(f"{action} needs the id of the memory; search shows it")
    if action != "delete" and content is None:
        raise InputError(f"{action} needs the content")


def _document_of(hit: Hit) -> Document:
    """Return a hit as a document."""
    told = hit.memory.to_dict()
    own = {name: told.pop(name) for name in ("id", "text", "metadata")}
    provenance = {name: value for name, value in told.items() if value not in (None, [])}
    metadata = {**own["metadata"], "memory": {**provenance, "score": round(hit.score, 3)}}
    return Document(id=own["id"], page_content=own["text"], metadata=metadata)
