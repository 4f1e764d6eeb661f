"""`memcrdt forget`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import memcrdt
from memcrdt.cli.forgetting import UNDO_S, _state
from memcrdt.memory.forgetting import ForgetProgress
from memcrdt.node.lock import ServeLock
from memcrdt.store.membership.peers import PeerConnection, Peers

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def add(cli: Cli, *arguments: str) -> str:
    ran = cli("add", *arguments)
    assert ran.code == 0
    return ran.out.strip()


def count(cli: Cli) -> int:
    return len(cli("list", "--all", "--json").json)


def test_forget_takes_one_memory(cli: Cli) -> None:
    """It is gone, the result is printed, and forgetting it again is not an error."""
    added = add(cli, "text")
    assert cli("forget", added, "--json").json == [{"count": 1, "status": "done", "confirmed": [], "awaited": []}]
    cli("get", added).failed(3, "forgotten")
    again = cli("forget", added, "--json")
    assert again.json[0]["count"] == 0
    assert again.err == f"memcrdt: the memory {added} was forgotten; nothing of it is left\n"


def test_forget_by_filters_counts_and_asks(cli: Cli) -> None:
    """The question has the count. Any answer but yes changes nothing."""
    add(cli, "one", "--tag", "old")
    add(cli, "two", "--tag", "old")
    add(cli, "three")
    refused = cli("forget", "--tag", "old", stdin=b"n\n")
    assert (refused.code, refused.out) == (1, "")
    assert "forget 2 memories permanently?" in refused.err
    assert "nothing was forgotten" in refused.err
    assert count(cli) == 3
    assert cli("forget", "--tag", "old", "--json", stdin=b"y\n").json[0]["count"] == 2
    assert [memory["text"] for memory in cli("list", "--json").json] == ["three"]


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 1)])
def test_forget_shows_and_asks_on_a_terminal(cli: Cli, *, by_id: bool, answer: str, left: int) -> None:
    """Also with an id: the first line of the memory, and the question."""
    memory = add(cli, "one\ntwo", "--tag", "old")
    ran = cli("forget", *([memory] if by_id else ["--tag", "old"]), "--now", typed=f"{answer}\n")
    assert f"  {memory}  one …\n" in ran.err
    assert "two" not in ran.err
    assert "forget 1 memory permanently?" in ran.err
    assert ran.code == (1 if left else 0)
    assert len(cli("list", "--json").json) == left


def test_forget_shows_ten_memories(cli: Cli) -> None:
    """It counts the rest."""
    with memcrdt.open(os.environ["MEMCRDT_HOME"], embedder=None) as memory:
        memory.add_many({"text": f"text {number}", "tags": ["old"]} for number in range(12))
    said = cli("forget", "--tag", "old", typed="n\n").err
    assert said.count("  text ") == 10
    assert "  and 2 more\n" in said


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_forget_can_be_taken_back(cli: Cli, monkeypatch: pytest.MonkeyPatch, *, interrupted: bool) -> None:
    """On a terminal it waits before it commits. Ctrl-C then means that nothing is forgotten. --yes does not wait."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if interrupted:
            raise KeyboardInterrupt

    monkeypatch.setattr("memcrdt.cli.forgetting.time.sleep", wait)
    memory = add(cli, "one")
    ran = cli("forget", memory, typed="y\n")
    assert waited == [UNDO_S]
    assert "Ctrl-C takes it back" in ran.err
    assert (ran.code, count(cli)) == ((130, 1) if interrupted else (0, 0))
    assert ("taken back; nothing was forgotten" in ran.err) == interrupted
    assert "interrupted" not in ran.err
    cli("forget", add(cli, "two"), "--yes", typed="")
    assert waited == [UNDO_S]


