"""Addresses in the form HOST:PORT."""

from __future__ import annotations

import ifaddr
import pytest

from memcrdt.errors import InputError
from memcrdt.model.ports import DEFAULT_PORT
from memcrdt.net.addresses import Address, host_group, own_hosts


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("desk.local", "desk.local", DEFAULT_PORT),
        ("desk.local:4000", "desk.local", 4000),
        ("192.168.1.20:4000", "192.168.1.20", 4000),
        ("[fe80::1]:4000", "fe80::1", 4000),
        ("[fe80::1]", "fe80::1", DEFAULT_PORT),
        ("fe80::1", "fe80::1", DEFAULT_PORT),
        ("[fe80::1%eth0]:4000", "fe80::1%eth0", 4000),
    ],
)
def test_an_address_is_parsed_and_formatted(text: str, host: str, port: int) -> None:
    """Parsing the formatted text gives the same address."""
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":4000", "desk:", "desk:0", "desk:-1", "desk:4x", "desk:٣", "[fe80::1", "[::1]4000", "[desk"),
        *(
            "http://desk",
            "me@desk:1",
            "a b:1",
            "a" * 254,
            "desk\n.local",
            "a..b",
            "a" * 64,
            "a\\b",
            "déjà:1",
            "1::2::3",
        ),
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    """The message shows the right form. Includes names for which resolvers raise errors other than OSError."""
    with pytest.raises(InputError, match="HOST:PORT"):
        Address.parse(text)


def test_the_constructor_checks_host_and_port() -> None:
    """An empty host and port 0 are valid for listening."""
    assert str(Address("", 0)) == ":0"
    for host, port in (("a b", 1), ("", -1), ("", 65536)):
        with pytest.raises(InputError):
            Address(host, port)
    with pytest.raises(InputError, match="65536"):
        Address.parse("desk:65536")


@pytest.mark.parametrize(
    ("host", "same", "other"),
    [
        ("192.168.1.20", "192.168.1.20", "192.168.1.21"),
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::1", "2001:db8:1:3::7"),
        ("fe80::1%2", "fe80::ffff%2", "fe80::1%3"),
    ],
)
def test_all_addresses_that_one_machine_may_take_form_one_group(host: str, same: str, other: str) -> None:
    """With IPv6, a machine can choose the lower 64 bits on each of its links."""
    assert host_group(host) == host_group(same) != host_group(other)


@pytest.mark.parametrize(
    ("interfaces", "hosts"),
    [
        (["127.0.0.1", ("::1", 0, 0), "10.77.0.1", ("fe80::1", 0, 3)], ["10.77.0.1"]),
        (["127.0.0.1"], ["127.0.0.1"]),
    ],
)
def test_the_own_addresses_without_a_router_are_those_of_the_interfaces(
    interfaces: list[str | tuple[str, int, int]], hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between two laptops on a cable. A link-local address would need the name of an interface, too."""
    addresses = [ifaddr.IP(host, 64, "eth0") for host in interfaces]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [ifaddr.Adapter("eth0", "eth0", addresses)])
    monkeypatch.setattr("memcrdt.net.addresses.socket.socket", _without_routes)
    assert own_hosts() == hosts


def _without_routes(*_: object) -> None:
    raise OSError(101, "Network is unreachable")
