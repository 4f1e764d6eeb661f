"""The scan of an untrusted Yjs update. Every update must pass it before yrs sees the bytes.

yrs trusts its input: it recurses as deep as a value is nested, allocates as much as a count claims, and accepts a clock
that wraps around. So the scan first walks every byte of an update, in bounded time and memory. It also returns the
blocks that the update builds on, so that no update is applied with a gap before it.

The scan accepts only the structure that the protocol version allows: blocks of plain JSON values, and deleted or
collected blocks, all in the root map `memories` and under a key. A block that names an origin has the map and key of
its origin. Only blocks of lists name their right neighbour, so blocks with a right neighbour are refused.

Source: the v1 encoding of yjs 13 (Item.js, GC.js, Skip.js, DeleteSet.js) and lib0 (`writeAny`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import StateVector, read_varuint
from memcrdt.model.values import Json

ROOT: Final = "memories"

# The maximum memory for an update from outside. Each part counts with its measured maximum in yrs and in the events of
# pycrdt. A few bytes of an update are enough to make yrs allocate each of these amounts.
MEMORY_BYTES: Final = 256 * limits.MIB
_ROOTED_BYTES: Final = 1024  # a block with a key
_BLOCK_BYTES: Final = 288
_NESTED_BYTES: Final = 448  # an array or an object, besides its values
_VALUE_BYTES: Final = 64
_KEY_BYTES: Final = 128  # our longest key, and the lengths and tags of values

ROOT_PARENT: Final = b"\x01" + bytes([len(ROOT)]) + ROOT.encode()  # 1: by name, not by id

# An item's first byte: five bits of content kind, and what follows.
_KIND: Final = 0x1F
_HAS_ORIGIN: Final = 0x80
_HAS_RIGHT: Final = 0x40
_HAS_KEY: Final = 0x20

_COLLECTED: Final = 0
_DELETED: Final = 1
VALUES: Final = 8
_BYTES: Final = 3
_NESTED: Final = 7
_SKIP: Final = 10

# The content kinds and nested types that are refused, as users of Yjs know them.
_CONTENTS: Final = {
    2: "JSON in an outdated encoding",
    _BYTES: "bytes (a Uint8Array)",
    4: "the text of a Y.Text",
    5: "an embedded object of a Y.Text",
    6: "the formatting of a Y.Text",
    _NESTED: "a Y type",
    9: "a Y.Doc",
}
_TYPES: Final = ("Y.Array", "Y.Map", "Y.Text", "Y.XmlElement", "Y.XmlFragment", "Y.XmlHook", "Y.XmlText")
_KEY_CHARS: Final = 48  # of a key in a message, which has to fit into the close frame of a WebSocket

# The tags of lib0's values.
CONSTANTS: Final = frozenset({120, 121, 126, 127})  # true, false, null, undefined
INTEGER: Final = 125
FIXED: Final = {124: 4, 123: 8, 122: 8}  # float32, float64 and bigint: their bytes
STRING: Final = 119
OBJECT: Final = 118
ARRAY: Final = 117
_UINT8_ARRAY: Final = 116


class ShardFullError(RemoteProtocolError):
    """An update has, or makes of its shard, more than a shard may have from outside. Nothing was changed.

    This need not be the fault of the sender, which may only pass on what an older version accepted.
    """


@dataclass(frozen=True, slots=True)
class Scan:
    """The contents of a well-formed update, and the blocks it builds on.

    Attributes:
        first: The clock of the first block, by client.
        after: The clock after the last block, by client.
        needs: The state vector that a document must cover so that the update fits without a gap. An update that skips
            over blocks needs these, too.
        texts: The strings under `text` in its values, each with the string under `kind` beside it: the texts of births
            and revisions, in a well-formed memory. Revisions have no kind.
        memory: The memory in bytes that its blocks take in a document, at most.
        largest: The bytes of its largest block, which is a register with its key.
        contested: The number of its blocks that may have to find their place among other writes of the same key.
        deletes: Whether it deletes anything.
    """

    first: StateVector
    after: StateVector
    needs: StateVector
    texts: tuple[tuple[str, str | None], ...]
    memory: int = 0
    largest: int = 0
    contested: int = 0
    deletes: bool = False


def scan(update: bytes, *, own: bool = False) -> Scan:
    """Scan an update.

    Args:
        update: The update, in the v1 encoding.
        own: Whether the update is part of a document of ours, which may be larger: each update was within the limits
            when it arrived, but a snapshot of all of them may exceed them, and our own changes are not limited.

    Raises:
        ShardFullError: The update alone has more than a shard may have.
        RemoteProtocolError: The update is not well-formed, or has content that is not allowed.
    """
    if len(update) > limits.UPDATE_BYTES and not own:
        raise RemoteProtocolError(f"an update has {len(update)} bytes; at most {limits.UPDATE_BYTES} are allowed")
    walk = Walk(update, own)
    walk.clients()
    walk.deletes()
    walk.end()
    return walk.result()


def memory_added(update: bytes, known: StateVector) -> int:
    """Return the memory in bytes of the blocks of a scanned update that a document at `known` does not have yet."""
    walk = _NewBlocks(update, known)
    walk.clients()
    return walk.memory


def memory_of(value: Json) -> int:
    """Return the memory in bytes that a register of ours with this value takes in a document, at most."""
    return _ROOTED_BYTES + _KEY_BYTES + _value_memory(value)


def _value_memory(value: Json) -> int:
    if isinstance(value, str):  # most values, and nearly all of them ASCII
        return _VALUE_BYTES + (len(value) if value.isascii() else len(value.encode()))
    if isinstance(value, dict):
        memory = _VALUE_BYTES + _NESTED_BYTES
        for key, each in value.items():
            memory += len(key) + _value_memory(each)
        return memory
    if isinstance(value, list):
        return _VALUE_BYTES + _NESTED_BYTES + sum(map(_value_memory, value))
    return _VALUE_BYTES


class Cursor:
    """A position in bytes from outside, with reads that advance it. A read past the end raises RemoteProtocolError."""

    __slots__ = ("at", "data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.at = 0

    def refuse(self, what: str) -> NoReturn:
        raise RemoteProtocolError(f"an update has {what} before byte {self.at} of {self.size}")

    def byte(self) -> int:
        at = self.at
        if at >= self.size:
            self.refuse("its end within a block")
        self.at = at + 1
        return self.data[at]

    def number(self, maximum: int = limits.UPDATE_CLOCK) -> int:
        """Read an unsigned LEB128 integer of at most `maximum`, which is 127 or more."""
        at = self.at
        if at < self.size and (value := self.data[at]) < 128:
            self.at = at + 1
            return value
        value, self.at = read_varuint(self.data, at, maximum)
        return value

    def count(self, item_bytes: int = 1) -> int:
        """Read the number of following items, each of at least `item_bytes`; refuse more than there is room for."""
        count = self.number()
        if count * item_bytes > self.size - self.at:
            self.refuse(f"a claim of {count} items beyond its end")
        return count

    def skip(self, size: int) -> None:
        self.at += size
        if self.at > self.size:
            self.refuse("its end within a value")

    def string(self) -> str:
        size = self.number()
        start = self.at
        self.at = end = start + size
        if end > self.size:
            self.refuse("its end within a text")
        try:
            return str(self.data[start:end], "utf-8")
        except UnicodeDecodeError:
            self.refuse("text that is not UTF-8")

    def id_ranges(self) -> Iterator[tuple[int, int, int]]:
        """Read a delete set, as (client, start, end)."""
        seen: set[int] = set()
        for _ in range(self.count(2)):
            client = self.number(limits.CLIENT_ID_MAX)
            if client in seen:
                self.refuse(f"two lists of deletes of client {client}")
            seen.add(client)
            for _ in range(self.count(2)):
                start = self.number()
                end = start + self.number()
                if not start < end <= limits.UPDATE_CLOCK:
                    self.refuse(f"a deleted range from {start} to {end}")
                yield client, start, end


class Walk(Cursor):
    """One pass over an update, which collects its blocks and the blocks it refers to."""

    __slots__ = (
        "after",
        "blocks",
        "contested",
        "first",
        "has_deletes",
        "keys",
        "largest",
        "memory",
        "named",
        "needs",
        "own",
        "refers",
        "texts",
    )

    def __init__(self, update: bytes, own: bool) -> None:
        super().__init__(update)
        self.own = own
        self.first: dict[int, int] = {}
        self.after: dict[int, int] = {}
        self.needs: dict[int, int] = {}
        self.refers: dict[int, int] = {}  # per client, the clock after the last block that is referred to
        self.texts: list[tuple[str, str | None]] = []
        self.named: str | None = None  # the key of the current block, if the block names it
        self.blocks = 0
        self.largest = 0
        self.contested = 0
        self.has_deletes = False
        self.keys: set[str] = set()
        self.memory = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes of memory."""
        self.memory += size
        if self.memory > MEMORY_BYTES and not self.own:
            raise ShardFullError(f"an update would take more than {MEMORY_BYTES:,} bytes of memory")

    def clients(self) -> None:
        count = self.count(3)
        if count > limits.UPDATE_CLIENTS and not self.own:
            raise ShardFullError(
                f"an update has blocks of {count:,} clients; at most {limits.UPDATE_CLIENTS:,} are allowed"
            )
        for _ in range(count):
            self.client_blocks()

    def client_blocks(self) -> None:
        count = self.count(2)
        self.list_of(count, "blocks")
        client = self.number(limits.CLIENT_ID_MAX)
        if not count or client in self.first:
            self.refuse(f"no blocks or two lists of blocks of client {client}")
        clock = self.number()
        self.first[client] = self.after[client] = self.needs[client] = clock
        for _ in range(count):
            clock = self.block(client, clock)

    def list_of(self, count: int, what: str) -> None:
        """Count more blocks or deleted ranges."""
        self.blocks += count
        if self.blocks > limits.UPDATE_BLOCKS and not self.own:
            raise ShardFullError(f"an update has {self.blocks:,} {what}; at most {limits.UPDATE_BLOCKS:,} are allowed")

    def block(self, client: int, clock: int) -> int:
        """Walk the block at (client, clock). Return the clock after it."""
        start = self.at
        info = self.byte()
        kind = info & _KIND
        if kind in (_COLLECTED, _SKIP):
            size = self.number()
        else:
            self.place(info, client, clock)
            size = self.content(kind)
        self.largest = max(self.largest, self.at - start)
        if self.largest > limits.REGISTER_BYTES and not self.own:
            self.refuse(f"a register of {self.largest} bytes, more than {limits.REGISTER_BYTES},")
        end = clock + size
        if not clock < end <= limits.UPDATE_CLOCK:
            self.refuse(f"a block of client {client} from clock {clock} to {end}")
        if kind == _SKIP:
            self.needs[client] = end
        else:
            self.after[client] = end
        self.take(_BLOCK_BYTES + self.at - start)
        return end

    def place(self, info: int, client: int, clock: int) -> None:
        """Walk the place of an item: after another item, or first at a key of the root."""
        if info & _HAS_RIGHT:
            self.refuse("a block with one to its right")
        self.named = None
        if info & _HAS_ORIGIN:
            self.origin(client, clock)
        else:
            self.key(info)

    def origin(self, client: int, clock: int) -> None:
        """Walk the id of the left neighbour of the block at (client, clock)."""
        other = self.number(limits.CLIENT_ID_MAX)
        end = self.number() + 1
        self.contested += 1
        if other == client and end > clock:
            self.refuse(f"a block of client {client} whose origin is not before it")
        if end > self.refers.get(other, 0):
            self.refers[other] = end

    def key(self, info: int) -> None:
        if not self.data.startswith(ROOT_PARENT, self.at):
            self.outside()
        if not info & _HAS_KEY:
            self.refuse(f"a Y.Array or Y.Text called {ROOT!r}, which has to be a Y.Map,")
        self.at += len(ROOT_PARENT)
        self.take(_ROOTED_BYTES - _BLOCK_BYTES)
        self.named = self.string()
        self.contested += self.named in self.keys
        self.keys.add(self.named)

    def outside(self) -> NoReturn:
        if self.byte() != 1:
            self.refuse(f"content in a nested Y type; only plain JSON in the map {ROOT!r} is allowed,")
        self.refuse(f"another root, {_short(self.string())}; only the map {ROOT!r} is allowed,")

    def refuse_value(self, what: str) -> NoReturn:
        """Refuse the content of the current block, which is not plain JSON."""
        where = "" if self.named is None else f" at key {_short(self.named)}"
        self.refuse(f"{what}{where}, which is not plain JSON,")

    def content(self, kind: int) -> int:
        """Walk the content of an item. Return its length in clocks."""
        if kind == _DELETED:
            return self.number()
        if kind == _NESTED and (nested := self.number()) < len(_TYPES):
            self.refuse_value(f"a {_TYPES[nested]}")
        if kind != VALUES:
            self.refuse_value(_CONTENTS.get(kind, f"content of kind {kind}"))
        count = self.count()
        self.take(count * _VALUE_BYTES + max(count - 1, 0) * _BLOCK_BYTES)  # a delete can make each a block of its own
        for _ in range(count):
            self.value(0)
        return count

    def value(self, depth: int) -> str | None:
        """Walk a value. Return it if it is text."""
        tag = self.byte()
        if tag == STRING:
            return self.string()
        if tag in CONSTANTS:
            return None
        if tag == INTEGER:
            self.integer()
        elif tag in FIXED:
            self.skip(FIXED[tag])
        elif tag in (OBJECT, ARRAY):
            self.nested(tag, depth + 1)
        else:
            self.refuse_value(_CONTENTS[_BYTES] if tag == _UINT8_ARRAY else f"a value with tag {tag}")
        return None

    def integer(self) -> None:
        """Walk a signed integer of at most 64 bits: six in its first byte, seven in each of the others."""
        for _ in range(10):
            if self.byte() < 128:
                return
        self.refuse("a number without an end")

    def nested(self, tag: int, depth: int) -> None:
        is_object = tag == OBJECT
        count = self.count(2 if is_object else 1)
        self.take(_NESTED_BYTES + count * _VALUE_BYTES)
        if depth > limits.VALUE_DEPTH:
            self.refuse(f"values nested more than {limits.VALUE_DEPTH} deep")
        named: dict[str, str | None] = {}
        for _ in range(count):
            key = self.string() if is_object else ""
            value = self.value(depth)
            if depth == 1 and key in ("text", "kind"):
                named[key] = value
        if (text := named.get("text")) is not None:
            self.texts.append((text, named.get("kind")))

    def deletes(self) -> None:
        for client, _, end in self.id_ranges():
            self.list_of(1, "blocks and deleted ranges")
            self.has_deletes = True
            if end > self.refers.get(client, 0):
                self.refers[client] = end

    def end(self) -> None:
        if self.at != self.size:
            self.refuse(f"{self.size - self.at} bytes too many")

    def result(self) -> Scan:
        for client, end in self.refers.items():
            if end > self.after.get(client, 0):
                self.needs[client] = max(end, self.needs.get(client, 0))
        needs = {client: clock for client, clock in self.needs.items() if clock}
        texts = tuple(self.texts)
        return Scan(self.first, self.after, needs, texts, self.memory, self.largest, self.contested, self.has_deletes)


class _NewBlocks(Walk):
    """Counts the memory of the blocks that are not known yet."""

    __slots__ = ("known",)

    def __init__(self, update: bytes, known: StateVector) -> None:
        super().__init__(update, own=True)
        self.known = known

    def block(self, client: int, clock: int) -> int:
        before = self.memory
        end = super().block(client, clock)
        if end <= self.known.get(client, 0):
            self.memory = before
        return end


def _short(text: str) -> str:
    return repr(text if len(text) <= _KEY_CHARS else f"{text[:_KEY_CHARS]}…")
