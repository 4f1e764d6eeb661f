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
from memcrdt.cli.names import FILE
from memcrdt.cli.output import Printer, as_seen
from memcrdt.cli.status import _PEERS_ON_TERMINAL, _details
from memcrdt.cli.terminal import age
from memcrdt.memory.devices import Device
from memcrdt.memory.memory import Memory
from memcrdt.model.device_ids import shown
from memcrdt.store.membership.peers import Peers

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

WIDTHS = pytest.mark.parametrize("width", [80, 100, 120])
AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


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
    """With a name, a connection and a time. The device is its name and the first group of its id."""
    nothing = dict.fromkeys(Device.__dataclass_fields__)
    connected = {"connected": True, "via": "tls", "address": "192.168.1.20:27380", "found": "mdns"}
    peer = {"device": "B" * 51 + "A", "name": "desktop", "state": "accepted", "behind": 1_234, "error": "unreachable"}
    line = Device(**{**nothing, **peer, **connected, "agreed_at": AT, "seen_at": AT})
    Printer(False).table([line], [], on_terminal=_PEERS_ON_TERMINAL)
    out = capsys.readouterr().out
    check(out, width, "desktop", "(BBBBBBB)", "accepted", "yes", "1234", age(AT))


@pytest.mark.parametrize("width", [30])
def test_a_table_that_is_too_wide_becomes_blocks(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each value, and no word is broken. Empty values are left out. No pager takes them."""
    monkeypatch.setenv("LINES", "3")
    nothing = dict.fromkeys(Device.__dataclass_fields__)
    peers = [
        Device(**{**nothing, "device": letter * 52, "name": name, "state": "accepted", "behind": 0})
        for letter, name in (("B", "desktop"), ("C", "laptop"))
    ]
    with click.Context(click.Command("peers")):  # a pager would begin when the command ends
        Printer(False).table(peers, [], on_terminal=_PEERS_ON_TERMINAL)
        out = click.unstyle(capsys.readouterr().out)
    check(out, width)
    assert (out[0], out[-2:]) == ("\n", "\n\n")
    first, second = ([line.split() for line in block.splitlines()] for block in out.strip().split("\n\n"))
    assert first == [["device", "desktop", "(BBBBBBB)"], ["state", "accepted"], ["connected", "no"], ["behind", "0"]]
    assert second[0] == ["device", "laptop", "(CCCCCCC)"]


@WIDTHS
def test_a_long_name_makes_no_blocks(cli: Cli, width: int) -> None:
    """It is broken instead, so that the list of models stays a table."""
    lines = click.unstyle(cli("model", "list").out).split("\n")
    assert lines[1].split() == ["name", "here", "MB", "dimensions", "description"]
    assert max(map(len, lines)) <= width


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
    seen = as_seen(AT)
    nothing = dict.fromkeys(Device.__dataclass_fields__)
    device = Device(**{**nothing, "device": "B" * 51 + "A", "state": "accepted", "seen_at": AT})
    assert list(_details(device)) == [f"seen {seen}"]
    dialed = replace(device, since=AT, via="dialed", address="192.168.1.20:27380", found="mdns")
    assert list(_details(dialed)) == [f"connected since {seen} at 192.168.1.20:27380 (mdns)"]
    accepted = replace(device, since=AT, via="accepted", address="10.0.0.2:4")
    assert list(_details(accepted)) == [f"connected since {seen} from 10.0.0.2:4"]


@WIDTHS
def test_what_to_do_with_a_device_that_knocked_stands_below_it(cli: Cli, home: Path, width: int) -> None:
    """With its address, to recognize the device."""
    cli("init")
    with memcrdt.open(home, embedder=None) as memory:
        Peers(memory.store).knocked("B" * 51 + "A", b"k" * 32, "192.168.1.20:27380")
    wanted = f"  tried to connect from 192.168.1.20:27380; if it is yours, run: memcrdt accept {shown('B' * 51 + 'A')}"
    assert wanted in cli("peers").out.splitlines()


def rows(out: str) -> list[str]:
    """Return the lines of a table below its headings."""
    return click.unstyle(out).splitlines()[1:]


@WIDTHS
@pytest.mark.parametrize("command", [("list",), ("search", "deploys")])
def test_a_memory_is_one_line_with_at_least_half_of_it_for_the_text(
    cli: Cli, command: tuple[str, ...], width: int
) -> None:
    """Scope and tags have columns of their own. The id has one if there is room: `@1` names the memory, too."""
    text = "Deploys go out on Tuesdays and Thursdays\nand never before a holiday, " + "x" * 100
    memory = cli("add", text, "--scope", "project/website-redesign", "--tag", "release", "--tag", "operations").out
    cli("add", "Deploys need a ticket")
    out = cli(*command).out
    assert all(len(line) <= width for line in click.unstyle(out).splitlines())
    assert len(rows(out)) == 2
    (row,) = (line for line in rows(out) if "project/" in line)
    heading = click.unstyle(out).splitlines()[0]
    assert heading.index("text") <= width // 2
    assert row[heading.index("text") :].startswith("Deploys go out on Tuesdays and")
    assert row[heading.index("scope") :].startswith("project/")
    assert row[heading.index("tags") :].startswith("operat")
    assert row.endswith("…")
    number = row.split()[0]
    assert number.startswith("@")
    assert cli("get", number, "--json").json[0]["id"] == memory.strip()


@pytest.mark.parametrize("width", [16, 20, 26])
@pytest.mark.parametrize("command", [("list",), ("search", "deploys")])
def test_a_very_narrow_terminal_shows_numbers_and_texts(cli: Cli, command: tuple[str, ...], width: int) -> None:
    """Scope, tags, and then ages and scores give way."""
    cli("add", "Deploys go out on Tuesdays", "--scope", "project/website-redesign", "--tag", "release")
    heading, row = click.unstyle(cli(*command).out).splitlines()
    assert len(row) <= width
    assert heading.index("text") <= width // 2
    assert row[heading.index("text") :].startswith("Deploys")


@pytest.mark.parametrize("width", [130])
def test_a_wide_terminal_has_room_for_the_id(cli: Cli, width: int) -> None:
    """And columns that no memory fills are left out."""
    memory = cli("add", "Deploys go out on Tuesdays").out.strip()
    (row,) = rows(cli("list").out)
    assert row.split()[:2] == ["@1", memory]
    assert "scope" not in cli("list").out


@WIDTHS
def test_whole_texts_are_shown_on_request(cli: Cli, width: int) -> None:
    """Each below a line with the whole id, scope and tags. --explain adds the parts of the score."""
    text = "Deploys go out on Tuesdays\nand never before a holiday, " + "x" * 200
    memory = cli("add", text, "--scope", "project/acme", "--tag", "release").out.strip()
    first, *body = map(str.rstrip, click.unstyle(cli("list", "--full").out).splitlines())
    assert (first[:29], body[0]) == (f"@1  {memory}"[:29], "    Deploys go out on Tuesdays")
    assert "".join(body).count("x") == 200
    assert all(line.startswith("    ") for line in body if line)
    assert " semantic " in click.unstyle(cli("search", "deploys", "--explain").out).replace("\n", " ")


@pytest.mark.parametrize("width", [80])
@pytest.mark.parametrize("colors", [True, False])
def test_matched_words_and_conflicts_stand_out(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, width: int, *, colors: bool
) -> None:
    """In the part of a long text that matched. With NO_COLOR nothing is coloured, but matches are still emphasized."""
    monkeypatch.setenv("TERM", "xterm-256color")
    if not colors:
        monkeypatch.setenv("NO_COLOR", "1")
    cli("add", "word " * 40 + "the zebra sleeps", "--scope", "project/acme")
    out = cli("search", "zebra").out
    assert "\x1b[1;4mzebra\x1b[0m" in out
    assert "…" in rows(out)[0].split()[3]
    assert ("\x1b[35m" in out) == colors


@pytest.mark.parametrize("width", [80])
def test_without_a_place_for_the_numbers_there_are_none(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """In a home that cannot be written, the id is shown instead."""
    memory = cli("add", "Deploys go out on Tuesdays").out.strip()
    (home / FILE).mkdir()
    (row,) = rows(cli("list").out)
    assert row.startswith(memory)


@pytest.mark.parametrize("width", [80])
def test_long_output_goes_to_the_pager(cli: Cli, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """What fits on the screen is printed as always. The store is closed while somebody reads."""
    paged: list[str] = []

    def page(text: str) -> None:
        assert memories_open == []
        paged.append(text)

    memories_open: list[Memory] = []
    close = Memory.close
    monkeypatch.setattr("click.echo_via_pager", page)
    monkeypatch.setattr(Memory, "__enter__", lambda memory: memories_open.append(memory) or memory)
    monkeypatch.setattr(Memory, "close", lambda memory: (memories_open.remove(memory), close(memory)))
    monkeypatch.setenv("LINES", "10")
    for number in range(10):
        cli("add", f"memory {number}")
    assert "memory 9" in cli("list", "--limit", "5").out
    assert paged == []
    assert cli("list").out == ""
    assert all(f"memory {number}" in paged[0] for number in range(10))


@pytest.mark.parametrize("width", [80])
def test_a_history_shows_the_words_that_changed(cli: Cli, width: int) -> None:
    """Removed and added ones, with marks that need no colour."""
    memory = cli("add", "Deploys go out on Tuesdays").out.strip()
    cli("update", memory, "Deploys go out on Wednesdays", "--author", "ada")
    first, one, text, two, changed = click.unstyle(cli("history", memory).out).splitlines()
    assert (first, text) == (f"memory {memory}", "   Deploys go out on Tuesdays")
    assert changed == "   Deploys go out on [-Tuesdays-]{+Wednesdays+}"
    assert one.startswith(memory)
    assert "current" in two
    assert two.endswith("this device  (ada)")


@pytest.mark.parametrize("width", [80])
def test_empty_lists_say_what_to_do(cli: Cli, width: int) -> None:
    """On stderr, and not with --json."""
    cli("init")
    assert cli("list").err == "memcrdt: there are no memories yet; `memcrdt add TEXT` adds one\n"
    cli("add", "Deploys go out on Tuesdays", "--scope", "project/acme")
    memory = cli("list", "--json").json[0]["id"]
    for command in (("list", "--tag", "x"), ("search", "deploys", "--tag", "x"), ("similar", memory)):
        ran = cli(*command)
        assert (ran.code, ran.out) == (0, "")
        assert "nothing matches in 1 memory" in ran.err
        assert cli(*command, "--json").err == ""
    assert "memcrdt link ID REL TO" in cli("related", memory).err
    assert "memcrdt pair" in cli("peers").err
    assert "memcrdt token create" in cli("token", "list").err


@WIDTHS
def test_models_fit(cli: Cli, width: int) -> None:
    """Their names are long, and the description is printed all the same."""
    check(cli("model", "list").out, width, "dimensions", "description", "here")


@pytest.mark.parametrize("width", [80])
def test_an_empty_list_says_that_the_store_is_gone(cli: Cli, home: Path, width: int) -> None:
    """And not that there never was a memory."""
    cli("add", "Deploys go out on Tuesdays")
    for file in home.glob("memories.db*"):
        file.unlink()
    for command in (("list",), ("search", "deploys")):
        ran = cli(*command)
        assert ran.code == 0
        assert "The store of this home is gone" in " ".join(ran.err.split())
        assert "no memories yet" not in ran.err
