"""The steps of the demonstration, the table that shows them, and the verdict."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from memcrdt.cli.demo_nodes import DemoNode, NodeView, state_in, wait_until
from memcrdt.cli.output import Column, Printer, rich_table, say
from memcrdt.errors import PeerError

NAMES: Final = ("laptop", "desktop", "studio")
QUERY: Final = "when do we deploy?"
TIME_S: Final = 60.0  # it took 18 s with a load of 13 on two processors
SENTENCES: Final = "demo_sentences.txt"
EDITED: Final = "Deploys go out on Tuesdays and Thursdays, never before a holiday."
EDITED_HERE: Final = "Deploys go out on Wednesdays and Thursdays, never before a holiday."
EDITED_THERE: Final = "Deploys go out on Tuesdays and Thursdays at ten, never before a holiday."

_COLUMNS: tuple[Column[NodeView], ...] = (
    Column("node", lambda view: view.name),
    Column("network", lambda view: "on" if view.serving else "cut off"),
    Column("memories", lambda view: view.memories),
    Column("digest", lambda view: view.digest[:16]),
    Column(QUERY, lambda view: view.answers[0].text if view.answers else ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOutcome:
    """The result of the demonstration.

    Attributes:
        equal: Whether every node has the same digest, finds the same for the query, and lists both texts of the
            conflict.
        seconds: How long it took.
        query: The query.
        conflict: The two texts that were written apart.
        nodes: The last state of each node.
    """

    equal: bool
    seconds: float
    query: str
    conflict: tuple[str, ...]
    nodes: tuple[NodeView, ...]


class Stage:
    """The output: a live table on a terminal, otherwise lines on stderr."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._told: list[str] = []

    def tell(self, line: str) -> None:
        """Announce the next step."""
        self._told.append(line)
        if self._live is None:
            say(line)

    def show(self, views: Sequence[NodeView]) -> None:
        """Show the state of the nodes."""
        if self._live is not None:
            lines = [Text(line) for line in self._told]
            self._live.update(Group(*lines, rich_table(views, _COLUMNS)), refresh=True)


class Story:
    """Three nodes, from the first start to equal data after a cut. Raises PeerError if a node does not start."""

    def __init__(self, nodes: Sequence[DemoNode], stage: Stage, deadline: float) -> None:
        self._nodes = nodes
        self._stage = stage
        self._deadline = deadline

    def play(self) -> DemoOutcome:
        """Run all steps. A step that misses the deadline does not stop the story: the outcome shows the difference."""
        began = time.monotonic()
        laptop, _, studio = self._nodes
        self._stage.tell("Three nodes start, each a process with its own home, and accept each other.")
        self._pair()
        self._stage.tell("Memories are added on each node.")
        edited = self._add()
        self._wait(_agree)
        self._stage.tell("The studio is cut off. The same memory is edited on the laptop and on the studio.")
        studio.cut()
        laptop.memory.update(edited, text=EDITED_HERE)
        studio.memory.update(edited, text=EDITED_THERE)
        self._wait(lambda views: views[0].digest == views[1].digest != views[2].digest)
        self._stage.tell("The studio is back.")
        self._serve([studio])
        views = self._wait(_agree)
        conflicts = {tuple(revision.text for revision in node.memory.conflicts(edited)) for node in self._nodes}
        conflict = max(conflicts)
        return DemoOutcome(
            equal=_agree(views) and len(conflicts) == 1 and set(conflict) == {EDITED_HERE, EDITED_THERE},
            seconds=round(time.monotonic() - began, 1),
            query=QUERY,
            conflict=conflict,
            nodes=views,
        )

    def _pair(self) -> None:
        for node, other in permutations(self._nodes, 2):
            node.accept(other)
        self._serve(self._nodes)
        for node, other in permutations(self._nodes, 2):
            node.accept(other)  # again, now with the address

    def _serve(self, nodes: Sequence[DemoNode]) -> None:
        for node in nodes:
            node.start()
        for node in nodes:
            if not wait_until(node.is_listening, self._deadline):
                raise PeerError(f"the node {node.name} did not start in time; run the demonstration again")

    def _add(self) -> str:
        """Distribute the sentences over the nodes. Return the id of the memory to edit later."""
        sentences = resources.files("memcrdt.cli").joinpath(SENTENCES).read_text(encoding="utf-8").splitlines()
        ids: dict[str, str] = {}
        for index, node in enumerate(self._nodes):
            share = sentences[index :: len(self._nodes)]
            ids.update(zip(share, node.memory.add_many(share), strict=True))
        return ids[EDITED]

    def _wait(self, condition: Callable[[Sequence[NodeView]], bool]) -> tuple[NodeView, ...]:
        """Show the nodes until the condition is met or the deadline has passed. Return their state."""
        views: tuple[NodeView, ...] = ()

        def holds() -> bool:
            nonlocal views
            views = tuple(node.view(QUERY) for node in self._nodes)
            self._stage.show(views)
            return condition(views)

        wait_until(holds, self._deadline)
        return views


def run(printer: Printer, *, as_json: bool) -> bool:
    """Run the demonstration and print the outcome. Return whether all nodes agree."""
    deadline = time.monotonic() + TIME_S
    live = Live(console=Console(highlight=False)) if sys.stdout.isatty() and not as_json else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memcrdt-demo-")))
        stack.enter_context(state_in(folder / "state"))
        nodes = [stack.enter_context(DemoNode(name, folder)) for name in NAMES]
        with live or nullcontext():
            outcome = Story(nodes, Stage(live), deadline).play()
    if as_json:
        printer.record(outcome)
    elif live is None:
        printer.table(outcome.nodes, _COLUMNS)
    say(_verdict(outcome))
    return outcome.equal


def _agree(views: Sequence[NodeView]) -> bool:
    return len({(view.memories, view.digest, view.answers) for view in views}) == 1


def _verdict(outcome: DemoOutcome) -> str:
    if outcome.equal:
        return (
            f"all three nodes have the same memories and return the same results, after {outcome.seconds} s;"
            " both texts of the edited memory are kept, and the later one is shown"
        )
    standing = (f"{view.name}: {view.memories} memories, digest {view.digest}" for view in outcome.nodes)
    return (
        f"the nodes differ after {outcome.seconds} s; {'; '.join(standing)}; {len(outcome.conflict)} texts in conflict"
    )
