"""Who a device is: an Ed25519 key in a file of its own, and the id that is derived from it.

The key stands beside the store, never in it: a copied store is no copied device. The id is the base32 of
SHA-256 over a tag and the public key, 52 characters. People see it with four check characters, in eight
groups of seven, as Syncthing shows its own: https://docs.syncthing.net/dev/device-ids.html.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memcrdt.errors import CorruptError, InputError, NotFoundError, StoreError
from memcrdt.model.devices import DEVICE_ID_CHARS, KEY_BYTES, device_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE = "device.key"

_FORMAT = "memcrdt device key 1: the private half is secret, never copy it to another device"
_FILE_BYTES_MAX = 4096
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # base32, RFC 4648
_CHECKED_CHARS = 13  # four parts of 13 and a check character each make eight groups of seven
_GROUP_CHARS = 7


class Identity:
    """The key of this installation. `cryptography` is imported only when the key is made or signs."""

    def __init__(self, path: Path, public_key: bytes, private_key: bytes) -> None:
        self.public_key = public_key
        self.device_id = device_id(public_key)
        self._path = path
        self._private_key = private_key
        self._signer: Ed25519PrivateKey | None = None

    @classmethod
    def load_or_create(cls, home: Path) -> Identity:
        """The identity of the installation in the folder `home`; it, and the folder, are made if not there yet.

        Of several processes that come at once, one makes the key and all get the same. Raises StoreError
        when others can read the file or the folder cannot be written, CorruptError when it is no key file.
        """
        path = home / KEY_FILE
        with _translated(path):
            if not path.exists():
                _create(path)
            return cls(path, *_parse(path, _read(path)))

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature (64 bytes). Raises CorruptError when the file's two halves are no pair."""
        if self._signer is None:
            self._signer = self._load_signer()
        return self._signer.sign(message)

    def _load_signer(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        signer = Ed25519PrivateKey.from_private_bytes(self._private_key)
        if signer.public_key().public_bytes_raw() != self.public_key:
            raise CorruptError(f"the two halves of the device key {self._path} are no pair; {_RESTORE}")
        return signer


def device_id_of(home: Path) -> str:
    """The device id of the installation in `home`; nothing is made. Raises NotFoundError when there is none, and
    otherwise what Identity.load_or_create raises."""
    path = home / KEY_FILE
    with _translated(path):
        if not path.exists():
            raise NotFoundError(f"there is no device key in {home}; open it once for writing, or name another home")
        return device_id(_parse(path, _read(path))[0])


_RESTORE = "restore the file from a backup, or move it away to become a new device"


def shown(device: str) -> str:
    """A device id as people read and type it: eight groups of seven, check characters included."""
    parts = (device[at : at + _CHECKED_CHARS] for at in range(0, DEVICE_ID_CHARS, _CHECKED_CHARS))
    checked = "".join(part + _check_character(part) for part in parts)
    return "-".join(checked[at : at + _GROUP_CHARS] for at in range(0, len(checked), _GROUP_CHARS))


def parse_device_id(text: str) -> str:
    """The device id that `text` is, with or without check characters; case, dashes and blanks don't matter.

    Raises InputError that names the groups in which the typing error is.
    """
    plain = "".join(text.upper().replace("-", "").split())
    if strange := sorted(set(plain) - set(_ALPHABET)):
        raise InputError(f"a device id has no {strange[0]!r}: only the letters A to Z and the digits 2 to 7")
    if len(plain) == DEVICE_ID_CHARS + 4:
        plain = _without_checks(plain)
    if len(plain) != DEVICE_ID_CHARS:
        raise InputError(f"a device id has eight groups of seven characters; {text[:80]!r} has {len(plain)} in all")
    if plain[-1] not in "AQ":  # 256 bits leave one bit to the last character
        raise InputError(f"no device id ends in {plain[-1]!r}; copy the whole id from the other device")
    return plain


def _without_checks(checked: str) -> str:
    parts = []
    for index in range(4):
        end = (index + 1) * (_CHECKED_CHARS + 1)
        part, check = checked[end - _CHECKED_CHARS - 1 : end - 1], checked[end - 1]
        if _check_character(part) != check:
            groups = f"{part[:_GROUP_CHARS]}-{part[_GROUP_CHARS:]}{check}"
            raise InputError(f"the device id is mistyped in its groups {2 * index + 1} and {2 * index + 2}: {groups}")
        parts.append(part)
    return "".join(parts)


def _check_character(part: str) -> str:
    """Luhn mod 32: finds every single wrong character, and nearly every swap of neighbours."""
    total = 0
    for position, character in enumerate(part):
        product = _ALPHABET.index(character) * (1 + position % 2)
        total += product // 32 + product % 32
    return _ALPHABET[-total % 32]


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(f"the device key {path}: {exc.strerror or exc}; check the folder and its mode") from exc


def _create(path: Path) -> None:
    """Makes the key file in one step, complete and durable; keeps one that another process made meanwhile."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if path.parent.exists() and not path.parent.is_dir():
        raise StoreError(f"the home {path.parent} is no folder; name a folder, or move the file away")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    content = {
        "format": _FORMAT,
        "public_key": key.public_key().public_bytes_raw().hex(),
        "private_key": key.private_bytes_raw().hex(),
    }
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(json.dumps(content, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path) -> None:
    """Gives the file its name, durably, unless there is one of that name."""
    try:
        if os.name == "nt":
            temporary.rename(path)  # never replaces a file on Windows
            return
        # Where hard links do not exist, neither do file modes, and _read would refuse the key.
        os.link(temporary, path)
    except FileExistsError:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name != "nt" and mode & 0o077:
            raise StoreError(
                f"others can use the device key {path} (mode {mode:04o}); run: chmod 600 {shlex.quote(str(path))}"
            )
        return file.read(_FILE_BYTES_MAX)


def _parse(path: Path, data: bytes) -> tuple[bytes, bytes]:
    """The public and the private half."""
    try:
        content = json.loads(data)
        if content["format"] != _FORMAT:
            raise ValueError(content["format"])
        halves = bytes.fromhex(content["public_key"]), bytes.fromhex(content["private_key"])
    except (ValueError, TypeError, KeyError) as exc:
        raise CorruptError(f"{path} is no device key of this version of memcrdt; {_RESTORE}") from exc
    if any(len(half) != KEY_BYTES for half in halves):
        raise CorruptError(f"the device key {path} is cut short; {_RESTORE}")
    return halves
