"""The nodes of the demonstration. Each is a `memcrdt serve` process with its own home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Self

from memcrdt._open import open as open_memory
from memcrdt.errors import PeerError
from memcrdt.paths import STATE_VARIABLE

if TYPE_CHECKING:
    from memcrdt import Memory

ANSWERS: Final = 3
POLL_S: Final = 0.1
_STOP_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """One result of a search.

    Attributes:
        id: The id of the memory.
        text: The text of the memory.
    """

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The state of one node, to compare and to show.

    Attributes:
        name: The name of the node.
        serving: Whether its process runs.
        memories: The number of its memories.
        digest: The digest of its space; equal digests mean equal contents.
        answers: The results of the common query, best first.
    """

    name: str
    serving: bool
    memories: int
    digest: str
    answers: tuple[NodeAnswer, ...]


class DemoNode:
    """One machine of the demonstration.

    This process also has the store open, as an agent would. The serving process sends the changes made here.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.memory: Memory = open_memory(folder / name)
        self._address: str | None = None
        self._output = folder / f"{name}.out"
        self._messages = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self.memory.close()

    def accept(self, other: DemoNode) -> None:
        """Accept another node, with its address if it is known."""
        self.memory.accept(other.memory.device, name=other.name, address=other._address)

    def start(self) -> None:
        """Start the serving process. It is ready when is_listening() returns True."""
        with self._output.open("wb") as stdout, self._messages.open("wb") as stderr:
            self._process = self._spawn(stdout, stderr)

    def is_listening(self) -> bool:
        """Return whether the process has printed its address. Raises PeerError if it has ended."""
        assert self._process is not None
        line, end, _ = self._output.read_text(encoding="utf-8").partition("\n")
        if end:
            self._address = json.loads(line)["addresses"][0]
        elif self._process.poll() is not None:
            said = self._messages.read_text(encoding="utf-8", errors="replace").strip()
            raise PeerError(f"the node {self.name} ended: {said or 'without a message'}")
        return bool(end)

    def cut(self) -> None:
        """End the serving process, so that the node neither sends nor receives."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def view(self, query: str) -> NodeView:
        """Return the state of this node, with its results for `query`."""
        personal = self.memory.status().spaces[0]
        hits = self.memory.search(query, limit=ANSWERS)
        return NodeView(
            name=self.name,
            serving=self._process is not None,
            memories=personal.memories,
            digest=personal.digest,
            answers=tuple(NodeAnswer(hit.memory.id, hit.memory.text) for hit in hits),
        )

    def _spawn(self, stdout: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "memcrdt", "serve", "--json", "--home", str(self.memory.home)]
        return subprocess.Popen(  # noqa: S603 - a command line of memcrdt
            [*command, "--host", "127.0.0.1", "--port", "0"], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )


@contextmanager
def state_in(folder: Path) -> Iterator[None]:
    """Use `folder` as the state folder of this process and its children, instead of the platform's."""
    before = os.environ.get(STATE_VARIABLE)
    os.environ[STATE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[STATE_VARIABLE]
        else:
            os.environ[STATE_VARIABLE] = before


def wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Wait for the condition until `deadline` (time.monotonic()). Return whether it was met."""
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return holds
