"""A hub behind PgBouncer, which lends a connection to the database for one transaction at a time."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import psycopg
import pytest

from memcrdt.hub import change_signal as signals
from memcrdt.hub.change_signal import HubChangeSignal
from memcrdt.hub.checking import check, hub_device
from memcrdt.hub.store import PostgresStore
from memcrdt.store.membership.peers import Peers
from memcrdt.store.transaction import Transaction
from tests.bare_device import BareDevice, agree
from tests.hub.conftest import MakeHub
from tests.hub.hub_device import HubDevice
from tests.postgres import Server, user_of_servers

pytestmark = pytest.mark.xdist_group("postgres")

_WAIT_S: Final = 30.0
_PORT: Final = 6432  # it only names the socket
_LAPTOP: Final = "L" * 52
# Fewer connections than the processes of a test use, so that each of them gets those of the others.
_SETTINGS: Final = """
[databases]
* = host={folder} user=hub
[pgbouncer]
pool_mode = transaction
default_pool_size = 3
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
"""


@pytest.fixture(name="pooler", scope="module")
def _pooler(server: Server) -> Iterator[Path]:
    """Run a pooler, and return the folder of its socket."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    settings = server.folder / "pgbouncer.ini"
    settings.write_text(_SETTINGS.format(folder=server.folder, port=_PORT))
    with (server.folder / "pgbouncer.log").open("wb") as told:
        running = subprocess.Popen([program, settings], stdout=told, stderr=told, **user_of_servers())
    try:
        _wait(running, server)
        yield server.folder
    finally:
        running.terminate()
        running.wait(_WAIT_S)


def _wait(running: subprocess.Popen[bytes], server: Server) -> None:
    ends = time.monotonic() + _WAIT_S
    while True:
        try:
            psycopg.connect(server.dsn(port=str(_PORT))).close()
            return
        except psycopg.OperationalError as exc:
            if running.poll() is not None or time.monotonic() > ends:
                told = (server.folder / "pgbouncer.log").read_text()
                raise AssertionError(f"PgBouncer does not start: {told[-1_000:]}") from exc
            time.sleep(0.02)


@pytest.fixture(name="direct")
def _direct(server: Server, pooler: Path, request: pytest.FixtureRequest) -> str:
    """Return the address of a new database without the pooler. A pooler passes no search path on."""
    name = "".join(letter for letter in request.node.name if letter.isalnum())[:60]
    server.run(f"CREATE DATABASE {name} OWNER hub")
    return server.dsn(name)


@pytest.fixture(name="pooled")
def _pooled(direct: str) -> str:
    """Return the address of the same database over the pooler."""
    return psycopg.conninfo.make_conninfo(direct, port=str(_PORT))


def test_processes_behind_a_pooler_keep_their_transactions_apart(hub: MakeHub, pooled: str, tmp_path: Path) -> None:
    """All write at once to one document. What fails changes nothing, and a laptop gets the rest."""
    processes = [hub(dsn=pooled) for _ in range(3)]
    Peers(processes[0].store).accept(_LAPTOP)
    start = processes[0].replica.head()

    def fail(transaction: Transaction) -> None:
        transaction.db.execute("UPDATE sqlite_sequence SET seq = seq + 1000 WHERE name = 'updates'")
        raise ZeroDivisionError

    def write(number: int) -> None:
        device = processes[number]
        for text in range(8):
            memory = device.add(f"writer {number}, text {text}")
            with pytest.raises(ZeroDivisionError):
                device.store.commit(fail)
            device.update(memory, add_tags=["seen"])

    with ThreadPoolExecutor() as pool:
        for each in [pool.submit(write, number) for number in range(3)]:
            each.result()
    entries = processes[0].replica.log(start, 1_000).entries
    assert [entry.seq for entry in entries] == list(range(start + 1, start + 49))
    assert len({each.store.facts.client_id for each in processes}) == 3
    laptop = BareDevice(tmp_path / "L", "L")
    agree([processes[1], laptop])
    assert len(laptop.texts()) == 24
    for each in processes:
        assert (each.digest(), each.views()) == (laptop.digest(), laptop.views())
    laptop.close()


def test_no_command_leaves_anything_on_a_connection_of_the_pooler(hub: MakeHub, pooled: str, tmp_path: Path) -> None:
    """A prepared statement, or a setting, would meet the next client of the connection."""
    device = hub(dsn=pooled)
    with psycopg.connect(pooled, prepare_threshold=None) as raw:
        assert raw.execute("SELECT statement FROM pg_prepared_statements").fetchall() == []
    assert hub_device(pooled) == device.id
    assert check(tmp_path, pooled).device == device.id
    with psycopg.connect(pooled, prepare_threshold=None) as raw:
        assert raw.execute("SELECT name, setting FROM pg_settings WHERE source = 'session'").fetchall() == []
    device.add("a text")


@pytest.mark.parametrize("listens", [True, False], ids=["listen_dsn", "counters"])
async def test_a_process_behind_a_pooler_notices_the_others(
    hub: MakeHub, pooled: str, direct: str, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    """At once by an address without the pooler, and otherwise by the counters."""
    monkeypatch.setattr(signals, "POLL_S", 3_600.0 if listens else 0.02)
    here, there = hub(dsn=pooled), hub(dsn=pooled)
    async with AsyncExitStack() as held, asyncio.timeout(_WAIT_S):
        signal = await held.enter_async_context(HubChangeSignal(_store(here), direct if listens else None))
        await held.enter_async_context(HubChangeSignal(_store(there), None))
        while listens and not signal.is_listening:  # noqa: ASYNC110 - it says nothing of it
            await asyncio.sleep(0.01)
        signal._changed.clear()
        memory = await asyncio.to_thread(there.add, "a text")
        await signal.changed()
        assert await asyncio.to_thread(here.texts) == {memory: "a text"}


def _store(device: HubDevice) -> PostgresStore:
    assert isinstance(device.store, PostgresStore)
    return device.store
