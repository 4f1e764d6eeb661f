"""Names of files that every platform accepts. A path in a memory may come from another device: it is checked."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

PATH_CHARS: Final = 400
DEPTH: Final = 16  # folders below each other
NAME_BYTES: Final = 200  # file systems take 255, and a temporary name is longer
TITLE_CHARS: Final = 60

_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?", re.IGNORECASE)
_FOR_MARKDOWN: Final = re.compile(r"[#^\[\]`*_]+")  # which links of Obsidian cannot name


def folded(path: str) -> str:
    """Return a path as file systems compare it that ignore case and the form of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def is_safe(path: object, suffixes: tuple[str, ...]) -> bool:
    """Return whether a path stays in its folder, is not hidden, and is possible on every platform."""
    if not isinstance(path, str) or not 0 < len(path) <= PATH_CHARS or not path.lower().endswith(suffixes):
        return False
    names = path.split("/")
    return len(names) <= DEPTH and all(map(_is_safe_name, names))


def plain_name(title: str) -> str:
    """Return the name of a file, without its suffix, for a title of any form.

    Example:
        >>> plain_name("Why: *deploys* on Tuesdays?")
        'Why deploys on Tuesdays'
    """
    name = _FOR_MARKDOWN.sub(" ", _FORBIDDEN.sub(" ", unicodedata.normalize("NFC", title)))
    name = " ".join("".join(c for c in name if c.isprintable()).split()).strip(" .~")
    if len(name) > TITLE_CHARS:
        name = name[: TITLE_CHARS + 1].rpartition(" ")[0] or name[:TITLE_CHARS]
    name = name.encode()[: NAME_BYTES // 2].decode(errors="ignore").strip(" .~")
    return name if name and _is_safe_name(name) else "Memory"


def other_name(path: str, memory_id: str) -> str:
    """Return another path for a memory whose path is taken."""
    stem, dot, suffix = path.rpartition(".")
    return f"{stem} {memory_id[-6:]}{dot}{suffix}"


def _is_safe_name(name: str) -> bool:
    return (
        0 < len(name.encode(errors="replace")) <= NAME_BYTES
        and name == name.strip(" ")
        and not name.startswith((".", "~"))
        and not name.endswith((".", "~"))
        and not _FORBIDDEN.search(name)
        and not _DEVICES.fullmatch(name)
        and name.isprintable()
    )
