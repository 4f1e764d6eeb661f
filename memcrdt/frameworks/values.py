"""Values under keys: bytes of any form, each in one memory or several.

A value is one memory, or several if it is longer than a memory may be. The first line of the text says how many, so
that a merge never mixes two values:

    text 1 5f2b…
    the value, if it is readable

| first word | the lines after it |
|---|---|
| `text` | the value |
| `base64` | the value in base64, if it is no text that a memory can have |

The third word is the hash of the value. The keys of further memories contain it, so a value whose memories have not
all arrived is not there yet. Values are read by their keys: no search finds them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import InputError, NotFoundError
from memcrdt.frameworks.history import LOCAL
from memcrdt.frameworks.services import service_over
from memcrdt.frameworks.threads import in_thread
from memcrdt.model import limits
from memcrdt.model.attributes import VALUE, VALUE_PART
from memcrdt.model.checks import check_ttl
from memcrdt.model.normalization import nfc
from memcrdt.model.scopes import PERSONAL
from memcrdt.service.collection import Collection

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory
    from memcrdt.model.records import MemoryRecord

PARTS: Final = 256  # of one value

_PART_BYTES: Final = limits.TEXT_BYTES - 64  # of a value in one memory, with room for the first line
_RAW_BYTES: Final = _PART_BYTES // 4 * 3  # of a value in base64; a multiple of 3, so no piece but the last is padded
_CONTINUED: Final = "+"  # before the text of every other memory, which may not be blank
_FIRST_LINE: Final = re.compile(r"(text|base64) ([1-9]\d{0,2}) ([0-9a-f]{32})\n")
_LAST: Final = "\U0010ffff"


class Values:
    """Values of one scope. Each method has an awaitable twin, such as `aput`.

    Args:
        memory: The memory. It stays open as long as the values are used.
        scope: The scope of the values.
        space: The space to share them in; `local` is this machine only.
        allow_secret: Whether to accept text that looks like a secret; None accepts it in `local` alone.
        ttl: The seconds, or timedelta, for which a value is there after it was last set; None for ever.

    Raises:
        InputError: The scope or the ttl is not valid.
        NotFoundError: The space does not exist here.

    Example:
        >>> values = Values(memory, scope="agent/settings")
        >>> values.put({"greeting": b"hello"})
        >>> values.get(["greeting", "unknown"])
        [b'hello', None]
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str,
        space: str = PERSONAL,
        allow_secret: bool | None = None,
        ttl: float | timedelta | None = None,
    ) -> None:
        if ttl is not None:
            check_ttl(ttl)
        secret = space == LOCAL if allow_secret is None else allow_secret
        self._memories = Collection(service_over(memory), kind=VALUE, scope=scope, space=space, allow_secret=secret)
        self._memories.check()
        self._ttl = ttl

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of several keys, None for a key without one."""
        return [self._value(_name_of(key)) for key in keys]

    def put(self, values: Mapping[str, bytes]) -> None:
        """Set the values of several keys. Up to 500 memories with 2 MiB of text are one transaction: all or none.

        Raises:
            InputError: A value needs more than 256 memories of 64 KiB: 12 MiB, or for readable ASCII 16 MiB.
            SecretError: A value looks like a secret.
        """
        before = {key: head for key in values if (head := self._head(_name_of(key)))}
        memories = [each for key, value in values.items() for each in _memories_of(key, value)]
        if memories:
            self._memories.put(memories, replace=True, ttl=self._ttl)
        for key, head in before.items():
            if head.parts > 1 and head.digest != _digest_of(values[key]):
                self._forget_parts(_name_of(key), digest=head.digest)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the values of several keys, on every device that shares the space."""
        for name in map(_name_of, keys):
            record = self._memories.get(name)
            if record is not None:
                with suppress(NotFoundError):  # another process was quicker
                    self._memories.forget([record.id])
                    self._forget_parts(name)

    def keys(self, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys, or those with a prefix."""
        start = nfc(prefix or "")
        inside = {"$gte": start, "$lt": start + _LAST}
        for record in self._memories.iterate(metadata={"key": inside}):
            yield str(record.metadata["key"])

    def clear(self) -> None:
        """Delete all values of the scope, on every device that shares the space."""
        self._memories.forget_matching(kind=[VALUE, VALUE_PART])

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
        record = self._memories.get(key)
        return None if record is None or self._memories.is_expired(record) else record

    def _forget_parts(self, name: str, **of: str) -> None:
        self._memories.forget_matching(kind=VALUE_PART, metadata={"of": name, **of})

    aget = in_thread(get)
    aput = in_thread(put)
    adelete = in_thread(delete)
    aclear = in_thread(clear)


@dataclass(frozen=True, slots=True)
class _Head:
    """The first memory of a value: its first line, and the piece after it."""

    form: str
    parts: int
    digest: str
    piece: str

    def value(self, pieces: list[str]) -> bytes | None:
        """Return the value from all its pieces, or None if it was changed by hand."""
        try:
            value = b"".join(
                piece.encode() if self.form == "text" else base64.b64decode(piece, validate=True) for piece in pieces
            )
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
    form, (first, *pieces) = _pieces_of(value)
    if len(pieces) >= PARTS:
        raise InputError(f"the value of {key[:60]!r} has {len(value):,} bytes; store its parts, or its address")
    name, digest = _name_of(key), _digest_of(value)
    parts = [
        {
            "text": _CONTINUED + piece,
            "key": _part_of(name, digest, number),
            "kind": VALUE_PART,
            "metadata": {"of": name, "digest": digest},
        }
        for number, piece in enumerate(pieces, start=1)
    ]
    line = f"{form} {len(pieces) + 1} {digest}\n"
    memories = [*parts, {"text": line + first, "key": name, "kind": VALUE, "metadata": {"key": key}}]
    # Bytes in base64 look like a secret by chance only.
    return memories if form == "text" else [{**each, "allow_secret": True} for each in memories]


def _pieces_of(value: bytes) -> tuple[str, list[str]]:
    """Return the form of a value, and its text in that form, in pieces that a memory can have.

    A long value is coded piece by piece: while one call codes 4 MiB, event loops wait for 5 to 15 ms.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raw = [value[start : start + _RAW_BYTES] for start in range(0, len(value), _RAW_BYTES)]
        return "base64", [base64.b64encode(piece).decode() for piece in raw]
    size = _PART_BYTES if text.isascii() else _PART_BYTES // 4
    return "text", [text[start : start + size] for start in range(0, len(text), size)] or [""]


def _name_of(key: str) -> str:
    """Return the key of the first memory of a value. Two spellings of a character are one, as in metadata."""
    return f"bytes:{hashlib.blake2b(nfc(key).encode(errors='surrogatepass'), digest_size=20).hexdigest()}"


def _part_of(name: str, digest: str, number: int) -> str:
    return f"{name}:{digest}:{number}"


def _digest_of(value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=16).hexdigest()
