"""Records as plain JSON values, and back.

The types of a record's fields determine how it is read, so a new field needs no code here. The command line prints the
same form with --json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from memcrdt.errors import InputError
from memcrdt.model.values import a_kind

_NO_KEY: Final = ""  # the JSON form of the key None; no name is empty
_PLAIN: Final = frozenset({str, int, float, bool, NoneType})  # JSON as they are: three of four values of a memory


class _JsonForm:
    """Makes pydantic dump a field as `to_dict` does, as metadata of `Annotated`.

    `read` is called with a value before pydantic validates it.
    """

    def __init__(self, read: Callable[[Any], Any] | None = None) -> None:
        self._read = read

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Return pydantic's schema of the field. Only pydantic calls it."""
        from pydantic_core import core_schema

        schema = handler(source)
        if self._read is not None:
            schema = core_schema.no_info_before_validator_function(self._read, schema)
        return {**schema, "serialization": core_schema.plain_serializer_function_ser_schema(to_json, when_used="json")}


class Record:
    """Base of the values that memcrdt returns: frozen dataclasses that can be written as JSON and read again."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # every subclass is a dataclass

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values, under the names of its fields.

        Times are ISO 8601 texts with an offset, tuples are lists, sets are sorted lists, and records inside this one
        are dicts. The key None of a mapping is an empty text.

        Example:
            ```python
            json.dumps([hit.to_dict() for hit in memory.search("invoices")])
            ```
        """
        names = field_names(type(self))  # type: ignore[arg-type]  # mypy takes type[Self] for unhashable
        return {name: to_json(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return the record that `to_dict` wrote; it equals the original.

        Args:
            given: JSON values by field name. Names that this version does not know are ignored: a newer version may
                have written them.

        Raises:
            InputError: A field is missing, or its value has the wrong type.
        """
        if not isinstance(given, Mapping):
            raise InputError(f"a {cls.__name__} is read from a mapping, not from {a_kind(given)}")
        types = _types(cls)  # type: ignore[arg-type]  # as above
        values: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in given:
                values[field.name] = _read(types[field.name], given[field.name], f"{cls.__name__}.{field.name}")
            elif field.default is MISSING and field.default_factory is MISSING:
                raise InputError(f"{cls.__name__}.{field.name} is missing")
        return cls(**values)


def to_json(value: object) -> Any:
    """Return `value` as JSON values: dataclasses and mappings become dicts, tuples and sets lists, times texts."""
    return value if type(value) in _PLAIN else _container_to_json(value)


def _container_to_json(value: object) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return {_NO_KEY if key is None else key: to_json(item) for key, item in value.items()}
        case tuple() | list():
            return [to_json(item) for item in value]
        case frozenset():
            return sorted(map(to_json, value))
    if is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in field_names(type(value))}
    return value


@cache
def field_names(kind: Any) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass."""
    return tuple(field.name for field in fields(kind))


def _with_none_key(value: Any) -> Any:
    """Return a mapping with its key None, which JSON lacks. Return any other value unchanged."""
    if not isinstance(value, Mapping):
        return value
    return {None if key == _NO_KEY else key: item for key, item in value.items()}


UtcTime: TypeAlias = Annotated[datetime, _JsonForm()]
Counts: TypeAlias = Annotated[Mapping[str | None, int], _JsonForm(_with_none_key)]  # by name; None without a name
Names: TypeAlias = Annotated[frozenset[str], _JsonForm()]


@cache
def _types(kind: type[Record]) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: Any, what: str) -> Any:
    """Return the JSON `value` as the type `kind`. Raises InputError."""
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        (some,) = (each for each in args if each is not NoneType)
        return None if value is None else _read(some, value, what)
    if not _fits(origin, args, value):
        raise InputError(f"{what} is {a_kind(value)}, which to_dict() does not write there")
    if origin is datetime:
        return _time(value, what)
    if origin is Mapping:
        read = {key: _read(args[1], item, f"{what}[{key!r}]") for key, item in value.items()}
        return read if args[0] is str else _with_none_key(read)
    if origin is frozenset:
        return frozenset(_read(args[0], item, f"{what}[{n}]") for n, item in enumerate(value))
    if origin is tuple:
        types = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_read(each, item, f"{what}[{n}]") for n, (each, item) in enumerate(zip(types, value, strict=True)))
    return origin.from_dict(value) if _is_record(origin) else value


def _fits(origin: Any, args: tuple[Any, ...], value: Any) -> bool:
    """Return whether `value` has the JSON type that `to_json` makes of this type."""
    if origin is Literal:
        return value in args
    if origin is datetime:
        return isinstance(value, str)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and (args[-1] is Ellipsis or len(args) == len(value))
    if origin is frozenset:
        return isinstance(value, list)
    if origin is Mapping or _is_record(origin):
        return isinstance(value, Mapping)
    return origin is Any or type(value) is origin or (origin is float and type(value) is int)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _time(text: str, what: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(f"{what}, {text[:40]!r}, is not an ISO 8601 time") from exc
    if time.utcoffset() is None:
        raise InputError(f"{what}, {text[:40]!r}, has no time zone")
    return time.astimezone(UTC)
