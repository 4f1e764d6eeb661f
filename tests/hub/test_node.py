"""The network of a hub: several processes on one database, and laptops with real homes, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt._open import memory_of
from memcrdt.errors import StoreError
from memcrdt.hub import change_signal
from memcrdt.hub import node as hub_node
from memcrdt.hub import peers as hub_peers
from memcrdt.hub.hub import KEY_FILE, Hub, HubAddress
from memcrdt.hub.node import HubNode, HubOptions
from memcrdt.hub.peers import HubPeers
from memcrdt.hub.quotas import Quotas
from memcrdt.memory.forgetting import ForgetProgress, ForgetStatus
from memcrdt.memory.memory import Memory
from memcrdt.net import connection_gate
from memcrdt.net.identity import Identity
from memcrdt.node.node import Node
from memcrdt.store import changes, digests, log, reads
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import PeerConnection, Peers
from memcrdt.sync import gossip
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("postgres")

WAIT_S = 30.0
LOOPBACK: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
OpenHub = Callable[..., Hub]
RunHub = Callable[[Hub], Awaitable[HubNode]]


@pytest.fixture(name="open_hub")
def _open_hub(tmp_path: Path, dsn: str) -> Iterator[OpenHub]:
    """Open a process of the hub."""
    with ExitStack() as opened:
        yield lambda folder="hub", **given: opened.enter_context(Hub.open(HubAddress(tmp_path / folder, dsn), **given))


@pytest.fixture(name="run_hub")
async def _run_hub(dsn: str) -> AsyncIterator[RunHub]:
    """Run the network of a process."""
    async with AsyncExitStack() as running:

        async def run(hub: Hub) -> HubNode:
            return await running.enter_async_context(
                HubNode(hub, HubOptions(**LOOPBACK, listen_dsn=dsn, backup_days=30))
            )

        yield run


async def _pair(hub: Hub, laptop: Memory, spaces: tuple[str, ...] = ("personal",)) -> None:
    """Pair by a code that the hub shows."""
    async with hub.invite(spaces=spaces, host="127.0.0.1") as invitation:
        joining = memcrdt.AsyncMemory(laptop).sync.join(
            str(invitation.code), address=invitation.addresses[0], host="127.0.0.1"
        )
        await asyncio.gather(joining, invitation.joined(WAIT_S))


async def _eventually(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(is_true):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


def _texts(memory: Memory) -> set[str]:
    return {each.text for each in memory.list(limit=1_000)}


def _digest(hub: Hub) -> str:
    return digests.whole(digests.of_space(hub.store, hub.store.space("personal")))


async def test_laptops_that_never_meet_converge_over_two_processes(
    open_hub: OpenHub, run_hub: RunHub, make_laptop: Callable[[str], Memory]
) -> None:
    """Each laptop knows one process. They were paired by codes, and the second process has just been added."""
    first, laptops = open_hub(name="our hub"), [make_laptop("A"), make_laptop("B")]
    for laptop in laptops:
        laptop.add(f"from before, by {laptop.config.device_name}")
        await _pair(first, laptop)
    assert [each.name for each in laptops[0].devices()] == ["our hub"]
    nodes = [await run_hub(first)]
    async with Node(laptops[0], **LOOPBACK) as here:
        await here.connect(nodes[0].addresses[0], first.device)
        await _eventually(lambda: nodes[0].connected)
        second = open_hub()
        nodes.append(await run_hub(second))
        async with Node(laptops[1], **LOOPBACK) as there:
            await there.connect(nodes[1].addresses[0], second.device)
            await _eventually(lambda: _texts(laptops[0]) == _texts(laptops[1]) and len(_texts(laptops[0])) == 2)
            laptops[0].add("pushed by A")
            laptops[1].add("pushed by B")
            await _eventually(lambda: _texts(laptops[0]) == _texts(laptops[1]) and len(_texts(laptops[0])) == 4)
            await _eventually(lambda: laptops[0].space("personal").digest() == _digest(first) == _digest(second))
            await _eventually(lambda: all(Peers(each.store).hubs() == {first.device: 30} for each in laptops))
            gone = laptops[0].list()[0].id
            laptops[0].forget(gone)
            await _eventually(lambda: _of_hub(laptops[0].forget_status(gone), first).live_left == 0)
            state = _of_hub(laptops[0].forget_status(), first)
            assert (state.left, state.live_left, state.backup_days) == (1, 0, 30)
            assert [each.unscrubbed for each in laptops[0].devices() if each.device == first.device] == [0]
            assert not (nodes[0].connected & nodes[1].connected)
            assert len(HubPeers(first.store).processes()) == 2
        await _eventually(lambda: set(HubPeers(first.store).processes()) == {laptops[0].device})
    await _eventually(lambda: not any(peer.connected for peer in Peers(first.store).all()))


async def test_rows_with_reused_numbers_are_sent_at_once(
    server: Server, make_laptop: Callable[[str], Memory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover loses rows under a process, and others get their numbers. It does not wait for a comparison."""
    monkeypatch.setattr(gossip, "EXCHANGE_S", 3_600.0)
    monkeypatch.setattr(change_signal, "POLL_S", 0.05)
    server.run("CREATE DATABASE failing OWNER hub")
    address, laptop = HubAddress(tmp_path / "hub", server.dsn("failing")), make_laptop("A")
    with Hub.open(address) as hub:
        await _pair(hub, laptop)
    server.run("CREATE DATABASE failing_before TEMPLATE failing OWNER hub")
    lost = {f"lost {number}" for number in range(10)}
    with Hub.open(address) as hub, memory_of(hub) as memory:
        async with HubNode(hub, HubOptions(**LOOPBACK)) as node, Node(laptop, **LOOPBACK) as here:
            await here.connect(node.addresses[0], hub.device)
            for text in sorted(lost):
                await asyncio.to_thread(memory.add, text)
            await _eventually(lambda: _texts(laptop) == lost)
            head = _head(hub)
            server.set_back("failing", "failing_before")
            with Hub.open(address) as other, memory_of(other) as rival:
                await _eventually(lambda: _texts(rival) == lost)  # the laptop brings them back
                await asyncio.to_thread(rival.add, "written instead")
                assert _head(other) < head
                await _eventually(lambda: _followed(node) == _head(other))
                await _eventually(lambda: _texts(laptop) == {*lost, "written instead"})


