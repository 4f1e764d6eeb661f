"""`memcrdt hub` in processes of its own, with laptops that have real homes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memcrdt.cli.app import run
from memcrdt.hub.hub import KEY_FILE, Hub, HubAddress
from memcrdt.memory.memory import Memory
from memcrdt.net.identity import Identity
from memcrdt.node.node import Node
from memcrdt.store.membership.peers import Peers
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("postgres")

WAIT_S = 30.0
LOOPBACK: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
Start = Callable[..., "Running"]

# The process stops for ever between the rows of the log and the COMMIT of its transaction.
_STUCK = """
import sys, time
from memcrdt.cli import main
from memcrdt.store import views
write = views.write
def stuck(*given):
    if "stick" in repr([row for row in given[0].execute("SELECT bytes FROM updates ORDER BY seq DESC LIMIT 1")]):
        print("stuck", flush=True)
        time.sleep(3_600)
    return write(*given)
views.write = stuck
sys.argv[0] = "memcrdt"
main()
"""


class Running:
    """A `memcrdt hub` process on a free port of the loopback interface."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """Return the next line of stdout."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(name="start")
def _start(tmp_path: Path, dsn: str) -> Iterator[Start]:
    """Start processes of the hub in the folder `hub`. The fixture ends those that still run after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, program: tuple[str, ...] = ("-m", "memcrdt")) -> Running:
        command = [sys.executable, *program, "hub", "--json", "--home", str(tmp_path / "hub"), *options]
        environment = {**os.environ, "MEMCRDT_POSTGRES": dsn}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, encoding="utf-8", env=environment))
        return Running(started[-1])

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Balancer:
    """The one address of a hub: passes connections on to the first of its processes that answers."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.address = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            try:
                yield
            finally:  # the loop would end with connections open
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await asyncio.sleep(0)  # in which the transports close

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for port in self.ports:
                with suppress(OSError):
                    there, back = await asyncio.open_connection("127.0.0.1", port)
                    await asyncio.gather(_copy(reader, back), _copy(there, writer))
                    return
        finally:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
    finally:
        writer.transport.abort()


