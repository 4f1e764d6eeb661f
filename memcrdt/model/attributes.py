"""The table of a memory's attributes. It defines everything that other modules know about an attribute.

An attribute is a single value of a memory, such as its scope or its importance. Its row has its name, its type, the
registers that store it, and its help text. Requests, edits, the merge rule, the views, records, exports and the command
line follow the table. To add an attribute:

1. add a row to `ATTRIBUTES`, and a typed argument to the options below it;
2. add a numbered file to `store/schema` that adds the column of the same name to `memories`;
3. add the field to `MemoryRecord` in `model/records.py`;
4. add the argument to the signatures of `add` and `update` in `memory/memory.py`.

Text, tags, metadata and links are not attributes: they have registers of their own. Id, device and dates are not
attributes either: their defaults are not constants.

An attribute is in the birth of a memory, in the register `ID/a/NAME`, or in both. The register overrides the birth.
Every new attribute goes into a register, because existing births cannot change.
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

# The kinds of values under keys (memcrdt/frameworks/values.py). Their texts are base64, JSON or what else a program
# keeps, and it reads them by their keys: no search finds them, and no index has them.
VALUE: Final = "bytes"
VALUE_PART: Final = "bytes-part"
VALUE_KINDS: Final = frozenset({VALUE, VALUE_PART})


def unchanged(value: Any) -> Any:
    """Return the value unchanged: for a type whose stored values are shown as they are."""
    return value


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of values.

    Attributes:
        metavar: How the command line names a value; empty for a flag.
        check: Takes a caller's value and a name for messages, and returns the value to store. Raises InputError.
        is_valid: Returns whether a value from another device is a stored value of this type.
        to_record: Turns the stored value into the value in a record.
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
        default: The value of a memory that has none. If the default is None, None also removes a value.
        subject: The name in messages; `name` if empty.
        in_birth: Whether the birth has a field for the attribute.
        in_register: Whether the attribute has the register `ID/a/NAME`.
        verbs: The calls that take it. An import and a change may set attributes that a new memory cannot have.
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
        """Return the value to store for a caller's value. Raises InputError."""
        return None if self.is_none(value) else self.type.check(value, self.subject or self.name)

    def is_valid(self, value: Json) -> bool:
        """Return whether a register may have `value`."""
        return self.default is None if value is None else self.type.is_valid(value)

    def to_record(self, value: Any) -> Any:
        """Return the value in a record for a stored value."""
        return None if self.is_none(value) else self.type.to_record(value)

    def from_record(self, value: Any) -> Json:
        """Return the value to store for a value in a record."""
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
        help=f"The scope: {FORMS}.",
    ),
    Attribute(
        name="kind", type=LABEL, subject="the kind", in_birth=True, help="The kind of memory, such as fact or decision."
    ),
    Attribute(
        name="author",
        type=LABEL,
        subject="the author",
        in_birth=True,
        in_register=False,
        verbs=frozenset({"add", "import"}),
        help="The agent or person who wrote the text.",
    ),
    Attribute(
        name="source",
        type=SOURCE,
        subject="the source",
        in_birth=True,
        in_register=False,
        verbs=frozenset({"add", "import"}),
        help="The source of the text, such as a URL.",
    ),
    Attribute(name="trust", type=LABEL, help="A label for how far to trust the text."),
    Attribute(name="importance", type=SHARE, subject="the importance", help="The importance, from 0 to 1."),
    Attribute(name="pinned", type=FLAG, default=False, flag="--pin/--unpin", help="Whether the memory is pinned."),
    Attribute(name="expires_at", type=TIME, help="The time after which the memory is hidden (ISO 8601)."),
    Attribute(
        name="superseded_by",
        type=MEMORY,
        verbs=frozenset({"update", "import"}),
        help="The id of the memory that replaces this one.",
    ),
    Attribute(
        name="imported_from",
        type=LABEL,
        verbs=frozenset({"import"}),
        help="The device that added the memory before it was imported, as the file says.",
    ),
)


class ScopedAddOptions(TypedDict, total=False):
    """Arguments of ScopedMemory.add() besides the text: the arguments of Memory.add() except `scope`."""

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
    replace: bool
    expected: str | Iterable[str] | None
    allow_secret: bool
    vector: Iterable[float] | None


class AddOptions(ScopedAddOptions, total=False):
    """Arguments of Memory.add() besides the text. Memory.add() explains them."""

    scope: str


class UpdateOptions(TypedDict, total=False):
    """Arguments of Memory.update() besides the id. Memory.update() explains them. `...` keeps a value as it is."""

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
    expected: str | Iterable[str] | None
    allow_secret: bool
    vector: Iterable[float] | None


BY_NAME: Final = {attribute.name: attribute for attribute in ATTRIBUTES}
IN_BIRTH: Final = tuple(attribute for attribute in ATTRIBUTES if attribute.in_birth)
IN_REGISTERS: Final = {attribute.name: attribute for attribute in ATTRIBUTES if attribute.in_register}


def taken_by(verb: Verb) -> tuple[Attribute, ...]:
    """Return the attributes that a call takes."""
    return tuple(attribute for attribute in ATTRIBUTES if verb in attribute.verbs)
