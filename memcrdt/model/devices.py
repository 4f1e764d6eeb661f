"""What a device is called: an id that is derived from its public key."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

KEY_BYTES: Final = 32  # of an Ed25519 key, the private half as well as the public one
DEVICE_ID_CHARS: Final = 52

_ID_TAG = b"memcrdt device id\0"


def device_id(public_key: bytes) -> str:
    """The id of the device that holds the private half of `public_key` (32 bytes)."""
    return base64.b32encode(hashlib.sha256(_ID_TAG + public_key).digest()).decode().rstrip("=")
