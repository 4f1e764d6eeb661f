"""The commands of the memory tool of the Anthropic SDK, over a tree of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memcrdt.errors import StaleRevisionError
from memcrdt.frameworks import anthropic_answers as answers
from memcrdt.frameworks.anthropic_answers import TOP, absent, missing, relative, rivals
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.files import NEW, FileTree, StoredFile
from memcrdt.frameworks.services import raising, service_over
from memcrdt.model.scopes import GLOBAL, PERSONAL

with needs("anthropic"):
    from anthropic.lib.tools import ToolError

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

_told = raising(ToolError)


class MemoryFiles:
    """The commands of the tool. Arguments as for MemcrdtMemoryTool."""

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
        path = relative(command.path)
        file = self._find(path)
        if file:
            return answers.content(file, command)
        inside = self.tree.files(path)
        if path and not inside:
            raise missing(command.path)
        return answers.listing(command.path, path, inside)

    @_told
    def create(self, command: Any) -> str:
        """Add a file that does not exist yet."""
        path = relative(command.path)
        if not path or self.tree.exists(path):
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
        seen: list[str] = []
        before = self._existing(command.path)

        def change(text: str) -> str:
            seen.append(text)
            return answers.replaced(text, command)

        after = self.tree.edit(before.path, change)
        return answers.snippet(seen[-1], after.text, command) + rivals(before)

    @_told
    def insert(self, command: Any) -> str:
        """Insert lines after a line."""
        before = self._existing(command.path)
        self.tree.edit(before.path, lambda text: answers.inserted(text, command))
        return f"The file {command.path} has been edited." + rivals(before)

    @_told
    def delete(self, command: Any) -> str:
        """Delete a file, or a folder with everything in it, on every device."""
        path = relative(command.path)
        if not path:
            raise ToolError(f"Cannot delete the {TOP} directory itself")
        if self._find(path):
            self.tree.delete(path)
        elif not self.tree.clear(path):
            raise absent(command.path)
        return f"Successfully deleted {command.path}"

    @_told
    def rename(self, command: Any) -> str:
        """Move a file, or a folder with everything in it."""
        old, new = relative(command.old_path), relative(command.new_path)
        if not old:
            raise ToolError(f"Cannot rename the {TOP} directory itself")
        taken = ToolError(f"The destination {command.new_path} already exists")
        if not new or self.tree.exists(new):
            raise taken
        if new.startswith(old + "/"):
            raise ToolError(f"Cannot move {command.old_path} into itself")
        if not self.tree.exists(old):
            raise absent(command.old_path)
        self._check_parents(new)
        try:
            self.tree.rename(old, new)
        except StaleRevisionError as exc:
            raise taken from exc
        return f"Successfully renamed {command.old_path} to {command.new_path}"

    def clear_all_memory(self) -> str:
        """Delete all files on every device."""
        self.tree.clear()
        return "All memory cleared"

    def _find(self, path: str) -> StoredFile | None:
        return self.tree.find(path) if path else None

    def _existing(self, shown: str) -> StoredFile:
        path = relative(shown)
        file = self._find(path)
        if file is None:
            is_folder = not path or self.tree.exists(path)
            raise ToolError(f"The path {shown} is not a file.") if is_folder else missing(shown)
        return file

    def _check_parents(self, path: str) -> None:
        above = self.tree.file_above(path)
        if above:
            raise ToolError(f"{TOP}/{above.path} is a file and not a directory")
