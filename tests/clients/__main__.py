"""Run memcrdt within real coding agents: `python -m tests.clients [--npm FOLDER] [NAME…]`.

Each agent is installed from npm, gets the server and the hooks by `memcrdt mcp install --hooks`, and talks to a model
on this machine that follows a script. One session stores a memory through the server. Another one, in another clone of
the repository, is told it by the hooks. Both are the first session on the agent's page. A statement of the user is
captured. The plugin is given to the agent's check. An agent without hooks finds the memory with the server's tools.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import memcrdt
from tests.clients.agents import AGENTS
from tests.clients.scripted_model import FACT, KNOWN, STORE, STORED, serving

PATIENCE_S = 300
QUESTION = "How do we deploy the billing service?"
STATEMENT = "From now on, name branches after the ticket."
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PAGES = Path(__file__).parents[2] / "docs" / "clients"


class Machine:
    """A user with a clone of a repository in two folders, and an agent."""

    def __init__(self, folder: Path, name: str, programs: Path, url: str) -> None:
        self.user, self.home, self.url = folder / "user", folder / "memory", url
        self.agent = AGENTS[name]
        self._name = name
        self._environment = {
            **os.environ,
            "HOME": str(self.user),
            "MEMCRDT_HOME": str(self.home),
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        for clone in ("one", "two"):
            (self.user / clone / ".git").mkdir(parents=True)
            (self.user / clone / ".git" / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
            remote = '[remote "origin"]\n\turl = git@git.example.org:team/billing.git\n'
            (self.user / clone / ".git" / "config").write_text(remote, encoding="utf-8")

    def run(self, *command: str, clone: str = "one", **variables: str) -> str:
        """Run a command in a clone, and return its output without colours. May raise a SubprocessError."""
        done = subprocess.run(
            command,
            cwd=self.user / clone,
            env={**self._environment, "PWD": str(self.user / clone), **variables},  # opencode works in $PWD
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        return COLOUR.sub("", done.stdout)

    def ask(self, prompt: str, *, clone: str = "one") -> str:
        command, variables = self.agent.ask(prompt, self.url)
        return self.run(*command, clone=clone, **variables)

    def set_up(self) -> None:
        with memcrdt.open(self.home, embedder=None):
            pass
        (self.home / "config.toml").write_text(
            'embedder = "none"\ncapture = true\nmdns = false\ntailscale = false\n', encoding="utf-8"
        )
        hooks = ["--hooks"] if self.agent.has_hooks else []
        self.run(sys.executable, "-m", "memcrdt", "mcp", "install", "--client", self._name, *hooks)
        self.agent.prepare(self.user, self.url)

    def page_lines(self) -> list[str]:
        """Return what the first session on the agent's page shows, without the commands."""
        page = (PAGES / f"{self._name}.md").read_text(encoding="utf-8")
        session = page.partition("## A first session")[2].partition("```console\n")[2].partition("```")[0]
        return [line for line in session.splitlines() if not line.startswith("$ ")]

    def memories(self) -> dict[str, Any]:
        with memcrdt.open(self.home, embedder=None, read_only=True) as memory:
            return {record.text: record for record in memory.iterate()}


def problems(machine: Machine, requests: list[str]) -> list[str]:
    """Return what does not work with an agent."""
    found = []
    machine.set_up()
    told = machine.ask(f"{STORE}: with make ship, never on Fridays.")
    stored = machine.memories().get(FACT)
    if STORED not in told or stored is None or stored.scope != "project/git.example.org/team/billing":
        found.append(f"the memory was not stored for the project through the server:\n{told[-2_000:]}")
    requests.clear()
    answered = machine.ask(QUESTION, clone="two")
    if KNOWN not in answered:
        found.append(f"the other clone was not told the memory:\n{answered[-2_000:]}")
    printed = {line.strip() for line in f"{told}\n{answered}".splitlines()}
    found += [
        f"the page has a line that was not printed: {line}" for line in machine.page_lines() if line not in printed
    ]
    if machine.agent.has_hooks:
        found += _hook_problems(machine, requests)
    for command in machine.agent.checks:
        machine.run(*command)
    return found


def _hook_problems(machine: Machine, requests: list[str]) -> list[str]:
    """Return what the hooks did not do; the requests are those of the session in the other clone."""
    headings = ("Memories of the user for git.example.org/team/billing", "may matter for this prompt")
    missing = [heading for heading in headings if not any(heading in request for request in requests)]
    found = [f"no request had the memories under the heading {heading!r}" for heading in missing]
    machine.ask(f"{STATEMENT} What is two plus two?")
    deadline = time.monotonic() + 60
    while STATEMENT not in machine.memories():
        if time.monotonic() > deadline:
            found.append("the statement of the user was not captured")
            break
        time.sleep(0.5)
    return found


def install(folder: Path, names: list[str]) -> Path | None:
    """Install agents from npm, and return the folder of their programs; None if npm does not get them."""
    packages = {AGENTS[name].package: AGENTS[name].version for name in names}
    programs = folder / "node_modules" / ".bin"
    if all((folder / "node_modules" / package).exists() for package in packages):
        return programs
    npm = shutil.which("npm")
    if npm is None:
        return None
    options = ["--no-audit", "--no-fund", "--fetch-retries=1", "--prefix", str(folder)]
    try:
        done = subprocess.run(
            [npm, "install", *options, *map("@".join, packages.items())],
            capture_output=True,
            check=False,
            timeout=2 * PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return None
    claude = folder / "node_modules" / "@anthropic-ai" / "claude-code" / "install.cjs"
    if done.returncode == 0 and claude.exists():  # npm may leave such scripts out
        subprocess.run(["node", str(claude)], capture_output=True, check=False)
    return programs if done.returncode == 0 else None


def try_agents(names: list[str], programs: Path, folder: Path) -> int:
    """Try agents, print what does not work, and return the number of those with problems."""
    failed = 0
    for name in names:
        with serving() as (url, requests):
            try:
                found = problems(Machine(folder / name, name, programs, url), requests)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
                found = [f"{exc}\n{(exc.stdout or '')[-2_000:]}"]
        print("\n".join([f"{name}: {'fails' if found else 'works'}", *found]), flush=True)
        failed += bool(found)
    return failed


def run_apart(arguments: list[str]) -> int | None:
    """Run this module in a network of its own, so that no agent reaches the internet; None if the system has none."""
    apart = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        return None
    return subprocess.run([*apart, sys.executable, "-m", "tests.clients", *arguments], check=False).returncode


def main() -> int:
    """Return the number of agents with problems. Without npm, nothing is tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--npm", type=Path, help="a folder to install the agents in, and to use again")
    parser.add_argument("--here", action="store_true", help="do not use a network of its own")
    parser.add_argument("names", nargs="*", choices=[*AGENTS, []], metavar="NAME", help="only these agents")
    given = parser.parse_args()
    names = given.names or list(AGENTS)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (given.npm or Path(temporary) / "npm").absolute()
        programs = install(folder, names)
        if programs is None:
            print("skipped: npm is missing, or cannot install the agents")
            return 0
        if not given.here:
            failed = run_apart(["--here", "--npm", str(folder), *names])
            if failed is not None:
                return failed
        return try_agents(names, programs, Path(temporary))


if __name__ == "__main__":
    sys.exit(main())
