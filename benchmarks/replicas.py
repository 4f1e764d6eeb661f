"""The libraries that `python -m benchmarks sync` measures, each over its public interface in a program of its own."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
NPM = HERE / "npm"


@dataclass(frozen=True)
class System:
    """A library that is measured.

    Args:
        title: Its name in the table.
        kind: What it keeps and promises.
        packages: Its packages of Python, or of npm.
        npm: Whether the packages are those of npm.
    """

    title: str
    kind: str
    packages: tuple[str, ...]
    npm: bool = False

    def missing(self) -> str:
        """Return what is missing, and how to get it; empty if nothing is."""
        if self.npm and shutil.which("node") is None:
            return "Node.js is not installed"
        absent = [name for name in self.packages if not self._version(name)]
        if not absent:
            return ""
        remedy = "npm install --prefix benchmarks/npm" if self.npm else "pip install --group benchmarks"
        return f"{', '.join(absent)} not installed: {remedy}"

    def versions(self) -> str:
        """Return the packages with their versions."""
        return ", ".join(f"{name} {self._version(name)}" for name in self.packages)

    def command(self, folder: Path) -> list[str]:
        """Return the command of a process with a replica."""
        if self.npm:
            return ["node", str(NPM / "replica.mjs"), self.title]
        return [sys.executable, str(HERE / "replica.py"), self.title, str(folder)]

    def _version(self, package: str) -> str:
        if self.npm:
            described = NPM / "node_modules" / package / "package.json"
            return str(json.loads(described.read_text(encoding="utf-8"))["version"]) if described.exists() else ""
        try:
            return version(package)
        except PackageNotFoundError:
            return ""


MEMORY_ONLY = "documents in memory only, without encryption"
SYNC_SYSTEMS = {
    "memcrdt": System("memcrdt", "durable, indexed for search on both sides, TLS with device keys", ("memcrdt",)),
    "pycrdt": System("pycrdt-websocket", MEMORY_ONLY, ("pycrdt", "pycrdt-websocket", "httpx-ws", "uvicorn")),
    "y-websocket": System("y-websocket", MEMORY_ONLY, ("yjs", "y-websocket", "@y/websocket-server"), npm=True),
    "automerge": System(
        "automerge-repo",
        MEMORY_ONLY,
        ("@automerge/automerge", "@automerge/automerge-repo", "@automerge/automerge-repo-network-websocket"),
        npm=True,
    ),
}
