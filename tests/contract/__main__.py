"""Try to break the REST interface with requests made from its own description: `python -m tests.contract [SECONDS]`.

Schemathesis, in an environment of its own, sends examples, odd and random requests, and follows links from answer to
request, against a real server. It looks for failures of the server, and for answers that the description does not have.

The end of the output names each failed check again, so that it stands in a log that is cut.

One of its checks is off: that every request which fits the description is accepted. The description cannot say all
conditions, such as that a space exists, or that a memory has a conflict to settle.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import memcrdt
from memcrdt.server.listening import HttpServer, ServerOptions

SECONDS: Final = 120  # of all phases; the phase with links gets half of it
PACKAGES: Final = ("schemathesis>=4.32,<5",)
PHASES: Final = ("examples,coverage,fuzzing", "stateful")
LINE: Final = 400  # characters of a failed check at the end
#: Searches the network for a minute.
LEFT_OUT: Final = ("join_pairing",)
_HOOKS: Final = """
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
"""


def main() -> int:
    """Run the checks, and return the exit code."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as folder:
        tool = _installed(Path(folder))
        if tool is None:
            print("schemathesis could not be installed; nothing was tried")
            return 0
        codes = asyncio.run(_tried(tool, Path(folder), seconds))
        for file in sorted(Path(folder).glob("*.xml")):
            for failure in failures(file.read_bytes()):
                print(failure)
    for phases, code in zip(PHASES, codes, strict=True):
        print(f"{phases}: {'passed' if code == 0 else f'failed, exit code {code}'}")
    return max(codes)


def _installed(folder: Path) -> Path | None:
    """Return the program, in a new environment; None if there is no registry of packages."""
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    done = subprocess.run([scripts / "python", "-m", "pip", "install", "-qq", *PACKAGES], check=False)
    return scripts / "schemathesis" if done.returncode == 0 else None


async def _tried(tool: Path, folder: Path, seconds: int) -> list[int]:
    """Return the exit code of each run of schemathesis."""
    home = folder / "home"
    home.mkdir()
    (home / "config.toml").write_text('embedder = "none"\nmdns = false\ntailscale = false\n', encoding="utf-8")
    (folder / "hooks.py").write_text(_HOOKS, encoding="utf-8")
    with memcrdt.open(home) as memory:
        token = memory.tokens.create("contract", rights=["write", "forget", "admin"])
        async with HttpServer(memory, ServerOptions(address="127.0.0.1:0")) as server:
            return [
                await _run(tool, folder, server.url, token, phases=phases, seconds=seconds // 2) for phases in PHASES
            ]


def failures(report: bytes) -> list[str]:
    """Return a line for each failed check in a report of schemathesis in the form of JUnit."""
    found = []
    for case in ElementTree.fromstring(report).iter("testcase"):
        for each in (*case.iter("failure"), *case.iter("error")):
            said = " ".join(f"{each.get('message', '')} {each.text or ''}".split())
            found.append(f"FAILED {case.get('name')}: {said[:LINE]}")
    return found


async def _run(tool: Path, folder: Path, url: str, token: str, *, phases: str, seconds: int) -> int:
    command = [str(tool), "run", f"{url}/v1/openapi.json", "-H", f"Authorization: Bearer {token}", "--phases", phases]
    command += ["--max-time", str(seconds), "--continue-on-failure", "--request-timeout", "90", "--warnings", "off"]
    command += ["--exclude-checks", "positive_data_acceptance"]
    command += ["--report", "junit", "--report-junit-path", str(folder / f"{phases}.xml")]
    for name in LEFT_OUT:
        command += ["--exclude-operation-id", name]
    environment = {**os.environ, "PYTHONPATH": str(folder), "SCHEMATHESIS_HOOKS": "hooks"}
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment)
    return await process.wait()


if __name__ == "__main__":
    sys.exit(main())
