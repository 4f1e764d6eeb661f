"""The address of a relay as it is written in settings and in signed statements: HOST:PORT."""

from __future__ import annotations

import re
from typing import Final

from memcrdt.errors import InputError
from memcrdt.model.ports import DEFAULT_RELAY_PORT
from memcrdt.model.values import a_kind

RELAYS: Final = 4  # of one home, or of one space: a device keeps a connection to each of them
ADDRESS_CHARS: Final = 260  # a name (RFC 1035) and a port

_HOST: Final = r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})"
_TYPED: Final = re.compile(rf"{_HOST}(?::([0-9]{{1,5}}))?", re.ASCII)
_SIGNED: Final = re.compile(rf"{_HOST}:([1-9][0-9]{{0,4}})", re.ASCII)
_PORT_MAX: Final = 65_535


def relay_address(text: object) -> str:
    """Return a typed address, HOST or HOST:PORT, in the form in which statements have it. Raises InputError."""
    if not isinstance(text, str):
        raise InputError(f"the address of the relay is {a_kind(text)}; give HOST or HOST:PORT")
    found = _TYPED.fullmatch(text.strip())
    if found is None or not 1 <= int(found[2] or DEFAULT_RELAY_PORT) <= _PORT_MAX:
        raise InputError(
            f"{text[:80]!r} is not the address of a relay; write HOST or HOST:PORT, for example"
            f" relay.example:{DEFAULT_RELAY_PORT}"
        )
    return f"{found[1].lower()}:{int(found[2] or DEFAULT_RELAY_PORT)}"


def is_relay_address(value: object) -> bool:
    """Return whether a value from another device is an address as relay_address() returns it."""
    if not isinstance(value, str) or len(value) > ADDRESS_CHARS:
        return False
    found = _SIGNED.fullmatch(value)
    return found is not None and int(found[2]) <= _PORT_MAX and value == value.lower()
