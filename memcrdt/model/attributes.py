"""The table of a memory's attributes. Everything that other modules know about an attribute stands here.

An attribute is a single value of a memory, such as its scope or its importance. Its row has its name, its type, the
registers that hold it, and its help text. Requests, edits, the merge rule, the views, records, exports and the command
line follow the table. To add an attribute:

1. add a row to `ATTRIBUTES`, and a typed argument to the options below it;
2. add a numbered file to `store/schema` that adds the column of the same name to `memories`;
3. add the field to `MemoryRecord` in `model/records.py`;
4. add the argument to the signatures of `add` and `update` in `memory/memory.py`.

Text, tags, metadata and links are not attributes: they have registers of their own. Id, device and dates are not
attributes either: their defaults are no constants.

The birth of a memory holds an attribute, or the register `ID/a/NAME`, or both; then the register overrides the birth.
A register holds every new attribute, since existing births can't change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import EllipsisType
from typing import Any, Final, Literal, TypeAlias, TypedDict

from memcrdt.model import checks, limits, predicates
from memcrdt.model.ids import is_ulid
from memcrdt.model.scopes import FORMS, GLOBAL, check_scope, is_scope
from memcrdt.model.values import Json, Time, from_ms, to_ms

Verb: TypeAlias = Literal["add", "update", "import"]


def unchanged(value: Any) -> Any:
    """Return the value: for a type that a record shows as it is kept."""
    return value


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of values.

    Attributes:
        metavar: How the command line names a value; empty for a flag.
        check: Takes what a caller gives and a name for messages, and returns the value as it is kept. Raises
            InputError.
        is_valid: Returns whether a value from another device is one of this type.
        to_record: Makes of the kept value what a record shows.
        from_record: The inverse of `to_record`.
    """

    metavar: str
    check: Callable[[object, str], Json]
    is_valid: Callable[[Json], bool]
    to_record: Callable[[Any], Any] = unchanged
    from_record: Callable[[Any], Json] = unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One row of the table.

    Attributes:
        name: The name everywhere: argument, register, column of `memories`, field of a record.
        type: The type of its values.
        help: The help text of its option.
        default: The value of a memory that has none. With None as the default, None also takes a value away.
        subject: The name in messages; `name` if empty.
        in_birth: Whether the birth has a field for it.
        in_register: Whether the register `ID/a/NAME` holds it.
        verbs: The calls that take it. An import and a change may set attributes that a new memory can't have.
        flag: The option of the command line if it is not `--NAME`.
    """

    name: str
    type: ValueType
    help: str
    default: Json = None
    subject: str = ""
    in_birth: bool = False
    in_register: bool = True
    verbs: frozenset[Verb] = frozenset({"add", "update", "import"})
    flag: str = ""

    def check(self, value: object) -> Json:
        """Return what a caller gives, as it is kept. Raises InputError."""
        return None if self.is_none(value) else self.type.check(value, self.subject or self.name)

    def is_valid(self, value: Json) -> bool:
        """Return whether a register may hold `value`."""
        return self.default is None if value is None else self.type.is_valid(value)

    def to_record(self, value: Any) -> Any:
        """Return the kept value as a record shows it."""
        return None if self.is_none(value) else self.type.to_record(value)

    def from_record(self, value: Any) -> Json:
        """Return the value of a record as it is kept."""
        return None if self.is_none(value) else self.type.from_record(value)

    def is_none(self, value: object) -> bool:
        """Return whether `value` is None and this attribute may have no value."""
        return value is None and self.default is None


def _check_short(value: object, subject: str) -> Json:
    return checks.check_label(value, subject)


LABEL: Final = ValueType("NAME", _check_short, predicates.is_label)
SOURCE: Final = ValueType(
    "SOURCE", lambda value, subject: checks.check_label(value, subject, limits.SOURCE_CHARS), predicates.is_source
)
SCOPE: Final = ValueType("SCOPE", lambda value, _: check_scope(value), is_scope)
MEMORY: Final = ValueType("ID", lambda value, _: checks.check_id(value), is_ulid)
SHARE: Final = ValueType("NUMBER", checks.check_share, predicates.is_share)
FLAG: Final = ValueType("", checks.check_flag, predicates.is_flag, to_record=bool)
TIME: Final = ValueType("TIME", to_ms, predicates.is_time, to_record=from_ms, from_record=to_ms)  # type: ignore[arg-type]

ATTRIBUTES: Final = (
    Attribute(
        name="scope",
        type=SCOPE,
        default=GLOBAL,
        in_birth=True,
        help=f"What it belongs to: {FORMS}.",
    ),
    Attribute(name="kind", type=LABEL, subject="the kind", in_birth=True, help="What sort of memory it is."),
    Attribute(
        name="author",
        type=LABEL,
        subject="the author",
        in_birth=True,
        in_register=False,
        verbs=frozenset({"add", "import"}),
        help="Who says so.",
    ),
    Attribute(
        name="source",
        type=SOURCE,
        subject="the source",
        in_birth=True,
        in_register=False,
        verbs=frozenset({"add", "import"}),
        help="Where it comes from.",
    ),
    Attribute(name="trust", type=LABEL, help="How far it is to be trusted."),
    Attribute(name="importance", type=SHARE, subject="the importance", help="From 0 to 1."),
    Attribute(name="pinned", type=FLAG, default=False, flag="--pin/--unpin", help="Pin it, or no longer."),
    Attribute(name="expires_at", type=TIME, help="When to hide it (ISO 8601 with an offset)."),
    Attribute(
        name="superseded_by",
        type=MEMORY,
        verbs=frozenset({"update", "import"}),
        help="The memory that takes its place.",
    ),
)


class ScopedAddOptions(TypedDict, total=False):
    """Arguments of ScopedMemory.add() beside the text: those of Memory.add() but `scope`."""

    space: str
    kind: str | None
    tags: Iterable[str]
    metadata: Mapping[str, Any] | None
    author: str | None
    source: str | None
    trust: str | None
    importance: float | None
    pinned: bool
    created_at: Time | None
    expires_at: Time | None
    ttl: float | timedelta | None
    id: str | None
    key: str | None
    dedupe: bool
    allow_secret: bool
    vector: Iterable[float] | None


class AddOptions(ScopedAddOptions, total=False):
    """Arguments of Memory.add() beside the text, which explains them."""

    scope: str


class UpdateOptions(TypedDict, total=False):
    """Arguments of Memory.update() beside the id, which explains them. `...` leaves a part as it is."""

    text: str | EllipsisType
    tags: Iterable[str] | EllipsisType
    add_tags: Iterable[str]
    remove_tags: Iterable[str]
    metadata: Mapping[str, Any] | None
    kind: str | EllipsisType | None
    importance: float | EllipsisType | None
    pinned: bool | EllipsisType
    expires_at: Time | EllipsisType | None
    ttl: float | timedelta | None
    superseded_by: str | EllipsisType | None
    scope: str | EllipsisType
    trust: str | EllipsisType | None
    author: str | None
    allow_secret: bool
    vector: Iterable[float] | None


BY_NAME: Final = {attribute.name: attribute for attribute in ATTRIBUTES}
IN_BIRTH: Final = tuple(attribute for attribute in ATTRIBUTES if attribute.in_birth)
IN_REGISTERS: Final = {attribute.name: attribute for attribute in ATTRIBUTES if attribute.in_register}


def taken_by(verb: Verb) -> tuple[Attribute, ...]:
    """Return the attributes that a call takes."""
    return tuple(attribute for attribute in ATTRIBUTES if verb in attribute.verbs)
