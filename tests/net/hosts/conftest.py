"""Simulated machines: network namespaces, joined by veth pairs and a bridge, which the tests create and remove."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt import config
from memcrdt.model.ports import DEFAULT_PORT
from memcrdt.store.membership.peers import Peer, Peers
from memcrdt.store.overview import peer_states

_numbers = itertools.count(1)
WAIT_S = 60.0

# `memcrdt` that notices within moments that the other end of a connection is gone. The product takes 22 s for it.
_ALERT = """
import sys
from memcrdt.cli import main
from memcrdt.net import websocket
websocket.HEARTBEAT_S = 1.0
sys.argv[0] = "memcrdt"
main()
"""


class Host:
    """A machine with one home. Its processes run in its namespace; its files are read from outside."""

    def __init__(self, lab: Lab, name: str, home: Path) -> None:
        self.lab = lab
        self.name = name
        self.home = home
        self.namespace = f"{lab.prefix}{name}"
        self.started: list[subprocess.Popen[str]] = []
        config.change(home, "device_name", name)
        with memcrdt.open(home, embedder=None) as memory:
            self.id = memory.store.device

    def run(self, *arguments: str) -> str:
        """Run a `memcrdt` command, which has to succeed, and return its stdout."""
        done = subprocess.run(
            self._command(*arguments), capture_output=True, encoding="utf-8", timeout=WAIT_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments: str, program: tuple[str, ...] = ("-m", "memcrdt")) -> subprocess.Popen[str]:
        """Start a `memcrdt` command."""
        command = self._command(*arguments, program=program)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        self.started.append(process)
        return process

    def attack(self, kind: str, target: Host, victim: Host) -> Path:
        """Start an attack of attackers.py, and return the file with everything that the attacker receives."""
        script, taken = Path(__file__).with_name("attackers.py"), self.home / "taken"
        arguments = [str(script), kind, str(self.home), str(taken), self.address, target.address, victim.id]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, sys.executable, *arguments],
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self.started.append(process)
        assert process.stdout.readline() == "attacking\n"
        return taken

    def serve(self, *options: str, alert: bool = False) -> subprocess.Popen[str]:
        """Start `memcrdt serve`, and return when it listens. If `alert`, it soon notices that a connection is dead."""
        program = ("-c", _ALERT) if alert else ("-m", "memcrdt")
        process = self.start("serve", "--json", *options, program=program)
        while json.loads(process.stdout.readline())["port"] is None:
            pass
        return process

    def stop(self) -> None:
        """Stop the processes of this machine in order."""
        for process in self.started:
            process.terminate()
        for process in self.started:
            process.communicate(timeout=WAIT_S)
        self.started.clear()

    def accept(self, *others: Host, address: str | None = None) -> None:
        """Accept other machines, with no address or with a given one."""
        with memcrdt.open(self.home, embedder=None) as memory:
            for other in others:
                where = None if address is None else f"{address}:{DEFAULT_PORT}"
                Peers(memory.store).accept(other.id, name=other.name, address=where)

    def add(self, *texts: str) -> None:
        with memcrdt.open(self.home, embedder=None) as memory:
            memory.add_many(texts)

    @property
    def texts(self) -> set[str]:
        with memcrdt.open(self.home, embedder=None) as memory:
            return {record.text for record in memory.list(limit=1000)}

    @property
    def peers(self) -> dict[str, Peer]:
        """Return the other devices by name."""
        with memcrdt.open(self.home, embedder=None) as memory:
            return {state.peer.name or state.peer.device: state.peer for state in peer_states(memory.store)}

    @property
    def address(self) -> str:
        return f"10.77.0.{self.lab.hosts.index(self) + 1}"

    def readdress(self, last: int) -> None:
        """Change to another address, like a laptop that changes networks."""
        self._ip("addr", "flush", "dev", "eth0", "scope", "global")
        self._ip("addr", "add", f"10.77.0.{last}/24", "dev", "eth0")
        self._ip("route", "replace", "224.0.0.0/4", "dev", "eth0")

    def forget_ipv4(self) -> None:
        """Leave only a link-local IPv6 address."""
        self._ip("-4", "addr", "flush", "dev", "eth0")

    def plug(self, connected: bool) -> None:
        """Connect or disconnect the network cable."""
        state = ["master", "br0"] if connected else ["nomaster"]
        self.lab.in_switch("link", "set", self.name, *state)

    def isolate(self, *, on: bool = True) -> None:
        """Keep it from every other isolated machine, as two home networks are from each other, or end this."""
        self.lab.in_switch("link", "set", self.name, "type", "bridge_slave", "isolated", "on" if on else "off")

    def slow_down(self, rate: str) -> None:
        """Limit its sending rate, for example to "1mbit"."""
        limit = [
            "tc",
            "qdisc",
            "replace",
            "dev",
            "eth0",
            "root",
            "tbf",
            "rate",
            rate,
            "burst",
            "16kb",
            "latency",
            "400ms",
        ]
        run("ip", "netns", "exec", self.namespace, *limit)

    def lose(self, percent: int) -> None:
        """Drop this percentage of its incoming packets, at random."""
        chain = "{ type filter hook input priority 0; }"
        for rule in (
            "table inet lab",
            f"chain inet lab input {chain}",
            f"rule inet lab input numgen random mod 100 < {percent} drop",
        ):
            run("ip", "netns", "exec", self.namespace, "nft", "add", rule)

    def connect(self, number: int) -> None:
        """Connect the machine to the switch."""
        run("ip", "netns", "add", self.namespace)
        self.lab.in_switch("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        at_once = [f"net.ipv6.conf.{link}.accept_dad=0" for link in ("all", "eth0")]  # IPv6 addresses count at once
        run("ip", "netns", "exec", self.namespace, "sysctl", "-qw", *at_once, check=False)
        self.lab.in_switch("link", "set", self.name, "up")
        self._ip("link", "set", "lo", "up")
        self._ip("link", "set", "eth0", "up")
        self.readdress(number)
        self.plug(connected=True)

    def _ip(self, *arguments: str) -> None:
        run("ip", "-n", self.namespace, *arguments)

    def _command(self, *arguments: str, program: tuple[str, ...] = ("-m", "memcrdt")) -> list[str]:
        inside = ["ip", "netns", "exec", self.namespace, sys.executable, *program]
        return [*inside, "--home", str(self.home), *arguments]


class Lab:
    """A switch and the machines connected to it."""

    def __init__(self, folder: Path) -> None:
        self.prefix = f"mc{os.getpid()}x{next(_numbers)}"
        self.hosts: list[Host] = []
        self._folder = folder

    def build(self) -> None:
        """Create the switch. Raises CalledProcessError where namespaces are not permitted."""
        run("ip", "netns", "add", self.prefix)
        self.in_switch("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.in_switch("link", "set", "br0", "up")

    def add(self, *names: str) -> list[Host]:
        """Return new machines."""
        for name in names:
            host = Host(self, name, self._folder / name)
            self.hosts.append(host)
            host.connect(len(self.hosts))
        return self.hosts[-len(names) :]

    def remove(self) -> None:
        """Stop all processes, and remove everything."""
        for host in self.hosts:
            for process in host.started:
                process.kill()
                process.communicate()
            run("ip", "netns", "del", host.namespace, check=False)
        run("ip", "netns", "del", self.prefix, check=False)

    def in_switch(self, *arguments: str) -> None:
        run("ip", "-n", self.prefix, *arguments)


def run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=True, timeout=WAIT_S)


@pytest.fixture(name="lab")
def _lab(tmp_path: Path) -> Iterator[Lab]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("namespaces need Linux, root and iproute2")
    lab = Lab(tmp_path)
    try:
        lab.build()
        yield lab
    except subprocess.CalledProcessError as exc:
        if lab.hosts:
            raise AssertionError(exc.stderr) from exc
        pytest.skip(f"namespaces are not permitted here: {exc.stderr!r}")
    finally:
        lab.remove()


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], Any]], None]:
    """Wait until a condition is true, for up to 60 s."""

    def wait(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come to hold in time"
            time.sleep(0.05)

    return wait
