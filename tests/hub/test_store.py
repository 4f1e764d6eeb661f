"""Several processes on one database: nothing is lost, nothing is passed by, and no client id is used by two."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memcrdt.errors import SchemaError, StoreError
from memcrdt.hub import store as hub_store
from memcrdt.hub.checking import hub_device
from memcrdt.hub.store import PostgresStore
from memcrdt.store import alarms, log, meta, views
from memcrdt.store.membership.peers import Peers
from memcrdt.store.transaction import Transaction
from memcrdt.sync.replica import Applied
from tests.bare_device import BareDevice, agree
from tests.hub.conftest import MakeHub
from tests.hub.hub_device import HubDevice
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("postgres")

_LAPTOP = "L" * 52
_SMALL = 20  # memories of each writer


def _equal_laptop(tmp_path: Path, hub: HubDevice) -> BareDevice:
    """Return a device with a SQLite store that has exchanged everything with the hub."""
    laptop = BareDevice(tmp_path / "laptop", "L")
    agree([hub, laptop])
    return laptop


def _updates(home: Path) -> list[bytes]:
    """Return the updates of another device that adds memories one after the other."""
    source, updates, known = BareDevice(home, home.name), [], {}
    for number in range(_SMALL):
        source.add(f"text {number} of {home.name}")
        diff = source.replica.diff(source.space(), 0, known)
        updates.append(diff.update)
        known = diff.after
    source.close()
    return updates


def test_processes_that_write_at_once_lose_nothing(
    hub: MakeHub, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one shard and in several. Whoever reads the log meanwhile, page by page, sees each row once, in order."""
    processes = [hub(dsn=dsn) for _ in range(3)]
    foreign, write_views = [_updates(tmp_path / name) for name in "RST"], views.write

    def slowly(*given: Any) -> Any:
        time.sleep(0.005)  # the rows are appended, and not committed
        return write_views(*given)

    monkeypatch.setattr(views, "write", slowly)
    reader, seen, done = hub(dsn=dsn), [], threading.Event()
    Peers(reader.store).accept(_LAPTOP)
    start = reader.replica.head()

    def read() -> None:
        at, is_last = start, False
        while not is_last:
            is_last = done.is_set()
            page = reader.replica.log(at, 7)
            seen.extend(entry.seq for entry in page.entries)
            at, is_last = page.next_seq, is_last and not page.entries

    def write(number: int) -> None:
        for text, update in enumerate(foreign[number]):
            memory = processes[number].add(f"writer {number}, text {text}")
            assert processes[number].apply(update, number + 1, origin=_LAPTOP).status == "applied"
            processes[number].update(memory, add_tags=["seen"])

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read)
        try:
            for each in [pool.submit(write, number) for number in range(3)]:
                each.result()
        finally:
            done.set()
        reading.result()
    assert len({each.store.facts.client_id for each in processes}) == 3
    assert len(reader.texts()) == 6 * _SMALL
    assert seen == list(range(start + 1, reader.replica.head() + 1))
    laptop = _equal_laptop(tmp_path, reader)
    assert (laptop.digest(), laptop.views()) == (reader.digest(), reader.views())
    laptop.close()


