"""Values under keys for LangChain: a byte store, a cache of answers, and the messages of a conversation.

A value is one memory, or several if it is longer than a memory may be. The first line of the text says how many, so
that a merge never mixes two values:

    text 1 5f2b…
    the value, if it is readable

| first word | the lines after it |
|---|---|
| `text` | the value |
| `base64` | the value in base64, if it is no text that a memory can have |

The third word is the hash of the value. The keys of further memories contain it, so a value whose memories have not
all arrived is not there yet.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from memcrdt import AsyncMemory
from memcrdt.errors import InputError, NotFoundError
from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.history import LOCAL, History
from memcrdt.model import limits
from memcrdt.model.normalization import nfc
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.values import parse_json

with needs("langchain"):
    from langchain_core.caches import BaseCache
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
    from langchain_core.outputs import ChatGeneration, Generation
    from langchain_core.stores import ByteStore

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import MemoryRecord

BYTES_SCOPE: Final = "agent/byte-store"  # apart from what agents recall
CACHE_SCOPE: Final = "agent/llm-cache"
KIND: Final = "bytes"
PART_KIND: Final = "bytes-part"
MESSAGES_KIND: Final = "langchain-message"
PARTS: Final = 256  # of one value

_PART_BYTES: Final = limits.TEXT_BYTES - 64  # of a value in one memory, with room for the first line
_CONTINUED: Final = "+"  # before the text of every other memory, which may not be blank
_FIRST_LINE: Final = re.compile(r"(text|base64) ([1-9]\d{0,2}) ([0-9a-f]{32})\n")
_LAST: Final = "\U0010ffff"


class MemcrdtByteStore(ByteStore):
    """A byte store of LangChain, for example for the documents of a ParentDocumentRetriever.

    Args:
        memory: The memory. It stays open as long as the store is used.
        scope: The scope of the values. The usual one is apart from what agents recall.
        space: The space to share them in; `local` is this machine only.
        allow_secret: Whether to accept text that looks like a secret; None accepts it in `local` alone.

    Raises:
        InputError: The scope is not valid.
        NotFoundError: The space does not exist here.

    Example:
        >>> store = MemcrdtByteStore(memory)
        >>> store.mset([("greeting", b"hello")])
        >>> store.mget(["greeting", "unknown"])
        [b'hello', None]
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = BYTES_SCOPE,
        space: str = PERSONAL,
        allow_secret: bool | None = None,
    ) -> None:
        self._memory: Memory = memory.memory if isinstance(memory, AsyncMemory) else memory
        self._where: dict[str, Any] = {"scope": scope, "space": space}
        self._allow_secret = space == LOCAL if allow_secret is None else allow_secret
        self._memory.list(limit=1, **self._where)  # checks the scope and the space

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of several keys, None for a key without one."""
        return [self._value(_name_of(key)) for key in keys]

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Set the values of several keys. Up to 500 memories with 2 MiB of text are one transaction: all or none.

        Raises:
            InputError: A value needs more than 256 memories of 64 KiB: 12 MiB, or for readable ASCII 16 MiB.
            SecretError: A value looks like a secret.
        """
        values = dict(key_value_pairs)
        before = {key: head for key in values if (head := self._head(_name_of(key)))}
        memories = [each for key, value in values.items() for each in _memories_of(key, value)]
        if memories:
            self._memory.add_many(memories, replace=True, allow_secret=self._allow_secret, **self._where)
        for key, head in before.items():
            if head.parts > 1 and head.digest != _digest_of(values[key]):
                self._forget_parts(_name_of(key), digest=head.digest)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete the values of several keys, on every device that shares the space."""
        for name in map(_name_of, keys):
            with suppress(NotFoundError):
                record = self._memory.get_by_key(name, **self._where)
                self._memory.forget(record.id)
                self._forget_parts(name)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys, or those with a prefix."""
        start = nfc(prefix or "")
        inside = {"$gte": start, "$lt": start + _LAST}
        for record in self._memory.iterate(kind=KIND, metadata={"key": inside}, **self._where):
            yield str(record.metadata["key"])

    def clear(self) -> None:
        """Delete all values of the scope, on every device that shares the space."""
        self._memory.forget(kind=[KIND, PART_KIND], **self._where)

    def _value(self, name: str) -> bytes | None:
        head = self._head(name)
        if head is None:
            return None
        pieces = [head.piece]
        for number in range(1, head.parts):
            record = self._record(_part_of(name, head.digest, number))
            if record is None:
                return None  # it has not arrived yet
            pieces.append(record.text.removeprefix(_CONTINUED))
        return head.value(pieces)

    def _head(self, name: str) -> _Head | None:
        record = self._record(name)
        return _head_of(record.text) if record else None

    def _record(self, key: str) -> MemoryRecord | None:
        try:
            return self._memory.get_by_key(key, **self._where)
        except NotFoundError:
            return None

    def _forget_parts(self, name: str, **of: str) -> None:
        self._memory.forget(kind=PART_KIND, metadata={"of": name, **of}, **self._where)


