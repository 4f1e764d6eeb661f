"""Nodes over real homes, stores and sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt import config
from memcrdt.errors import InputError, LockedError, NotFoundError, ReadOnlyError, StoreError, UnreachableError
from memcrdt.memory.async_memory import THREADS, AsyncMemory
from memcrdt.memory.memory import Memory
from memcrdt.memory.sync import Serving
from memcrdt.model.device_ids import shown
from memcrdt.model.records import Forgotten
from memcrdt.node.background import BackgroundNode
from memcrdt.node.lock import NOTE_FILE, holder
from memcrdt.node.node import Node
from memcrdt.node.sync_wait import SyncWait
from memcrdt.store import clock
from memcrdt.store.membership.peers import PeerConnection, Peers
from memcrdt.store.overview import overview

WAIT_S = 20.0
LOOPBACK: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
_ADD = "import sys, memcrdt\nwith memcrdt.open(sys.argv[1], embedder=None) as memory: print(memory.add('elsewhere'))"
_SERVE = (
    "import sys, memcrdt; from memcrdt.node.background import BackgroundNode\n"
    "with memcrdt.open(sys.argv[1], embedder=None) as memory:\n"
    "    node = BackgroundNode(memory); node.start(host='127.0.0.1', port=0); print('up', flush=True); sys.stdin.read()"
)


@pytest.fixture(name="make_memory")
def _make_memory(tmp_path: Path) -> Iterator[Callable[[str], Memory]]:
    memories: list[Memory] = []

    def make(name: str) -> Memory:
        memories.append(memcrdt.open(tmp_path / name, embedder=None))
        return memories[-1]

    yield make
    for memory in memories:
        memory.close()


@pytest.fixture(name="homes")
def _homes(tmp_path: Path, make_memory: Callable[[str], Memory]) -> tuple[Memory, Memory]:
    """Return two homes that have accepted each other."""
    for name in ("laptop", "desktop"):
        config.change(tmp_path / name, "mdns", False)
    laptop, desktop = make_memory("laptop"), make_memory("desktop")
    Peers(laptop.store).accept(desktop.store.device)
    Peers(desktop.store).accept(laptop.store.device)
    return laptop, desktop


@pytest.mark.parametrize(
    "options", [{"port": "x"}, {"port": True}, {"port": 65536}, {"host": 5}, {"foo": 1}, {"mdns": "x"}], ids=str
)
def test_invalid_options_are_refused(make_memory: Callable[[str], Memory], options: dict[str, Any]) -> None:
    """Before anything starts."""
    memory = make_memory("laptop")
    with pytest.raises(InputError):
        memory.start_sync(**options)
    with pytest.raises(InputError):
        Node(memory, **options)
    assert memory.status().serving is None


async def test_two_homes_end_up_with_the_same_memories(homes: tuple[Memory, Memory]) -> None:
    """Memories from before, and later adds, edits and forgets. Compared by digest."""
    laptop, desktop = homes
    deploys, key = laptop.add("Deploys go out on Tuesdays"), desktop.add("The key is under the mat")
    async with Node(desktop, **LOOPBACK) as there, Node(laptop, **LOOPBACK) as here:
        assert await here.connect(there.addresses[0]) == desktop.store.device
        await _eventually(lambda: _texts(laptop).keys() == _texts(desktop).keys() == {deploys, key})
        desktop.update(deploys, text="Deploys go out on Wednesdays", add_tags=["release"])
        laptop.forget(key)
        pushed = laptop.add("Pushed at once")
        await _eventually(
            lambda: _texts(desktop) == {deploys: "Deploys go out on Wednesdays", pushed: "Pushed at once"}
        )
        await _eventually(lambda: _digest(laptop) == _digest(desktop))
    assert laptop.get(deploys).tags == ("release",)
    assert [revision.text for revision in laptop.history(deploys)][-1] == "Deploys go out on Wednesdays"


async def test_local_memories_stay_on_the_device(homes: tuple[Memory, Memory]) -> None:
    """The other home sees neither the memory nor that it exists."""
    laptop, desktop = homes
    secret = laptop.add("only here", space="local")
    shared = laptop.add("for both")
    async with Node(desktop, **LOOPBACK) as there, Node(laptop, **LOOPBACK) as here:
        await here.connect(there.addresses[0])
        await _eventually(lambda: shared in _texts(desktop))
        await _eventually(lambda: _digest(laptop) == _digest(desktop))
    with pytest.raises(NotFoundError):
        desktop.get(secret)


async def test_a_memory_added_by_another_process_is_sent(homes: tuple[Memory, Memory]) -> None:
    """The process with the network detects it in the file."""
    laptop, desktop = homes
    async with Node(desktop, **LOOPBACK) as there, Node(laptop, **LOOPBACK) as here:
        await here.connect(there.addresses[0])
        command = [sys.executable, "-c", _ADD, str(laptop.home)]
        done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
        await _eventually(lambda: done.stdout.strip() in _texts(desktop))


async def test_a_node_reconnects_automatically(homes: tuple[Memory, Memory]) -> None:
    """The address of the last connection is stored, and missed updates arrive."""
    laptop, desktop = homes
    async with Node(laptop, **LOOPBACK) as here:
        async with Node(desktop, **LOOPBACK) as there:
            port = there.port
            await here.connect(there.addresses[0])
            await _eventually(lambda: here.status().connected == {desktop.store.device})
        await _eventually(lambda: not here.status().connected)
        missed = laptop.add("while the desktop slept")
        async with Node(desktop, host="127.0.0.1", port=port):
            here.sync_now()
            await _eventually(lambda: missed in _texts(desktop))


async def test_a_node_without_accepted_devices_does_not_listen(make_memory: Callable[[str], Memory]) -> None:
    """It begins when any process accepts a device."""
    desktop = make_memory("desktop")
    async with Node(desktop, **LOOPBACK) as node:
        assert (node.port, node.addresses) == (None, [])
        assert desktop.status().serving == Serving(os.getpid(), None)
        Peers(desktop.store).accept("B" * 52)
        await _eventually(lambda: node.port)
        assert desktop.status().serving == Serving(os.getpid(), node.port)
        assert node.addresses == [f"127.0.0.1:{node.port}"]
    assert desktop.status().serving is None


async def test_a_host_of_another_machine_is_refused_at_once(make_memory: Callable[[str], Memory]) -> None:
    """Even before a device is accepted, when nothing would listen yet. No lock is left."""
    desktop = make_memory("desktop")
    for host in ("192.0.2.1", "example.invalid", "2001:db8::1"):
        with pytest.raises(InputError, match=f"cannot listen at {host}"):
            await Node(desktop, host=host).__aenter__()
    assert desktop.status().serving is None


async def test_all_interfaces_are_shown_as_addresses_of_this_machine(homes: tuple[Memory, Memory]) -> None:
    """Never as 0.0.0.0, which other machines cannot dial."""
    async with Node(homes[0], port=0, mdns=False, tailscale=False) as node:
        hosts = {address.rpartition(":")[0] for address in node.addresses}
    assert hosts
    assert hosts.isdisjoint({"", "0.0.0.0", "[::]"})


async def test_one_process_runs_the_network_of_a_home(homes: tuple[Memory, Memory]) -> None:
    """The error of a second node names the process."""
    async with Node(homes[0], **LOOPBACK):
        with pytest.raises(LockedError, match=f"process {os.getpid()} "):
            await Node(homes[0], **LOOPBACK).__aenter__()


async def test_a_port_in_use_is_an_error_and_leaves_nothing_locked(homes: tuple[Memory, Memory]) -> None:
    """The same home can listen at another port right away."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LockedError, match=f"port {port} is in use"):
            await Node(homes[0], host="127.0.0.1", port=port).__aenter__()
        async with Node(homes[0], **LOOPBACK) as node:
            assert node.port not in (None, port)