def test_a_commit_waits_for_one_that_has_its_rows_but_has_not_ended(
    hub: MakeHub, dsn: str, server: Server, tmp_path: Path
) -> None:
    """Its rows become visible after those of the other. Its view of a memory in two shards has the fields of both."""
    here, there, source = hub(dsn=dsn), hub(dsn=dsn), BareDevice(tmp_path / "S", "S")
    Peers(here.store).accept(_LAPTOP)
    memory = source.add("one memory")
    first = source.replica.diff(source.space(), 0, {}).update
    field = source.stock_update({f"{memory}/a/trust": {"value": "high", "at": 1}}, shard=5, client_id=9)
    start, write, seen = here.replica.head(), views.write, []
    second: list[Future[Applied]] = []

    def writing(*given: Any) -> Any:
        if not second:  # the first transaction, which has appended its row
            second.append(pool.submit(there.apply, field, 1, origin=_LAPTOP))
            while not second[0].done() and not server.waiting():
                time.sleep(0.01)
            seen.extend(entry.seq for entry in here.replica.log(start, 9).entries)
        return write(*given)

    with ThreadPoolExecutor() as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "write", writing)
        assert here.apply(first, origin=_LAPTOP).status == "applied"
        assert second[0].result().status == "applied"
    seen.extend(entry.seq for entry in here.replica.log(max(seen, default=start), 9).entries)
    assert seen == [start + 1, start + 2]
    assert here.rows("SELECT text, trust FROM memories") == [("one memory", "high")]
    laptop = _equal_laptop(tmp_path, here)
    assert laptop.views() == here.views()
    for each in (source, laptop):
        each.close()


def test_transactions_that_wait_for_each_other_both_end(hub: MakeHub, dsn: str) -> None:
    """PostgreSQL ends one of them, and it runs again."""
    processes = [hub(dsn=dsn), hub(dsn=dsn)]
    space = processes[0].store.space("personal")
    with processes[0].store.writing() as db:
        shards = [log.make_shard(db, space, number).shard for number in (0, 1)]
    meeting, runs = threading.Barrier(2, timeout=30), []

    def plan(order: list[int], transaction: Transaction) -> None:
        runs.append(order)
        transaction.reproject(order[0], [])
        if len(runs) <= 2:
            meeting.wait()
        transaction.reproject(order[1], [])

    with ThreadPoolExecutor() as pool:
        orders = [shards, shards[::-1]]
        futures = [
            pool.submit(each.store.commit, lambda transaction, order=order: plan(order, transaction))
            for each, order in zip(processes, orders, strict=True)
        ]
        for each in futures:
            each.result()
    assert len(runs) > 2  # the one that was ended runs again, and may meet the other once more


@pytest.mark.parametrize("moment", ["COMMIT", "INSERT INTO memories", "INSERT INTO updates"])
def test_a_connection_that_is_cut_changes_nothing(
    hub: MakeHub, dsn: str, server: Server, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """At any statement of a commit. The next commit takes another connection."""
    device = hub(dsn=dsn)
    device.add("before")
    before = device.replica.head(), device.digest()
    execute, executemany = hub_store.PostgresConnection.execute, hub_store.PostgresConnection.executemany

    def cutting(run: Callable[..., object]) -> Callable[..., object]:
        def wrapped(self: hub_store.PostgresConnection, sql: str, *given: object) -> object:
            if sql.startswith(moment):
                monkeypatch.undo()
                server.run(f"SELECT pg_terminate_backend({self.raw.info.backend_pid})")
            return run(self, sql, *given)

        return wrapped

    monkeypatch.setattr(hub_store.PostgresConnection, "execute", cutting(execute))
    monkeypatch.setattr(hub_store.PostgresConnection, "executemany", cutting(executemany))
    with pytest.raises(StoreError):
        device.add("lost")
    assert (device.replica.head(), device.digest()) == before
    device.add("after")
    assert set(device.texts().values()) == {"before", "after"}


_WRITER = """
import sys
from pathlib import Path
from tests.hub.hub_device import HubDevice
device = HubDevice(Path(sys.argv[1]), "H", sys.argv[2])
number = 0
while True:
    memory = device.add(f"{sys.argv[3]} {number}")
    print(memory, flush=True)
    number += 1
"""


def test_a_process_that_is_killed_loses_nothing_that_it_acknowledged(hub: MakeHub, dsn: str, tmp_path: Path) -> None:
    """Another process goes on at once: no lock outlives the killed one."""
    device = hub(dsn=dsn)
    acknowledged: set[str] = set()
    for name in ("first", "second"):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path / name), dsn, name], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        try:
            acknowledged |= {writer.stdout.readline().strip() for _ in range(10)}
        finally:
            writer.kill()
            acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
            writer.stdout.close()
            writer.wait()
        device.add(f"after {name}")
    assert acknowledged <= device.texts().keys()
    laptop = _equal_laptop(tmp_path, device)
    assert (laptop.digest(), laptop.views()) == (device.digest(), device.views())
    laptop.close()