def test_what_is_added_before_the_answer_counts_is_kept(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the memories that were shown are forgotten, and of them only those that still match."""
    add(cli, "shown", "--tag", "old")
    changed = add(cli, "changed", "--tag", "old")

    def meanwhile(seconds: float) -> None:
        with memcrdt.open(home, embedder=None) as memory:
            memory.add("added meanwhile", tags=["old"])
            memory.update(changed, tags=["kept"])

    monkeypatch.setattr("memcrdt.cli.forgetting.time.sleep", meanwhile)
    assert cli("forget", "--tag", "old", "--json", typed="y\n").json[0]["count"] == 1
    assert {memory["text"] for memory in cli("list", "--json").json} == {"added meanwhile", "changed"}


def test_forget_without_an_answer_changes_nothing(cli: Cli) -> None:
    """In a script without --yes, the end of stdin is not consent."""
    add(cli, "one", "--tag", "old")
    ran = cli("forget", "--tag", "old")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1].startswith("memcrdt: no answer")
    assert count(cli) == 1


def test_forget_with_yes_does_not_ask(cli: Cli) -> None:
    """--yes is for scripts, and a dry run only counts. Without a match, no question is asked."""
    add(cli, "one", "--tag", "old")
    assert cli("forget", "--tag", "old", "--dry-run", "--json").json[0]["count"] == 1
    assert count(cli) == 1
    assert cli("forget", "--tag", "old", "--yes", "--json").json[0]["count"] == 1
    ran = cli("forget", "--tag", "old", "--json")
    assert (ran.json[0]["count"], ran.err) == (0, "")


@pytest.mark.parametrize("arguments", [[], [UNKNOWN, "--tag", "old"], ["--include", "expired"]])
def test_forget_wants_an_id_or_filters(cli: Cli, arguments: list[str]) -> None:
    """Neither, both, or a filter that matches everything are refused."""
    cli("init")
    cli("forget", *arguments).failed(2)


def test_forget_says_who_has_yet_to_confirm(cli: Cli) -> None:
    """A hint names the devices, and --status shows them again."""
    cli("accept", "B" * 51 + "A", "--name", "desktop")
    added = cli("add", "Deploys go out on Tuesdays").out.strip()
    forgot = cli("forget", added, "--yes")
    assert f"still to confirm: desktop (BBBBBBB); to look again, run: memcrdt forget --status {added}\n" in forgot.err
    assert cli("forget", "--status", added).out == "forgotten\t1\nhere\tdone\ndesktop (BBBBBBB)\t1 to confirm\t\n"
    (status,) = cli("forget", "--status", "--json").json
    assert (status["forgotten"], status["devices"][0]["left"]) == (1, 1)
    cli("forget", "--status", "--yes").failed(2, "--status takes an ID or nothing")


def test_a_connected_device_is_seen_now(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal. The time of its last contact is the one at which it connected."""
    device = "B" * 51 + "A"
    cli("accept", device, "--name", "desktop")
    cli("forget", cli("add", "Deploys go out on Tuesdays").out.strip(), "--yes")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    with memcrdt.open(home, embedder=None) as memory:
        lock = ServeLock(home)
        Peers(memory.store).connected(device, b"k" * 32, PeerConnection("dialed", "10.0.0.2:1", 1_000, "mdns", 0))
        out = click.unstyle(cli("forget", "--status").out)
        lock.release()
    assert ["desktop", "(BBBBBBB)", "1", "to", "confirm", "now"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("left", "live_left", "backup_days", "said"),
    [
        (0, None, None, "confirmed"),
        (2, None, None, "2 to confirm"),
        (3, 1, 30, "1 to confirm"),
        (3, 0, 30, "forgotten in the live database; backups keep it up to 30 days"),
        (3, 0, None, "forgotten in the live database; backups may keep it"),
    ],
)
def test_a_hub_is_never_said_to_have_confirmed(
    left: int, live_left: int | None, backup_days: int | None, said: str
) -> None:
    """Its backups have what was forgotten."""
    line = ForgetProgress(
        device="H" * 52, name="hub", left=left, seen_at=None, live_left=live_left, backup_days=backup_days
    )
    assert _state(line) == said
