"""The identity of a device: an Ed25519 key in its own file, and the id that is derived from the key.

The key file is beside the store and never in it, so a copy of the store is not a copy of the device.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shlex
import stat
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from memcrdt.errors import CorruptError, NotFoundError, StoreError
from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.model.values import parse_json
from memcrdt.paths import make_private, translated_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A kind of key file.

    Attributes:
        name: Its name in the folder.
        restore: What to do when it is damaged, as a part of a sentence.
    """

    name: str
    restore: str


KEY_FILE: Final = KeyFile("device.key", "restore the file from a backup, or move it away to become a new device")

_FORMAT = "memcrdt device key 1: the private half is secret, never copy it to another device"
_FILE_BYTES_MAX = 4096
_TURNS, _TURN_S = 20, 0.05  # how often, and how long, to wait for a process that makes the key

_log = logging.getLogger(__name__)


class Identity:
    """The key of this installation. `cryptography` is imported only to make the key or to sign."""

    def __init__(self, path: Path, public_key: bytes, private_key: bytes, restore: str = KEY_FILE.restore) -> None:
        self.public_key = public_key
        self.device_id = device_id(public_key)
        self._path = path
        self._restore = restore
        self._private_key = private_key
        self._signer: Ed25519PrivateKey | None = None

    @classmethod
    def load_or_create(cls, home: Path, file: KeyFile = KEY_FILE) -> Identity:
        """Return the identity of the installation in the folder `home`. Creates the key and the folder if missing.

        If several processes do this at once, one makes the key and all of them return it.

        Args:
            home: The folder.
            file: The key file in it.

        Raises:
            StoreError: Other users can read the file, or the folder cannot be written.
            CorruptError: The file is not a key file.
        """
        path = home / file.name
        with _translated(path):
            if not path.exists():
                _create(path)
            return cls(path, *_parse(path, file.restore), file.restore)

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes). Raises CorruptError if the two halves of the key do not match."""
        if self._signer is None:
            self._signer = self._load_signer()
        return self._signer.sign(message)

    def _load_signer(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        signer = Ed25519PrivateKey.from_private_bytes(self._private_key)
        if signer.public_key().public_bytes_raw() != self.public_key:
            raise CorruptError(f"the two halves of the device key {self._path} do not match; {self._restore}")
        return signer


def device_id_of(home: Path, file: KeyFile = KEY_FILE) -> str:
    """Return the device id of the installation in `home`, without making a key.

    Args:
        home: The folder.
        file: The key file in it.

    Raises:
        NotFoundError: There is no key.
        StoreError: Other users can read the key file.
        CorruptError: The file is not a key file.
    """
    path = home / file.name
    with _translated(path):
        if not path.exists():
            raise NotFoundError(f"there is no device key in {home}; run `memcrdt init`, or name another home")
        return device_id(_parse(path, file.restore)[0])


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    failure = f"the device key {path} cannot be used"
    with translated_os_errors(failure, "check the permissions of the folder, or name another home"):
        yield


def _create(path: Path) -> None:
    """Create the key file atomically and durably. Keep the file if another process has just created it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if path.parent.exists() and not path.parent.is_dir():
        raise StoreError(f"the home {path.parent} is not a folder; name a folder, or move the file away")
    make_private(path.parent)
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
    """Give the temporary file its final name, durably, unless a file of that name exists."""
    try:
        if os.name == "nt":
            temporary.rename(path)  # never replaces a file on Windows
            return
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:
        _publish_without_links(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _publish_without_links(temporary: Path, path: Path) -> None:
    """Give the temporary file its final name on a file system that has no hard links, such as exFAT.

    An empty file of another name decides which of several processes may do it. It is left only by a process that was
    killed here, and then the rename is done by the next one after a moment.
    """
    turn = path.with_name(f".{path.name}.turn")
    for _ in range(_TURNS):
        try:
            os.close(os.open(turn, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError:
            time.sleep(_TURN_S)
    try:
        if not path.exists():
            temporary.rename(path)
    finally:
        turn.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        if sys.platform != "win32":
            _keep_private(file.fileno(), path)
        return file.read(_FILE_BYTES_MAX)


if sys.platform != "win32":

    def _keep_private(descriptor: int, path: Path) -> None:
        """Check that nobody else can read the key, and take away what the group may do with it.

        Kubernetes gives a group all rights to the files of a volume (fsGroup) at every start. Where that cannot be
        taken back, because the file is another user's or the volume is read-only, it is enough that the group is our
        own.

        Raises:
            StoreError: Other users can read the file.
        """
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if not mode & 0o077:
            return
        if not mode & 0o007:
            try:
                os.fchmod(descriptor, 0o600)
            except OSError:
                if found.st_gid in (os.getegid(), *os.getgroups()):
                    _log.warning(
                        "the group %d can read the device key %s (mode %04o), and this process cannot change that; make"
                        " sure that nobody else is in that group",
                        found.st_gid,
                        path,
                        mode,
                    )
                    return
            else:
                if not stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                    _log.warning("the group could read the device key %s (mode %04o); it can no longer", path, mode)
                    return
        raise StoreError(
            f"other users can read the device key {path} (mode {mode:04o}); run: chmod 600 {shlex.quote(str(path))}"
            " (if that changes nothing, the file system has no modes: move the home, or mount it with umask=077)"
        )


def _parse(path: Path, restore: str) -> tuple[bytes, bytes]:
    """Return the public and the private half of the key in a file."""
    try:
        content = parse_json(_read(path))
        if content["format"] != _FORMAT:
            raise ValueError(content["format"])
        halves = bytes.fromhex(content["public_key"]), bytes.fromhex(content["private_key"])
    except (ValueError, TypeError, KeyError) as exc:
        raise CorruptError(f"{path} is not a device key that this version of memcrdt can read; {restore}") from exc
    if any(len(half) != KEY_BYTES for half in halves):
        raise CorruptError(f"the device key {path} is truncated; {restore}")
    return halves