def test_a_database_that_lost_its_tail_is_another_incarnation(server: Server, tmp_path: Path) -> None:
    """A copy from before is used after the original. What the others have comes back, and no clock is used twice."""
    server.run("CREATE DATABASE original OWNER hub")
    hub = HubDevice(tmp_path / "H", "H", server.dsn("original"))
    laptop = BareDevice(tmp_path / "L", "L")
    hub.add("in the backup")
    agree([hub, laptop])
    former = hub.store.facts
    hub.close()
    server.run("CREATE DATABASE restored TEMPLATE original OWNER hub")
    hub.open()
    hub.add("only in the tail")
    agree([hub, laptop])
    hub.close()

    hub.dsn = server.dsn("restored")
    hub.open()
    assert hub.store.facts.incarnation != former.incarnation
    hub.add("written instead")
    agree([hub, laptop])
    assert set(hub.texts().values()) == {"in the backup", "only in the tail", "written instead"}
    assert (laptop.digest(), laptop.views()) == (hub.digest(), hub.views())
    with hub.store.reading() as db:
        assert former.client_id in meta.former_client_ids(db)
        assert any("another history" in each.text or "was restored" in each.text for each in alarms.raised(db))
    for each in (hub, laptop):
        each.close()


def test_a_restored_dump_is_another_incarnation_with_the_same_memories(server: Server, tmp_path: Path) -> None:
    """It can be read and written at once, and the peers bring back what is missing."""
    server.run("CREATE DATABASE dumped OWNER hub")
    hub, laptop = HubDevice(tmp_path / "H", "H", server.dsn("dumped")), BareDevice(tmp_path / "L", "L")
    texts = {hub.add(text, tags=["Straße"], metadata={"k": text}): text for text in ("in the dump", "a\0b \x01")}
    agree([hub, laptop])
    former, views = hub.store.facts, hub.views()
    server.copy("dumped", "undumped")
    hub.add("after the dump")
    agree([hub, laptop])
    hub.close()

    hub.dsn = server.dsn("undumped")
    hub.open()
    assert hub.texts() == texts
    assert hub.views() == views
    assert hub.store.facts.incarnation != former.incarnation
    hub.add("written instead")
    agree([hub, laptop])
    assert set(hub.texts().values()) == {*texts.values(), "after the dump", "written instead"}
    assert (laptop.digest(), laptop.views()) == (hub.digest(), hub.views())
    for each in (hub, laptop):
        each.close()


def test_a_change_of_history_reaches_processes_that_are_running(hub: MakeHub, dsn: str) -> None:
    """Each takes another client id before it writes again, as after the takeover of a standby."""
    one, two = hub(dsn=dsn), hub(dsn=dsn)
    for each in (one, two):
        each.add("a text from before")
    before = {each.store.facts.client_id for each in (one, two)}
    with one.store.writing() as db:
        meta.write(db, "fence", "another timeline")
    for each in (one, two):
        each.add("a text")
    after = {each.store.facts.client_id for each in (one, two)}
    assert len(before | after) == 4
    assert one.store.facts.incarnation == two.store.facts.incarnation
    assert len(one.texts()) == 4


def test_documents_of_a_lost_history_are_loaded_again(server: Server, tmp_path: Path) -> None:
    """Also by a process that has never written, and so has no client id that changes."""
    server.run("CREATE DATABASE held OWNER hub")
    hub, writer = (HubDevice(tmp_path / name, "H", server.dsn("held")) for name in ("reader", "writer"))
    writer.add("in the backup")
    for each in (hub, writer):
        each.close()
    server.run("CREATE DATABASE held_before TEMPLATE held OWNER hub")
    for each in (hub, writer):
        each.open()
    writer.add("only in the tail")
    writer.close()
    assert b"only in the tail" in _document(hub)
    server.set_back("held", "held_before")
    for _ in range(hub_store.CONNECTIONS):  # they were cut
        with suppress(StoreError):
            hub.store.version()
    assert b"only in the tail" not in _document(hub)
    hub.close()


