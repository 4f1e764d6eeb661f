"""Run the tests of the agent frameworks, in environments of their own: `python -m tests.frameworks [--lowest] [NAME…]`.

Without options, each environment has the newest versions. With --lowest it has the lower bounds of pyproject.toml.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """Packages that can be installed together, and the tests that need them.

    Attributes:
        extras: Extras of memcrdt.
        tests: Names of test modules in this folder, without `test_` and `.py`.
        tools: Other packages that the tests need.
        companions: Packages that work on top of an adapter and need newer frameworks than it does. The lowest versions
            are tested without them, and their tests are skipped.
    """

    extras: tuple[str, ...]
    tests: tuple[str, ...]
    tools: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()


ENVIRONMENTS = {
    "agents": Environment(
        extras=("agent-framework", "anthropic", "google-adk", "llama-index", "openai-agents", "pydantic-ai"),
        tests=(
            "agent_framework",
            "anthropic",
            "google_adk",
            "history",
            "llama_index",
            "llama_index_oracle",
            "openai_agents",
            "pydantic_ai",
        ),
    ),
    "langgraph": Environment(
        extras=("langgraph",),
        tests=(
            "files",
            "recall",
            "values",
            "langgraph",
            "langgraph_filters",
            "langgraph_ttl",
            "langgraph_sync",
            "langgraph_companions",
            "examples",
            "langchain_langmem",
        ),
        tools=("langgraph-checkpoint-sqlite",),
        companions=("langgraph", "langmem", "deepagents"),
    ),
    "langchain": Environment(
        extras=("langchain",),
        tests=(
            "langchain_documents",
            "langchain_history",
            "langchain_loop",
            "langchain_middleware",
            "langchain_recall",
            "langchain_standard",
            "langchain_tools",
            "langchain_values",
            "examples",
        ),
        tools=("langchain-tests",),
    ),
    "databases": Environment(extras=(), tests=("chromadb",), tools=("chromadb",)),  # not of a framework, but as large
    "strands": Environment(extras=("strands",), tests=("strands",)),  # needs an older MCP SDK than others do
}


def main() -> int:
    """Return the number of environments whose tests failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.frameworks", description=__doc__)
    parser.add_argument("--lowest", action="store_true", help="test the lowest versions instead of the newest")
    parser.add_argument("names", nargs="*", choices=[*ENVIRONMENTS, []], metavar="NAME", help="only these environments")
    given = parser.parse_args()
    failed = [name for name in given.names or ENVIRONMENTS if not passes(ENVIRONMENTS[name], lowest=given.lowest)]
    print(f"failed: {', '.join(failed)}" if failed else "all frameworks work")
    return len(failed)


def passes(environment: Environment, *, lowest: bool) -> bool:
    """Return whether the tests of an environment pass in a new virtual environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        wanted = [
            f"{ROOT}[{','.join(environment.extras)}]" if environment.extras else str(ROOT),
            *test_tools(),
            *environment.tools,
        ]
        wanted += lower_bounds(environment.extras) if lowest else environment.companions
        tests = [str(ROOT / "tests" / "frameworks" / f"test_{name}.py") for name in environment.tests]
        return _run(python, "-m", "pip", "install", "--quiet", *wanted) and _run(python, "-m", "pytest", "-rs", *tests)


def lower_bounds(extras: tuple[str, ...]) -> list[str]:
    """Return the packages of some extras, each pinned to its lower bound: `a>=1.2` becomes `a==1.2`."""
    wanted = [each for extra in extras for each in _optional()[extra]]
    return [re.sub(r"^([\w.\[\]-]+)>=([\w.]+).*", r"\1==\2", each) for each in wanted]


def test_tools() -> list[str]:
    """Return what runs the tests. The rest of the extra `test` has packages that cannot be beside some frameworks."""
    return [each for each in _optional()["test"] if each.startswith(("pytest", "hypothesis"))]


def _optional() -> dict[str, list[str]]:
    """Return the packages of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return extras


def _run(python: Path, *arguments: str) -> bool:
    print("$", python, *arguments, flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run([str(python), *arguments], cwd=ROOT, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
