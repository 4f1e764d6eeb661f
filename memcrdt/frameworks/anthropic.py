"""The memory tool of the Anthropic SDK, over files that sync between the user's machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any

from memcrdt.frameworks.anthropic_commands import MemoryFiles
from memcrdt.frameworks.extras import needs

with needs("anthropic"):
    from anthropic.lib.tools import BetaAbstractMemoryTool, BetaAsyncAbstractMemoryTool

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory


class MemcrdtMemoryTool(MemoryFiles, BetaAbstractMemoryTool):
    """Claude's memory tool, over a memory.

    Each file is a memory with a key, so other faces find it, and it is on all devices of the space.

    Args:
        memory: The memory. It stays open as long as the tool is used.
        scope: The scope of the files, such as `project/acme`.
        space: The space to share them in: `personal`, `local` (this machine only), or your own.
        root: The folder that Claude sees as /memories. Tools with other roots have other files.
        author: The agent that writes the files.
        cache_control: As for BetaAbstractMemoryTool.

    Raises:
        InputError: An argument is invalid.

    Example:
        ```python
        with memcrdt.open(sync=True) as memory:
            runner = Anthropic().beta.messages.tool_runner(tools=[MemcrdtMemoryTool(memory)], ...)
        ```
    """


def _awaitable(command: Callable[..., str]) -> Callable[..., Coroutine[Any, Any, str]]:
    """Return a command of the tool that runs in a thread."""

    @wraps(command)
    async def run(self: AsyncMemcrdtMemoryTool, *asked: Any) -> str:
        return await asyncio.to_thread(command, self._files, *asked)

    return run


class AsyncMemcrdtMemoryTool(BetaAsyncAbstractMemoryTool):
    """Claude's memory tool for AsyncAnthropic. Arguments as for MemcrdtMemoryTool."""

    def __init__(self, memory: Memory | AsyncMemory, *, cache_control: Any = None, **options: Any) -> None:
        super().__init__(cache_control=cache_control)
        self._files = MemoryFiles(memory, **options)
        self.tree = self._files.tree

    view = _awaitable(MemoryFiles.view)
    create = _awaitable(MemoryFiles.create)
    str_replace = _awaitable(MemoryFiles.str_replace)
    insert = _awaitable(MemoryFiles.insert)
    delete = _awaitable(MemoryFiles.delete)
    rename = _awaitable(MemoryFiles.rename)
    clear_all_memory = _awaitable(MemoryFiles.clear_all_memory)
