"""Registers that are well-formed but make no sense: every kind of register, with every kind of mistake in it.

Whatever the scan lets through may stand in a document. A stock Yjs client can write all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

from memcrdt.model import limits, registers
from memcrdt.model.attributes import IN_REGISTERS
from memcrdt.model.ids import derive
from memcrdt.model.registers import DELETED, Writes
from memcrdt.model.values import Json

SALT: Final = bytes(range(16))
MEMORIES: Final = tuple(derive("odd memory", number)[0] for number in range(4))
_REVISIONS: Final = tuple(derive("odd revision", number)[0] for number in range(5))
_NAMES: Final = ("one", "two", "ümlaut", "\u0301", "a\x00b", "\u202eback", "x" * limits.TAG_CHARS)
_ODD_TIME: Final[Json] = [1]
_TIMES: Final = (
    *(0, 1, 5, 10**12, limits.TIME_MAX_MS, limits.TIME_MAX_MS + 1, -1, 1.5, True, None, "1"),
    *(_ODD_TIME, 1e300),
)
_SCOPES: Final = ("global", "project/x", "project/x/conversation/y", "agent/a", "nope", "project/", "", 7, None)
_TEXTS: Final = (
    "a text",
    "another",
    "\u0301",
    "\x00",
    " ",
    "\U0001f600" * 9,
    "n" * (limits.TEXT_BYTES + 1),
    "",
    None,
    3,
)
_BIG: Final = (2**53, 2**53 + 1, -(2**63), 2**62, 1e308, -1e-320, math.inf, -math.inf, math.nan, -0.0)
_SHAPES: Final[tuple[Json, ...]] = ([], {}, [[]], [None], {"": None}, {"at": 1}, {"value": 1}, {"tag": {}})
_DEEPER: Final[tuple[Json, ...]] = ({"at": {"at": 1}}, [MEMORIES[0], MEMORIES[0], MEMORIES[0]])
_ODD: Final[tuple[Json, ...]] = (
    *(None, True, False, 0, -1, 1.5, *_BIG, "", " ", "x" * 300, "é" * 5_000, "00" * 16, MEMORIES[0]),
    *(*_SHAPES, *_DEEPER),
)
_SURROGATES: Final[tuple[Json, ...]] = ("\ud800", "a\udfffb", ["\ud800"], {"\udc00": 1})
_FIELDS: Final = (
    *("text", "at", "by", "device", "base", "scope", "kind", "created_at", "author", "source", "salt"),
    *("tag", "key", "value", "rel", "to", "", "later", "__proto__"),
)
_KEYS_OF_NOTHING: Final = ("", "/", "//", "junk", "\x00", "é" * 40, MEMORIES[0] + "x", MEMORIES[0].lower(), "x" * 900)


class OddRegisters:
    """Draws registers of a few memories, so that they meet each other.

    Args:
        rng: The source of every choice.
        surrogates: Whether texts may have lone surrogates, which no document can have.
    """

    def __init__(self, rng: Random, *, surrogates: bool = False) -> None:
        self._rng = rng
        self._odd = (*_ODD, *_SURROGATES) if surrogates else _ODD

    def writes(self, most: int = 6) -> Writes:
        """Return some registers to write or to delete, births more often than others."""
        drawn = [self.register() for _ in range(self._rng.randint(1, most))]
        return {key: DELETED if self._rng.random() < 0.05 else value for key, value in drawn}

    def registers_of(self, memory_id: str, most: int = 12) -> dict[str, Json]:
        """Return registers of one memory, which often has a valid birth."""
        drawn = dict(self.register(memory_id) for _ in range(self._rng.randint(0, most)))
        if self._rng.random() < 0.8:
            drawn[memory_id] = self._birth()
        return {key: value for key, value in drawn.items() if key.startswith(memory_id)}

    def register(self, memory_id: str = "") -> tuple[str, Json]:
        """Return the key and the value of a register of the memory, or of any memory."""
        kinds = (self._birth_at, self._revision, self._tag, self._metadata, self._link, self._attribute, self._other)
        owner = memory_id or self._rng.choice(MEMORIES)
        if self._rng.random() < 0.005:
            return registers.forgotten_key(owner), self.tombstone()
        key, value = self._rng.choice(kinds)(owner)
        return key, self._spoiled(value) if self._rng.random() < 0.4 else value

    def tombstone(self) -> Json:
        """Return the value of a tombstone."""
        return self._spoiled({"at": self._time(), "by": self._label(), "device": "d"})

    def _birth_at(self, memory_id: str) -> tuple[str, Json]:
        return memory_id, self._birth()

    def _birth(self) -> Json:
        choice, mostly = self._rng.choice, self._rng.random() < 0.7
        return {
            "text": choice(_TEXTS[:2] if mostly else _TEXTS),
            "scope": choice(_SCOPES[:4] if mostly else _SCOPES),
            "kind": choice((None, "fact")) if mostly else self._any(),
            "created_at": choice(_TIMES[:4] if mostly else _TIMES),
            "author": choice((None, "bot")) if mostly else self._any(),
            "device": "d" if mostly else self._any(),
            "source": choice((None, "file:///x")) if mostly else self._any(),
            "salt": SALT.hex() if mostly else choice((SALT.hex().upper(), "ff" * 16, " " * 32, "zz" * 16, "0" * 31, 5)),
        }

    def _revision(self, memory_id: str) -> tuple[str, Json]:
        name = self._rng.choice((*_REVISIONS, memory_id, "", "nonsense", _REVISIONS[0].lower(), f"{_REVISIONS[0]}/x"))
        names: list[Json] = [*_REVISIONS, memory_id, "", 7, None]
        base: Json = [self._rng.choice(names) for _ in range(self._rng.choice((0, 1, 2, 5, 65)))]
        value: Json = {"text": self._text(), "at": self._time(), "by": self._label(), "device": "d", "base": base}
        return registers.revision_key(memory_id, name), value

    def _tag(self, memory_id: str) -> tuple[str, Json]:
        tag = self._rng.choice(_NAMES)
        key = self._key(memory_id, registers.TAG, registers.tag_name(self._salt(), tag))
        return key, {"tag": self._rng.choice((tag, tag, None)), "at": self._time()}

    def _metadata(self, memory_id: str) -> tuple[str, Json]:
        name = self._rng.choice(_NAMES)
        key = self._key(memory_id, registers.METADATA, registers.metadata_name(self._salt(), name))
        return key, {"key": self._rng.choice((name, name, None)), "value": self._any(), "at": self._time()}

    def _link(self, memory_id: str) -> tuple[str, Json]:
        rel, to = self._rng.choice(_NAMES), self._rng.choice((*MEMORIES, "nobody"))
        key = self._key(memory_id, registers.LINK, registers.link_name(self._salt(), rel, to))
        return key, {"rel": self._rng.choice((rel, rel, None)), "to": self._rng.choice((to, None)), "at": self._time()}

    def _attribute(self, memory_id: str) -> tuple[str, Json]:
        name = self._rng.choice((*IN_REGISTERS, "author", "later", "", "scope/x"))
        values: tuple[Json, ...] = (None, True, 0, 1, 0.5, 2, 10**13, *_SCOPES, *MEMORIES, "trusted", self._any())
        return registers.attribute_key(memory_id, name), {"value": self._rng.choice(values), "at": self._time()}

    def _other(self, memory_id: str) -> tuple[str, Json]:
        rest = self._rng.choice(("/", "/q", "/q/x", "/x/y", "/t", "/t/", "//", "/a", "/r/", "/\x00", "/é/ü/ö"))
        return self._rng.choice((memory_id + rest, memory_id + rest, *_KEYS_OF_NOTHING)), self._any()

    def _spoiled(self, value: Json) -> Json:
        """Return a value with a mistake in it: a field too few, too many or of another kind, or another shape."""
        fields = dict(value) if isinstance(value, dict) else {}
        mistakes: tuple[Callable[[], Json], ...] = (
            self._any,
            lambda: {name: said for name, said in fields.items() if self._rng.random() < 0.7},
            lambda: {**fields, self._rng.choice(list(fields) or [""]): self._any()},
            lambda: {**fields, self._rng.choice(_FIELDS): self._any()},
            lambda: [value],
            lambda: self._nested(value),
        )
        return self._rng.choice(mistakes)()

    def _any(self) -> Json:
        value = self._rng.choice(self._odd)
        return self._nested(value) if self._rng.random() < 0.1 else value

    def _nested(self, value: Json) -> Json:
        for _ in range(self._rng.choice((1, 3, limits.METADATA_DEPTH, limits.METADATA_DEPTH + 1, 28))):
            value = [value] if self._rng.random() < 0.5 else {self._rng.choice(_FIELDS): value}
        return value

    def _key(self, memory_id: str, field: str, name: str) -> str:
        wrong = self._rng.choice(("", "00", name.upper(), f"{name}/x", "é"))
        return f"{memory_id}/{field}/{name if self._rng.random() < 0.8 else wrong}"

    def _salt(self) -> bytes:
        return SALT if self._rng.random() < 0.9 else b"\xff" * 16

    def _time(self) -> Json:
        return self._rng.choice(_TIMES[:4] if self._rng.random() < 0.8 else _TIMES)

    def _text(self) -> Json:
        return self._rng.choice(_TEXTS[:3] if self._rng.random() < 0.8 else _TEXTS)

    def _label(self) -> Json:
        return self._rng.choice((None, "bot")) if self._rng.random() < 0.8 else self._any()
