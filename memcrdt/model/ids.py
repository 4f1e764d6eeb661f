"""ULIDs: 48 bits of milliseconds and 80 of randomness in 26 characters that sort by time.

Source: the ULID specification, https://github.com/ulid/spec.
"""

from __future__ import annotations

import re

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_PAIRS = [one + other for one in _ALPHABET for other in _ALPHABET]
_AS_INT = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # the digits that int() takes
ULID_CHARS = 26
RANDOM_BYTES = 10
_RANDOM_BITS = 8 * RANDOM_BYTES
_BITS = 48 + _RANDOM_BITS
_STEP = (1 << 64) - 1  # 65,536 of them make a millisecond


def is_ulid(text: object) -> bool:
    """Return whether `text` is a ULID in its canonical form, in upper case."""
    return isinstance(text, str) and len(text) == ULID_CHARS and _ULID.fullmatch(text) is not None


def next_ulid(previous: str | None, now_ms: int, random: bytes) -> str:
    """Return a ULID for `now_ms` that is greater than `previous`, unless `previous` is nearly the last possible ULID.

    Within one millisecond, or when the clock is behind `previous`, the result is `previous` plus a random number. So
    items sort in the order in which they were added. Two devices that continue from the same ULID make different ones:
    if two revisions had one key, one of them would be lost.

    Args:
        previous: The last ULID, or None.
        now_ms: The time in ms since 1970.
        random: 10 random bytes.
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
    """Return the time of a ULID in ms since 1970."""
    return _decode(ulid) >> _RANDOM_BITS


def derive(*parts: str | int) -> tuple[str, bytes]:
    """Return the id (26 characters) and the salt (16 bytes) that every device derives from the same parts.

    Keyed and imported items have such ids. They carry no time.
    """
    import hashlib  # takes 5 ms to load, and readers derive nothing

    message = b"".join(len(part).to_bytes(8, "big") + part for part in (str(p).encode() for p in parts))
    digest = hashlib.blake2b(message, digest_size=32, person=b"memcrdt key").digest()
    return _encode(int.from_bytes(digest[:16], "big")), digest[16:]


def _encode(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def _decode(ulid: str) -> int:
    return int(ulid.translate(_AS_INT), 32)
