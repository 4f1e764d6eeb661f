"""`memcrdt accept`, `revoke` and `pair`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import memcrdt
from memcrdt.model.device_ids import shown

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


@pytest.fixture
def other(cli: Cli, tmp_path: Path) -> str:
    """Return the id of another device, in groups."""
    return shown(cli("init", "--json", "--home", str(tmp_path / "other")).json[0]["device"])


def peers(cli: Cli) -> list[Any]:
    return cli("peers", "--json").json


def test_accept_trusts_and_says_what_to_do_there(cli: Cli, other: str) -> None:
    """The device is listed as accepted, with name and address, and the command for the other side is printed."""
    ran = cli("accept", other, "--name", "desktop", "--at", "192.168.1.20")
    own = cli("init", "--json").json[0]["device"]
    assert (ran.code, ran.out) == (0, "")
    assert f"memcrdt accept {shown(own)}" in ran.err
    (peer,) = peers(cli)
    assert (peer["name"], peer["state"], peer["addresses"]) == ("desktop", "accepted", ["192.168.1.20:27380"])
    assert (peer["connected"], peer["behind"]) == (False, 0)


def test_accepting_again_for_an_address_shares_nothing_more(cli: Cli, other: str) -> None:
    """A device that shares one space gets no further space. The command for the other side names the space."""
    cli("space", "create", "acme")
    first = cli("accept", other, "--space", "acme")
    again = cli("accept", other, "--at", "192.168.1.20")
    assert [peer["spaces"] for peer in peers(cli)] == [["acme"]]
    assert first.err.endswith(" --space acme\n")
    assert again.err == first.err


def test_accept_takes_the_id_in_any_form(cli: Cli, other: str) -> None:
    """In lower case, with blanks, or without check characters, it is the same device."""
    cli("accept", other)
    cli("accept", other.lower().replace("-", " "))
    cli("accept", peers(cli)[0]["device"])
    assert len(peers(cli)) == 1


def test_peers_is_a_table(cli: Cli, other: str) -> None:
    """Without a terminal: device, name, state, connection, behind, unscrubbed, agreed, seen and error, separated by
    tabs.
    """
    cli("accept", other, "--name", "desktop")
    assert cli("peers").out == f"{other}\tdesktop\taccepted\t\t0\t0\t\t\t\tpersonal\n"


def test_what_an_accepted_device_lacks_is_counted(cli: Cli, other: str) -> None:
    """Without a confirmation, it is behind by all memories here."""
    cli("add", "Deploys go out on Tuesdays")
    cli("accept", other)
    assert peers(cli)[0]["behind"] == 1


def test_what_an_accepted_device_may_still_have_bytes_of_is_counted(cli: Cli, other: str) -> None:
    """Until it confirms the scrubbing. forget names it, by id in the JSON and by name otherwise."""
    added = cli("add", "Deploys go out on Tuesdays").out.strip()
    cli("accept", other, "--name", "desktop")
    (forgotten,) = cli("forget", added, "--json").json
    (peer,) = peers(cli)
    assert (forgotten["confirmed"], forgotten["awaited"]) == ([], [peer["device"]])
    assert (peer["behind"], peer["unscrubbed"]) == (1, 1)
    assert cli("forget", added).out == f"count\t0\nstatus\tdone\nawaited\tdesktop ({other[:7]})\n"


def test_revoke_ends_the_trust_and_is_remembered(cli: Cli, other: str) -> None:
    """A revoked device stays in the list until it is accepted again."""
    cli("accept", other)
    ran = cli("revoke", other)
    assert (ran.code, ran.out) == (0, "")
    assert peers(cli)[0]["state"] == "revoked"
    cli("accept", other)
    assert peers(cli)[0]["state"] == "accepted"


def test_who_may_only_read_is_told_that_others_do_not_hear_of_a_revocation(cli: Cli, other: str, home: Path) -> None:
    """The trust ends here. Only devices that may write can sign the revocation for the members."""
    cli("space", "create", "acme")
    cli("accept", other, "--space", "acme", "--space", "personal")
    with memcrdt.open(home, embedder=None) as memory, memory.store.writing() as db:
        db.execute("UPDATE spaces SET read_only = 1 WHERE name = 'acme'")  # as after pairing with --read-only
    assert cli("revoke", other).err == (
        f"memcrdt: revoked {other[:7]} from personal; the device keeps the data that it has\n"
        "memcrdt: this device cannot revoke it from acme, which it may only read; do that on a device that may write\n"
    )


@pytest.mark.parametrize("named", ["laptop-c", "lapt", "ID"])
def test_a_device_is_named_by_name_or_beginning(cli: Cli, other: str, named: str) -> None:
    """By its name, or the first characters of its name or id. The message says who was revoked, and from what."""
    cli("space", "create", "acme")
    cli("accept", other, "--name", "laptop-c", "--space", "acme", "--space", "personal")
    ran = cli("space", "revoke", "acme", other[:9].lower() if named == "ID" else named)
    assert ran.err == f"memcrdt: revoked laptop-c ({other[:7]}) from acme; the device keeps the data that it has\n"
    ran = cli("revoke", other[:9].lower() if named == "ID" else named)
    assert ran.err == f"memcrdt: revoked laptop-c ({other[:7]}) from personal; the device keeps the data that it has\n"
    assert peers(cli)[0]["state"] == "revoked"


def test_an_ambiguous_name_lists_the_devices(cli: Cli, other: str) -> None:
    """No device is revoked. An exact name goes before beginnings, and three characters are no beginning."""
    second = shown("B" * 51 + "A")
    cli("accept", other, "--name", "laptop-b")
    cli("accept", second, "--name", "laptop-c")
    cli("revoke", "laptop").failed(2, "laptop-b", "laptop-c", other, second)
    cli("revoke", "lap").failed(3, "4 characters", "laptop-b")
    cli("revoke", "nobody").failed(3, "nobody", "laptop-c")
    for nothing in ("", "    ", "----", f"{other[:1]}---"):  # blanks and dashes do not make a beginning longer
        cli("revoke", "--", nothing).failed(3, "4 characters")
    assert {peer["state"] for peer in peers(cli)} == {"accepted"}
    cli("accept", second, "--name", "laptop")
    assert cli("revoke", "laptop").code == 0
    assert {peer["name"]: peer["state"] for peer in peers(cli)} == {"laptop-b": "accepted", "laptop": "revoked"}


@pytest.mark.parametrize("answer", ["y", "n"])
def test_revoke_asks_on_a_terminal(cli: Cli, other: str, answer: str) -> None:
    """It names the device and its spaces. Without a yes, nothing changes and the exit code is 1."""
    cli("accept", other, "--name", "desktop")
    ran = cli("revoke", "desktop", typed=f"{answer}\n")
    assert f"revoke desktop ({other[:7]}) from personal?" in ran.err
    assert ran.code == (0 if answer == "y" else 1)
    assert peers(cli)[0]["state"] == ("revoked" if answer == "y" else "accepted")


def test_only_known_devices_can_be_revoked(cli: Cli, other: str) -> None:
    """An unknown device is exit code 3."""
    cli("init")
    cli("revoke", other).failed(3)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["ABC"], "device id"), (["OTHER", "--at", "no address"], "HOST:PORT"), (["OTHER", "--space", "local"], "local")],
)
def test_accept_refuses_what_makes_no_sense(cli: Cli, other: str, arguments: list[str], word: str) -> None:
    """A mistyped id, a malformed address, the space `local`: exit code 2, and no device is accepted."""
    cli("accept", *(other if part == "OTHER" else part for part in arguments)).failed(2, word)
    assert peers(cli) == []


def test_a_typing_error_in_an_id_is_found(cli: Cli, other: str) -> None:
    """The check characters name the wrong groups."""
    wrong = ("B" if other[0] == "A" else "A") + other[1:]
    cli("accept", wrong).failed(2, "groups 1 and 2")


def test_one_does_not_accept_oneself(cli: Cli) -> None:
    """The id must be the id of the other device."""
    own = cli("init", "--json").json[0]["device"]
    cli("accept", own).failed(2, "own id")


def test_an_unknown_space_is_not_shared(cli: Cli, other: str) -> None:
    """Exit code 3, and no device is accepted."""
    cli("accept", other, "--space", "nowhere").failed(3, "nowhere")
    assert peers(cli) == []


def test_status_shows_spaces_peers_and_that_nothing_serves(cli: Cli, home: Path, other: str) -> None:
    """One object has the memories, the digest, the members, and the fact that no process serves."""
    cli("add", "Deploys go out on Tuesdays")
    cli("accept", other, "--name", "desktop")
    (status,) = cli("status", "--json").json
    assert status["home"] == str(home)
    assert status["serving"] is None
    personal, local = status["spaces"]
    assert (personal["name"], personal["memories"], len(personal["digest"])) == ("personal", 1, 32)
    assert (local["name"], local["memories"]) == ("local", 0)
    assert [peer["name"] for peer in status["peers"]] == ["desktop"]
    out = cli("status").out
    assert "serving\tno; nothing is sent or received" in out
    assert "desktop" in out


def test_a_code_that_is_typed_on_the_other_device_pairs_both(cli: Cli, tmp_path: Path) -> None:
    """Stdout has only the code, and stderr says what to type.

    Blanks are accepted for dashes. Afterwards both devices list each other.
    """
    laptop, desktop = tmp_path / "laptop", tmp_path / "desktop"
    command = [sys.executable, "-m", "memcrdt", "pair", "--host", "127.0.0.1", "--name", "desktop"]
    with subprocess.Popen(
        [*command, "--home", str(laptop)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        code, said = process.stdout.readline().strip(), process.stderr.readline()
        assert f"memcrdt pair {code}" in said
        (address,) = re.findall(r"--at (\S+)\)", said)
        ran = cli("pair", *code.split("-"), "--at", address, "--name", "laptop", "--home", str(desktop), "--json")
        assert process.wait(20) == 0
    assert (ran.code, ran.json[0]["name"], ran.json[0]["spaces"]) == (0, "laptop", ["personal"])
    assert "memcrdt serve" in ran.err
    peers = [cli("peers", "--json", "--home", str(home)).json for home in (laptop, desktop)]
    assert [(peer["name"], peer["state"]) for (peer,) in peers] == [("desktop", "accepted"), ("laptop", "accepted")]


def test_who_may_only_read_is_told_where_its_memories_are(cli: Cli, tmp_path: Path) -> None:
    """Its own memories are not sent to the other device."""
    laptop, desktop = tmp_path / "laptop", tmp_path / "desktop"
    cli("add", "from before", "--home", str(desktop))
    command = [sys.executable, "-m", "memcrdt", "pair", "--read-only", "--host", "127.0.0.1", "--home", str(laptop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        code, said = process.stdout.readline().strip(), process.stderr.readline()
        (address,) = re.findall(r"--at (\S+)\)", said)
        ran = cli("pair", code, "--at", address, "--home", str(desktop), "--json")
        assert process.wait(20) == 0
    assert "its own memories in 'personal' are now in the space 'personal-2'" in ran.err
    assert ran.json[0]["aside"] == {"personal": "personal-2"}
    assert [each["space"] for each in cli("list", "--json", "--home", str(desktop)).json] == ["personal-2"]
    cli("add", "and after", "--home", str(desktop)).failed(1, "memcrdt space list")


def test_what_is_no_code_is_exit_code_2(cli: Cli) -> None:
    """A typing error is found before any dialing, and so are options that exclude each other."""
    cli("pair", "7-crosover-granite").failed(2, "crossover")
    cli("pair", "7-crossover-granite", "--read-only").failed(2, "--read-only")
    cli("pair", "--at", "192.168.1.20").failed(2, "--at")


def test_an_address_where_nobody_waits_is_exit_code_5(cli: Cli) -> None:
    """The error names the address. `memcrdt pair` has to run there."""
    cli("pair", "7-crossover-granite", "--at", "127.0.0.1:1").failed(5, "127.0.0.1:1", "memcrdt pair waiting there")


def test_who_looks_for_a_device_is_told_how_long(tmp_path: Path) -> None:
    """It prints the alternative too, because the search may take a minute."""
    command = [sys.executable, "-m", "memcrdt", "pair", "7-crossover-granite", "--home", str(tmp_path / "home")]
    with subprocess.Popen(
        [*command, "--no-mdns", "--no-tailscale"], stderr=subprocess.PIPE, encoding="utf-8"
    ) as looking:
        said = looking.stderr.readline()
        looking.kill()
    assert re.fullmatch(r"memcrdt: searching for the device that shows this code, for up to 60 s; --at .*\n", said)
