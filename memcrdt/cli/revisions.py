"""The texts of a memory: fields for scripts, and on a terminal the words in which they differ."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from memcrdt.cli.names import MARK
from memcrdt.cli.output import Column, device_name, on_terminal
from memcrdt.cli.terminal import age, paint

if TYPE_CHECKING:
    from memcrdt import Revision

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
INDENT = "   "


def revised(names: Mapping[str, str]) -> tuple[Column[Revision], ...]:
    """Return the columns of a history, with the names of devices by id."""
    return (
        Column("revision", lambda revision: revision.revision),
        Column("at", lambda revision: revision.at, whole=True),
        Column("device", lambda revision: device_name(names, revision.device)),
        Column("by", lambda revision: revision.by),
        Column("head", lambda revision: "head" if revision.head else ""),
        Column("text", lambda revision: revision.text),
    )


def history_lines(revisions: Sequence[Revision], names: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a history for a terminal: each text, with the words that changed."""
    texts = {revision.revision: revision.text for revision in revisions}
    several = sum(revision.head for revision in revisions) > 1
    yield paint(f"memory {revisions[0].id}", bold=True)
    for revision in revisions:
        before = next((texts[each] for each in revision.base if each in texts), None)
        mark = ("in conflict" if several else "current") if revision.head else ""
        yield from _entry((revision.revision, mark), revision, before, names)


def conflict_lines(heads: Sequence[Revision], names: Mapping[str, str], at: int | None = None) -> Iterator[str]:
    """Yield the lines of a conflict for a terminal: the texts, numbered, with the words that differ from the first.

    `at` is the number of the memory in the list.
    """
    yield paint(f"{MARK}{at}  " * (at is not None) + f"memory {heads[0].id}", bold=True)
    for number, head in enumerate(heads, 1):
        yield from _entry((str(number), head.revision), head, heads[0].text if number > 1 else None, names)


def _entry(lead: Iterable[str], revision: Revision, before: str | None, names: Mapping[str, str]) -> Iterator[str]:
    by = f"({revision.by})" if revision.by else ""
    about = (*lead, age(revision.at), device_name(names, revision.device), by)
    yield on_terminal("  ".join(filter(None, about)))
    shown = on_terminal(revision.text) if before is None else difference(before, revision.text)
    yield INDENT + shown.replace("\n", "\n" + INDENT)


def difference(old: str, new: str) -> str:
    """Return `new` for a terminal: words that only `old` has are `[-red-]`, words that it lacks are `{+green+}`."""
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    shown = []
    for operation, a1, a2, b1, b2 in difflib.SequenceMatcher(None, a, b, autojunk=True).get_opcodes():
        gone, added = on_terminal("".join(a[a1:a2])), on_terminal("".join(b[b1:b2]))
        if operation == "equal":
            shown.append(added)
            continue
        shown.append(paint(f"[-{gone}-]", fg="red") if gone else "")
        shown.append(paint(f"{{+{added}+}}", fg="green") if added else "")
    return "".join(shown)
