"""The warnings of commands about changes that have not left the machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import memcrdt
from memcrdt.cli.face import run_loop
from memcrdt.net.identity import Identity
from memcrdt.node.lock import ServeLock
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


KEPT = "memcrdt: the change is saved, but not sent yet: no process serves this home; `memcrdt serve` sends it\n"


@pytest.fixture(name="other")
def _other(cli: Cli, tmp_path: Path) -> str:
    """Return the id of another device that shares no space yet."""
    device: str = cli("init", "--json", "--home", str(tmp_path / "other")).json[0]["device"]
    return device


def revoke(ours: Path, theirs: Path) -> None:
    """Let `theirs`, whose space `personal` replaces ours, revoke our device, and let our device receive it."""
    with memcrdt.open(ours, embedder=None) as here, memcrdt.open(theirs, embedder=None) as there:
        members, signer = Members(there.store), Identity.load_or_create(theirs)
        Members(here.store).join(members.entries(["personal"])[0])
        there.accept(here.store.device)
        members.settle(signer, "laptop")
        there.revoke(here.store.device)
        members.settle(signer, "laptop")
        space = there.space("personal").id()
        Members(here.store).learn(space, members.roll(space)[1])


def test_a_change_that_nobody_sends_is_said_to_be_kept_here(cli: Cli, other: str, tmp_path: Path) -> None:
    """After every kind of change in a space that an accepted device shares."""
    cli("accept", other)
    cli("space", "create", "acme")
    (tmp_path / "in.jsonl").write_text('"imported"\n')
    ran = [cli("add", "one"), cli("add", "two", "--space", "acme"), cli("import", str(tmp_path / "in.jsonl"))]
    one, two = ran[0].out.strip(), ran[1].out.strip()
    ran += [
        cli("update", one, "--add-tag", "release"),
        cli("link", one, "of", two),
        cli("unlink", one, "of", two),
        cli("rename-scope", "global", "agent/x"),
        cli("move", two, "--space", "personal"),
        cli("forget", one),
    ]
    *others, forgot = [(each.code, each.err) for each in ran]
    assert others == [(0, KEPT), (0, ""), *[(0, KEPT)] * 6]
    assert forgot[1].startswith(KEPT)


def test_nobody_waits_for_what_did_not_change(cli: Cli, other: str, tmp_path: Path) -> None:
    """A change to the same value, or the removal of a missing value, changes nothing."""
    added = cli("add", "one", "--key", "k").out.strip()
    cli("accept", other)
    (tmp_path / "in.jsonl").write_text('{"text": "one", "key": "k"}\n')
    for arguments in (
        ["add", "one", "--dedupe"],
        ["update", added, "--remove-tag", "zzz"],
        ["unlink", added, "of", added],
        ["move", added, "--space", "personal"],
        ["rename-scope", "agent/nobody", "agent/x"],
        ["import", str(tmp_path / "in.jsonl")],
        ["forget", "--tag", "zzz", "--yes"],
    ):
        ran = cli(*arguments)
        assert (ran.code, ran.err) == (0, "")


def test_a_home_without_another_device_has_nothing_to_send(cli: Cli, other: str) -> None:
    """No device was accepted, or none is accepted any more."""
    assert cli("add", "Deploys go out on Tuesdays").err == ""
    cli("accept", other)
    cli("revoke", other)
    assert cli("add", "Invoices are sent as PDF").err == ""


def test_what_stays_here_anyway_is_not_said_to_wait(cli: Cli, other: str) -> None:
    """The space `local` never leaves the machine."""
    cli("accept", other)
    assert cli("add", "only for here", "--space", "local").err == ""


def test_while_something_serves_nothing_is_said(cli: Cli, other: str, home: Path) -> None:
    """The serving process sends the change."""
    cli("accept", other)
    lock = ServeLock(home)
    try:
        assert cli("add", "Deploys go out on Tuesdays").err == ""
    finally:
        lock.release()


def refuse(ours: Path, theirs: Path) -> None:
    """Let `theirs` refuse our device, which it has revoked from everything, when our device dials."""
    with memcrdt.open(ours, embedder=None) as here, memcrdt.open(theirs, embedder=None) as there:
        here.accept(there.device, name="laptop")
        Peers(here.store).refused(there.device, there.device)


@pytest.mark.parametrize("serves", [False, True])
@pytest.mark.parametrize("learn", [revoke, refuse])
def test_what_nobody_will_take_is_said_to_stay_here(
    cli: Cli, home: Path, tmp_path: Path, serves: bool, learn: Callable[[Path, Path], None]
) -> None:
    """After a revocation, a change stays here whether or not a process serves. `space members` agrees."""
    for each in (home, tmp_path / "other"):
        cli("init", "--home", str(each))
    learn(home, tmp_path / "other")
    lock = ServeLock(home) if serves else None
    try:
        ran = cli("add", "Deploys go out on Tuesdays")
    finally:
        if lock is not None:
            lock.release()
    assert ran.code == 0
    assert ran.err == (
        "memcrdt: the change stays here: this device was revoked from the space 'personal' by laptop;"
        " see `memcrdt status`\n"
    )
    assert cli("list", "--json").json[0]["text"] == "Deploys go out on Tuesdays"
    (alarm,) = cli("status", "--json").json[0]["alarms"]
    assert "new key" in alarm["text"]
    assert "'personal'" in alarm["text"]
    ours = next(member for member in cli("space", "members", "--json").json if member["ours"])
    assert (ours["state"], ours["rights"]) == ("revoked", None)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_second_ctrl_c_does_not_cut_short_what_the_first_one_ends() -> None:
    """It comes during the shutdown of the command."""
    said: list[str] = []

    async def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            for word in ("good", "bye"):
                await asyncio.sleep(0)
                said.append(word)

    with pytest.raises(KeyboardInterrupt):
        run_loop(command())
    assert said == ["good", "bye"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_a_command_returns_is_returned() -> None:
    """As with asyncio.run()."""

    async def command() -> int:
        return 7

    assert run_loop(command()) == 7


@pytest.mark.parametrize(
    "command",
    [("mirror", "markdown"), ("mirror", "claude-code"), ("backup",), ("restore",), ("capture",), ("serve", "--log")],
)
def test_an_empty_path_is_not_the_working_folder(
    cli: Cli, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a variable that is not set, in a script."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    cli(*command, "").failed(2, "the path is empty")
