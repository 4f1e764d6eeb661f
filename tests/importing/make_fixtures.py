"""Make the test files in `fixtures` with the real programs: `python -m tests.importing.make_fixtures [NAME…]`.

Each program is installed in an environment of its own, from PyPI or npm, and adds, changes and deletes memories. What
it leaves behind is committed, packed with gzip, with the version in `versions.json`. No model is downloaded: embedders
are replaced, because vectors are not imported.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures"

CHROMA = """
import sys
import chromadb
client = chromadb.PersistentClient(sys.argv[1])
vector = [0.1, 0.2, 0.3]
notes = client.create_collection("notes", embedding_function=None)
notes.add(
    ids=["a", "b", "c"],
    embeddings=[vector] * 3,
    documents=["Ada likes green tea", "Max lives in Bern", "Ada owns a boat"],
    metadatas=[{"topic": "food", "count": 3, "share": 0.5, "checked": True}, {"topic": "places"}, {"topic": "none"}],
)
notes.update(ids=["b"], embeddings=[vector], documents=["Max lives in Rome"])
notes.delete(ids=["c"])
other = client.create_collection("payloads", embedding_function=None)
other.add(ids=["d"], embeddings=[vector], metadatas=[{"data": "Max plays chess", "user_id": "max"}])
other.add(ids=["e"], embeddings=[vector], metadatas=[{"user_id": "max"}])
"""

MEM0 = """
import json, os, sys
os.environ.update(MEM0_TELEMETRY="False", OPENAI_API_KEY="none", MEM0_DIR=sys.argv[1] + "/dir")
from mem0 import Memory

class Embedder:
    def embed(self, text, memory_action=None):
        return [0.1] * 8

store = {"provider": "qdrant", "config": {"path": sys.argv[1] + "/qdrant", "embedding_model_dims": 8, "on_disk": True}}
memory = Memory.from_config({"vector_store": store, "history_db_path": sys.argv[1] + "/history.db"})
memory.embedding_model = Embedder()

def add(text, **options):
    return memory.add(text, infer=False, **options)["results"][0]["id"]

add("Ada likes green tea", user_id="ada", metadata={"place": "Bern"})
moved = add("Max lives in Bern", user_id="max", agent_id="scout")
gone = add("Ada owns a boat", user_id="ada")
memory.update(moved, "Max lives in Rome")
memory.delete(gone)
found = [each for user in ("ada", "max") for each in memory.get_all(filters={"user_id": user})["results"]]
with open(sys.argv[1] + "/get_all.json", "w") as file:
    json.dump({"results": found}, file, indent=1)
"""

MCP_MEMORY_SERVICE = """
import asyncio, os, sys
os.environ.update(MCP_MEMORY_BASE_DIR=sys.argv[1], MCP_MEMORY_ALLOW_HASH_EMBEDDINGS="1", HF_HUB_OFFLINE="1")
from mcp_memory_service.models.memory import Memory
from mcp_memory_service.storage.graph import GraphStorage
from mcp_memory_service.storage.sqlite_vec import SqliteVecMemoryStorage
from mcp_memory_service.utils.hashing import generate_content_hash

async def main():
    path = sys.argv[1] + "/sqlite_vec.db"
    storage = SqliteVecMemoryStorage(path)
    storage._initialize_embedding_model = storage._initialize_hash_embedding_fallback
    await storage.initialize()
    hashes = []
    for text, kind, tags in (
        ("Ada likes green tea", "preference", ["food", "ada"]),
        ("Max lives in Rome", "note", []),
        ("Ada owns a boat", "note", ["gone"]),
    ):
        digest = generate_content_hash(text)
        given = Memory(content=text, content_hash=digest, tags=tags, memory_type=kind, metadata={"place": "Bern"})
        print(await storage.store(given, skip_semantic_dedup=True))
        hashes.append(digest)
    print(await storage.delete(hashes[2]))
    graph = GraphStorage(path)
    print(await graph.store_association(hashes[0], hashes[1], 0.9, ["semantic"]))

asyncio.run(main())
os._exit(0)  # the database is left as a killed server leaves it
"""

CLAUDE_MEM = """
const { SessionStore } = require(process.argv[2] + "/node_modules/claude-mem/plugin/sqlite/SessionStore.js");
const store = new SessionStore(process.argv[3] + "/claude-mem.db");
const id = store.createSDKSession("content-1", "acme", "Why do deploys fail?");
store.updateMemorySessionId(id, "memory-1");
const empty = { subtitle: "", facts: [], narrative: "", concepts: [], files_read: [], files_modified: [] };
store.storeObservation("memory-1", "acme", { ...empty, type: "discovery", title: "Deploys need a token",
  subtitle: "Found in the log", facts: ["The token ends on Fridays", "Max makes a new one"],
  narrative: "The pipeline failed because the token had ended.", concepts: ["how-it-works", "gotcha"],
  files_read: ["deploy.yml"] }, 1);
store.storeObservation("memory-1", "acme", { ...empty, type: "change", title: "Renewed the token" }, 2);
store.storeSummary("memory-1", "acme", { request: "Find out why deploys fail", investigated: "The log",
  learned: "The token ends on Fridays", completed: "A new token", next_steps: "", notes: null }, 2);
