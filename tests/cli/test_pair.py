"""`memcrdt pair`, in processes of its own on the loopback interface."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_a_code_that_is_typed_on_the_other_device_pairs_both(cli: Cli, tmp_path: Path) -> None:
    """The code stands alone on stdout, and what to type on stderr; blanks will do for its dashes. Afterwards both list
    each other."""
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
    """Of those that it had, nothing goes to the other device."""
    laptop, desktop = tmp_path / "laptop", tmp_path / "desktop"
    cli("add", "from before", "--home", str(desktop))
    command = [sys.executable, "-m", "memcrdt", "pair", "--read-only", "--host", "127.0.0.1", "--home", str(laptop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        code, said = process.stdout.readline().strip(), process.stderr.readline()
        (address,) = re.findall(r"--at (\S+)\)", said)
        ran = cli("pair", code, "--at", address, "--home", str(desktop), "--json")
        assert process.wait(20) == 0
    assert "what this device made in 'personal' is in the space 'personal-2' now" in ran.err
    assert ran.json[0]["aside"] == {"personal": "personal-2"}
    assert [each["space"] for each in cli("list", "--json", "--home", str(desktop)).json] == ["personal-2"]
    cli("add", "and after", "--home", str(desktop)).failed(1, "memcrdt space list")


def test_what_is_no_code_is_exit_code_2(cli: Cli) -> None:
    """A slip is found before anything is dialed; options that do not go together, too."""
    cli("pair", "7-crosover-granite").failed(2, "crossover")
    cli("pair", "7-crossover-granite", "--read-only").failed(2, "--read-only")
    cli("pair", "--at", "192.168.1.20").failed(2, "--at")


def test_an_address_where_nobody_waits_is_exit_code_5(cli: Cli) -> None:
    """And named; what has to run there is `memcrdt pair`."""
    cli("pair", "7-crossover-granite", "--at", "127.0.0.1:1").failed(5, "127.0.0.1:1", "memcrdt pair waiting there")


def test_who_looks_for_a_device_is_told_how_long(tmp_path: Path) -> None:
    """And what to do instead: it may take a minute."""
    command = [sys.executable, "-m", "memcrdt", "pair", "7-crossover-granite", "--home", str(tmp_path / "home")]
    with subprocess.Popen(
        [*command, "--no-mdns", "--no-tailscale"], stderr=subprocess.PIPE, encoding="utf-8"
    ) as looking:
        said = looking.stderr.readline()
        looking.kill()
    assert re.fullmatch(r"memcrdt: looking for the device that shows this code, for 60 s at most; --at .*\n", said)
