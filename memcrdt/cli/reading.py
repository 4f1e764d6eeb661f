"""`memcrdt search`, `similar`, `get`, `list`, `history` and `related`: commands that show memories."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import asked, filter_options
from memcrdt.cli.memory_table import say_nothing_found, show_hits, show_memories
from memcrdt.cli.names import memory_id, with_names
from memcrdt.cli.output import device_names, say
from memcrdt.cli.revisions import history_lines, revised
from memcrdt.cli.terminal import show
from memcrdt.model import limits
from memcrdt.model.filters import check_order

whole = click.option("--full", is_flag=True, help="On a terminal: show whole texts and ids, instead of a line each.")

_ONLY_EXCLUDED: Final = re.compile(r'\s*(?:-(?:"[^"]*"|[^\W_]{2}\S*)(?:\s+|$))+')


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
@click.option("--fast", is_flag=True, help="Search without the transformer, which takes a moment to load.")
@click.option("--rerank", is_flag=True, help="Let the reranker of the settings read the best results again.")
@click.option("--explain", is_flag=True, help="Show the parts of each score.")
@whole
@filter_options
@pass_face
def search_command(face: Face, /, query: str, full: bool, fast: bool, **options: Any) -> None:
    """Find the memories that best answer QUERY, best first."""
    wanted = asked(options)
    with face.look() as memory:
        if not fast:
            memory.models.load()
        hits = memory.search(query, **with_names(memory, wanted))
        found = show_hits(face, memory, hits, full=full, explain=options["explain"])
        if not found and not face.json:
            say_nothing_found(memory, _about(query))
        elif not face.json and _ONLY_EXCLUDED.fullmatch(query):
            say("a -word is left out only beside words to look for, so this looked for it")


def _about(query: str) -> str:
    """Return what to do about a query that found nothing."""
    if not any(map(str.isalnum, query)):
        return "the query has no word to look for; `memcrdt list` shows all memories"
    return "try other words, or leave out a filter"


@command("similar")
@click.argument("id")
@click.option("--limit", type=int, default=10, show_default=True, help="Maximum number of results.")
@whole
@filter_options
@pass_face
def similar_command(face: Face, /, id: str, limit: int, full: bool, **filters: Any) -> None:
    """Find the memories most similar to memory ID, best first."""
    wanted = asked(filters)
    with face.look() as memory:
        hits = memory.similar(memory_id(memory, id), limit=limit, **with_names(memory, wanted))
        if not show_hits(face, memory, hits, full=full) and not face.json:
            say_nothing_found(memory, "leave out a filter" if wanted else "")


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
@whole
@filter_options
@pass_face
def list_command(face: Face, /, limit: int, everything: bool, order: str, full: bool, **filters: Any) -> None:
    """List memories, by default the newest first."""
    wanted = asked(filters)
    with face.look() as memory:
        selected = with_names(memory, wanted)
        sorted_by = check_order(order)
        page = None if everything else memory.list(limit=limit, order=sorted_by, **selected)
        shown = memory.iterate(order=sorted_by, **selected) if page is None else page
        if not show_memories(face, memory, shown, full=full) and not face.json:
            say_nothing_found(memory, "leave out a filter" if wanted else "")
        if page is not None and page.next_cursor is not None:
            total = memory.count(**selected)
            raised = f"--limit {total} or --all" if total <= limits.RESULTS else "--all"
            say(f"{len(page):,} of {total:,}; {raised} shows all")


@command("history")
@click.argument("id")
@pass_face
def history_command(face: Face, /, id: str) -> None:
    """Show every text that a memory has had, oldest first. A terminal shows the words that changed."""
    with face.look() as memory:
        names = device_names(memory)
        revisions = memory.history(memory_id(memory, id))
        if face.printer.is_terminal:
            show("\n".join(history_lines(revisions, names)))
        else:
            face.printer.table(revisions, revised(names))


@command("related")
@click.argument("id")
@click.option("--rel", metavar="REL", help="Only links with this relation.")
@whole
@pass_face
def related_command(face: Face, /, id: str, rel: str | None, full: bool) -> None:
    """List the memories that memory ID links to."""
    with face.look() as memory:
        found = memory_id(memory, id)
        if not show_memories(face, memory, memory.related(found, rel), full=full) and not face.json:
            say(f"memory {found} links to no other one; `memcrdt link ID REL TO` links two")
