"""Memories as a table: on a terminal one line each, with at least half of the width for the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from memcrdt.cli.face import Face
from memcrdt.cli.names import MARK, remember
from memcrdt.cli.output import CONTROLS, Column, Printer, memories, on_terminal, say
from memcrdt.cli.terminal import age, show
from memcrdt.model import limits
from memcrdt.model.scopes import GLOBAL

if TYPE_CHECKING:
    from rich.text import Text

    from memcrdt import Hit, Memory, MemoryRecord

GAP: Final = 2  # blanks between columns
NARROWEST: Final = 6  # characters of a column that is worth showing
ID_CHARS: Final = 26
MATCHED: Final = "bold underline"  # without a colour: it is seen on every background
CONFLICT: Final = "bold red"
INDENT: Final = 4

LISTED: tuple[Column[MemoryRecord], ...] = (
    Column("id", lambda memory: memory.id),
    Column("created", lambda memory: memory.created_at),
    Column("scope", lambda memory: memory.scope),
    Column("tags", lambda memory: memory.tags),
    Column("text", lambda memory: memory.text),
)
FOUND: tuple[Column[Hit], ...] = (
    Column("id", lambda hit: hit.memory.id),
    Column("score", lambda hit: f"{hit.score:.3f}"),
    Column("scope", lambda hit: hit.memory.scope),
    Column("tags", lambda hit: hit.memory.tags),
    Column("text", lambda hit: hit.memory.text),
)
PARTS: Column[Hit] = Column("parts", lambda hit: ", ".join(f"{k} {v:.3f}" for k, v in hit.parts.items() if round(v, 3)))


@dataclass(frozen=True, slots=True)
class _Line:
    """One memory as it is shown.

    Attributes:
        memory: The memory.
        lead: Its score or its age.
        text: The text to show: the whole, or the passage of a long one that matched.
        marks: Start and end of each matched word in `text`.
        parts: The parts of the score, if they are asked for.
    """

    memory: MemoryRecord
    lead: str
    text: str
    marks: tuple[tuple[int, int], ...] = ()
    parts: str = ""


def show_memories(face: Face, memory: Memory, found: Iterable[MemoryRecord], *, full: bool) -> bool:
    """Print memories, and return whether there were any."""
    if _is_table(face.printer):
        return _show(memory, "created", [_Line(each, age(each.created_at), each.text) for each in found], full=full)
    return face.printer.table(found, LISTED)


def show_hits(face: Face, memory: Memory, found: Sequence[Hit], *, full: bool, explain: bool = False) -> bool:
    """Print search results with their scores, and return whether there were any."""
    if not _is_table(face.printer):
        return face.printer.table(found, (*FOUND, PARTS) if explain else FOUND)
    lines = [
        _Line(
            hit.memory,
            f"{hit.score:.3f}",
            hit.passage or hit.memory.text,
            hit.marks,
            str(PARTS.cell(hit)) if explain else "",
        )
        for hit in found
    ]
    return _show(memory, "score", lines, full=full or explain)


def say_nothing_found(memory: Memory, hint: str) -> None:
    """Say why a list or a search is empty, and what to do."""
    count = memory.stats().memories
    if not count:
        alarms = memory.status().alarms  # the store may be gone, and this be a new one
        for alarm in alarms:
            say(f"there are no memories. {alarm.text}")
        if not alarms:
            say("there are no memories yet; `memcrdt add TEXT` adds one")
        return
    hints = [*filter(None, [hint]), "--include expired --include superseded shows hidden ones"]
    say(f"nothing matches in {memories(count)}; {'; '.join(hints)}")


def _is_table(printer: Printer) -> bool:
    return printer.is_terminal and not printer.is_json


def _show(memory: Memory, lead: str, lines: Sequence[_Line], *, full: bool) -> bool:
    from rich.console import Console

    if not lines:
        return False
    numbered = remember(memory.home, [line.memory.id for line in lines])
    console = Console(highlight=False)
    with console.capture() as captured:
        shown = _blocks(lines, numbered=numbered) if full else [_table(lead, lines, console.width, numbered=numbered)]
        for each in shown:
            console.print(each)
    show(captured.get())
    return True


def _blocks(lines: Sequence[_Line], *, numbered: bool) -> Iterator[Any]:
    """Yield each memory whole: a line about it, and its text below."""
    from rich.padding import Padding
    from rich.text import Text

    for number, line in enumerate(lines, 1):
        about = (line.lead, line.memory.scope, ", ".join(line.memory.tags), line.parts)
        head = [_number(number)] * numbered + [line.memory.id, *filter(None, about)]
        text = _styled(line.memory.text, line.marks if line.text == line.memory.text else (), on_terminal)
        mark = ("[conflict]\n", CONFLICT) if line.memory.conflicted else ""
        yield Text("  ".join(head).translate(CONTROLS), "bold")
        yield Padding(Text.assemble(mark, text), (0, 0, 1, INDENT), expand=False)


def _table(lead: str, lines: Sequence[_Line], width: int, *, numbered: bool) -> Any:
    """Return the table of one line for each memory."""
    from rich.table import Table

    columns = {
        "": [_number(number) for number in range(1, len(lines) + 1)] if numbered else [],
        "id": [line.memory.id for line in lines],
        lead: [line.lead for line in lines],
        "scope": ["" if line.memory.scope == GLOBAL else line.memory.scope for line in lines],
        "tags": [", ".join(line.memory.tags) for line in lines],
    }
    widths = _widths({name: max(map(_width, (name, *cells))) for name, cells in columns.items() if any(cells)}, width)
    left = width - sum(widths.values()) - GAP * len(widths)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for name, each in widths.items():
        table.add_column(name, width=each, no_wrap=True, overflow="ellipsis", style=_STYLES.get(name, ""))
    table.add_column("text", width=left, no_wrap=True, overflow="ellipsis")
    for at, line in enumerate(lines):
        table.add_row(*(_plain(columns[name][at]) for name in widths), _one_line(line, left))
    return table


_STYLES: Final = {"": "bold", "scope": "magenta", "tags": "green"}  # colours that light and dark backgrounds show


def _widths(natural: dict[str, int], width: int) -> dict[str, int]:
    """Return the widths of the columns before the text, which gets at least half of `width`.

    Without room the id is left out, if the number of the line names the memory, and then its age or score. Scope and
    tags share what is left.
    """
    widths = dict(natural)
    room = width // 2 - GAP * len(widths)
    if "" in widths and sum(widths.values()) > room:
        del widths["id"]
        room += GAP
    flexible = [name for name in ("scope", "tags") if name in widths]
    room -= sum(each for name, each in widths.items() if name not in flexible)
    if "" in widths and room < 0:
        widths = {name: each for name, each in widths.items() if name in ("", *flexible)}
        room = width // 2 - GAP * len(widths) - widths[""]
    while flexible and room < NARROWEST * len(flexible):
        del widths[flexible.pop()]
        room += GAP
    if len(flexible) == 2 and natural["scope"] + natural["tags"] > room:
        widths["scope"] = min(natural["scope"], max(room - natural["tags"], room // 2))
        widths["tags"] = room - widths["scope"]
    elif flexible:
        widths[flexible[0]] = min(natural[flexible[0]], room)
    return widths


def _one_line(line: _Line, width: int) -> Text:
    """Return as much of the text as fits, from its beginning, or from shortly before a matched word further on."""
    from rich.text import Text

    first = line.marks[0] if line.marks else (0, 0)
    start = 0
    if first[1] > width:
        start = line.text.rfind(" ", 0, max(first[0] - width // 4, 0)) + 1
    text = line.text[start : start + 4 * width]
    marks = [(max(a - start, 0), b - start) for a, b in line.marks if a >= start]
    styled = _styled(text, marks, lambda piece: on_terminal(re.sub(r"\s+", " ", piece)))
    mark = ("[conflict] ", CONFLICT) if line.memory.conflicted else ""
    return Text.assemble(mark, "…" if start else "", styled, end="")


def _styled(text: str, marks: Iterable[tuple[int, int]], clean: Callable[[str], str]) -> Text:
    """Return a text with its matched words emphasized and its control characters shown."""
    from rich.text import Text

    styled, at = Text(), 0
    for start, end in marks:
        styled.append(clean(text[at:start])).append(clean(text[start:end]), MATCHED)
        at = end
    return styled.append(clean(text[at:]))


def _number(number: int) -> str:
    return f"{MARK}{number}" if number <= limits.RESULTS else ""  # more are not kept


def _plain(cell: str) -> Text:
    from rich.text import Text

    return Text(cell.translate(CONTROLS))


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text.translate(CONTROLS))