async def test_a_laptop_over_its_quota_sees_the_reason(open_hub: OpenHub, make_laptop: Callable[[str], Memory]) -> None:
    """The hub has what came before."""
    hub, laptop = open_hub(), make_laptop("A")
    await _pair(hub, laptop)
    options = HubOptions(**LOOPBACK, quotas=Quotas(updates=1))
    async with HubNode(hub, options) as node, Node(laptop, **LOOPBACK) as here:
        await here.connect(node.addresses[0], hub.device)
        laptop.add("a text")
        await _eventually(lambda: not laptop.devices()[0].behind)
        laptop.add("over the quota")
        await _eventually(lambda: "1 updates a minute from a device" in (laptop.devices()[0].error or ""))
        assert laptop.devices()[0].behind == 1


def _followed(node: HubNode) -> int | None:
    """Return the row up to which a process has read the log."""
    return node._driver._parts.gossip._seq


def _head(hub: Hub) -> int:
    with hub.store.reading() as db:
        return log.head(db)


async def test_fifty_laptops_behind_a_balancer_may_knock_at_once(
    open_hub: OpenHub, run_hub: RunHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All come from one address, and none has proven yet who it is."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", WAIT_S)
    hub = open_hub()
    HubPeers(hub.store).accept("A" * 52)
    node = await run_hub(hub)
    assert node.port is not None
    with ExitStack() as knocking:
        for _ in range(50):
            knocking.enter_context(socket.create_connection(("127.0.0.1", node.port)))
        await _eventually(lambda: _unidentified(node) == 50)


def _unidentified(node: HubNode) -> int:
    gate = node._driver._listener._gate
    assert gate is not None
    return sum(gate._pending_at.values())


