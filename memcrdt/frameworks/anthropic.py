"""The memory tool of the Anthropic SDK, over files that sync between the user's machines."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import MemcrdtError, NotFoundError, StaleRevisionError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.files import NEW, FileTree, StoredFile
from memcrdt.frameworks.services import service_over
from memcrdt.model.scopes import GLOBAL, PERSONAL

with needs("anthropic"):
    from anthropic.lib.tools import BetaAbstractMemoryTool, BetaAsyncAbstractMemoryTool, ToolError

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

TOP: Final = "/memories"
LEVELS: Final = 2  # of folders in a view
CONTEXT_LINES: Final = 2  # before and after a replacement

_NUMBER_WIDTH: Final = 6


def _told(command: Callable[[_MemoryFiles, Any], str]) -> Callable[[_MemoryFiles, Any], str]:
    """Return a command that tells the model what went wrong."""

    @wraps(command)
    def run(self: _MemoryFiles, asked: Any) -> str:
        try:
            return command(self, asked)
        except MemcrdtError as exc:
            raise ToolError(str(exc)) from exc

    return run


class _MemoryFiles:
    """The commands of the tool. Their answers are those of the SDK's own tool for the file system."""

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = GLOBAL,
        space: str = PERSONAL,
        root: str = TOP.strip("/"),
        author: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tree = FileTree(service_over(memory, author=author), scope=scope, space=space, root=root)

    @_told
    def view(self, command: Any) -> str:
        """Return a numbered text, or what is in a folder."""
        path = _relative(command.path)
        file = self._find(path)
        if file:
            return self._text(file, command)
        inside = self.tree.files(path)
        if path and not inside:
            raise _missing(command.path)
        sizes = _sizes(path, inside)
        lines = [
            f"Here're the files and directories up to {LEVELS} levels deep in {command.path}, excluding hidden items:",
            f"{_size(sum(_bytes(file) for file in inside))}\t{command.path}",
            *(f"{_size(sizes[name])}\t{command.path}/{'/'.join(name)}" for name in sorted(sizes)),
        ]
        return "\n".join(lines)

    @_told
    def create(self, command: Any) -> str:
        """Add a file that does not exist yet."""
        path = _relative(command.path)
        if not path or self.tree.files(path):
            raise ToolError(f"File {command.path} already exists")
        self._check_parents(path)
        try:
            self.tree.write(path, command.file_text, expected=NEW)
        except StaleRevisionError as exc:
            raise ToolError(f"File {command.path} already exists") from exc
        return f"File created successfully at: {command.path}"

    @_told
    def str_replace(self, command: Any) -> str:
        """Replace a text that a file has once."""
        before = self._existing(command.path)
        changed: list[int] = []

        def change(text: str) -> str:
            changed[:] = [text[:at].count("\n") for at in _occurrences(text, command.old_str)]
            if text.count(command.old_str) == 0:
                raise ToolError(
                    f"No replacement was performed, old_str `{command.old_str}` did not appear verbatim in"
                    f" {command.path}."
                )
            if text.count(command.old_str) > 1:
                raise ToolError(
                    f"No replacement was performed. Multiple occurrences of old_str `{command.old_str}` in lines:"
                    f" {', '.join(str(line + 1) for line in changed)}. Please ensure it is unique"
                )
            return text.replace(command.old_str, command.new_str)

        lines = self.tree.edit(before.path, change).text.split("\n")
        first = max(0, changed[0] - CONTEXT_LINES)
        snippet = _numbered(lines[first : changed[0] + CONTEXT_LINES + 1], first + 1)
        heading = "The memory file has been edited. Here is the snippet showing the change (with line numbers):\n"
        return heading + snippet + _rivals(before)

    @_told
    def insert(self, command: Any) -> str:
        """Insert lines after a line."""
        before = self._existing(command.path)

        def change(text: str) -> str:
            lines = text.split("\n")
            if not lines[-1]:
                lines.pop()
            if not 0 <= command.insert_line <= len(lines):
                raise ToolError(
                    f"Invalid `insert_line` parameter: {command.insert_line}. It should be within the range"
                    f" [0, {len(lines)}]."
                )
            lines.insert(command.insert_line, command.insert_text.rstrip("\n"))
            return "\n".join(lines).removesuffix("\n") + "\n"

        self.tree.edit(before.path, change)
        return f"The file {command.path} has been edited." + _rivals(before)

    @_told
    def delete(self, command: Any) -> str:
        """Delete a file, or a folder with everything in it, on every device."""
        path = _relative(command.path)
        if not path:
            raise ToolError(f"Cannot delete the {TOP} directory itself")
        for file in self._below(path, command.path):
            self.tree.delete(file.path)
        return f"Successfully deleted {command.path}"

    @_told
    def rename(self, command: Any) -> str:
        """Move a file, or a folder with everything in it."""
        old, new = _relative(command.old_path), _relative(command.new_path)
        if not old:
            raise ToolError(f"Cannot rename the {TOP} directory itself")
        taken = ToolError(f"The destination {command.new_path} already exists")
        if not new or self._find(new) or self.tree.files(new):
            raise taken
        if new.startswith(old + "/"):
            raise ToolError(f"Cannot move {command.old_path} into itself")
        self._check_parents(new)
        for file in self._below(old, command.old_path):
            try:
                self.tree.rename(file.path, new + file.path.removeprefix(old))
            except StaleRevisionError as exc:
                raise taken from exc
        return f"Successfully renamed {command.old_path} to {command.new_path}"

    def clear_all_memory(self) -> str:
        """Delete all files on every device."""
        for file in self.tree.files():
            self.tree.delete(file.path)
        return "All memory cleared"

    def _find(self, path: str) -> StoredFile | None:
        try:
            return self.tree.read(path) if path else None
        except NotFoundError:
            return None

    def _existing(self, shown: str) -> StoredFile:
        path = _relative(shown)
        file = self._find(path)
        if file is None:
            raise (
                ToolError(f"The path {shown} is not a file.") if self.tree.files(path) or not path else _missing(shown)
            )
        return file

    def _below(self, path: str, shown: str) -> list[StoredFile]:
        """Return a file, or all files in a folder."""
        file = self._find(path)
        found = [file] if file else self.tree.files(path)
        if not found:
            raise ToolError(f"The path {shown} does not exist")
        return found

    def _check_parents(self, path: str) -> None:
        for folder in _folders(path):
            if self._find(folder):
                raise ToolError(f"{TOP}/{folder} is a file and not a directory")

    def _text(self, file: StoredFile, command: Any) -> str:
        lines = file.text.split("\n")
        first = 0
        if command.view_range and len(command.view_range) == 2:
            first, last = max(1, command.view_range[0]) - 1, command.view_range[1]
            lines = lines[first : len(lines) if last == -1 else last]
        heading = f"Here's the content of {command.path} with line numbers:\n"
        return heading + _numbered(lines, first + 1) + _rivals(file)


