"""Memories as text for a model's prompt.

Tags fence the text, so that the model can tell memories and their authors from its instructions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from memcrdt.errors import InputError
from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.model.values import a_kind

MESSAGE_CHARS = 8_000  # of a message; what is longer was pasted
MIN_CHARS = 100  # room for the frame, and for the line that counts what is left out

_START, _END = "<memories>", "</memories>"
_OPEN, _CLOSE = _START + "\n", _END + "\n"
# Blocks between tags of any name; then the rest behind an open tag of the kind that clients use, which was cut off.
_TAGGED = re.compile(r"<([A-Za-z][\w-]{1,40})\b[^<>]{0,400}>.*?</\1>", re.DOTALL)
_CUT_OFF = re.compile(r"<(?:memories|memory|[a-z]+[_-][\w-]+)\b[^<>]{0,400}>.*\Z", re.DOTALL)
_HIDDEN = r"\u00ad\u200b-\u200f\u2060-\u2064\ufeff"  # characters that nobody sees between two letters
_NAMES = "|".join(f"[{_HIDDEN}]*".join(name) for name in ("memory", "memories", "omitted"))
# A model may take what looks like a tag for one, such as `</mem\u200bory>` or a `<` of double width.
_TAG = re.compile(rf"[<\uff1c\ufe64](?=[\s/{_HIDDEN}]*(?:{_NAMES})\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PromptEntry:
    """One memory in a prompt: the attributes of its tag, None for those that are left out, and its text."""

    attributes: Mapping[str, str | None]
    text: str

    def block(self) -> str:
        """Return the memory in its tag. Neither attributes nor text can forge or close a tag."""
        said = "".join(f' {name}="{_quoted(value)}"' for name, value in self.attributes.items() if value)
        return f"<memory{said}>\n{_TAG.sub('&lt;', self.text)}\n</memory>\n"


@dataclass(frozen=True, slots=True)
class Fenced:
    """Memories as one text block.

    Attributes:
        text: The block; empty if there are no memories.
        taken: The positions of the entries in the block, in order.
    """

    text: str
    taken: tuple[int, ...]


def to_prompt(memories: Iterable[Hit | MemoryRecord], *, max_chars: int | None = None) -> str:
    """Return memories as a text block for the prompt of a model, each with its provenance.

    Each memory is enclosed in tags that name its id, scope, device and time, and its author, source and trust if they
    are set. A text cannot forge or close a tag: `<` before the name of a tag becomes `&lt;`, also of double width and
    with hidden characters in the name.

    Args:
        memories: Hits or records, the most important first.
        max_chars: Maximum length of the block in characters, at least 100. A memory is never cut. A memory that does
            not fit is left out, later ones that fit are taken, and the last line counts the missing ones.

    Returns:
        The block; an empty text if there are no memories.

    Raises:
        InputError: An argument has the wrong type, or `max_chars` is too small.

    Example:
        ```python
        prompt = memcrdt.to_prompt(memory.search(question, limit=20), max_chars=4_000)
        ```
    """
    if max_chars is not None and (not isinstance(max_chars, int) or max_chars < MIN_CHARS):
        raise InputError(f"max_chars is {max_chars!r}; give a number of at least {MIN_CHARS}, or None")
    if isinstance(memories, (str, bytes, Mapping)) or not isinstance(memories, Iterable):
        raise InputError(f"the memories are {a_kind(memories)}; give a list of hits or records")
    return fenced([entry_of(item) for item in memories], max_chars).text


def fenced(entries: Sequence[PromptEntry], max_chars: int | None) -> Fenced:
    """Return the entries as one block of at most `max_chars` characters, and which of them fitted."""
    blocks = [entry.block() for entry in entries]
    taken = list(range(len(blocks)))
    if not blocks:
        return Fenced("", ())
    room = None if max_chars is None else max_chars - len(_OPEN) - len(_CLOSE)
    rest = ""
    if room is not None and sum(map(len, blocks)) > room:
        taken = _fitting(blocks, room - len(_omitted(len(blocks))))
        rest = _omitted(len(blocks) - len(taken))
    return Fenced(_OPEN + "".join(blocks[each] for each in taken) + rest + _CLOSE, tuple(taken))


def _fitting(blocks: Sequence[str], room: int) -> list[int]:
    """Return the positions of the blocks that fit into `room` characters, in order."""
    taken = []
    for position, block in enumerate(blocks):
        if len(block) <= room:
            taken.append(position)
            room -= len(block)
    return taken


def _omitted(count: int) -> str:
    return f'<omitted count="{count}"/>\n'


def entry_of(item: object) -> PromptEntry:
    """Return a hit or a record with its provenance. Raises InputError."""
    record = item.memory if isinstance(item, Hit) else item
    if not isinstance(record, MemoryRecord):
        raise InputError(f"an item is {a_kind(item)}; give hits or records")
    edited = record.updated_at != record.created_at
    provenance = {
        "id": record.id,
        "scope": record.scope,
        "device": record.device,
        "author": record.author,
        "source": record.source,
        "trust": record.trust,
        "created": _time(record.created_at),
        "updated": _time(record.updated_at) if edited else None,
    }
    return PromptEntry(provenance, record.text)


def without_tagged(text: str) -> str:
    """Return a message of a user without the blocks between tags that clients and hooks put into it.

    Example:
        >>> without_tagged("<hook_context>be brief</hook_context>Use tabs, please")
        ' Use tabs, please'
    """
    return _CUT_OFF.sub(" ", _TAGGED.sub(" ", text[:MESSAGE_CHARS]))


def without_memories(text: str) -> str:
    """Return a text without the blocks of fenced() in it, in time proportional to its length."""
    kept, at = [], 0
    while (start := text.find(_START, at)) >= 0 and (end := text.find(_END, start)) >= 0:
        kept.append(text[at:start])
        at = end + len(_END)
    return "".join([*kept, text[at:]])


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _quoted(value: str) -> str:
    """Return a value for an attribute of a tag: on one line, with quotes and brackets escaped."""
    return escape(" ".join(value.split()))
