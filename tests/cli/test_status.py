"""`memcrdt status` and `sync`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import memcrdt
from memcrdt import config
from memcrdt.cli.output import size
from memcrdt.cli.status import _room, _search, _skewed, _where
from memcrdt.memory.devices import Device
from memcrdt.memory.retention import Budget
from memcrdt.memory.status import Status
from memcrdt.memory.sync import Serving
from memcrdt.search.languages import MULTILINGUAL
from memcrdt.search.searcher import SearchStatus

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Server


def test_sync_returns_when_the_other_device_has_everything(
    cli: Cli, tmp_path: Path, serve: Callable[[Path], Server]
) -> None:
    """No process serves this home, so the command runs the network itself, and prints the devices."""
    laptop, desktop = tmp_path / "laptop", tmp_path / "desktop"
    config.change(laptop, "mdns", False)
    here, there = (cli("init", "--json", "--home", str(home)).json[0]["device"] for home in (laptop, desktop))
    cli("accept", here, "--home", str(desktop))
    address = serve(desktop).says()["addresses"][0]
    cli("accept", there, "--at", address, "--home", str(laptop))
    added = cli("add", "Deploys go out on Tuesdays", "--home", str(laptop)).out
    ran = cli("sync", "--wait", "30", "--json", "--home", str(laptop))
    assert (ran.code, ran.json[0]["device"], ran.json[0]["behind"]) == (0, there, 0)
    assert ran.json[0]["agreed_at"] is not None
    assert cli("get", added.strip(), "--home", str(desktop)).code == 0


def test_sync_tells_a_device_that_was_reached_from_one_that_was_not(
    cli: Cli, tmp_path: Path, serve: Callable[[Path], Server]
) -> None:
    """It shares fewer spaces with this device than this device with it.

    The common spaces are synced, the others are not.
    """
    laptop, desktop = (str(tmp_path / name) for name in ("laptop", "desktop"))
    here, there = (cli("init", "--json", "--home", home).json[0]["device"] for home in (laptop, desktop))
    config.change(Path(laptop), "mdns", False)
    cli("accept", here, "--home", desktop)
    cli("space", "create", "acme", "--home", laptop)
    address = serve(Path(desktop)).says()["addresses"][0]
    cli("accept", there, "--at", address, "--space", "acme", "--space", "personal", "--home", laptop)
    cli("add", "Deploys go out on Tuesdays", "--home", laptop)
    ran = cli("sync", "--wait", "4", "--home", laptop)
    assert (ran.code, "is not complete" in ran.err) == (1, True)
    assert len(cli("list", "--json", "--home", desktop).json) == 1


def test_sync_without_anybody_is_exit_code_5(cli: Cli, home: Path) -> None:
    """The message says what to do."""
    cli("init")
    config.change(home, "mdns", False)
    cli("sync").failed(5, "memcrdt pair")


def test_sync_names_who_could_not_be_reached(cli: Cli, home: Path) -> None:
    """With the error of the dial and the address, once and in plain words."""
    cli("accept", "B" * 51 + "A", "--at", "127.0.0.1:1")
    config.change(home, "mdns", False)
    ran = cli("sync", "--wait", "20")
    assert ran.code == 5
    error, verdict = ran.err.splitlines()
    assert error.startswith("memcrdt: BBBBBBB: cannot reach ")
    assert "127.0.0.1:1: the connection was refused; is memcrdt serving there" in error
    assert verdict == "memcrdt: no device could be reached, so nothing was synced"


def test_status_shows_alarms(cli: Cli, home: Path) -> None:
    """With their time, each in a line of its own. They stay until they are resolved."""
    import memcrdt
    from memcrdt.store.membership.peers import Peers

    with memcrdt.open(home, embedder=None) as memory:
        Peers(memory.store).alarm("two stores take turns")
        Peers(memory.store).alarm("two stores take turns")
        Peers(memory.store).alarm("the disk is full, or nearly so")
    texts = ["two stores take turns", "the disk is full, or nearly so"]
    assert [alarm["text"] for alarm in cli("status", "--json").json[0]["alarms"]] == texts
    assert [line for line in cli("status").out.splitlines() if line.startswith("alarms")] == [
        f"alarms\t{text}" for text in texts
    ]


def test_alarms_are_acknowledged(cli: Cli, home: Path) -> None:
    """They are printed once more. JSON still has them, apart from the others."""
    import memcrdt
    from memcrdt.store.membership.peers import Peers

    with memcrdt.open(home, embedder=None) as memory:
        Peers(memory.store).alarm("two stores take turns")
    acknowledged = cli("status", "--ack")
    assert (acknowledged.code, acknowledged.out.split("\t")[1]) == (0, "two stores take turns\n")
    (status,) = cli("status", "--json").json
    assert (status["alarms"], [alarm["text"] for alarm in status["acknowledged"]]) == ([], ["two stores take turns"])
    assert "two stores" not in cli("status").out
    assert cli("status", "--ack").out == ""


def test_status_begins_with_the_verdict(cli: Cli, home: Path) -> None:
    """One sentence, in JSON with its state."""
    cli("init")
    alone = "No other device shares the memories of this one; `memcrdt pair` adds one."
    assert cli("status").out.startswith(f"verdict\t{alone}\nhome\t")
    (status,) = cli("status", "--json").json
    assert status["verdict"] == {"state": "alone", "text": alone}
    assert status["home"] == str(home)


def test_status_leaves_out_what_is_as_usual(cli: Cli, home: Path) -> None:
    """The budget, the model and the digests, unless they matter or --verbose asks for them."""
    cli("add", "Deploys go out on Tuesdays")
    brief, long = cli("status").out, cli("status", "--verbose").out
    for word in ("budget", "search\t", cli("status", "--json").json[0]["spaces"][0]["digest"]):
        assert (word in brief, word in long) == (False, True)
    assert "personal\t1\t0\t0\t\n" in brief


def test_a_budget_that_is_nearly_used_up_is_shown(cli: Cli, home: Path) -> None:
    """From nine tenths on. Sizes are rounded."""
    cli("add", "Deploys go out on Tuesdays")
    config.change(home, "budget_mb", 1)
    (status,) = cli("status", "--json").json
    assert 0 < status["budget"]["used"] < status["budget"]["limit"] == 2**20
    assert "of the budget" not in cli("status").out
    assert "of the budget of 1.0 MB is in use" in cli("status", "--verbose").out
    near = Budget(used=95, limit=100)
    blank = Status(**{**dict.fromkeys(Status.__dataclass_fields__), "size": 258_048, "budget": near})
    assert _room(blank, False) == "258 kB; 95% of the budget of 100 bytes is in use"


@pytest.mark.parametrize(
    ("count", "shown"),
    [(999, "999 bytes"), (1_000, "1.0 kB"), (99_960, "100 kB"), (999_900, "1.0 MB"), (4 << 30, "4.3 GB")],
)
def test_sizes_are_readable(count: int, shown: str) -> None:
    """In units of 1,000, with one digit behind the point if there is room."""
    assert size(count) == shown


def test_an_empty_home_shows_the_model_that_it_will_use(cli: Cli, home: Path) -> None:
    """Before the first memory. Only without a model, search is by words only."""
    cli("init")
    assert "search" not in cli("status").out
    assert "search\tstatic-minilm-256\n" in cli("status", "--verbose").out
    config.change(home, "embedder", "none")
    assert "search\twords only, without a model\n" in cli("status").out


@pytest.mark.parametrize(
    ("serving", "state", "words"),
    [
        (Serving(1, None), "pending", "process 1, not listening, because no device is accepted"),
        (Serving(1, None, "port 27380 is in use"), "accepted", "process 1, not listening: port 27380 is in use"),
        (Serving(1, None), "accepted", "process 1, not listening"),
        (Serving(1, 27380), "accepted", "process 1, listening on port 27380"),
    ],
)
def test_where_a_process_listens_is_told_with_the_true_reason(serving: Serving, state: str, words: str) -> None:
    """It never says that no device is accepted above an accepted one."""
    device = Device(**{**dict.fromkeys(Device.__dataclass_fields__), "state": state})
    status = Status(**{**dict.fromkeys(Status.__dataclass_fields__), "serving": serving, "peers": (device,)})
    assert _where(status) == words


def test_what_search_still_has_to_do_is_told_in_words() -> None:
    """The change of model, the backlog, and the error that stops it."""
    assert _search(SearchStatus(None, None, None, 0, None), served=False) == "words only, without a model"
    changing = SearchStatus(model="a", second_model="s", next_model="b", waiting=1_200, error="no such file")
    assert (
        _search(changing, served=False)
        == "a with s; changing to b; memories waiting to be embedded: 1,200; no such file"
    )


@pytest.mark.parametrize(
    ("served", "words"), [(True, ""), (False, "; `memcrdt serve` or `memcrdt model status --wait` embeds them")]
)
def test_what_works_the_backlog_off_is_named_if_nothing_does(served: bool, words: str) -> None:
    """Commands end too soon to embed, so whoever uses nothing else would see the backlog for ever."""
    waiting = SearchStatus(model="a", second_model="s", next_model=None, waiting=2, error=None)
    assert _search(waiting, served=served) == f"a with s; memories waiting to be embedded: 2{words}"


def test_a_model_for_other_languages_is_suggested(cli: Cli, home: Path) -> None:
    """With the command to copy, if many memories are not in English."""
    with memcrdt.open(home) as memory:
        memory.add_many(f"The ferry number {n} is not in the harbour" for n in range(20))
    assert "memcrdt model use --pull" not in cli("status").out
    with memcrdt.open(home) as memory:
        memory.add_many(f"Prom numer {n} nie stoi w porcie, a bilety są w szufladzie" for n in range(20))
    told = f"about 50 % of the memories are not in English, but the model is; `memcrdt model use --pull {MULTILINGUAL}`"
    assert told in cli("status").out
    assert told in cli("status", "--verbose").out
    assert told in cli("model", "status").out


def test_clocks_that_differ_are_told_in_words() -> None:
    """The device, the difference, and what to do."""
    nothing = dict.fromkeys(Device.__dataclass_fields__)
    line = Device(**{**nothing, "device": "B" * 51 + "A", "name": "desktop", "skew_ms": -180_000})
    assert _skewed(line) == "the clock of desktop (BBBBBBB) is 180 s behind ours; correct the clock that is wrong"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_status_is_shown_again_until_interrupted(cli: Cli, home: Path) -> None:
    """Each time as a whole JSON object on its own line."""
    cli("init")
    with subprocess.Popen(
        [sys.executable, "-m", "memcrdt", "status", "--watch", "--json"], stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        first, second = process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert first == second


def test_memcrdt_alone_shows_the_verdict_and_three_commands(cli: Cli, home: Path) -> None:
    """It creates no home. With --json it is one object."""
    ran = cli()
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "verdict\tThere are no memories yet; the first one creates the home."
    assert not home.exists()
    cli("add", "Deploys go out on Tuesdays")
    (start,) = cli("--json").json
    assert (start["memories"], len(start["next"])) == (1, 3)
    lines = cli().out.splitlines()
    assert lines[1] == "holds\t1 memory, no other device"
    assert [line.split("\t")[:2] for line in lines[2:]] == [
        ["next", 'memcrdt search "WORDS"'], ["next", "memcrdt list"], ["next", "memcrdt pair"],
    ]  # fmt: skip


def test_memcrdt_alone_on_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands are in a column of their own, and the way to all commands is below."""
    cli("add", "Deploys go out on Tuesdays")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    lines = click.unstyle(cli().out).splitlines()
    assert lines[0].startswith("No other device shares")
    assert lines[3] == '  memcrdt search "WORDS"  find memories by words and by meaning'
    assert lines[-1] == "`memcrdt help` shows all commands."
