"""Predicates for the values of registers. They never raise, because registers come from other devices."""

from __future__ import annotations

from typing import TypeGuard

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.values import Json, canonical, check_json


def is_text(value: Json) -> TypeGuard[str]:
    """Return whether `value` can be a memory's text."""
    # A character has at most four bytes, so most texts can be measured without encoding them.
    return _is_string(value, limits.TEXT_BYTES) and (
        len(value) * 4 <= limits.TEXT_BYTES or len(value.encode()) <= limits.TEXT_BYTES
    )


def is_time(value: Json) -> TypeGuard[int]:
    """Return whether `value` is a time in milliseconds since 1970."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limits.TIME_MAX_MS


def is_label(value: Json) -> TypeGuard[str]:
    """Return whether `value` is a short text, such as a kind or a name."""
    return _is_string(value, limits.LABEL_CHARS)


def is_optional_label(value: Json) -> TypeGuard[str | None]:
    """Return whether `value` is a short text or None."""
    return value is None or is_label(value)


def is_source(value: Json) -> TypeGuard[str]:
    """Return whether `value` can name the source of a memory."""
    return _is_string(value, limits.SOURCE_CHARS)


def is_tag(value: Json) -> TypeGuard[str]:
    """Return whether `value` can be a tag."""
    return _is_string(value, limits.TAG_CHARS)


def is_metadata_key(value: Json) -> TypeGuard[str]:
    """Return whether `value` can be a key of the metadata."""
    return _is_string(value, limits.METADATA_KEY_CHARS)


def is_metadata_value(value: Json) -> bool:
    """Return whether every JSON reader accepts `value`. Yjs also has infinities and integers of any size."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str) and len(value) * 6 < limits.METADATA_BYTES:
        return value == "" or _is_string(value, limits.METADATA_BYTES)  # an escaped character has at most six bytes
    try:
        return len(canonical(check_json(value, "metadata")).encode()) <= limits.METADATA_BYTES
    except InputError:
        return False


def is_flag(value: Json) -> TypeGuard[bool]:
    """Return whether `value` is true or false."""
    return isinstance(value, bool)


def is_share(value: Json) -> TypeGuard[float]:
    """Return whether `value` is a number from 0 to 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_string(value: Json, chars: int) -> TypeGuard[str]:
    """Return whether `value` is text of 1 to `chars` characters that can be encoded as UTF-8."""
    if not isinstance(value, str) or not 0 < len(value) <= chars:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return False