async def _eventually(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(is_true):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


def _texts(memory: Memory) -> set[str]:
    return {each.text for each in memory.list(limit=1_000)}


def _in_database(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as raw:
        return {text for (text,) in raw.execute("SELECT text FROM memories")}


def _accept(folder: Path, dsn: str, laptops: dict[str, Memory]) -> str:
    """Let a new hub and the laptops accept each other. Return the id of the hub."""
    with Hub.open(HubAddress(folder, dsn)) as hub:
        for name, laptop in laptops.items():
            Peers(hub.store).accept(laptop.device, name=name)
            laptop.accept(hub.device, name="hub")
        return hub.device


async def test_nothing_acknowledged_is_lost_when_a_process_is_killed(
    start: Start, dsn: str, tmp_path: Path, make_laptop: Callable[[str], Memory]
) -> None:
    """Between the log and the commit. Another process goes on behind the same address, and a new one serves at once."""
    laptops = {name: make_laptop(name) for name in ("A", "B")}
    device = _accept(tmp_path / "hub", dsn, laptops)
    here, there = laptops.values()
    options = ("--host", "127.0.0.1", "--port", "0")
    doomed, other = start(*options, program=("-c", _STUCK)), start(*options)
    balancer = Balancer()
    balancer.ports = [json.loads(process.line())["port"] for process in (doomed, other)]
    async with balancer.running(), Node(here, **LOOPBACK) as node:
        await node.connect(balancer.address, device)
        for number in range(3):
            here.add(f"text {number}")
            await _eventually(lambda: not here.devices()[0].behind)
        here.add("stick")
        assert await asyncio.to_thread(doomed.line) == "stuck\n"
        assert here.devices()[0].behind == 1
        doomed.kill()
        assert _in_database(dsn) == {"text 0", "text 1", "text 2"}
        here.add("while nobody listens")
        await _eventually(lambda: _in_database(dsn) == _texts(here) and len(_texts(here)) == 5)
        other.kill()
        balancer.ports.append(json.loads(await asyncio.to_thread(start(*options).line))["port"])
        async with Node(there, **LOOPBACK) as second:
            await second.connect(balancer.address, device)
            there.add("from the other laptop")
            await _eventually(lambda: _texts(here) == _texts(there) and len(_texts(here)) == 6)


async def test_a_hub_that_loses_its_database_goes_on_when_it_is_back(
    start: Start, server: Server, dsn: str, tmp_path: Path, make_laptop: Callable[[str], Memory]
) -> None:
    """All connections to the database are cut, also in the middle of an exchange."""
    laptop = make_laptop("A")
    device = _accept(tmp_path / "hub", dsn, {"A": laptop})
    port = json.loads(start("--host", "127.0.0.1", "--port", "0").line())["port"]
    async with Node(laptop, **LOOPBACK) as node:
        await node.connect(f"127.0.0.1:{port}", device)
        for number in range(5):
            laptop.add(f"text {number}")
            await asyncio.to_thread(
                server.run, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hub'"
            )
        await _eventually(lambda: _in_database(dsn) == _texts(laptop))


def _checked(dsn: str, folder: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what `hub check` says."""
    assert run(["hub", "check", "--postgres", dsn, "--home", folder, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_hub_is_paired_by_codes_and_checked(
    start: Start, dsn: str, tmp_path: Path, make_laptop: Callable[[str], Memory], capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing to a hub that a laptop has synced with, and that says so."""
    laptop, folder = make_laptop("A"), str(tmp_path / "hub")
    running = start(
        "--host", "127.0.0.1", "--port", "0", "--name", "our hub", "--metrics", "127.0.0.1:0", "--http", ":0"
    )
    report = json.loads(running.line())
    assert (report["name"], report["port"]) == ("our hub", None)
    pairing = start("pair", "--host", "127.0.0.1", "--space", "acme", "--space", "personal")
    code = json.loads(pairing.line())["code"]
    assert pairing.process.stderr is not None
    address = re.search(r"--at (\S+)", pairing.process.stderr.readline())
    assert address is not None
    assert laptop.sync.join(code, address=address[1], host="127.0.0.1").spaces == ("acme", "personal")
    assert json.loads(pairing.line())["name"] == "A"
    report = json.loads(running.line())
    laptop.add("Deploys go out on Tuesdays", space="acme")
    laptop.accept(report["device"], address=f"127.0.0.1:{report['port']}")
    assert laptop.sync.wait(timeout=WAIT_S).synced

    found = _checked(dsn, folder, capsys)
    ends = time.monotonic() + WAIT_S
    while found["devices"][0]["behind"] and time.monotonic() < ends:  # the confirmation follows
        time.sleep(0.1)
        found = _checked(dsn, folder, capsys)
    assert (found["device"], found["name"], found["key"]) == (report["device"], "our hub", "here")
    (device,) = found["devices"]
    assert (device["name"], device["behind"], device["agreed_at"] is None) == ("A", 0, False)
    assert run(["hub", "--postgres", dsn, "--home", str(tmp_path / "elsewhere"), "check"]) == 1
    assert "has no hub.key" in capsys.readouterr().err
    assert (
        run(["hub", "--postgres", dsn, "--home", folder, "--json", "token", "create", "agent", "--space", "acme"]) == 0
    )
    token = json.loads(capsys.readouterr().out)["token"]
    asked = {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(f"{report['http']}/v1/memories", headers=asked)) as answer:
        assert [each["text"] for each in json.load(answer)["items"]] == ["Deploys go out on Tuesdays"]
    with urllib.request.urlopen(f"{report['metrics']}/metrics") as answer:
        assert 'memcrdt_memories{space="acme"} 1.0' in answer.read().decode()
    with urllib.request.urlopen(f"{report['metrics']}/ready") as answer:
        assert json.load(answer)["ready"]

    assert run(["hub", "revoke", "A", "--postgres", dsn, "--home", folder]) == 0
    assert run(["hub", "check", "--postgres", dsn, "--home", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["devices"] == []
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(WAIT_S) == 0


def test_a_check_says_what_is_wrong(
    server: Server, dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, with the next step, and with an exit code."""
    folder = tmp_path / "hub"

    def checked(address: str = dsn) -> tuple[int, str]:
        code = run(["hub", "check", "--home", str(folder), "--postgres", address])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    code, said = checked()
    assert (code, "none yet" in said, "makes and starts it" in said) == (0, True, True)
    Hub.open(HubAddress(folder, dsn)).store.close()
    assert checked()[0] == 0
    with psycopg.connect(dsn, autocommit=True) as raw:
        raw.execute("DELETE FROM schema_version WHERE version > 1")
    assert "start `memcrdt hub`, which migrates them" in checked()[1]
    with psycopg.connect(dsn, autocommit=True) as raw:
        raw.execute("INSERT INTO schema_version VALUES(9999)")
    code, said = checked()
    assert (code, "upgrade memcrdt" in said) == (1, True)
    (folder / KEY_FILE.name).unlink()
    Identity.load_or_create(folder, KEY_FILE)
    assert "copy the file from a machine that runs this hub" in checked()[1]
    assert "does not answer" in checked(f"host={tmp_path} dbname=hub")[1]


def test_a_damaged_key_gets_the_advice_of_a_hub(dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its other machines have the same key. A laptop would become a new device instead."""
    folder = tmp_path / "hub"
    Hub.open(HubAddress(folder, dsn)).store.close()
    (folder / KEY_FILE.name).write_text("{}")
    options = ["--postgres", dsn, "--home", str(folder)]
    for command in (["check"], ["--port", "0"]):
        assert run(["hub", *command, *options]) == 1
        said = capsys.readouterr().err
        assert "copy it from a machine that runs the hub" in said
        assert "become a new device" not in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "which database?"),
        (["check", "--postgres", "nonsense"], "not well formed; write postgresql://USER@HOST/NAME"),
        (["pair", "7-crossover-granite", "--postgres", "x"], "--at"),
        (["pair", "--at", "host", "--postgres", "x"], "CODE"),
        (["pair", "7-crossover-granite", "--at", "host", "--read-only", "--postgres", "x"], "on the device that shows"),
    ],
)
def test_wrong_options_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    """Before any database is asked."""
    monkeypatch.delenv("MEMCRDT_POSTGRES", raising=False)
    assert run(["hub", *wrong]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["hub:s3cret@db/memories", "postgresql://hub:s3cret%zz@db/memories"])
def test_a_mistyped_address_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    """It may have a password, and the message goes to a log."""
    assert run(["hub", "--postgres", wrong, "--home", str(tmp_path), "--port", "0"]) == 2
    assert not any(tmp_path.iterdir())
    assert "s3cret" not in "".join(capsys.readouterr())


def test_a_mistyped_address_for_notifications_is_refused(
    dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing would ever be heard from there, and no other message says so."""
    options = ["--postgres", dsn, "--home", str(tmp_path / "hub"), "--host", "127.0.0.1", "--port", "0"]
    assert run(["hub", *options, "--listen-dsn", "nonsense"]) == 2
    assert "not well formed" in capsys.readouterr().err


def test_without_the_extra_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """psycopg is missing."""
    for name in [name for name in sys.modules if name.startswith(("memcrdt.hub", "psycopg"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert run(["hub", "check", "--postgres", "x"]) == 2
    assert "install memcrdt[hub]" in capsys.readouterr().err
