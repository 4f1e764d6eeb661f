"""Tests of where a node listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.config import Config
from memcrdt.errors import InputError
from memcrdt.model.ports import AUTO_PORTS, DEFAULT_PORT
from memcrdt.net.connection_gate import free_address
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