class MemcrdtMemoryTool(_MemoryFiles, BetaAbstractMemoryTool):
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


class AsyncMemcrdtMemoryTool(BetaAsyncAbstractMemoryTool):
    """Claude's memory tool for AsyncAnthropic. Arguments as for MemcrdtMemoryTool."""

    def __init__(self, memory: Memory | AsyncMemory, *, cache_control: Any = None, **options: Any) -> None:
        super().__init__(cache_control=cache_control)
        self._files = _MemoryFiles(memory, **options)
        self.tree = self._files.tree

    async def view(self, command: Any) -> str:
        """Return a numbered text, or what is in a folder."""
        return await asyncio.to_thread(self._files.view, command)

    async def create(self, command: Any) -> str:
        """Add a file that does not exist yet."""
        return await asyncio.to_thread(self._files.create, command)

    async def str_replace(self, command: Any) -> str:
        """Replace a text that a file has once."""
        return await asyncio.to_thread(self._files.str_replace, command)

    async def insert(self, command: Any) -> str:
        """Insert lines after a line."""
        return await asyncio.to_thread(self._files.insert, command)

    async def delete(self, command: Any) -> str:
        """Delete a file, or a folder with everything in it, on every device."""
        return await asyncio.to_thread(self._files.delete, command)

    async def rename(self, command: Any) -> str:
        """Move a file, or a folder with everything in it."""
        return await asyncio.to_thread(self._files.rename, command)

    async def clear_all_memory(self) -> str:
        """Delete all files on every device."""
        return await asyncio.to_thread(self._files.clear_all_memory)


def _relative(path: str) -> str:
    """Return the path of a file in the tree; empty for /memories itself."""
    if path != TOP and not path.startswith(TOP + "/"):
        raise ToolError(f"Path must start with {TOP}, got: {path}")
    plain = posixpath.normpath("/".join(part for part in path.split("/") if part))
    if plain != TOP[1:] and not plain.startswith(TOP[1:] + "/"):
        raise ToolError(f"Path {path} would escape {TOP} directory")
    return plain[len(TOP) :]


def _missing(shown: str) -> ToolError:
    return ToolError(f"The path {shown} does not exist. Please provide a valid path.")


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _sizes(folder: str, inside: Iterable[StoredFile]) -> dict[tuple[str, ...], int]:
    """Return the bytes of what a view of a folder lists, by the parts of its path; a folder has an empty last one."""
    sizes: dict[tuple[str, ...], int] = {}
    for file in inside:
        parts = tuple(file.path.removeprefix(folder).strip("/").split("/"))
        listed = [(*parts[:level], "") for level in range(1, len(parts))] + [parts]
        for name in listed[:LEVELS]:
            if not any(part.startswith(".") for part in name):
                sizes[name] = sizes.get(name, 0) + _bytes(file)
    return sizes


def _bytes(file: StoredFile) -> int:
    return len(file.text.encode())


def _size(size: int) -> str:
    return f"{size / 1024:.1f}K".replace(".0K", "K") if size >= 1024 else f"{size}B"


def _occurrences(text: str, part: str) -> Iterator[int]:
    """Yield every place of a part in a text, also those that overlap."""
    at = text.find(part)
    while at != -1:
        yield at
        at = text.find(part, at + 1)


def _numbered(lines: Iterable[str], first: int) -> str:
    return "\n".join(f"{number:>{_NUMBER_WIDTH}}\t{line}" for number, line in enumerate(lines, first))


def _rivals(file: StoredFile) -> str:
    """Return what the model has to know of texts that were written apart, so that an edit loses none of them."""
    others = [text for text in file.rivals if text != file.text]
    heading = "\n\nAnother device wrote, while disconnected, this version, which the next edit drops:\n"
    return "".join(heading + text for text in others)
