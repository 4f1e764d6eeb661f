"""The front matter of Markdown files: YAML between two lines `---` at the start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from memcrdt.model import limits

if TYPE_CHECKING:
    import yaml

FRONT_MATTER_CHARS: Final = 128 * limits.KIB  # of a memory with all its fields at their limits, written with escapes
VALUES: Final = 2_000  # an alias can repeat a value without end
DEPTH: Final = limits.METADATA_DEPTH - 2

_BLOCK: Final = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")


def read_front_matter(text: str, *, typed: bool = True) -> tuple[dict[str, Any], str]:
    """Return the fields of the front matter, and the text after it.

    A front matter that is not YAML stays in the text. Numbers, `true` and `false` have their types, unless `typed` is
    False. Everything else is a text as it was written, also dates and `yes`.

    Example:
        >>> read_front_matter("---\\ntitle: Tea\\ntags: [a, b]\\n---\\nAda likes tea.")
        ({'title': 'Tea', 'tags': ['a', 'b']}, 'Ada likes tea.')
    """
    fields, _, body = split_front_matter(text, typed=typed)
    return fields, body


def split_front_matter(text: str, *, typed: bool = True) -> tuple[dict[str, Any], str, str]:
    """Return the fields of the front matter, the front matter as it was written, and the text after it."""
    block = _BLOCK.match(text[:FRONT_MATTER_CHARS])
    fields = None if block is None else _parsed(block[1], typed)
    if block is None or fields is None:
        return {}, "", text
    return fields, block[0], text[block.end() :]


def _parsed(block: str, typed: bool) -> dict[str, Any] | None:
    import yaml

    # The nodes alone: nothing is made of them but texts, lists and mappings, and an alias is not followed without end.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        plain = _plain(yaml.compose(block, loader), [VALUES], DEPTH, typed)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return {} if plain == "" else plain if isinstance(plain, dict) else None


def _plain(node: yaml.Node | None, left: list[int], depth: int, typed: bool) -> Any:
    """Return the value of a node as JSON knows it. Raises ValueError if it is too deep, or has too many values."""
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise ValueError("the front matter has too many values")
    if node is None:  # nothing but comments
        return None
    value = node.value
    if node.id == "mapping":
        return {_name(name): _plain(each, left, depth - 1, typed) for name, each in value}
    if node.id == "sequence":
        return [_plain(each, left, depth - 1, typed) for each in value]
    if typed and value in ("true", "false"):
        return value == "true"
    if typed and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def _name(node: yaml.Node) -> str:
    if node.id != "scalar":
        raise ValueError("a name in the front matter is a list or a mapping")
    return str(node.value)