class MemcrdtCache(BaseCache):
    """A cache of LangChain for the answers of models. It is in the space `local`, so it never leaves this machine.

    An answer that is not JSON is not cached.

    Args:
        memory: The memory. It stays open as long as the cache is used.

    Example:
        >>> set_llm_cache(MemcrdtCache(memory))
    """

    def __init__(self, memory: Memory | AsyncMemory) -> None:
        self._values = MemcrdtByteStore(memory, scope=CACHE_SCOPE, space=LOCAL)

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return the answers of a model to a prompt, or None if they are not cached."""
        (known,) = self._values.mget([_question(prompt, llm_string)])
        try:
            return None if known is None else [_generation(said) for said in parse_json(known.decode())]
        except (ValueError, TypeError, LookupError):  # of another version, or changed by hand
            return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Cache the answers of a model to a prompt."""
        with suppress(TypeError, ValueError):
            answers = json.dumps([_said(each) for each in return_val]).encode()
            self._values.mset([(_question(prompt, llm_string), answers)])

    def clear(self, **_: Any) -> None:
        """Delete all answers."""
        self._values.clear()


class MemcrdtChatMessageHistory(BaseChatMessageHistory):
    """The messages of a conversation. They stay on this machine unless you choose a space.

    Args:
        session_id: The id of the conversation: printable, with up to 200 characters.
        memory: The memory. It stays open as long as the history is used.
        space: The space to share the messages in; `local` is this machine only.
        allow_secret: Whether to accept messages that look like a secret; None accepts them in `local` alone.

    Raises:
        InputError: The id is not valid.

    Example:
        >>> history = MemcrdtChatMessageHistory("support-7", memory)
        >>> history.add_user_message("Where is my invoice?")
        >>> history.messages
        [HumanMessage(content='Where is my invoice?', …)]
    """

    def __init__(
        self,
        session_id: str,
        memory: Memory | AsyncMemory,
        *,
        space: str = LOCAL,
        allow_secret: bool | None = None,
    ) -> None:
        self._history = History(memory, session_id, kind=MESSAGES_KIND, space=space, allow_secret=allow_secret)

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages, oldest first."""
        return [message for item in self._history.items() for message in _messages_of(item)]

    @messages.setter
    def messages(self, messages: list[BaseMessage]) -> None:
        self.clear()
        self.add_messages(messages)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end. Raises InputError for a message that is not JSON."""
        self._history.add([message_to_dict(message) for message in messages])

    def clear(self) -> None:
        """Remove all messages."""
        self._history.clear()


@dataclass(frozen=True, slots=True)
class _Head:
    """The first memory of a value: its first line, and the piece after it."""

    form: str
    parts: int
    digest: str
    piece: str

    def value(self, pieces: list[str]) -> bytes | None:
        """Return the value from all its pieces, or None if it was changed by hand."""
        text = "".join(pieces)
        try:
            value = text.encode() if self.form == "text" else base64.b64decode(text, validate=True)
        except ValueError:
            return None
        return value if _digest_of(value) == self.digest else None


def _head_of(text: str) -> _Head | None:
    found = _FIRST_LINE.match(text)
    if found is None or int(found[2]) > PARTS:
        return None
    return _Head(found[1], int(found[2]), found[3], text[found.end() :])


def _memories_of(key: str, value: bytes) -> list[dict[str, Any]]:
    """Return the arguments of Memory.add() for the memories of a value, the first one last. Raises InputError."""
    form, text = _readable(value)
    size = _PART_BYTES if text.isascii() else _PART_BYTES // 4
    first, *pieces = [text[start : start + size] for start in range(0, len(text), size)] or [""]
    if len(pieces) >= PARTS:
        raise InputError(f"the value of {key[:60]!r} has {len(value):,} bytes; store its parts, or its address")
    name, digest = _name_of(key), _digest_of(value)
    parts = [
        {
            "text": _CONTINUED + piece,
            "key": _part_of(name, digest, number),
            "kind": PART_KIND,
            "metadata": {"of": name, "digest": digest},
        }
        for number, piece in enumerate(pieces, start=1)
    ]
    line = f"{form} {len(pieces) + 1} {digest}\n"
    memories = [*parts, {"text": line + first, "key": name, "kind": KIND, "metadata": {"key": key}}]
    # Bytes in base64 look like a secret by chance only.
    return memories if form == "text" else [{**each, "allow_secret": True} for each in memories]


def _readable(value: bytes) -> tuple[str, str]:
    """Return the form of a value, and its text in that form."""
    try:
        return "text", value.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(value).decode()


def _name_of(key: str) -> str:
    """Return the key of the first memory of a value. Two spellings of a character are one, as in metadata."""
    return f"bytes:{hashlib.blake2b(nfc(key).encode(errors='surrogatepass'), digest_size=20).hexdigest()}"


def _part_of(name: str, digest: str, number: int) -> str:
    return f"{name}:{digest}:{number}"


def _digest_of(value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=16).hexdigest()


def _question(prompt: str, llm_string: str) -> str:
    said = json.dumps([prompt, llm_string])
    return hashlib.blake2b(said.encode(), digest_size=20).hexdigest()


def _said(generation: Generation) -> dict[str, Any]:
    """Return an answer as JSON."""
    message = message_to_dict(generation.message) if isinstance(generation, ChatGeneration) else None
    return {"text": generation.text, "info": generation.generation_info, "message": message}


def _generation(said: dict[str, Any]) -> Generation:
    """Return the answer that _said() had. Nothing is loaded but messages."""
    if said["message"] is None:
        return Generation(text=said["text"], generation_info=said["info"])
    (message,) = messages_from_dict([said["message"]])
    return ChatGeneration(message=message, generation_info=said["info"])


def _messages_of(item: dict[str, Any]) -> list[BaseMessage]:
    """Return the message of an item; none if it is no message: any device may write in a space that is shared."""
    try:
        found: list[BaseMessage] = messages_from_dict([item])
    except (ValueError, TypeError, LookupError):
        return []
    return found
