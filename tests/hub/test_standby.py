"""A streaming standby takes over from the server of a running hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memcrdt._open import memory_of
from memcrdt.errors import StoreError
from memcrdt.hub.hub import Hub, HubAddress
from memcrdt.hub.node import HubNode, HubOptions
from memcrdt.memory.memory import Memory
from memcrdt.node.node import Node
from memcrdt.store import alarms
from memcrdt.store.membership.peers import Peers
from tests.postgres import Server, running_server

pytestmark = pytest.mark.xdist_group("postgres")

WAIT_S = 60.0
LOOPBACK: dict[str, Any] = {"host": "127.0.0.1", "port": 0}


@pytest.fixture(name="primary")
def _primary() -> Iterator[Server]:
    """Run a server that a test may end."""
    with running_server() as server:
        yield server


async def _eventually(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(is_true):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)


def _texts(memory: Memory) -> set[str]:
    try:
        return {each.text for each in memory.list(limit=100)}
    except StoreError:  # the connections of the pool end one by one
        return set()


def _set(server: Server, name: str, value: str) -> None:
    server.run(f"ALTER SYSTEM SET {name} = '{value}'")
    server.run("SELECT pg_reload_conf()")


async def test_a_standby_takes_over_without_the_last_commits(
    primary: Server, make_laptop: Callable[[str], Memory], tmp_path: Path
) -> None:
    """What a synchronous standby had confirmed is there, what only the primary had confirmed is brought back by the
    laptop that wrote it, and what no other device has is lost. The process of the hub goes on by itself.
    """
    laptop = make_laptop("A")
    with primary.standby() as standby:
        dsn = primary.dsn(target_session_attrs="read-write", connect_timeout="5", host=_hosts(primary, standby))
        with Hub.open(HubAddress(tmp_path / "hub", dsn)) as hub, memory_of(hub) as memory:
            Peers(hub.store).accept(laptop.device, name="A")
            laptop.accept(hub.device, name="hub")
            former = hub.store.facts.incarnation
            async with HubNode(hub, HubOptions(**LOOPBACK)) as node, Node(laptop, **LOOPBACK) as here:
                await here.connect(node.addresses[0], hub.device)
                _set(primary, "synchronous_standby_names", "*")
                await _eventually(
                    lambda: primary.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                )
                await asyncio.to_thread(memory.add, "confirmed by both")
                _set(primary, "synchronous_standby_names", "")
                _set(standby, "primary_conninfo", "")
                await _eventually(lambda: not primary.ask("SELECT count(*) FROM pg_stat_replication"))
                laptop.add("confirmed by the primary")
                await _eventually(
                    lambda: "confirmed by the primary" in _texts(memory) and not laptop.devices()[0].behind
                )
            async with HubNode(hub, HubOptions(**LOOPBACK)) as node:
                await asyncio.to_thread(memory.add, "on the primary only")
                primary.crash()
                standby.run("SELECT pg_promote()")
                await _eventually(lambda: _texts(memory) == {"confirmed by both"})
                async with Node(laptop, **LOOPBACK) as here:
                    await _eventually(lambda: node.addresses)
                    await here.connect(node.addresses[0], hub.device)
                    await _eventually(
                        lambda: _texts(memory) == _texts(laptop) == {"confirmed by both", "confirmed by the primary"}
                    )
                    await asyncio.to_thread(memory.add, "after the failover")
                    await _eventually(lambda: "after the failover" in _texts(laptop))
            assert hub.store.facts.incarnation != former
            with hub.store.reading() as db:
                assert any("a standby took over" in each.text for each in alarms.raised(db))


def _hosts(*servers: Server) -> str:
    return ",".join(str(each.folder) for each in servers)
