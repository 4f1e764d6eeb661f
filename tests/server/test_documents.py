"""The pages on REST: every command in them works as it is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")

import memcrdt
from memcrdt.server.problems import KINDS
from tests.server.conftest import serving

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "rest.md", *sorted(DOCS.glob("rest/*.md"))]
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="there is no curl here")
def test_every_command_of_the_pages_works(tmp_path: Path) -> None:
    """Each is answered with a success, except those whose ETag has become stale by an earlier one."""
    with serving(tmp_path) as said:
        with memcrdt.open(tmp_path, embedder=None) as memory:
            token = memory.tokens.create("curl", rights=["write", "forget", "admin"])
            old = memory.add("Deploys are on Mondays", scope="project/acme")
            memory.add("A draft", tags=["draft"])
        known = {"URL": said["http"], "TOKEN": token, "OLD": old, "ETAG": '"stale"'}
        statuses = []
        for command in COMMANDS.findall("".join(page.read_text(encoding="utf-8") for page in PAGES)):
            status, answer = _run(command, known, tmp_path)
            statuses.append(status)
            if "ID" not in known:
                known["ID"] = json.loads(answer)["id"]
        assert len(statuses) > 14
        assert set(statuses) <= {200, 201, 412}
        assert statuses.count(412) == 1


def test_the_page_of_problems_has_each_code_with_its_status() -> None:
    """A client that looks a code up finds it, and with the status that the server sends."""
    page = (DOCS / "rest" / "problems.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1:3] for row in page.splitlines() if row.startswith("| `") and "| status |" not in row]
    listed = {}
    for codes, statuses in rows:
        names, numbers = re.findall(r"`(\w+)`", codes), re.findall(r"\d+", statuses)
        listed.update(zip(names, numbers if len(numbers) == len(names) else numbers * len(names), strict=True))
    assert listed == {code: str(status) for code, (status, _) in KINDS.items()}


def _run(command: str, variables: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run a command of a page. Return the status and the content of the answer."""
    shown = command.replace("curl -s ", "curl -s -w '\\n%{http_code}' ", 1)
    environment = {**os.environ, **variables}
    ran = ["bash", "-c", shown]
    done = subprocess.run(ran, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True)
    content, _, status = done.stdout.rpartition("\n")
    assert int(status) < 400 or int(status) == 412, (command, content)
    return int(status), content
