"""Where a device listens: HOST:PORT."""

from __future__ import annotations

from dataclasses import dataclass

from memcrdt.errors import InputError

DEFAULT_PORT = 27380  # "CRDT" on a telephone's keys, and 0; not registered with IANA, below the ephemeral ports
_HOST_CHARS_MAX = 253  # of a DNS name, RFC 1035


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name, IPv4 or IPv6 address without brackets) and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """HOST, HOST:PORT, [IPv6]:PORT or a bare IPv6 address. Raises InputError for anything else."""
        host, port = text.strip(), str(DEFAULT_PORT)
        if host.startswith("["):
            host, bracket, rest = host[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise _malformed(text)
            port = rest[1:] if rest else port
        elif host.count(":") == 1:
            host, _, port = host.partition(":")
        if not host or len(host) > _HOST_CHARS_MAX or not host.isprintable() or set(host) & set(" /@?#[]"):
            raise _malformed(text)
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
            raise _malformed(text)
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _malformed(text: str) -> InputError:
    return InputError(f"{text[:80]!r} is no address; write HOST:PORT, for example 192.168.1.20:{DEFAULT_PORT}")
