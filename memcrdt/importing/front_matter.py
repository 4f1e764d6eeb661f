"""The front matter of Markdown files: YAML between two lines `---` at the start."""

from __future__ import annotations

import re
from typing import Any, Final

from memcrdt.model import limits

FRONT_MATTER_CHARS: Final = 32 * limits.KIB
VALUES: Final = 2_000  # an alias can repeat a value without end
DEPTH: Final = limits.METADATA_DEPTH - 2

_BLOCK: Final = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")


def read_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return the fields of the front matter, and the text after it.

    A front matter that is not YAML stays in the text. Numbers, `true` and `false` have their types. Everything else is
    a text as it was written, also dates and `yes`.

    Example:
        >>> read_front_matter("---\\ntitle: Tea\\ntags: [a, b]\\n---\\nAda likes tea.")
        ({'title': 'Tea', 'tags': ['a', 'b']}, 'Ada likes tea.')
    """
    block = _BLOCK.match(text[:FRONT_MATTER_CHARS])
    if block is None:
        return {}, text
    fields = _parsed(block[1])
    return (fields, text[block.end() :]) if fields is not None else ({}, text)


def _parsed(block: str) -> dict[str, Any] | None:
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # builds nothing but texts, lists and mappings
    try:
        plain = _plain(yaml.load(block, loader), [VALUES], DEPTH)  # noqa: S506 - see above
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None
    return {} if plain == "" else plain if isinstance(plain, dict) else None


def _plain(value: Any, left: list[int], depth: int) -> Any:
    """Return the value as JSON knows it. Raises ValueError if it is too deep, or has too many values."""
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise ValueError("the front matter has too many values")
    if isinstance(value, dict):
        return {str(name): _plain(each, left, depth - 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, left, depth - 1) for each in value]
    if value in ("true", "false"):
        return value == "true"
    if _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value