async def test_a_device_is_dialed_only_by_the_process_with_its_lease(
    open_hub: OpenHub, run_hub: RunHub, make_laptop: Callable[[str], Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease of a killed process ends by itself. Then another process dials the device."""
    may_dial, answers = HubPeers.may_dial, list[bool]()

    def noting(self: HubPeers, device: str) -> bool:
        answers.append(may_dial(self, device))
        return answers[-1]

    monkeypatch.setattr(HubPeers, "may_dial", noting)
    here, killed, laptop = open_hub(), open_hub(), make_laptop("A")
    await _pair(here, laptop)
    HubPeers(killed.store).connected(laptop.device, b"key", PeerConnection("dialed", "127.0.0.1:9", 1))
    async with Node(laptop, **LOOPBACK) as there:
        Peers(here.store).remember_address(laptop.device, there.addresses[0])
        node = await run_hub(here)
        await _eventually(lambda: answers == [False] * 3)  # it asks again, because it is not connected
        _let_leases_end(here)
        await _eventually(lambda: laptop.device in node.connected)
        assert not may_dial(HubPeers(killed.store), laptop.device)


def test_the_connections_of_a_killed_process_are_over_when_its_leases_end(open_hub: OpenHub) -> None:
    """Those of the others are not."""
    here, killed = HubPeers(open_hub().store), HubPeers(open_hub().store)
    for device, process in (("A" * 52, here), ("B" * 52, killed)):
        here.accept(device)
        process.connected(device, b"key", PeerConnection("accepted", "127.0.0.1:9", 1))
    assert not here.renew()
    assert _connected(here) == {"A" * 52, "B" * 52}
    with here._hub.writing() as db:
        db.execute("UPDATE leases SET until = clock_timestamp() - interval '1 s' WHERE device = ?", ("B" * 52,))
    assert here.renew()
    assert _connected(here) == {"A" * 52}
    here.all_disconnected()
    assert not _connected(here)


def test_a_process_renews_the_leases_of_its_own_connections(open_hub: OpenHub) -> None:
    """Neither those of another process, nor that of a device that it only wanted to dial."""
    here, other = HubPeers(open_hub().store), HubPeers(open_hub().store)
    for device, process in (("A" * 52, here), ("B" * 52, other)):
        process.connected(device, b"key", PeerConnection("accepted", "127.0.0.1:9", 1))
    assert here.may_dial("C" * 52)
    with here._hub.writing() as db:
        db.execute("UPDATE leases SET until = clock_timestamp() + interval '15 s'")
    assert not here.renew()
    with here._hub.reading() as db:
        renewed = db.execute("SELECT device FROM leases WHERE until > clock_timestamp() + interval '15 s'").fetchall()
    assert renewed == [("A" * 52,)]


async def test_what_a_killed_process_has_forgotten_is_folded_by_another(
    open_hub: OpenHub, run_hub: RunHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed between the commit and the fold, so the log has the text."""
    monkeypatch.setattr(hub_node, "RENEW_S", 0.05)
    here, killed = open_hub(), open_hub()
    monkeypatch.setattr(killed.store, "scrub_later", lambda: None)
    HubPeers(killed.store).accept("B" * 52)
    HubPeers(killed.store).connected("B" * 52, b"key", PeerConnection("accepted", "127.0.0.1:9", 1))
    await run_hub(here)
    with memory_of(killed) as memory:
        gone = memory.add("a text that nobody else has")
        killed.store.commit(partial(changes.forget, lambda db: reads.places_of(db, gone)))
        assert _log_has(here, b"a text that nobody else has")
        _let_leases_end(here)
        await _eventually(lambda: not _log_has(here, b"a text that nobody else has"))


def _log_has(hub: Hub, text: bytes) -> bool:
    with hub.store.reading() as db:
        return any(text in bytes(update) for (update,) in db.execute("SELECT bytes FROM updates"))


def test_a_device_that_changes_to_another_process_stays_connected(open_hub: OpenHub) -> None:
    """The first process notices the end of its connection later."""
    one, two = HubPeers(open_hub().store), HubPeers(open_hub().store)
    one.accept("A" * 52)
    for process in (one, two):
        process.connected("A" * 52, b"key", PeerConnection("accepted", "127.0.0.1:9", 1))
    one.disconnected("A" * 52)
    one.all_disconnected()
    assert _connected(one) == {"A" * 52}
    two.disconnected("A" * 52)
    assert not _connected(one)


def test_no_address_of_a_balancer_is_remembered(open_hub: OpenHub) -> None:
    """All connections come from it, and a dial there would reach the hub itself. Given addresses are kept."""
    peers = HubPeers(open_hub().store)
    peers.accept("A" * 52, address="10.0.0.7:27380")
    peers.connected("A" * 52, b"key", PeerConnection("accepted", "10.0.0.1:9", 1), "10.0.0.1:27380")
    peers.knocked("B" * 52, b"key", "10.0.0.1:27380")
    assert [peer.addresses for peer in peers.all()] == [("10.0.0.7:27380",), ()]


def test_that_a_device_agrees_is_noted_once_a_minute(open_hub: OpenHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each space of each device. Each note wakes all processes."""
    hub = open_hub()
    peers, space = HubPeers(hub.store), Members(hub.store).entries(["personal"])[0].id
    peers.accept("A" * 52)
    peers.agreed("A" * 52, space)
    before = hub.store.version()
    peers.agreed("A" * 52, space)
    assert hub.store.version() == before
    monkeypatch.setattr(hub_peers, "AGREED_S", 0.0)
    peers.agreed("A" * 52, space)
    assert hub.store.version() > before


def test_another_key_is_refused(open_hub: OpenHub, tmp_path: Path) -> None:
    """Otherwise two keys would take turns. A lost key is given up on request only, and then the former one is out."""
    first = open_hub()
    with pytest.raises(StoreError, match="copy the file"):
        open_hub("elsewhere")
    assert not (tmp_path / "elsewhere" / KEY_FILE.name).exists()
    Identity.load_or_create(tmp_path / "elsewhere", KEY_FILE)
    with pytest.raises(StoreError, match="belongs to the hub"):
        open_hub("elsewhere")
    second = open_hub("elsewhere", takes_over=True)
    assert second.device != first.device
    with pytest.raises(StoreError, match="belongs to the hub"):
        Peers(first.store).accept("A" * 52)
    Peers(second.store).accept("A" * 52)


def test_all_processes_sign_one_name(open_hub: OpenHub) -> None:
    """The last one that was given. Each machine's own name would be signed in turns."""
    first, second = open_hub(name="our hub"), open_hub()
    assert second.name == "our hub"
    open_hub(name="another name")
    assert first.name == second.name == "another name"


def _of_hub(status: ForgetStatus, hub: Hub) -> ForgetProgress:
    return next(each for each in status.devices if each.device == hub.device)


def _connected(peers: Peers) -> set[str]:
    return {peer.device for peer in peers.all() if peer.connected}


def _let_leases_end(hub: Hub) -> None:
    with hub.store.writing() as db:
        db.execute("UPDATE leases SET until = clock_timestamp() - interval '1 s'")
