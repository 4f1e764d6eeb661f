"""Tests of where a node listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.cli.mcp import mcp_command
from memcrdt.config import Config
from memcrdt.errors import InputError
from memcrdt.model import ports
from memcrdt.model.ports import AUTO_PORTS, DEFAULT_MCP_PORT, DEFAULT_PORT
from memcrdt.net.addresses import Address
from memcrdt.net.connection_gate import ConnectionGate, free_address
from memcrdt.node.options import NetOptions
from memcrdt.store.membership.peers import Peers


@pytest.fixture(name="taken")
def _taken() -> Iterator[int]:
    """Another program's port."""
    with socket.create_server(("", 0), family=socket.AF_INET) as server:
        yield server.getsockname()[1]


def _ports(options: NetOptions, config: Config) -> list[int]:
    return [address.port for address in options.addresses(config)]


def test_the_option_precedes_the_setting() -> None:
    """By default both are "auto": the usual port, then others, and any free port at last."""
    assert _ports(NetOptions(), Config()) == [*AUTO_PORTS, 0]
    assert AUTO_PORTS[0] == DEFAULT_PORT
    assert _ports(NetOptions(), Config(port=4_000)) == [4_000]
    assert _ports(NetOptions(port=5_000), Config(port=4_000)) == [5_000]
    assert _ports(NetOptions(port=None), Config(port=4_000)) == []


def test_no_two_services_have_one_default_port() -> None:
    """A second home may listen at any port of `auto`, so these belong to no other service."""
    others = [getattr(ports, name) for name in dir(ports) if name.startswith("DEFAULT_") and name != "DEFAULT_PORT"]
    every = [*AUTO_PORTS, *others]
    assert len(others) == 6
    assert len(set(every)) == len(every)
    assert DEFAULT_MCP_PORT in others
    [http] = [option for option in mcp_command.params if option.name == "http"]
    assert f":{DEFAULT_MCP_PORT}." in str(http.to_info_dict()["help"])


@pytest.mark.parametrize("port", [-1, 65_536, True, "27380", 1.5])
def test_what_is_no_port_is_refused(port: object) -> None:
    """In every place where a port can be given."""
    with pytest.raises(InputError, match="port"):
        NetOptions.of({"port": port})
    with pytest.raises(InputError, match="port"):
        memcrdt.open("nowhere", port=port)  # type: ignore[arg-type]


def test_the_first_free_port_is_taken(taken: int) -> None:
    """The port 0 stands for any free one."""
    addresses = NetOptions().addresses(Config())
    assert free_address([addresses[0].__class__("", taken), addresses[-1]]) == addresses[-1]


@pytest.mark.parametrize("chosen", [True, False])
def test_a_memory_opens_whatever_port_is_taken(
    tmp_path: Path, taken: int, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chosen port is waited for, and the status says so. Otherwise the home takes another port."""
    monkeypatch.setattr("memcrdt.node.options.AUTO_PORTS", (taken,))
    (tmp_path / "config.toml").write_text("mdns = false\ntailscale = false\n")
    with memcrdt.open(tmp_path, embedder=None) as memory:
        Peers(memory.store).accept("B" * 52)
    with memcrdt.open(tmp_path, embedder=None, sync=True, port=taken if chosen else None) as memory:
        added = memory.add("works")
        serving = memory.sync.serving()
        assert memory.get(added).text == "works"
        assert serving is not None
        if chosen:
            assert serving.port is None
            assert f"port {taken} is in use" in str(serving.error)
        else:
            assert serving.port not in (None, taken)
            assert serving.error is None


def test_a_port_that_another_home_takes_in_the_last_moment_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two homes that start at once look at the same ports. Each of them listens."""
    with socket.create_server(("", 0)) as free:
        wanted = free.getsockname()[1]
    monkeypatch.setattr("memcrdt.node.options.AUTO_PORTS", (wanted,))
    listen = ConnectionGate.open
    others: list[socket.socket] = []

    def late(gate: ConnectionGate, address: Address) -> int:
        if not others:
            others.append(socket.create_server(("", address.port)))
        return listen(gate, address)

    monkeypatch.setattr(ConnectionGate, "open", late)
    (tmp_path / "config.toml").write_text("mdns = false\ntailscale = false\n")
    with memcrdt.open(tmp_path, embedder=None) as memory:
        Peers(memory.store).accept("B" * 52)
    try:
        with memcrdt.open(tmp_path, embedder=None, sync=True) as memory:
            serving = memory.sync.serving()
            assert serving is not None
            assert others[0].getsockname()[1] == wanted
            assert serving.port not in (None, wanted)
            assert serving.error is None
    finally:
        for other in others:
            other.close()
