"""Changes of one entry in a configuration file of somebody else, with its comments and layout kept.

The text is edited and not written anew. Each change is checked: the new text must mean exactly the old one with this
entry set or removed. If it does not, nothing is changed, and the user is told to edit the file by hand.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeAlias

from memcrdt.errors import InputError

Entry: TypeAlias = Mapping[str, Any] | list[Any] | int  # a new value

_DEPTH: Final = 100  # of nested values
_TOKEN: Final = re.compile(r'\s+|//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"/]+', re.DOTALL)
_HEADER: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)
_INDENT: Final = "  "


def parse(text: str, *, toml: bool) -> Any:
    """Return the value of TOML, or of JSON with comments. An empty text is an empty object. Raises InputError."""
    if not toml:
        return _Reader(text if text.strip() else "{}").plain()
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise InputError(f"it is not valid TOML: {exc}") from exc


def edit_json(text: str, path: tuple[str, ...], entry: Entry | None) -> str:
    """Return JSON with comments, with the entry at `path` set, or removed if it is None. Raises InputError.

    Example:
        >>> edit_json('{"a": 1}', ("b",), None)
        '{"a": 1}'
    """
    before = _Reader(text if text.strip() else "{}")
    after = _set(before, path, entry) if entry is not None else _removed(before, path)
    if _Reader(after).plain() != _changed(before.plain(), path, entry):
        raise InputError("its layout is not understood")
    return after


def edit_items(text: str, path: tuple[str, ...], item: Entry | None, is_own: Callable[[Any], bool]) -> str:
    """Return JSON with comments, with `item` at the end of the array at `path` instead of the items that are ours.

    Args:
        text: The text.
        path: The keys of the array, which is created if it is missing.
        item: The new item; None only removes ours. An array that is empty then is removed.
        is_own: Returns whether an item of the array is ours.

    Raises:
        InputError: The text is not understood.
    """
    before = _Reader(text if text.strip() else "{}")
    kept = [each for each in _items(before.plain(), path) if not is_own(each)]
    after = before
    while own := [at for at, each in enumerate(_items(after.plain(), path)) if is_own(each)]:
        array = _found(after, path)
        if len(array.items) == 1:
            after = _Reader(_removed(after, path))
        else:
            value = array.items[own[0]]
            after = _Reader(_cut(after, value.start, value))
    if item is not None:
        after = _Reader(_appended(after, path, item))
    wanted = [*kept, *([] if item is None else [item])]
    if after.plain() != _changed(before.plain(), path, wanted or None):
        raise InputError("its layout is not understood")
    return after.text


def edit_toml(text: str, path: tuple[str, ...], entry: Mapping[str, Any] | None) -> str:
    """Return TOML with the table at `path` set, or removed if the entry is None. Raises InputError."""
    name = ".".join(path)
    try:
        before = tomllib.loads(text)
        kept = _without_tables(text, name)
        block = "" if entry is None else _toml_table(name, entry)
        gap = "" if not kept or not block else "\n" if kept.endswith("\n") else "\n\n"
        after = kept + gap + block
        if tomllib.loads(after) != _changed(before, path, entry):
            raise InputError("its layout is not understood")
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise InputError(f"it is not valid TOML: {exc}") from exc
    return after


def _toml_table(name: str, entry: Mapping[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join([f"[{name}]", *lines]) + "\n"


def _without_tables(text: str, name: str) -> str:
    """Return TOML without a table and its subtables. Comments before the next table stay: they belong to that."""
    own = re.compile(rf"[ \t]*\[\s*{re.escape(name)}\s*[\].]")
    starts = [match.start() for match in _HEADER.finditer(text)]
    kept = [text[: starts[0]] if starts else text]
    for start, end in pairwise([*starts, len(text)]):
        part = text[start:end]
        if not own.match(part):
            kept.append(part)
        elif comments := re.search(r"(?:^[ \t]*#[^\n]*\n|^[ \t]*\n)+\Z", part, re.MULTILINE):
            kept.append(comments[0].lstrip("\n"))
    return re.sub(r"\n{2,}\Z", "\n", "".join(kept))


def _changed(tree: Any, path: tuple[str, ...], entry: Entry | None) -> Any:
    """Return a tree with the entry at `path` set, or removed with the tables that are empty then."""
    if not isinstance(tree, dict):
        raise InputError(f"it has no table for {path[0]!r}")
    first, *rest = path
    if entry is None and first not in tree:
        return tree
    inner = _changed(tree.get(first, {}), tuple(rest), entry) if rest else entry
    if not inner:
        return {key: value for key, value in tree.items() if key != first}
    return {**tree, first: inner}


@dataclass(slots=True)
class _Value:
    """A value in the text: its place, the members of an object with the places of their keys, and its items."""

    start: int
    end: int
    members: dict[str, tuple[int, _Value]] | None = None
    items: list[_Value] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """A text of JSON with comments and commas before a closing bracket, and the places of its values."""

    text: str
    tokens: list[tuple[int, str]] = field(default_factory=list)
    at: int = 0

    def __post_init__(self) -> None:
        end = 0
        for match in _TOKEN.finditer(self.text):
            if match.start() != end:
                break
            end = match.end()
            if not match[0].isspace() and not match[0].startswith(("//", "/*")):
                self.tokens.append((match.start(), match[0]))
        if end != len(self.text):
            raise InputError(f"it is not valid JSON at character {end:,}")

    def plain(self) -> Any:
        """Return the value of the text. Raises InputError."""
        said = [symbol for _, symbol in self.tokens]
        kept = [
            symbol for symbol, following in pairwise([*said, ""]) if not (symbol == "," and following in ("}", "]"))
        ]
        try:
            return json.loads(" ".join(kept))
        except (ValueError, RecursionError) as exc:
            raise InputError(f"it is not valid JSON: {exc}") from exc

    def root(self) -> _Value:
        """Return the outermost value of a valid text. Raises InputError."""
        self.plain()
        self.at = 0
        return self._value(0)

    def _value(self, depth: int) -> _Value:
        if depth > _DEPTH:
            raise InputError("it is nested too deeply")
        start, symbol = self._take()
        if symbol not in "{[":
            return _Value(start, start + len(symbol))
        members: dict[str, tuple[int, _Value]] = {}
        items: list[_Value] = []
        while self.tokens[self.at][1] not in "}]":
            place = self.tokens[self.at][0]
            if symbol == "{":
                key = json.loads(self._take()[1])
                self._take()  # the colon
                members[key] = (place, self._value(depth + 1))
            else:
                items.append(self._value(depth + 1))
            if self.tokens[self.at][1] == ",":
                self._take()
        end = self._take()[0] + 1
        return _Value(start, end, members if symbol == "{" else None, items)

    def _take(self) -> tuple[int, str]:
        self.at += 1
        return self.tokens[self.at - 1]


def _items(tree: Any, path: tuple[str, ...]) -> list[Any]:
    """Return the array at `path`, empty if it is missing. Raises InputError."""
    for key in path:
        if not isinstance(tree, dict):
            raise InputError(f"it has no object for {key!r}")
        tree = tree.get(key, {} if key != path[-1] else [])
    if not isinstance(tree, list):
        raise InputError(f"its {'.'.join(path)} is not an array")
    return tree


def _found(reader: _Reader, path: tuple[str, ...]) -> _Value:
    """Return the value at `path`, which exists."""
    value = reader.root()
    for key in path:
        value = (value.members or {})[key][1]
    return value


def _appended(reader: _Reader, path: tuple[str, ...], item: Entry) -> str:
    """Return the text with another item at the end of the array at `path`."""
    if not _items(reader.plain(), path):
        return _set(reader, path, [item])
    end = _found(reader, path).items[-1].end
    depth = len(path) + 1
    return f"{reader.text[:end]},\n{_INDENT * depth}{_json(item, depth)}{reader.text[end:]}"


def _set(reader: _Reader, path: tuple[str, ...], entry: Entry) -> str:
    text, value = reader.text, reader.root()
    for depth, key in enumerate(path):
        if value.members is None:
            raise InputError(f"it has no object for {key!r}")
        if key not in value.members:
            return _inserted(text, value, depth, path[depth:], entry)
        value = value.members[key][1]
    return text[: value.start] + _json(entry, len(path)) + text[value.end :]


def _inserted(text: str, into: _Value, depth: int, path: tuple[str, ...], entry: Entry) -> str:
    """Return the text with a new first member, so that a comment above another member stays above it."""
    nested: Entry = entry
    for key in reversed(path[1:]):
        nested = {key: nested}
    member = f"\n{_INDENT * (depth + 1)}{json.dumps(path[0])}: {_json(nested, depth + 1)}"
    place = into.start + 1
    if into.members:
        return text[:place] + member + "," + ("" if text[place].isspace() else " ") + text[place:]
    return text[:place] + member + ("" if text[place] == "\n" else f"\n{_INDENT * depth}") + text[place:]


def _removed(reader: _Reader, path: tuple[str, ...]) -> str:
    """Return the text without the member at `path` and the objects that are empty then."""
    parents, value = [], reader.root()
    for key in path:
        if value.members is None or key not in value.members:
            return reader.text
        parents.append(value)
        value = value.members[key][1]
    last = len(path) - 1
    while last and len(parents[last].members or ()) == 1:
        last -= 1
    place, value = (parents[last].members or {})[path[last]]
    return _cut(reader, place, value)


def _cut(reader: _Reader, place: int, value: _Value) -> str:
    """Return the text without a member and one comma beside it."""
    text = reader.text
    following = next(symbol for symbol in reader.tokens if symbol[0] >= value.end)
    previous = [symbol for symbol in reader.tokens if symbol[0] < place][-1]
    start = len(text[:place].rstrip())
    before, after = text[:start], text[value.end :]
    if following[1] == ",":
        comma = following[0] - value.end
        after = after[:comma] + after[comma + 1 :]
    elif previous[1] == ",":
        before = before[: previous[0]] + before[previous[0] + 1 :]
    if previous[1] == "{" and after.lstrip().startswith("}"):
        after = after.lstrip()
    return before + after


def _json(entry: Entry, depth: int) -> str:
    return json.dumps(entry, indent=_INDENT, ensure_ascii=False).replace("\n", "\n" + _INDENT * depth)
