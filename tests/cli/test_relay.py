"""`memcrdt relay`, in its own process, with two homes that know no other way to each other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from memcrdt import config

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Server

    Homes: TypeAlias = tuple[tuple[Path, str], tuple[Path, str]]
    Serve: TypeAlias = Callable[[Path], Server]
    Eventually: TypeAlias = Callable[[Callable[[], object]], None]


@pytest.fixture(name="relay")
def _relay() -> Iterator[str]:
    """Start a relay, and return its address."""
    command = [sys.executable, "-m", "memcrdt", "relay", "--host", "127.0.0.1", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        process.terminate()
        if sys.platform != "win32":
            assert process.wait(30) == 0


@pytest.fixture(name="homes")
def _homes(cli: Cli, tmp_path: Path) -> Homes:
    """Return the homes of a laptop and a desktop, each with its device."""
    laptop, desktop = (
        (tmp_path / name, cli("init", "--home", str(tmp_path / name), "--json").json[0]["device"])
        for name in ("laptop", "desktop")
    )
    return laptop, desktop


def test_two_homes_meet_at_a_relay(cli: Cli, relay: str, homes: Homes, serve: Serve, eventually: Eventually) -> None:
    """Accepted by id alone, they find each other there, and the status says how."""
    (laptop, here), (desktop, there) = homes
    for home, other in ((laptop, there), (desktop, here)):
        config.change(home, "relays", [relay])
        cli("accept", other, "--home", str(home))
        serve(home).says()
    cli("add", "Deploys go out on Tuesdays", "--home", str(laptop))
    eventually(lambda: cli("search", "when do we deploy?", "--home", str(desktop)).out)
    assert f"via relay {relay}" in cli("status", "--home", str(laptop)).out
    link = cli("peers", "--home", str(laptop), "--json").json[0]
    assert (link["found"], link["address"], link["addresses"]) == ("relay", f"relay {relay}", [])


@pytest.mark.parametrize("wrong", [["--rate", "0"], ["--device", "nobody"], ["--port", "70000"], ["--host", "no host"]])
def test_wrong_options_are_refused(cli: Cli, wrong: list[str]) -> None:
    """Before anything listens."""
    assert cli("relay", "--port", "0", *wrong).code == 2


def test_a_relay_that_a_space_lists_reaches_all_its_members(
    cli: Cli, relay: str, homes: Homes, serve: Serve, eventually: Eventually
) -> None:
    """One device lists it and tells the other directly. When the direct path has gone, they meet at the relay."""
    (laptop, here), (desktop, there) = homes
    assert cli("relays", "add", relay, "--home", str(laptop)).code == 0
    cli("accept", there, "--home", str(laptop))
    port = serve(laptop).says()["port"]
    cli("accept", here, "--at", f"127.0.0.1:{port}", "--home", str(desktop))
    serving = serve(desktop)
    serving.says()
    eventually(lambda: cli("relays", "list", "--home", str(desktop), "--json").json)
    line = cli("relays", "list", "--home", str(desktop), "--json").json[0]
    assert line == {"address": relay, "space": "personal", "listed_by": here}
    assert cli("relays", "remove", relay, "--home", str(desktop)).code == 0
    eventually(lambda: not cli("relays", "list", "--home", str(laptop), "--json").json)
    cli("relays", "remove", relay, "--home", str(desktop)).failed(3, "does not list the relay")
    cli("relays", "add", "no host", "--home", str(desktop)).failed(2, "HOST:PORT")
