"""HOST:PORT as people type it."""

from __future__ import annotations

import pytest

from memcrdt.errors import InputError
from memcrdt.net.addresses import DEFAULT_PORT, Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("desk.local", "desk.local", DEFAULT_PORT),
        ("desk.local:4000", "desk.local", 4000),
        ("192.168.1.20:4000", "192.168.1.20", 4000),
        ("[fe80::1]:4000", "fe80::1", 4000),
        ("[fe80::1]", "fe80::1", DEFAULT_PORT),
        ("fe80::1", "fe80::1", DEFAULT_PORT),
    ],
)
def test_an_address_is_read_and_written(text: str, host: str, port: int) -> None:
    """What is written is read again as the same address."""
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":4000", "desk:", "desk:0", "desk:65536", "desk:-1", "desk:4x", "desk:٣", "[fe80::1", "[::1]4000"),
        *("http://desk", "me@desk:1", "a b:1", "a" * 254, "desk\n.local"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """The message shows how one looks."""
    with pytest.raises(InputError, match="HOST:PORT"):
        Address.parse(text)
