"""`memcrdt search`, `similar`, `get`, `list`, `history` and `related`: commands that show memories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import asked, filter_options
from memcrdt.cli.names import memory_id, with_names
from memcrdt.cli.output import Column, device_name, device_names, say
from memcrdt.model import limits
from memcrdt.model.scopes import GLOBAL

if TYPE_CHECKING:
    from memcrdt import Hit, Memory, MemoryRecord, Revision


def _about(memory: MemoryRecord) -> str:
    """Return scope and tags in one cell, without `global`, to leave room for the text."""
    return ", ".join([memory.scope, *memory.tags] if memory.scope != GLOBAL else memory.tags)


def _text(memory: MemoryRecord) -> str:
    """Return the text for a terminal, with a mark if there are competing texts."""
    return f"[conflict] {memory.text}" if memory.conflicted else memory.text


LISTED: tuple[Column[MemoryRecord], ...] = (
    Column("id", lambda memory: memory.id, whole=True),
    Column("created", lambda memory: memory.created_at, whole=True),
    Column("scope", lambda memory: memory.scope),
    Column("tags", lambda memory: memory.tags),
    Column("text", lambda memory: memory.text),
)
LISTED_ON_TERMINAL: tuple[Column[MemoryRecord], ...] = (
    *LISTED[:2],
    Column("about", _about),
    Column("text", _text),
)
_FOUND: tuple[Column[Hit], ...] = (
    Column("id", lambda hit: hit.memory.id, whole=True),
    Column("score", lambda hit: f"{hit.score:.3f}", whole=True),
    Column("scope", lambda hit: hit.memory.scope),
    Column("tags", lambda hit: hit.memory.tags),
    Column("text", lambda hit: hit.memory.text),
)
_FOUND_ON_TERMINAL: tuple[Column[Hit], ...] = (
    *_FOUND[:2],
    Column("about", lambda hit: _about(hit.memory)),
    Column("text", lambda hit: _text(hit.memory)),
)
_PARTS: Column[Hit] = Column(
    "parts", lambda hit: ", ".join(f"{k} {v:.3f}" for k, v in hit.parts.items() if round(v, 3))
)


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


@command("search")
@click.argument("query")
@click.option("--limit", type=int, default=10, show_default=True, help="Maximum number of results.")
@click.option("--min-score", type=float, help="Leave out results with a lower score, from 0 to 1.")
@click.option("--diversity", type=float, default=0.0, help="From 0 to 1: prefer results that differ from earlier ones.")
@click.option("--recency", type=float, default=0.0, help="From 0 to 1: rank the newer of similar memories first.")
@click.option(
    "--importance", type=float, default=0.0, help="From 0 to 1: rank important memories first among similar scores."
)
@click.option("--fold", is_flag=True, help="Leave out results that repeat an earlier one.")
@click.option("--explain", is_flag=True, help="Show the parts of each score.")
@filter_options
@pass_face
def search_command(face: Face, /, query: str, **options: Any) -> None:
    """Find the memories that best answer QUERY, best first."""
    wanted = asked(options)
    with face.look() as memory:
        hits = memory.search(query, **with_names(memory, wanted))
    more = (_PARTS,) if options["explain"] else ()
    face.printer.table(hits, (*_FOUND, *more), on_terminal=(*_FOUND_ON_TERMINAL, *more))


@command("similar")
@click.argument("id")
@click.option("--limit", type=int, default=10, show_default=True, help="Maximum number of results.")
@filter_options
@pass_face
def similar_command(face: Face, /, id: str, limit: int, **filters: Any) -> None:
    """Find the memories most similar to memory ID, best first."""
    wanted = asked(filters)
    with face.look() as memory:
        hits = memory.similar(memory_id(memory, id), limit=limit, **with_names(memory, wanted))
    face.printer.table(hits, _FOUND, on_terminal=_FOUND_ON_TERMINAL)


@command("get")
@click.argument("id")
@pass_face
def get_command(face: Face, /, id: str) -> None:
    """Show one memory with all fields."""
    with face.look() as memory:
        face.printer.record(memory.get(memory_id(memory, id)))


@command("list")
@click.option("--limit", type=int, default=100, show_default=True, help="Maximum number of results.")
@click.option("--all", "everything", is_flag=True, help="List all memories, without a limit.")
@click.option("--order", default="newest", show_default=True, help="The order: newest, oldest or updated.")
@filter_options
@pass_face
def list_command(face: Face, /, limit: int, everything: bool, order: str, **filters: Any) -> None:
    """List memories, by default the newest first."""
    wanted = asked(filters)
    with face.look() as memory:
        selected = with_names(memory, wanted)
        wanted = {"order": order, **selected}
        if everything:
            face.printer.table(_pages(memory, wanted), LISTED, on_terminal=LISTED_ON_TERMINAL)
            return
        page = memory.list(limit=limit, **wanted)
        total = len(page) if page.next_cursor is None else memory.count(**selected)
    face.printer.table(page, LISTED, on_terminal=LISTED_ON_TERMINAL)
    if page.next_cursor is not None:
        raised = f"--limit {total} or --all" if total <= limits.RESULTS else "--all"
        say(f"{len(page):,} of {total:,}; {raised} shows all")


@command("history")
@click.argument("id")
@pass_face
def history_command(face: Face, /, id: str) -> None:
    """Show every text that a memory has had, oldest first."""
    with face.look() as memory:
        names = device_names(memory)
        face.printer.table(memory.history(memory_id(memory, id)), revised(names))


@command("related")
@click.argument("id")
@click.option("--rel", metavar="REL", help="Only links with this relation.")
@pass_face
def related_command(face: Face, /, id: str, rel: str | None) -> None:
    """List the memories that memory ID links to."""
    with face.look() as memory:
        face.printer.table(memory.related(memory_id(memory, id), rel), LISTED, on_terminal=LISTED_ON_TERMINAL)


def _pages(memory: Memory, wanted: dict[str, Any]) -> Iterator[MemoryRecord]:
    """Yield all memories, page by page."""
    cursor: str | None = None
    while True:
        page = memory.list(limit=limits.RESULTS, cursor=cursor, **wanted)
        yield from page
        cursor = page.next_cursor
        if cursor is None:
            return
