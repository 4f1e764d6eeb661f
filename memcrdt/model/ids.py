"""ULIDs: 48 bits of milliseconds and 80 of randomness in 26 characters that sort by time.

Source: the ULID specification, https://github.com/ulid/spec.
"""

from __future__ import annotations

import hashlib
import re

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
ULID_CHARS = 26
RANDOM_BYTES = 10
_RANDOM_BITS = 8 * RANDOM_BYTES
_BITS = 48 + _RANDOM_BITS
_STEP = (1 << 64) - 1  # 65,536 of them make a millisecond


def is_ulid(text: object) -> bool:
    """Whether `text` is a ULID in its canonical, upper-case form."""
    return isinstance(text, str) and len(text) == ULID_CHARS and _ULID.fullmatch(text) is not None


def next_ulid(previous: str | None, now_ms: int, random: bytes) -> str:
    """A ULID for `now_ms` from 10 random bytes, above `previous` (unless that is nearly the last there is).

    Within one millisecond, or when the clock is behind it, it is `previous` plus something random. So items added in a
    row sort in the order in which they were added, and two devices that both go on from the same one don't take the
    same: of two revisions under one key, one would be lost.
    """
    number = int.from_bytes(random[:RANDOM_BYTES], "big")
    fresh = (now_ms << _RANDOM_BITS) | number
    if previous is not None:
        last = _decode(previous)
        above = last + 1 + (number & _STEP)
        if now_ms <= last >> _RANDOM_BITS and above < 1 << _BITS:
            fresh = above
    return _encode(fresh)


def ulid_time_ms(ulid: str) -> int:
    """The milliseconds since 1970 that a time-ordered ULID was made at."""
    return _decode(ulid) >> _RANDOM_BITS


def derive(*parts: str | int) -> tuple[str, bytes]:
    """The id (26 characters) and salt (16 bytes) that any device derives from the same parts.

    Used for keyed and imported items; such an id carries no time.
    """
    message = b"".join(len(part).to_bytes(8, "big") + part for part in (str(p).encode() for p in parts))
    digest = hashlib.blake2b(message, digest_size=32, person=b"memcrdt key").digest()
    return _encode(int.from_bytes(digest[:16], "big")), digest[16:]


def _encode(number: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def _decode(ulid: str) -> int:
    number = 0
    for character in ulid:
        number = (number << 5) | _ALPHABET.index(character)
    return number
