"""Device ids, which are derived from public keys.

A device id is the base32 encoding of SHA-256 over a tag and the public key: 52 characters. People see it with four
check characters, in eight groups of seven, like the ids of Syncthing: https://docs.syncthing.net/dev/device-ids.html.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol

from memcrdt.errors import InputError
from memcrdt.model.values import a_kind

KEY_BYTES: Final = 32  # of an Ed25519 key, the private half as well as the public one
DEVICE_ID_CHARS: Final = 52

_ID_TAG = b"memcrdt device id\0"
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # base32, RFC 4648
_CHECKED_CHARS: Final = 13  # four parts of 13 and a check character each make eight groups of seven
_GROUP_CHARS: Final = 7


class Signer(Protocol):
    """A holder of a device's key, such as memcrdt.net.identity.Identity."""

    public_key: bytes
    device_id: str

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes) of `message`."""
        ...


@lru_cache(4_096)  # each statement names its signer by its key, and is read often
def device_id(public_key: bytes) -> str:
    """Return the id of the device that holds the private half of `public_key` (32 bytes)."""
    import base64
    import hashlib  # takes 5 ms to load, and a reader may need no id

    return base64.b32encode(hashlib.sha256(_ID_TAG + public_key).digest()).decode().rstrip("=")


def shown(device: str) -> str:
    """Return a device id as people read and type it: in eight groups of seven, with check characters."""
    parts = (device[at : at + _CHECKED_CHARS] for at in range(0, DEVICE_ID_CHARS, _CHECKED_CHARS))
    checked = "".join(part + _check_character(part) for part in parts)
    return "-".join(checked[at : at + _GROUP_CHARS] for at in range(0, len(checked), _GROUP_CHARS))


def is_device_id(text: str) -> bool:
    """Return whether `text` has the form of a device id, which shown() needs. Check texts from other devices first."""
    return len(text) == DEVICE_ID_CHARS and set(text) <= set(_ALPHABET)


def parse_device_id(text: object) -> str:
    """Return the device id in `text`, with or without check characters. Case, dashes and blanks do not matter.

    Raises InputError that names the groups with the typing error.
    """
    if not isinstance(text, str):
        raise InputError(f"a device id is {a_kind(text)}; give a string, as `memcrdt peers` shows it")
    plain = "".join(text.upper().replace("-", "").split())
    if strange := sorted(set(plain) - set(_ALPHABET)):
        raise InputError(
            f"a device id cannot contain {strange[0]!r}, only the letters A to Z and the digits 2 to 7;"
            " `memcrdt peers` lists ids"
        )
    if len(plain) == DEVICE_ID_CHARS + 4:
        plain = _without_checks(plain)
    if len(plain) != DEVICE_ID_CHARS:
        raise InputError(
            f"a device id has eight groups of seven characters, but {text[:80]!r} has {len(plain)} in all; give the"
            " whole id, as `memcrdt peers` shows it"
        )
    if plain[-1] not in "AQ":  # 256 bits leave one bit for the last character
        raise InputError(f"no device id ends in {plain[-1]!r}; copy the whole id from the other device")
    return plain


def _without_checks(checked: str) -> str:
    parts = []
    for index in range(4):
        end = (index + 1) * (_CHECKED_CHARS + 1)
        part, check = checked[end - _CHECKED_CHARS - 1 : end - 1], checked[end - 1]
        if _check_character(part) != check:
            groups = f"{part[:_GROUP_CHARS]}-{part[_GROUP_CHARS:]}{check}"
            raise InputError(
                f"the device id is mistyped in groups {2 * index + 1} and {2 * index + 2}: {groups}; compare them"
            )
        parts.append(part)
    return "".join(parts)


def _check_character(part: str) -> str:
    """Return the check character by Luhn mod 32, which finds every wrong character and most swaps of neighbours."""
    total = 0
    for position, character in enumerate(part):
        product = _ALPHABET.index(character) * (1 + position % 2)
        total += product // 32 + product % 32
    return _ALPHABET[-total % 32]
