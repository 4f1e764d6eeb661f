"""`memcrdt serve`, in its own processes on the loopback interface."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from memcrdt import Memory, Node, config
from memcrdt.cli import serve as serve_module

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Server

    Serve: TypeAlias = Callable[[Path], Server]
    Eventually: TypeAlias = Callable[[Callable[[], object]], None]


@pytest.fixture
def homes(cli: Cli, tmp_path: Path) -> list[Path]:
    """Return two homes with their keys."""
    folders = [tmp_path / "laptop", tmp_path / "desktop"]
    for folder in folders:
        cli("init", "--home", str(folder))
    return folders


def device_of(cli: Cli, home: Path) -> str:
    device: str = cli("init", "--home", str(home), "--json").json[0]["device"]
    return device


def peers(cli: Cli, home: Path) -> list[Any]:
    return cli("peers", "--home", str(home), "--json").json


def test_what_one_device_adds_another_finds(cli: Cli, homes: list[Path], serve: Serve, eventually: Eventually) -> None:
    """Two homes accepted each other. An add in a third process is found on the other side, and the status shows it."""
    laptop, desktop = homes
    cli("accept", device_of(cli, laptop), "--home", str(desktop))
    listening = serve(desktop).says()
    cli("accept", device_of(cli, desktop), "--home", str(laptop), "--at", listening["addresses"][0])
    serve(laptop).says()
    added = cli("add", "Deploys go out on Tuesdays", "--home", str(laptop))
    assert added.err == ""  # it is sent, so no warning is printed
    eventually(lambda: cli("search", "when do we deploy?", "--home", str(desktop)).out)
    eventually(lambda: peers(cli, laptop)[0]["behind"] == 0)
    here, there = (cli("status", "--home", str(home), "--json").json[0] for home in homes)
    assert here["peers"][0]["connected"]
    assert here["spaces"][0]["digest"] == there["spaces"][0]["digest"]
    assert there["serving"]["port"] == listening["port"]


def test_serve_says_what_becomes_of_each_device(
    cli: Cli, homes: list[Path], serve: Serve, eventually: Eventually
) -> None:
    """One line for each change, on stderr, with the name. Addresses are for --verbose."""
    laptop, desktop = homes
    for home in homes:
        config.change(home, "mdns", False)
    cli("accept", device_of(cli, laptop), "--home", str(desktop), "--name", "laptop")
    address = serve(desktop).says()["addresses"][0]
    cli("accept", device_of(cli, desktop), "--home", str(laptop), "--at", address, "--name", "desktop")
    for options, shown in (((), False), (("--verbose",), True)):
        before = peers(cli, laptop)[0]["agreed_at"]
        server = serve(laptop, *options)
        server.says()
        eventually(lambda before=before: peers(cli, laptop)[0]["agreed_at"] not in (None, before))
        server.process.terminate()
        said = server.ended().err
        lines = ["waiting for desktop", "connected to desktop", "desktop is up to date"]
        assert [line for line in said.splitlines() if line.removeprefix("memcrdt: ") in lines] == [
            f"memcrdt: {line}" for line in lines
        ]
        assert (address in said) == shown


def test_serve_listens_as_soon_as_somebody_is_accepted(cli: Cli, homes: list[Path], serve: Serve) -> None:
    """Before that it has no port and prints what to do. Then it prints its addresses."""
    laptop, desktop = homes
    server = serve(laptop)
    assert server.says()["port"] is None
    cli("accept", device_of(cli, desktop), "--home", str(laptop))
    now = server.says()
    assert now["addresses"] == [f"127.0.0.1:{now['port']}"]
    socket.create_connection(("127.0.0.1", now["port"]), timeout=10).close()
    server.process.terminate()
    assert "no device is accepted yet" in server.ended().err


def test_a_device_that_is_not_trusted_is_told_so_and_listed(
    cli: Cli, homes: list[Path], tmp_path: Path, serve: Serve, eventually: Eventually
) -> None:
    """It tries to connect: one side lists it as pending, the other keeps the reason, and no memory is sent."""
    laptop, desktop = homes
    cli("accept", device_of(cli, tmp_path / "third"), "--home", str(desktop))
    cli("add", "Deploys go out on Tuesdays", "--home", str(desktop))
    listening = serve(desktop).says()
    cli("accept", device_of(cli, desktop), "--home", str(laptop), "--at", listening["addresses"][0])
    serve(laptop).says()
    eventually(lambda: [peer for peer in peers(cli, desktop) if peer["state"] == "pending"])
    eventually(lambda: peers(cli, laptop)[0]["error"])
    assert cli("list", "--home", str(laptop)).out == ""


def test_a_log_that_cannot_be_written_is_a_wrong_option(cli: Cli, tmp_path: Path) -> None:
    """The message names the file, and says what to do."""
    ran = cli("serve", "--log", str(tmp_path / "missing" / "serve.log"))
    ran.failed(2, "'--log'", "serve.log cannot be written", "name another file")


def test_one_process_serves_a_home(cli: Cli, homes: list[Path], serve: Serve, process: Cli) -> None:
    """A second process is refused with exit code 4, and the message names the first one."""
    server = serve(homes[0])
    server.says()
    process("serve", "--home", str(homes[0]), "--port", "0").failed(4, str(server.process.pid))


@pytest.mark.parametrize("accepted", [True, False])
def test_a_port_in_use_is_exit_code_4(cli: Cli, homes: list[Path], process: Cli, accepted: bool) -> None:
    """The message names the port, whether or not a device is accepted yet."""
    laptop, desktop = homes
    if accepted:
        cli("accept", device_of(cli, desktop), "--home", str(laptop))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process("serve", "--home", str(laptop), "--host", "127.0.0.1", "--port", port).failed(4, port)


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("host", ["192.0.2.1", "300.1.1.1", "example.invalid", "2001:db8::1"])
def test_a_host_that_is_none_of_this_machine_is_exit_code_2(
    cli: Cli, homes: list[Path], process: Cli, host: str, accepted: bool
) -> None:
    """The message names it, even if no device is accepted yet."""
    laptop, desktop = homes
    if accepted:
        cli("accept", device_of(cli, desktop), "--home", str(laptop))
    process("serve", "--home", str(laptop), "--host", host, "--port", "0").failed(2, host, "--host")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 0), ("SIGHUP", 0)])
def test_serve_leaves_in_order(homes: list[Path], serve: Serve, cli: Cli, number: str, code: int) -> None:
    """Ctrl-C is exit code 130, a termination or a closed terminal is 0.

    No traceback is printed, and the home is no longer served.
    """
    if signal.getsignal(getattr(signal, number)) is signal.SIG_IGN:
        pytest.skip(f"{number} is ignored here, as under nohup, and so by what is started here")
    server = serve(homes[0])
    server.says()
    server.process.send_signal(getattr(signal, number))
    ended = server.ended()
    assert ended.code == code
    assert [line for line in ended.err.splitlines() if line and not line.startswith("memcrdt: ")] == []
    assert cli("status", "--home", str(homes[0]), "--json").json[0]["serving"] is None


async def test_the_collector_leaves_out_what_is_loaded(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at all objects of the server would stop its event loop for 60 ms."""
    ended, said = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(serve_module, "ending", lambda: ended)
    monkeypatch.setattr(serve_module, "KNOWN_POLL_S", 0.01)
    printer: Any = SimpleNamespace(record=lambda _: said.set())
    node = Node(memory, host="127.0.0.1", port=0, mdns=False, tailscale=False)
    before = gc.get_freeze_count()
    try:
        serving = asyncio.create_task(serve_module._serve(node, None, None, printer))
        await said.wait()
        ended.set()
        await serving
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
