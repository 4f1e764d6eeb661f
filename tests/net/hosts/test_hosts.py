"""Machines on one network, each in its own namespace."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from memcrdt import config
from memcrdt.model.ports import DEFAULT_RELAY_PORT

if TYPE_CHECKING:
    from tests.net.hosts.conftest import Lab

Eventually = Callable[[Callable[[], Any]], None]

pytestmark = pytest.mark.xdist_group("hosts")


def test_two_machines_on_one_network_pair_and_sync(lab: Lab, eventually: Eventually) -> None:
    """By the code alone, without an address. Both find what the other adds."""
    laptop, desktop = lab.add("laptop", "desktop")
    waiting = laptop.start("pair")
    code = waiting.stdout.readline().strip()
    desktop.run("pair", code)
    assert waiting.wait(30) == 0
    laptop.serve()
    desktop.serve()
    laptop.add("from the laptop")
    desktop.add("from the desktop")
    eventually(lambda: laptop.texts == desktop.texts == {"from the laptop", "from the desktop"})
    assert laptop.peers.keys() == {"desktop"}
    assert desktop.peers.keys() == {"laptop"}


def test_three_machines_find_each_other_by_mdns_alone(lab: Lab, eventually: Eventually) -> None:
    """They know ids but no addresses. A partition separates two of them, and their writes arrive afterwards."""
    hosts = lab.add("laptop", "desktop", "phone")
    for host in hosts:
        host.accept(*(other for other in hosts if other is not host))
    for host in hosts:
        host.serve()
    eventually(lambda: all(peer.connected for host in hosts for peer in host.peers.values()))
    ways = {peer.connected.found for host in hosts for peer in host.peers.values() if peer.connected.via == "dialed"}
    assert "mdns" in ways  # the first connection; later ones use remembered addresses
    laptop, desktop, phone = hosts
    phone.plug(connected=False)
    phone.add("written in the train")
    laptop.add("written at home")
    eventually(lambda: desktop.texts == {"written at home"})
    assert phone.texts == {"written in the train"}
    phone.plug(connected=True)
    eventually(lambda: laptop.texts == desktop.texts == phone.texts == {"written at home", "written in the train"})


def test_ipv6_is_enough(lab: Lab, eventually: Eventually) -> None:
    """Link-local addresses need the name of their link on both sides, or they could not be dialed again."""
    laptop, desktop = lab.add("laptop", "desktop")
    for host, other in ((laptop, desktop), (desktop, laptop)):
        host.forget_ipv4()
        host.accept(other)
    laptop.add("over IPv6")
    laptop.serve()
    desktop.serve()
    eventually(lambda: desktop.texts == {"over IPv6"})
    for host, other in ((laptop, "desktop"), (desktop, "laptop")):
        assert re.match(r"\[fe80::[0-9a-f:]+%[0-9]+\]:", host.peers[other].connected.address)
        assert all("%" in address for address in host.peers[other].addresses)


def test_a_machine_with_another_address_is_found_again(lab: Lab, eventually: Eventually) -> None:
    """It announces the new address at once."""
    laptop, desktop = lab.add("laptop", "desktop")
    laptop.accept(desktop)
    desktop.accept(laptop)
    laptop.serve(alert=True)
    desktop.serve(alert=True)
    eventually(lambda: laptop.peers["desktop"].connected)
    desktop.readdress(77)
    desktop.add("from another place")
    eventually(lambda: laptop.texts == {"from another place"})


def test_a_slow_link_transfers_everything(lab: Lab, eventually: Eventually) -> None:
    """One megabit per second, and texts of more than half a megabyte."""
    if shutil.which("tc") is None:
        pytest.skip("tc is not there")
    laptop, desktop = lab.add("laptop", "desktop")
    laptop.slow_down("1mbit")
    texts = {f"{number} {'word ' * 1000}" for number in range(120)}
    laptop.add(*texts)
    laptop.accept(desktop)
    desktop.accept(laptop)
    laptop.serve()
    desktop.serve()
    eventually(lambda: len(desktop.texts) == len(texts))


def test_a_network_that_loses_packets_transfers_everything(lab: Lab, eventually: Eventually) -> None:
    """Five percent are lost at each end. The machines find each other and agree."""
    if shutil.which("nft") is None:
        pytest.skip("nftables is not there")
    laptop, desktop = lab.add("laptop", "desktop")
    for host, other in ((laptop, desktop), (desktop, laptop)):
        host.lose(5)
        host.accept(other)
        host.add(*(f"{host.name} {number}" for number in range(200)))
        host.serve()
    eventually(lambda: len(laptop.texts) == len(desktop.texts) == 400)


def test_two_machines_that_cannot_reach_each_other_meet_at_a_relay(lab: Lab, eventually: Eventually) -> None:
    """When the wall between them falls, a direct connection replaces the relayed one."""
    laptop, desktop, relay = lab.add("laptop", "desktop", "relay")
    started = relay.start("relay", "--name", relay.address, "--json")
    assert json.loads(started.stdout.readline())["port"] == DEFAULT_RELAY_PORT
    for host, other in ((laptop, desktop), (desktop, laptop)):
        host.isolate()
        config.change(host.home, "relays", [relay.address])
        host.accept(other)
        host.add(f"from the {host.name}")
        host.serve()
    eventually(lambda: laptop.texts == desktop.texts == {"from the laptop", "from the desktop"})
    link = laptop.peers["desktop"].connected
    assert (link.found, link.address) == ("relay", f"relay {relay.address}:{DEFAULT_RELAY_PORT}")
    assert f"via relay {relay.address}" in laptop.run("status")
    laptop.accept(desktop, address=desktop.address)
    for host in (laptop, desktop):
        host.isolate(on=False)
    eventually(lambda: (link := laptop.peers["desktop"].connected) and link.found != "relay")


def test_two_machines_that_cannot_reach_each_other_pair_at_a_relay(lab: Lab, eventually: Eventually) -> None:
    """Each needs only its name and the code. Later they meet there by themselves, and agree."""
    laptop, desktop, relay = lab.add("laptop", "desktop", "relay")
    relay.start("relay", "--name", relay.address, "--json").stdout.readline()
    laptop.run("relays", "add", relay.address)
    for host in (laptop, desktop):
        host.isolate()
        host.add(f"from the {host.name}")
    showing = laptop.start("pair", "--json")
    code = json.loads(showing.stdout.readline())["code"]
    desktop.run("pair", code, "--relay", relay.address)
    assert showing.wait(30) == 0
    for host in (laptop, desktop):
        host.serve()
    eventually(lambda: laptop.texts == desktop.texts == {"from the laptop", "from the desktop"})
    (link,) = (peer.connected for peer in laptop.peers.values())
    assert link.found == "relay"
    assert f"{relay.address}:{DEFAULT_RELAY_PORT}" in desktop.run("relays", "list")


@pytest.mark.parametrize("kind", ["key", "revoked key", "browser", "slow", "flood", "relay", "records"])
def test_attackers_get_nothing_and_do_not_disturb_others(lab: Lab, eventually: Eventually, kind: str) -> None:
    """Devices that trust each other find each other during the attack, and the attacker receives no memory."""
    laptop, desktop, attacker = lab.add("laptop", "desktop", "attacker")
    laptop.accept(desktop)
    desktop.accept(laptop, address=attacker.address if kind == "relay" else None)
    if kind == "revoked key":
        laptop.accept(attacker)
        laptop.run("revoke", attacker.id)
    laptop.add("a secret")
    serving = laptop.serve()
    taken = attacker.attack(kind.removeprefix("revoked "), laptop, desktop)
    desktop.serve()
    eventually(lambda: desktop.texts == {"a secret"})
    eventually(lambda: taken.stat().st_size)
    assert b"a secret" not in taken.read_bytes()
    eventually(lambda: laptop.peers["desktop"].connected)
    if kind == "revoked key":
        assert laptop.peers["attacker"].state == "revoked"
    serving.terminate()
    assert "Traceback" not in serving.communicate(timeout=30)[1]