def _document(device: HubDevice) -> bytes:
    return device.replica.diff(device.space(), 0, {}).update


def test_texts_come_back_as_they_were(hub: MakeHub) -> None:
    """PostgreSQL has no NUL in texts, and the store uses a character to stand for it."""
    texts = {"a\0b", "\x01", "\x01\x02\0", "100 % :name ? 'quoted'", "\N{FAMILY}"}
    device = hub()
    for text in texts:
        device.add(text, tags=[f"tag {text!r}"], metadata={"k": text})
    assert set(device.texts().values()) == texts


def test_a_database_of_a_newer_version_is_left_alone(hub: MakeHub, dsn: str) -> None:
    """The message says what to do."""
    hub(dsn=dsn).close()
    with psycopg.connect(dsn, autocommit=True) as raw:
        raw.execute("INSERT INTO schema_version VALUES(9999)")
    with pytest.raises(SchemaError, match="upgrade memcrdt"):
        PostgresStore(dsn, "H" * 52)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    """At once, and with the address that was tried."""
    with pytest.raises(StoreError, match="does not answer"):
        PostgresStore(f"host={tmp_path} dbname=hub", "H" * 52)


@pytest.mark.parametrize("wrong", ["user=nobody-known", "dbname=not-there"])
def test_a_server_that_refuses_is_not_one_that_is_missing(dsn: str, wrong: str) -> None:
    """The role or the database is wrong, and the message says so."""
    with pytest.raises(StoreError, match="refuses the connection") as told:
        hub_device(f"{dsn} {wrong}")
    assert "under way" not in str(told.value)


def test_processes_that_start_at_once_make_one_hub(hub: MakeHub, dsn: str) -> None:
    """One of them makes the tables, and all have the same spaces."""
    with ThreadPoolExecutor() as pool:
        processes = list(pool.map(lambda _: hub(dsn=dsn), range(4)))
    assert len({each.space() for each in processes}) == 1
    with ThreadPoolExecutor() as pool:
        assert len(set(pool.map(lambda each: each.add("a text"), processes))) == 4
    clients = {each.store.facts.client_id for each in processes}
    assert len(clients) == 4
    assert 0 not in clients


def test_a_process_takes_a_client_id_when_it_first_writes_to_a_document(hub: MakeHub, dsn: str) -> None:
    """Short commands use none up: they read, and change members and settings."""
    device = hub(dsn=dsn)
    memory = device.add("a text")
    taken = _clients(device)
    for number in range(20):
        command = hub(dsn=dsn)
        Peers(command.store).accept(_LAPTOP)
        with command.store.writing() as db:
            meta.write(db, "hub name", f"hub {number}")
        assert command.texts() == {memory: "a text"}
        command.store.scrub()
        command.close()
    assert _clients(device) == taken
    other = hub(dsn=dsn)
    assert other.texts() == {memory: "a text"}
    other.add("another")
    other.add("a third")
    assert _clients(device) == [*taken, other.store.facts.client_id]


def test_a_process_that_takes_a_client_id_wakes_no_other(hub: MakeHub, dsn: str) -> None:
    """Its changes do. The others need not know under which id they will be."""
    device = hub(dsn=dsn)
    device.add("a text")
    other, before = hub(dsn=dsn), device.store.version()
    other.store.commit(lambda _: None)
    assert other.store.facts.client_id in _clients(device)
    assert device.store.version() == before


def _clients(device: HubDevice) -> list[int]:
    """Return all client ids of a hub that are remembered, oldest first."""
    with device.store.reading() as db:
        return [*meta.former_client_ids(db), meta.facts(db).client_id]
