"""The items of a conversation in their order: what frameworks call a session, a chat history or a thread.

A history is not a memory of facts. It grows with every turn, and belongs to the machine on which the agent runs. So it
is in the space `local` unless the user chooses another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from memcrdt.errors import InputError, NotFoundError
from memcrdt.frameworks.services import service_over
from memcrdt.frameworks.threads import in_thread
from memcrdt.model import limits
from memcrdt.model.scopes import CONVERSATION, named
from memcrdt.model.values import parse_json
from memcrdt.service.collection import Collection

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import MemoryRecord

T = TypeVar("T")

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
        secret = space == LOCAL if allow_secret is None else allow_secret
        scope = named(CONVERSATION, conversation)
        self._memories = Collection(service_over(memory), kind=kind, scope=scope, space=space, allow_secret=secret)
        self._lock = Lock()  # so that two calls of one process do not mix their items

    def items(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the last items, or all of them, oldest first.

        Args:
            limit: Maximum number of items; None for all.
        """
        return [item for item, _ in islice(self._newest(), limit)][::-1]

    def read(self, parse: Callable[[dict[str, Any]], T]) -> list[T]:
        """Return what a function makes of the items, oldest first, without those that it refuses with an error.

        In a space that is shared, any device may have written an item.
        """
        return [parsed for item in self.items() for parsed in _parsed(item, parse)]

    def add(self, items: Iterable[Any]) -> None:
        """Add items at the end. Up to 500 memories with 2 MiB of text are one transaction: all or none.

        Args:
            items: JSON objects.

        Raises:
            InputError: An item is not JSON, or looks like a secret.
            StoreError: The store cannot be written.
        """
        with self._lock:
            self._put(items)

    def add_new(self, items: Sequence[Any], name_of: Callable[[Any], tuple[Any, bool]]) -> None:
        """Add items at the end as add() does, but for those at their beginning that end the history already.

        Args:
            items: JSON objects: the end of the history, or nothing of it, and then what is new.
            name_of: Returns a value that is the same for the same item, and whether it tells the item from a repetition
                of it. If not, a single item of this name is new: people say the same twice.
        """
        with self._lock:
            self._put(items[_overlap(self.items(len(items)), items, name_of) :])

    def pop(self) -> dict[str, Any] | None:
        """Remove the last item and return it; None if there is no item."""
        for item, memories in self._newest():
            if self._forget(memories):
                return item
        return None

    def clear(self) -> None:
        """Remove all items of the conversation."""
        self._memories.forget_matching()

    def _put(self, items: Iterable[Any]) -> None:
        parts = [part for item in items for part in _parts(item)]
        if parts:
            self._memories.put(parts, created_at=self._time())

    def _newest(self) -> Iterator[tuple[dict[str, Any], list[MemoryRecord]]]:
        """Yield the items, newest first, each with its memories. Leave out what is no item: any device may write."""
        parts: list[MemoryRecord] = []
        for record in self._memories.iterate():
            parts.append(record)
            if not record.text.startswith(_CONTINUED):
                item = _item(part.text for part in reversed(parts))
                if item is not None:
                    yield item, parts
                parts = []

    def _time(self) -> datetime:
        """Return the present time, or if the clock was set back, one that is later than that of the last item."""
        now, last = self._memories.service.now(), self._memories.first()
        return now if last is None or last.created_at < now else last.created_at + _NEXT

    def _forget(self, memories: list[MemoryRecord]) -> bool:
        """Forget memories, and return whether they were there. Another process may be quicker."""
        try:
            return self._memories.forget(each.id for each in memories) > 0
        except NotFoundError:
            return False

    aitems = in_thread(items)
    aread = in_thread(read)
    aadd = in_thread(add)
    aadd_new = in_thread(add_new)
    apop = in_thread(pop)
    aclear = in_thread(clear)


def _parsed(item: dict[str, Any], parse: Callable[[dict[str, Any]], T]) -> list[T]:
    try:
        return [parse(item)]
    except (TypeError, ValueError, LookupError, AttributeError):
        return []


def _overlap(known: Sequence[Any], given: Sequence[Any], name_of: Callable[[Any], tuple[Any, bool]]) -> int:
    """Return the number of items that end `known` and begin `given`."""
    before, now = list(map(name_of, known)), list(map(name_of, given))
    for length in range(min(len(before), len(now)), 0, -1):
        if before[-length:] == now[:length] and (length > 1 or now[0][1]):
            return length
    return 0


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
