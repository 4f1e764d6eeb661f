"""Addresses of devices: HOST:PORT."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from memcrdt.errors import InputError
from memcrdt.model.ports import DEFAULT_PORT
from memcrdt.model.values import a_kind

_NAME_CHARS_MAX = 253  # RFC 1035, like 63 for a label; longer names make the resolver raise errors other than OSError
_NAME = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port.

    Attributes:
        host: A name, or an IPv4 or IPv6 address without brackets. Empty: all interfaces of this machine.
        port: The port; 0 for any free one.

    The constructor raises InputError for a host or port that cannot exist.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port < 65536:
            raise InputError(f"{self.port!r} is not a port; choose a number between 1 and 65535")
        if not isinstance(self.host, str) or (self.host and not _is_host(self.host)):
            raise InputError(
                f"{str(self.host)[:80]!r} is not a host; write a name or an IP address, for example 192.168.1.20"
            )

    @classmethod
    def parse(cls, text: str, default_port: int = DEFAULT_PORT) -> Address:
        """Parse HOST, HOST:PORT, [IPv6]:PORT or a bare IPv6 address. Raises InputError for anything else."""
        if not isinstance(text, str):
            raise InputError(f"an address is {a_kind(text)}; give HOST:PORT")
        host, port = text.strip(), ""
        if host.startswith("[") and "]" in host:
            host, _, port = host[1:].partition("]")
        elif host.count(":") == 1:
            host, colon, port = host.partition(":")
            port = colon + port
        if not _is_host(host) or not re.fullmatch(r"(:0*[1-9][0-9]{0,4})?", port, re.ASCII):
            raise InputError(
                f"{text[:80]!r} is not an address; write HOST:PORT, for example 192.168.1.20:{DEFAULT_PORT}"
            )
        return cls(host, int(port[1:]) if port else default_port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_host(text: str) -> bool:
    if ":" not in text:
        return len(text) <= _NAME_CHARS_MAX and _NAME.fullmatch(text) is not None
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


_RELAYED = "relay "


def through(relay: Address) -> str:
    """Return the name, in place of HOST:PORT, of the other end of a connection that a relay joins."""
    return f"{_RELAYED}{relay}"


def relay_of(remote: str) -> str | None:
    """Return the relay, as HOST:PORT, that joins a connection whose other end is named so; None if none does."""
    return remote.removeprefix(_RELAYED) if is_relayed(remote) else None


def is_relayed(remote: str) -> bool:
    """Return whether the other end of a connection, named HOST:PORT or by through(), is behind a relay."""
    return remote.startswith(_RELAYED)


def own_addresses(host: str, port: int) -> list[str]:
    """Return where other machines can dial a listening port of this one, as HOST:PORT.

    Args:
        host: The host that it listens at. Empty: all interfaces.
        port: The port.
    """
    return [str(Address(each, port)) for each in ([host] if host else own_hosts())]


def own_hosts() -> list[str]:
    """Return this machine's addresses that a person can type on another machine. Sends nothing.

    These are the addresses with a route to other networks. Without a router, they are those of the interfaces.
    """
    hosts = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, DEFAULT_PORT))
            hosts.append(probe.getsockname()[0])
    on_one_network = [host for host in interface_hosts() if not ipaddress.ip_address(host).is_link_local]
    return hosts or on_one_network or ["127.0.0.1"]


def interface_hosts() -> list[str]:
    """Return the addresses of this machine's interfaces, except those of the loopback interface."""
    import ifaddr  # with ctypes; most commands open no socket

    addresses = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    hosts = unicast_hosts(address if isinstance(address, str) else address[0] for address in addresses)
    return sorted({host for host in hosts if not ipaddress.ip_address(host).is_loopback})


def unicast_hosts(hosts: Iterable[str]) -> list[str]:
    """Return the hosts that are addresses of a single machine: neither multicast nor unspecified."""
    usable = []
    for host in hosts:
        with suppress(ValueError):
            address = ipaddress.ip_address(host)
            if not address.is_multicast and not address.is_unspecified:
                usable.append(host)
    return usable


def host_group(host: str) -> str:
    """Return a key for all addresses that the machine at an IP address may take: with IPv6 its /64 network."""
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return host
    network = ipaddress.IPv6Address(int(address) >> 64 << 64)
    return f"{network}%{address.scope_id}" if address.scope_id else str(network)


def describe_os_error(problem: OSError) -> str:
    """Return why an address cannot be used, without repeating the address."""
    if isinstance(problem, socket.gaierror):
        return "the name has no address"
    if isinstance(problem, ConnectionRefusedError):
        return "the connection was refused"
    if problem.errno == errno.EADDRNOTAVAIL:
        return "it is not an address of this machine"
    if problem.errno is not None and problem.errno in errno.errorcode:
        return os.strerror(problem.errno)
    return str(problem)