"""

SERVER_MEMORY = """
import { spawn } from "node:child_process";
const [folder, out] = process.argv.slice(2);
const main = folder + "/node_modules/@modelcontextprotocol/server-memory/dist/index.js";
const env = { ...process.env, MEMORY_FILE_PATH: out + "/memory.jsonl" };
const server = spawn(process.execPath, [main], { env, stdio: ["pipe", "pipe", "inherit"] });
const waiting = new Map();
let held = "";
server.stdout.on("data", (data) => {
  held += data;
  for (let at; (at = held.indexOf("\\n")) >= 0; held = held.slice(at + 1)) {
    const message = JSON.parse(held.slice(0, at));
    waiting.get(message.id)?.(message.result);
  }
});
let last = 0;
const send = (message) => server.stdin.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\\n");
const ask = (method, params) => new Promise((done) => {
  waiting.set(++last, done);
  send({ id: last, method, params });
});
const call = (name, args) => ask("tools/call", { name, arguments: args });
const clientInfo = { name: "fixtures", version: "1" };
await ask("initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo });
send({ method: "notifications/initialized" });
await call("create_entities", { entities: [
  { name: "Ada", entityType: "person", observations: ["likes green tea"] },
  { name: "Max", entityType: "person", observations: [] },
  { name: "Boat", entityType: "thing", observations: ["is blue"] },
] });
await call("add_observations", { observations: [{ entityName: "Ada", contents: ["lives in Bern\\nsince 2020"] }] });
await call("create_relations", { relations: [{ from: "Ada", to: "Max", relationType: "knows" }] });
await call("delete_entities", { entityNames: ["Boat"] });
server.kill();
"""


@dataclass(frozen=True)
class Program:
    """A program that makes files.

    Attributes:
        packages: The packages to install; the first one has the version that counts.
        script: Makes the files. Its last argument is the folder for them.
        files: The files to keep.
        runner: The program of npm that runs the script, or None for Python.
        needs_all: Whether the first package needs its dependencies. Those of claude-mem take a quarter of an hour.
    """

    packages: tuple[str, ...]
    script: str
    files: tuple[str, ...]
    runner: str | None = None
    needs_all: bool = True


PROGRAMS = {
    "chroma": Program(("chromadb",), CHROMA, ("chroma.sqlite3",)),
    "mem0": Program(("mem0ai",), MEM0, ("history.db", "get_all.json")),
    "mcp-memory-service": Program(("mcp-memory-service",), MCP_MEMORY_SERVICE, ("sqlite_vec.db", "sqlite_vec.db-wal")),
    "claude-mem": Program(("claude-mem", "bun"), CLAUDE_MEM, ("claude-mem.db", "claude-mem.db-wal"), "bun", False),
    "server-memory": Program(("@modelcontextprotocol/server-memory",), SERVER_MEMORY, ("memory.jsonl",), "node"),
}


def main() -> None:
    """Make the files of the named programs, or of all."""
    parser = argparse.ArgumentParser(prog="python -m tests.importing.make_fixtures", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="mcp-memory-service needs one that loads extensions")
    parser.add_argument("names", nargs="*", choices=[*PROGRAMS, []], metavar="NAME")
    versions_file = FOLDER / "versions.json"
    versions = json.loads(versions_file.read_text()) if versions_file.exists() else {}
    given = parser.parse_args()
    for name in given.names or PROGRAMS:
        with tempfile.TemporaryDirectory() as folder:
            versions[name] = make(PROGRAMS[name], Path(folder), FOLDER / name, given.python)
        print(name, versions[name])
        versions_file.write_text(json.dumps(versions, indent=2, sort_keys=True) + "\n")


def make(program: Program, folder: Path, kept: Path, python: str) -> str:
    """Make the files of a program in a folder, keep them, and return its version."""
    out = folder / "out"
    out.mkdir()
    version = _in_node(program, folder, out) if program.runner else _in_python(program, folder, out, python)
    kept.mkdir(parents=True, exist_ok=True)
    for name in program.files:
        (kept / f"{name}.gz").unlink(missing_ok=True)
        if (out / name).exists() and (data := (out / name).read_bytes()):
            (kept / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
    return version


def _in_python(program: Program, folder: Path, out: Path, base: str) -> str:
    _run(base, "-m", "venv", folder / "venv")
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _run(python, "-m", "pip", "install", "--quiet", *program.packages)
    _run(python, "-c", program.script, out)
    shown = _run(python, "-m", "pip", "show", program.packages[0])
    return next(line.removeprefix("Version: ") for line in shown.splitlines() if line.startswith("Version: "))


def _in_node(program: Program, folder: Path, out: Path) -> str:
    (folder / "package.json").write_text('{"private": true}')
    _run("npm", "install", "--no-audit", "--no-fund", *program.packages[not program.needs_all :], cwd=folder)
    package = folder / "node_modules" / program.packages[0]
    if not program.needs_all:
        packed = _run("npm", "pack", program.packages[0], cwd=folder).split()[-1]
        with tarfile.open(folder / packed) as archive:
            archive.extractall(folder, filter="data")
        (folder / "package").rename(package)
    script = folder / ("make.mjs" if program.runner == "node" else "make.cjs")
    script.write_text(program.script)
    runner = folder / "node_modules" / ".bin" / "bun" if program.runner == "bun" else "node"
    _run(runner, script, folder, out, env={**os.environ, "CLAUDE_MEM_DATA_DIR": str(folder / "data")})
    return str(json.loads((package / "package.json").read_text())["version"])


def _run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    line = [str(each) for each in command]
    done = subprocess.run(line, cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
