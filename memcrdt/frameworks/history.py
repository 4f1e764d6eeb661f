"""The items of a conversation in their order: what frameworks call a session, a chat history or a thread.

A history is not a memory of facts. It grows with every turn, and belongs to the machine on which the agent runs. So it
is in the space `local` unless the user chooses another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from memcrdt import AsyncMemory
from memcrdt.errors import InputError, NotFoundError
from memcrdt.frameworks.threads import in_thread
from memcrdt.model import limits
from memcrdt.model.scopes import CONVERSATION, named
from memcrdt.model.values import from_ms, parse_json

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import MemoryRecord

LOCAL: Final = "local"  # the space that never leaves the machine

_PART_CHARS: Final = limits.TEXT_BYTES // 4 - 1  # of an item as JSON, in one memory: a character has up to 4 bytes
_CONTINUED: Final = "+"  # before every part of an item but the first; JSON objects do not begin with it
_NEXT: Final = timedelta(milliseconds=1)


class History:
    """The items of one conversation: JSON objects, oldest first. Each method has an awaitable twin, such as `aadd`.

    An item is one memory with its JSON as text, or several if it is longer than a memory may be.

    Args:
        memory: The memory. It stays open as long as the history is used.
        conversation: The id of the conversation: printable, with up to 200 characters. Its scope is `conversation/ID`.
        kind: The kind of the memories. Histories of the same id and another kind have other items.
        space: The space to share them in; `local` is this machine only.
        allow_secret: Whether to accept items that look like a secret; None accepts them in `local` alone.

    Raises:
        InputError: The conversation is no valid id. Its methods raise NotFoundError if the space does not exist here.

    Example:
        >>> history = History(memory, "support-7", kind="session")
        >>> history.add([{"role": "user", "content": "Hello"}])
        >>> history.items()
        [{'role': 'user', 'content': 'Hello'}]
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        conversation: str,
        *,
        kind: str,
        space: str = LOCAL,
        allow_secret: bool | None = None,
    ) -> None:
        self._memory: Memory = memory.memory if isinstance(memory, AsyncMemory) else memory
        self._where: dict[str, Any] = {"scope": named(CONVERSATION, conversation), "space": space, "kind": kind}
        self._allow_secret = space == LOCAL if allow_secret is None else allow_secret
        self._lock = Lock()  # so that two calls of one process do not mix their items

    def items(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the last items, or all of them, oldest first.

        Args:
            limit: Maximum number of items; None for all.
        """
        return [item for item, _ in islice(self._newest(), limit)][::-1]

    def add(self, items: Iterable[Any]) -> None:
        """Add items at the end. Up to 500 memories with 2 MiB of text are one transaction: all or none.

        Args:
            items: JSON objects.

        Raises:
            InputError: An item is not JSON, or looks like a secret.
            StoreError: The store cannot be written.
        """
        parts = [part for item in items for part in _parts(item)]
        if parts:
            with self._lock:
                at = self._time()
                self._memory.add_many(parts, created_at=at, allow_secret=self._allow_secret, **self._where)

    def pop(self) -> dict[str, Any] | None:
        """Remove the last item and return it; None if there is no item."""
        for item, ids in self._newest():
            if self._forget(ids):
                return item
        return None

    def clear(self) -> None:
        """Remove all items of the conversation."""
        self._memory.forget(**self._where)

    def _newest(self) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Yield the items, newest first, each with its memories. Leave out what is no item: any device may write."""
        parts: list[MemoryRecord] = []
        for record in self._memory.iterate(order="newest", **self._where):
            parts.append(record)
            if not record.text.startswith(_CONTINUED):
                item = _item(part.text for part in reversed(parts))
                if item is not None:
                    yield item, [part.id for part in parts]
                parts = []

    def _time(self) -> datetime:
        """Return the present time, or if the clock was set back, one that is later than that of the last item."""
        now = from_ms(self._memory.store.now_ms())
        last = next(iter(self._memory.list(limit=1, **self._where)), None)
        return now if last is None or last.created_at < now else last.created_at + _NEXT

    def _forget(self, ids: list[str]) -> bool:
        """Forget memories, and return whether they were there. Another process may be quicker."""
        try:
            return self._memory.forget(ids).count > 0
        except NotFoundError:
            return False

    aitems = in_thread(items)
    aadd = in_thread(add)
    apop = in_thread(pop)
    aclear = in_thread(clear)


def _parts(item: Any) -> Iterator[str]:
    """Yield the texts of the memories of an item. Raises InputError."""
    if not isinstance(item, Mapping):
        raise InputError(f"an item of the history is not a JSON object: {item!r:.60}")
    try:
        text = json.dumps(item, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no memory can have
        text = json.dumps(item)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InputError(f"an item of the history is not a JSON object: {exc}") from exc
    yield text[:_PART_CHARS]
    for start in range(_PART_CHARS, len(text), _PART_CHARS):
        yield _CONTINUED + text[start : start + _PART_CHARS]


def _item(parts: Iterable[str]) -> dict[str, Any] | None:
    """Return an item from its texts, or None if they are none."""
    try:
        item = parse_json("".join(part.removeprefix(_CONTINUED) for part in parts))
    except ValueError:
        return None
    return item if isinstance(item, dict) else None
