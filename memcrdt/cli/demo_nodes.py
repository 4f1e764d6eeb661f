"""The nodes of the demonstration: each a `memcrdt serve` in a process of its own, with a home of its own."""

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
    """One memory that a search found."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """What one node has: compared with the others', and shown. `answers` are those to the same query, best first."""

    name: str
    serving: bool
    memories: int
    digest: str
    answers: tuple[NodeAnswer, ...]


class DemoNode:
    """One machine of the demonstration.

    Beside the process that serves, this process has the same store open, as an agent would: what is added here is
    sent from there.
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
        """Trusts another node, and remembers where it listens if that is known."""
        self.memory.accept(other.memory.device, name=other.name, address=other._address)

    def start(self) -> None:
        """Starts the process that serves; `is_listening` tells when it does."""
        with self._output.open("wb") as stdout, self._messages.open("wb") as stderr:
            self._process = self._spawn(stdout, stderr)

    def is_listening(self) -> bool:
        """Whether the process has said where it listens. Raises PeerError when it has ended."""
        assert self._process is not None
        line, end, _ = self._output.read_text(encoding="utf-8").partition("\n")
        if end:
            self._address = json.loads(line)["addresses"][0]
        elif self._process.poll() is not None:
            said = self._messages.read_text(encoding="utf-8", errors="replace").strip()
            raise PeerError(f"the node {self.name} ended: {said or 'it said nothing'}")
        return bool(end)

    def cut(self) -> None:
        """Ends the process: nothing reaches this node any more, and nothing leaves it."""
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
        """What this node would tell a caller now."""
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
        return subprocess.Popen(  # noqa: S603 - our own command line
            [*command, "--host", "127.0.0.1", "--port", "0"], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )


@contextmanager
def state_in(folder: Path) -> Iterator[None]:
    """Lets this process and those that it starts keep in `folder` what they would keep in the platform's."""
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
    """Waits for the condition, at most until `deadline` (time.monotonic()). Returns whether it came to hold."""
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return holds
