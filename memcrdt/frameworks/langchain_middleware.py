"""Memory for agents that create_agent() of LangChain makes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from memcrdt.errors import MemcrdtError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.langchain_messages import last_prompt, last_run, with_recalled
from memcrdt.frameworks.langchain_tools import create_manage_memory_tool, create_search_memory_tool
from memcrdt.frameworks.recall import PROMPT_TOKENS, Recall, recall_of
from memcrdt.service.capture import capture_said
from memcrdt.service.recall import PROMPT_HITS, PROMPT_SCORE

with needs("langchain"):
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.messages import BaseMessage

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

Capture: TypeAlias = Callable[[list[BaseMessage]], Iterable[str | Mapping[str, Any]]]

_log = logging.getLogger(__name__)


class MemcrdtMiddleware(AgentMiddleware):
    """Lets an agent of create_agent() recall memories with every prompt, search and manage them, and capture new ones.

    Before each call of the model, the memories that match the last message of the user are told as a message of the
    user before it. They are fenced as data, within a budget of tokens. The state of the agent does not contain them, so
    a checkpointer does not save them. If the memory fails, a warning is logged, and the agent goes on without it.

    Args:
        memory: The memory, which stays open as long as the agent is used, or a Recall.
        project: The project; None for memories outside of projects.
        agent: The name of the agent, the author of its memories.
        conversation: The name of the conversation, the source of its memories.
        space: The only space that the agent sees and writes; None for all of them, and `personal` for what is new.
        scope: The scope to recall from and to remember in; None for the project and `global`, and for the project.
        limit: Maximum number of memories for a prompt.
        min_score: Recall no memory below this score, from 0 to 1.
        max_tokens: Maximum length of what is recalled, at four characters for a token; 0 recalls nothing.
        with_tools: Whether the agent has the tools `search_memory` and `manage_memory`.
        capture: What to remember of a run by itself. True stores preferences, decisions and corrections that the user
            states, as `memcrdt capture` does: English only, without a model. A function returns texts, or mappings
            with the arguments of Recall.remember(). It takes the messages since the last one of the user, without what
            was recalled. False stores nothing.

    Raises:
        InputError: `max_tokens` leaves no room for a memory, or the scope is invalid.
        NotFoundError: The space does not exist here.

    Example:
        ```python
        agent = create_agent(model, middleware=[MemcrdtMiddleware(memory, project="acme", agent="coder")])
        ```
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory | Recall,
        *,
        project: str | None = None,
        agent: str | None = None,
        conversation: str | None = None,
        space: str | None = None,
        scope: str | None = None,
        limit: int = PROMPT_HITS,
        min_score: float = PROMPT_SCORE,
        max_tokens: int = PROMPT_TOKENS,
        with_tools: bool = True,
        capture: Capture | bool = False,
    ) -> None:
        super().__init__()
        self._recall = recall_of(memory, project=project, agent=agent, conversation=conversation, space=space)
        self._scope = scope
        self._recalled: dict[str, Any] = {
            "scope": scope,
            "limit": limit,
            "min_score": min_score,
            "max_tokens": max_tokens,
        }
        self._capture = capture
        self._recall.service.context.to_write(scope)
        if max_tokens:
            self._recall.prompt("", **self._recalled)  # checks max_tokens
        self.tools = _tools(self._recall, scope) if with_tools else []

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Call the model with what is recalled for the last message of the user."""
        return handler(self._told(request, self._block(last_prompt(request.messages))))

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do as wrap_model_call() does. The memory is read in a thread."""
        block = await asyncio.to_thread(self._block, last_prompt(request.messages))
        return await handler(self._told(request, block))

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Remember what `capture` finds in a run. The user has the answer already, so an error is only logged."""
        del runtime
        run = last_run(state["messages"])
        if callable(self._capture):
            self._keep(self._capture(run))
        elif self._capture:
            self._keep_statements(run)

    async def aafter_agent(self, state: Any, runtime: Any) -> None:
        """Do as after_agent() does, in a thread."""
        await asyncio.to_thread(self.after_agent, state, runtime)

    def _block(self, prompt: str) -> str:
        """Return the memories for a prompt; empty if there are none, or the memory fails."""
        if not self._recalled["max_tokens"]:
            return ""
        try:
            return self._recall.prompt(prompt, **self._recalled)
        except MemcrdtError as exc:
            _log.warning("nothing is recalled: %s", exc)
            return ""

    def _told(self, request: Any, block: str) -> Any:
        """Return a request with the memories before the last message of the user."""
        if not block:
            return request
        return request.override(messages=with_recalled(request.messages, block))

    def _keep(self, found: Iterable[str | Mapping[str, Any]]) -> None:
        for item in found:
            given = {"text": item} if isinstance(item, str) else dict(item)
            try:
                self._recall.remember(**{"scope": self._scope, **given})
            except MemcrdtError as exc:
                _log.warning("a part of the run is not remembered: %s", exc)

    def _keep_statements(self, run: Sequence[BaseMessage]) -> None:
        try:
            capture_said(self._recall.service, last_prompt(run), scope=self._scope)
        except MemcrdtError as exc:
            _log.warning("the run is not captured: %s", exc)


def _tools(recall: Recall, scope: str | None) -> list[Any]:
    return [create_search_memory_tool(recall, scope=scope), create_manage_memory_tool(recall, scope=scope)]
