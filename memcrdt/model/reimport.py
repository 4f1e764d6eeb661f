"""What a repeated import makes of a memory that somebody may have edited since the last one.

Three texts count: that of the source now, that which the last import brought, and that of the memory. The birth, and
every revision whose author is the source, came with an import. So no edit is lost, and none comes back:

| the source | the memory | then |
|---|---|---|
| has not changed | was edited or not | stays as it is |
| has changed | was not edited | gets the new text |
| has changed | was edited | keeps both texts, as a conflict |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Text(Protocol):
    """A revision of a memory, from the views or from the documents."""

    @property
    def revision(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def by(self) -> str | None: ...
    @property
    def head(self) -> bool: ...


class Brought(NamedTuple):
    """What to do with the text of the source.

    Attributes:
        is_new: Whether the source has changed since the last import.
        is_rival: Whether the memory was edited since then, so that the texts compete.
        last: The revision that the last import brought.
    """

    is_new: bool
    is_rival: bool
    last: str


def compare(text: str, author: str, revisions: Sequence[Text]) -> Brought:
    """Compare the text of a source with the revisions of its memory, the birth first. Imports write as `author`.

    Example:
        >>> compare("c", "markdown", [birth_a, edited_b]).is_rival
        True
    """
    birth, *later = revisions
    brought = [each for each in later if each.by == author]
    last = max(brought, key=lambda each: each.revision, default=birth)  # revisions ascend, and times may not
    known = {birth.revision, *(each.revision for each in brought)}
    heads = [each for each in revisions if each.head]
    is_new = text != last.text and all(text != head.text for head in heads)
    return Brought(is_new, is_new and any(head.revision not in known for head in heads), last.revision)
