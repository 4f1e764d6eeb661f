"""The memory provider of Hermes Agent, which finds it by the entry point `hermes_agent.memory_providers`.

Hermes loads this module in its own process: its base class is not a package that could be required here. One memory
serves every profile and every other agent of the user. People who write over a gateway are not the user. Each of them
has a scope, and sees nothing else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from agent import memory_provider

from memcrdt import Memory
from memcrdt._open import open as open_memory
from memcrdt.errors import InputError, MemcrdtError
from memcrdt.frameworks import hermes_tools
from memcrdt.model.scopes import GLOBAL, named_for
from memcrdt.paths import home_folder
from memcrdt.projects import find_project
from memcrdt.service.capture import capture_said
from memcrdt.service.context import Context
from memcrdt.service.recall import turn_context
from memcrdt.service.service import Service

NAME: Final = "memcrdt"
AGENT: Final = "hermes"

_log = logging.getLogger(__name__)


def register(ctx: Any) -> None:
    """Give Hermes the provider. It calls this when `memory.provider` is `memcrdt`."""
    ctx.register_memory_provider(MemcrdtProvider())


class MemcrdtProvider(memory_provider.MemoryProvider):
    """memcrdt as the memory of Hermes Agent.

    Args:
        home: The folder of the memory; None for $MEMCRDT_HOME, or the data folder of the platform.
        sync: Whether to sync with the user's other devices while Hermes runs.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None, *, sync: bool = True) -> None:
        self._home, self._sync = home, sync
        self._memory: Memory | None = None
        self._context = Context(agent=AGENT)
        self._own_scope: str | None = None  # of a person on a gateway
        self._writes = True
        self._is_new = True
        self._recalled = 0
        self._background = ThreadPoolExecutor(1, thread_name_prefix=NAME)

    @property
    def name(self) -> str:
        return NAME

    def is_available(self) -> bool:
        return not self.unavailable_reason()

    def unavailable_reason(self) -> str:
        try:
            home_folder(self._home)
        except InputError as exc:
            return str(exc)
        return ""

    def initialize(self, session_id: str, **kwargs: Any) -> None:
        platform, person = kwargs.get("platform") or "cli", kwargs.get("user_id")
        is_own = platform in ("cli", "cron") or not person
        self._own_scope = None if is_own else named_for("agent", f"{AGENT}:", f"{platform}:{person}")
        self._writes = kwargs.get("agent_context") in (None, "", "primary")  # others do not talk to a person
        project = find_project(None, os.environ, Path.cwd()) if platform == "cli" else None
        self._context = Context(project=project, agent=AGENT, conversation=session_id or None)
        self._is_new = True
        if self._memory is None:
            self._memory = open_memory(self._home, sync=self._sync)

    def system_prompt_block(self) -> str:
        return hermes_tools.INSTRUCTIONS

    def prefetch(self, query: str, *, session_id: str = "") -> str:
        """Return what matters for this prompt, and in the first turn what matters for the project."""
        is_first, self._is_new = self._is_new, False
        text = self._safely(lambda: turn_context(self._service(), query, is_first=is_first, scope=self._own_scope))
        self._recalled = text.count("<memory ")
        return text

    def recall_status(self) -> Any:
        status = getattr(memory_provider, "RecallStatus", None)  # older versions have none
        return status(NAME, self._recalled) if status is not None and self._recalled else None

    def sync_turn(self, user_content: str, assistant_content: str, **_: Any) -> None:
        """Capture what the user said in the background, if the setting `capture` is on."""
        if self._writes and self._memory is not None and self._memory.config.capture and isinstance(user_content, str):
            self._later(capture_said, self._service(), user_content, scope=self._own_scope)

    def on_memory_write(self, action: str, target: str, content: str, metadata: Any = None) -> None:
        """Store what the built-in memory of Hermes stores. What it removes stays here: it may be true elsewhere."""
        if not self._writes or action not in ("add", "replace") or not content.strip():
            return
        scope, kind = (GLOBAL, "preference") if target == "user" else (None, "fact")
        self._later(self._service().add, content, scope=self._own_scope or scope, kind=kind)

    def on_session_switch(self, new_session_id: str, *, reset: bool = False, **_: Any) -> None:
        self._context = Context(project=self._context.project, agent=AGENT, conversation=new_session_id or None)
        self._is_new = self._is_new or reset

    def get_tool_schemas(self) -> list[dict[str, Any]]:
        return hermes_tools.schemas()

    def handle_tool_call(self, tool_name: str, args: dict[str, Any], **kwargs: Any) -> str:
        """Return the result as JSON. A problem has a code, a reason and a remedy."""
        return hermes_tools.answer(self._service(), tool_name, args, own_scope=self._own_scope, writes=self._writes)

    def shutdown(self) -> None:
        self._background.shutdown(wait=True)
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def backup_paths(self) -> list[str]:
        return [str(home_folder(self._home))] if self.is_available() else []

    def _service(self) -> Service:
        if self._memory is None:
            raise InputError("the memory is not open; Hermes has to initialize its provider first")
        return Service(self._memory, self._context)

    def _later(self, call: Callable[..., Any], *given: Any, **options: Any) -> None:
        self._background.submit(self._safely, partial(call, *given, **options))

    def _safely(self, work: Callable[[], Any]) -> str:
        """Return the text of a call whose failure must not stop the agent."""
        try:
            return str(work())
        except MemcrdtError as exc:
            _log.warning("memcrdt: %s", exc)
            return ""