async def test_a_port_taken_later_is_the_reason_in_the_status(
    make_memory: Callable[[str], Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is free at the start. It is taken when the first device is accepted and listening has to begin."""
    monkeypatch.setattr("memcrdt.node.driver.PEERS_RETRY_S", 0.1)
    desktop = make_memory("desktop")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with Node(desktop, host="127.0.0.1", port=port) as node:
        with socket.create_server(("127.0.0.1", port)):
            Peers(desktop.store).accept("B" * 52)
            await _eventually(lambda: desktop.status().serving.error)
            serving = desktop.sync.serving()
            assert (serving.port, f"port {port} is in use" in serving.error) == (None, True)
        Peers(desktop.store).revoke("B" * 52)
        Peers(desktop.store).forget("B" * 52)
        await _eventually(lambda: desktop.sync.serving().error is None)
        assert node.port is None


@pytest.mark.parametrize("accepted", [True, False])
def test_start_sync_refuses_a_port_in_use(make_memory: Callable[[str], Memory], accepted: bool) -> None:
    """Whether or not a device is accepted. Another port works afterwards."""
    memory = make_memory("desktop")
    if accepted:
        Peers(memory.store).accept("B" * 52)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LockedError, match=f"port {port} is in use"):
            memory.start_sync(host="127.0.0.1", port=port)
    assert memory.sync.serving() is None
    memory.start_sync(**LOOPBACK)
    memory.stop_sync()


async def test_a_read_only_memory_has_no_network(homes: tuple[Memory, Memory]) -> None:
    """It could not store updates."""
    with memcrdt.open(homes[0].home, embedder=None, read_only=True) as memory, pytest.raises(ReadOnlyError):
        await Node(memory, **LOOPBACK).__aenter__()


async def test_connecting_checks_its_arguments_and_the_answer(homes: tuple[Memory, Memory]) -> None:
    """Every error names the wrong part."""
    laptop, desktop = homes
    async with Node(laptop, **LOOPBACK) as node:
        with pytest.raises(InputError, match="HOST:PORT"):
            await node.connect("http://desktop")
        with pytest.raises(InputError, match="device id"):
            await node.connect("127.0.0.1:1", "desktop")
        with pytest.raises(UnreachableError, match=r"at 127\.0\.0\.1:1: "):
            await node.connect("127.0.0.1:1", shown(desktop.store.device))


def test_two_programs_without_an_event_loop_sync(homes: tuple[Memory, Memory]) -> None:
    """Their networks run in background threads."""
    laptop, desktop = homes
    there, here = BackgroundNode(desktop), BackgroundNode(laptop)
    there.start(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{there.serving().port}")
    here.start(**LOOPBACK)
    here.start(**LOOPBACK)  # a second call does nothing
    try:
        added = laptop.add("from a plain script")
        _wait(lambda: added in _texts(desktop))
    finally:
        here.stop()
        there.stop()
    here.stop()
    assert laptop.status().serving is None


def test_a_start_that_fails_says_why_and_can_be_repeated(homes: tuple[Memory, Memory]) -> None:
    """No thread is left behind."""
    node = BackgroundNode(homes[0])
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(LockedError, match="is in use"):
        node.start(host="127.0.0.1", port=taken.getsockname()[1])
    node.start(**LOOPBACK)
    node.stop()


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("raise SystemExit(3)", 3), ("raise KeyboardInterrupt", -2)])
def test_a_program_that_ends_without_closing_stops_its_network(
    homes: tuple[Memory, Memory], ending: str, code: int
) -> None:
    """In the same order as stop_sync(): the note beside the lock is gone."""
    laptop, _ = homes
    script = f"""
import sys, memcrdt
memory = memcrdt.open(sys.argv[1], embedder=None)
memory.start_sync(host="127.0.0.1", port=0)
{ending}"""
    command = [sys.executable, "-c", script, str(laptop.home)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert "memcrdt" not in ended.stderr
    assert not (laptop.home / NOTE_FILE).exists()


def test_the_network_is_taken_over_when_its_process_dies(homes: tuple[Memory, Memory]) -> None:
    """The second program is on standby until the first is killed with SIGKILL."""
    laptop, _ = homes
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(laptop.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"up\n"
        node = BackgroundNode(laptop)
        node.start(**LOOPBACK)
        assert node.serving().pid == process.pid
        process.kill()
    _wait(lambda: (serving := node.serving()) and serving.pid == os.getpid() and serving.port)
    node.stop()


def test_a_commit_of_another_process_reaches_the_peer_as_fast(homes: tuple[Memory, Memory]) -> None:
    """It signals the process with the network, whose port is noted beside the store."""
    laptop, desktop = homes
    there, here = BackgroundNode(desktop), BackgroundNode(laptop)
    there.start(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{there.serving().port}")
    here.start(**LOOPBACK)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(10)
            note = json.loads((laptop.home / "serve.json").read_text())
            (laptop.home / "serve.json").write_text(json.dumps({**note, "bell": receiver.getsockname()[1]}))
            command = [sys.executable, "-c", _ADD, str(laptop.home)]
            subprocess.run(command, check=True, capture_output=True)
            assert receiver.recv(1) == b""
        assert note["bell"] > 0
    finally:
        here.stop()
        there.stop()


async def test_a_forgetting_is_confirmed_when_no_byte_is_left_at_the_peer(homes: tuple[Memory, Memory]) -> None:
    """While a reader keeps the text in the peer's file, the forgetting is durable there but not confirmed."""
    laptop, desktop = homes
    text = "The key is under the mat"
    secret, device = laptop.add(text), desktop.store.device
    async with Node(desktop, **LOOPBACK) as there, Node(laptop, **LOOPBACK) as here:
        await here.connect(there.addresses[0])
        await _eventually(lambda: secret in _texts(desktop))
        with desktop.store.reading() as db:
            db.execute("BEGIN")
            db.execute("SELECT * FROM memories").fetchall()
            assert laptop.forget(secret).awaited == (device,)
            await _eventually(lambda: laptop.status().peers[0].behind == 0 and desktop.stats().forgotten == 1)
            here.sync_now()
            await _eventually(lambda: _digest(laptop) == _digest(desktop))
            assert laptop.forget(secret) == Forgotten(count=0, status="done", awaited=(device,))
            assert desktop.forget(secret).status == "pending"
            assert laptop.status().peers[0].unscrubbed == 1
            db.execute("ROLLBACK")
        await _eventually(lambda: laptop.forget(secret).confirmed == (device,))
        assert laptop.status().peers[0].unscrubbed == 0
        assert all(text.encode() not in file.read_bytes() for file in desktop.home.glob("memories.db*"))


def test_wait_synced_is_true_when_the_other_has_everything(homes: tuple[Memory, Memory]) -> None:
    """Whichever process runs the network. If none does, the network runs during the wait."""
    laptop, desktop = homes
    here, there = laptop.add("from the laptop"), desktop.add("from the desktop")
    desktop.start_sync(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{desktop.status().serving.port}")
    assert laptop.wait_synced(timeout=20, peers=[shown(desktop.store.device)])
    assert _texts(laptop).keys() == _texts(desktop).keys() == {here, there}
    assert laptop.status().serving is None
    laptop.start_sync(**LOOPBACK)
    last = laptop.add("before the lid closes")
    with memcrdt.open(laptop.home, embedder=None) as second:
        assert second.wait_synced(timeout=20)
    assert last in _texts(desktop)
    (state,) = laptop.status().peers
    assert (state.behind, state.agreed_at is not None) == (0, True)


def test_wait_synced_beside_the_network_of_another_home_leaves_no_address_behind(
    homes: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other home has the port. A temporary port would be dialed in vain later."""
    laptop, desktop = homes
    desktop.start_sync(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{desktop.status().serving.port}")
    with socket.create_server(("", 0)) as taken:  # a test of another process could give the usual port back
        monkeypatch.setattr("memcrdt.node.background.DEFAULT_PORT", taken.getsockname()[1])
        assert laptop.wait_synced(timeout=20)
    assert desktop.devices()[0].seen_at is not None
    assert desktop.devices()[0].addresses == ()


def test_wait_synced_is_true_after_one_call_has_filled_several_shards(homes: tuple[Memory, Memory]) -> None:
    """Each shard has its own rows in the log, and the other device confirms each shard."""
    laptop, desktop = homes
    desktop.start_sync(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{desktop.status().serving.port}")
    laptop.add_many(f"text {number}" for number in range(1_500))
    assert laptop.wait_synced(timeout=20)
    assert desktop.stats().memories == 1_500


def test_wait_synced_is_false_when_no_device_is_reachable(homes: tuple[Memory, Memory]) -> None:
    """At once without devices, and when the only address is dead. The error is stored."""
    laptop, desktop = homes
    Peers(laptop.store).remember_address(desktop.store.device, "127.0.0.1:1")
    assert not laptop.wait_synced(timeout=20)
    assert "127.0.0.1:1" in laptop.status().peers[0].error
    Peers(laptop.store).forget(desktop.store.device)
    assert not laptop.wait_synced()
    with pytest.raises(NotFoundError, match="memcrdt peers"):
        laptop.wait_synced(peers=[desktop.store.device])


def test_wait_synced_is_false_for_a_space_that_the_other_does_not_share(
    homes: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invited on one side only, the other device never gets the space, and the wait ends."""
    monkeypatch.setattr("memcrdt.node.sync_wait.STILL_S", 1.0)
    laptop, desktop = homes
    desktop.start_sync(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{desktop.status().serving.port}")
    laptop.space("acme").create().invite(desktop.store.device)
    laptop.add("of acme", space="acme")
    here = laptop.add("of both")
    assert not laptop.wait_synced()
    assert _texts(desktop).keys() == {here}


async def test_waits_of_tasks_block_no_other_call(
    homes: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their number and duration. After cancelling, no thread and no network is left."""
    monkeypatch.setattr(SyncWait, "_settled", lambda _: None)
    laptop, _ = homes
    threaded = AsyncMemory(laptop)
    before = set(threading.enumerate())
    waits = [asyncio.create_task(threaded.wait_synced()) for _ in range(2 * THREADS)]
    await _eventually(lambda: laptop.status().serving is not None)
    added = await asyncio.wait_for(threaded.add("meanwhile"), WAIT_S)
    for wait in waits:
        wait.cancel()
    assert {type(result) for result in await asyncio.gather(*waits, return_exceptions=True)} == {asyncio.CancelledError}
    assert (await threaded.get(added)).text == "meanwhile"
    assert laptop.status().serving is None
    await threaded.close()
    assert not [each for each in set(threading.enumerate()) - before if each.name.startswith("memcrdt")]


async def test_closing_ends_waits_of_tasks(homes: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the result."""
    monkeypatch.setattr(SyncWait, "_settled", lambda _: None)
    laptop, _ = homes
    threaded = AsyncMemory(laptop)
    waiting = asyncio.create_task(threaded.wait_synced())
    await _eventually(lambda: laptop.status().serving is not None)
    await asyncio.wait_for(threaded.close(), WAIT_S)
    with pytest.raises(StoreError, match="closed"):
        await waiting
    assert holder(laptop.home) is None


async def test_async_waits_have_the_same_results(homes: tuple[Memory, Memory]) -> None:
    """True when the other device has everything, False after the timeout, and the same errors."""
    laptop, desktop = homes
    threaded = AsyncMemory(laptop)
    with pytest.raises(InputError):
        await threaded.wait_synced(timeout=-1)
    with pytest.raises(NotFoundError):
        await threaded.wait_synced(peers=["A" * 52])
    assert laptop.status().serving is None
    assert not await threaded.wait_synced(timeout=0)
    desktop.start_sync(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{desktop.status().serving.port}")
    added = await threaded.add("from the laptop")
    assert await threaded.wait_synced(timeout=WAIT_S)
    assert added in _texts(desktop)


def test_a_started_network_outlives_a_wait(homes: tuple[Memory, Memory], monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it was started during a wait. A network that was stopped stays stopped."""
    monkeypatch.setattr(SyncWait, "_settled", lambda _: None)
    laptop, _ = homes
    node = BackgroundNode(laptop)
    with node.asking(None, None), node.asking(None, None):
        node.start(**LOOPBACK)
    assert node.serving() is not None
    node.stop()
    assert node.serving() is None
    with node.asking(None, None):
        with node.asking(None, None):
            pass
        assert node.serving() is not None
        node.stop()
    assert node.serving() is None


def test_the_status_shows_connections_and_clock_differences(homes: tuple[Memory, Memory]) -> None:
    """From any process. On one machine the clocks hardly differ."""
    laptop, desktop = homes
    desktop.start_sync(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{desktop.status().serving.port}")
    laptop.start_sync(**LOOPBACK)
    _wait(lambda: laptop.status().peers[0].agreed_at and desktop.status().peers[0].agreed_at)
    here, there = (memory.status().peers[0] for memory in homes)
    assert here.connected
    assert there.connected
    assert (here.via, here.found, there.via, there.found) == ("dialed", "address", "accepted", None)
    assert abs(here.skew_ms) < 5_000
    assert abs(there.skew_ms) < 5_000


def test_a_device_that_doubts_its_clock_shows_none(homes: tuple[Memory, Memory]) -> None:
    """So it confirms no other clock. The clock of the other device, which agrees, ends its doubt."""
    laptop, desktop = homes
    with desktop.store.writing() as db:
        now = desktop.store.now_ms()
        clock.write(db, clock.ClockNote(now, before=now - 100 * 86_400_000))
    desktop.start_sync(**LOOPBACK)
    Peers(laptop.store).remember_address(desktop.store.device, f"127.0.0.1:{desktop.status().serving.port}")
    laptop.start_sync(**LOOPBACK)
    _wait(lambda: laptop.status().peers[0].connected and desktop.status().peers[0].connected)
    assert laptop.status().peers[0].skew_ms is None
    assert not laptop.status().peers[0].clock_differs
    with desktop.store.reading() as db:
        assert not clock.read(db).is_doubted


def test_no_device_is_connected_after_the_network_process_was_killed(homes: tuple[Memory, Memory]) -> None:
    """The process could not record the end of its connections."""
    laptop, desktop = homes
    link = PeerConnection("accepted", "192.168.1.20:50000", 1)
    Peers(laptop.store).connected(desktop.store.device, b"k" * 32, link)
    assert laptop.status().serving is None
    assert laptop.status().peers[0].connected is False
    assert laptop.status().peers[0].via is None
    assert not laptop.devices()[0].connected


def _texts(memory: Memory) -> dict[str, str]:
    return {record.id: record.text for record in memory.list()}


def _digest(memory: Memory) -> str:
    return overview(memory.store).spaces[0].digest


async def _eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  arbitrary conditions have no event
            await asyncio.sleep(0.01)


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
