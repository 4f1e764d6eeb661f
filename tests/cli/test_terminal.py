"""Tables on a terminal, narrow and wide."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import memcrdt
from memcrdt.cli.output import Printer
from memcrdt.cli.status import _PEERS_ON_TERMINAL, _details
from memcrdt.memory.devices import Device
from memcrdt.model.device_ids import shown
from memcrdt.store.membership.peers import Peers

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

WIDTHS = pytest.mark.parametrize("width", [80, 100, 120])
AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SEEN = AT.astimezone().strftime("%Y-%m-%d %H:%M")


@pytest.fixture(autouse=True)
def _terminal(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(request.node.callspec.params["width"]))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)


def check(out: str, width: int, *words: str) -> None:
    """Check that each word is printed whole, and that no line is too long."""
    assert [word for word in words if word not in out] == []
    assert "…" not in out
    assert max(map(len, click.unstyle(out).splitlines())) <= width


@WIDTHS
def test_peers_fit(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """With a name, a connection and all times. The device is its name and the first group of its id."""
    nothing = dict.fromkeys(Device.__dataclass_fields__)
    connected = {"connected": True, "via": "tls", "address": "192.168.1.20:27380", "found": "mdns"}
    peer = {"device": "B" * 51 + "A", "name": "desktop", "state": "accepted", "behind": 1_234, "error": "unreachable"}
    line = Device(**{**nothing, **peer, **connected, "agreed_at": AT, "seen_at": AT})
    Printer(False).table([line], [], on_terminal=_PEERS_ON_TERMINAL)
    out = capsys.readouterr().out
    check(out, width, "desktop", "(BBBBBBB)", "accepted", "192.168.1.20:27380", "mdns", "1234", SEEN)


@WIDTHS
@pytest.mark.parametrize("command", [("peers",), ("status",), ("space", "members")])
def test_whole_ids_stand_on_lines_of_their_own(cli: Cli, home: Path, command: tuple[str, ...], width: int) -> None:
    """Below the table, in the form that `memcrdt revoke` accepts."""
    other = "B" * 51 + "A"
    cli("accept", other, "--name", "desktop")
    out = "\n".join(line for line in cli(*command).out.splitlines() if str(home) not in line)  # it may be long
    check(out, width, "desktop", "(BBBBBBB)")
    assert any(line.startswith("BBBBBBB-") and line.count("-") == 7 for line in out.splitlines())


@WIDTHS
def test_a_connected_device_is_connected_since_then(width: int) -> None:
    """A disconnected device shows when it was last seen."""
    nothing = dict.fromkeys(Device.__dataclass_fields__)
    device = Device(**{**nothing, "device": "B" * 51 + "A", "state": "accepted", "seen_at": AT})
    assert list(_details(device)) == [f"seen {SEEN}"]
    assert list(_details(replace(device, since=AT))) == [f"connected since {SEEN}"]


@WIDTHS
def test_what_to_do_with_a_device_that_knocked_stands_below_it(cli: Cli, home: Path, width: int) -> None:
    """With its address, to recognize the device."""
    cli("init")
    with memcrdt.open(home, embedder=None) as memory:
        Peers(memory.store).knocked("B" * 51 + "A", b"k" * 32, "192.168.1.20:27380")
    wanted = f"  tried to connect from 192.168.1.20:27380; if it is yours, run: memcrdt accept {shown('B' * 51 + 'A')}"
    assert wanted in cli("peers").out.splitlines()


@WIDTHS
def test_memories_fit(cli: Cli, width: int) -> None:
    """Id and time are whole. Scope, tags and text are wrapped."""
    added = cli(
        "add", "Deploys go out on Tuesdays and Thursdays", "--scope", "project/website-redesign", "--tag", "release",
        "--tag", "operations", "--created-at", AT.isoformat(),
    )  # fmt: skip
    memory = added.out.strip()
    check(cli("list").out, width, memory, SEEN, "Deploys", "Thursdays", "release", "operations")
    check(cli("search", "deploys").out, width, memory, "Deploys", "Thursdays", "release", "operations")


@WIDTHS
def test_models_fit(cli: Cli, width: int) -> None:
    """Their names are long, and the description is printed all the same."""
    check(cli("model", "list").out, width, "dimensions", "description", "here")
