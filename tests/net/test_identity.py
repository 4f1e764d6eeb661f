"""The device key and its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memcrdt.errors import CorruptError, NotFoundError, StoreError
from memcrdt.net import identity
from memcrdt.net.identity import Identity, device_id_of

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")


def test_the_key_is_made_once_and_stays(tmp_path: Path) -> None:
    """The second call reads the file of the first. The folder has no other file."""
    first = Identity.load_or_create(tmp_path)
    second = Identity.load_or_create(tmp_path)
    assert first.device_id == second.device_id == device_id_of(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["device.key"]


@posix_only
def test_only_the_owner_can_read_the_key_file(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask allows."""
    Identity.load_or_create(tmp_path)
    assert (tmp_path / "device.key").stat().st_mode & 0o777 == 0o600


@posix_only
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o664, 0o602])
def test_a_key_that_other_users_can_read_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    """The message contains the command that fixes the mode, and the command works."""
    Identity.load_or_create(tmp_path)
    path = tmp_path / "device.key"
    path.chmod(mode)
    with pytest.raises(StoreError, match="chmod 600") as caught:
        Identity.load_or_create(tmp_path)
    subprocess.run(str(caught.value).rpartition("run: ")[2].partition(" (if")[0], shell=True, check=True)
    assert Identity.load_or_create(tmp_path).device_id


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o660, 0o620])
def test_the_rights_of_the_group_are_taken_back(tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    """Kubernetes gives a group all rights to a volume at every start. A message says so."""
    known = Identity.load_or_create(tmp_path).device_id
    (tmp_path / "device.key").chmod(mode)
    assert Identity.load_or_create(tmp_path).device_id == known
    assert (tmp_path / "device.key").stat().st_mode & 0o777 == 0o600
    assert "the group could read" in caplog.text


@posix_only
def test_our_own_group_may_keep_its_rights_where_they_cannot_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The volume is read-only, or its files are another user's. Another group's rights are refused."""
    known = Identity.load_or_create(tmp_path).device_id
    (tmp_path / "device.key").chmod(0o660)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    assert Identity.load_or_create(tmp_path).device_id == known
    assert "make sure that nobody else is in that group" in caplog.text
    monkeypatch.setattr(os, "getegid", lambda: 4_000_000)
    monkeypatch.setattr(os, "getgroups", list)
    with pytest.raises(StoreError, match="other users can read"):
        Identity.load_or_create(tmp_path)


@posix_only
def test_a_key_is_made_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have none. A process that was killed on the way there holds up nobody for long."""
    monkeypatch.setattr(identity, "_TURN_S", 0)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / ".device.key.turn").touch()
    known = Identity.load_or_create(tmp_path).device_id
    assert Identity.load_or_create(tmp_path).device_id == known
    assert [path.name for path in tmp_path.iterdir()] == ["device.key"]


def test_processes_that_race_get_the_same_key(tmp_path: Path) -> None:
    """Four processes that make the key at the same time print one id, and leave one file."""
    code = (
        "import sys, pathlib; from memcrdt.net.identity import Identity; sys.stdin.read();"
        "print(Identity.load_or_create(pathlib.Path(sys.argv[1])).device_id)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for process in processes:
        process.stdin.close()
    ids = {process.stdout.read().strip() for process in processes}
    for process in processes:
        process.stdout.close()
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert ids == {device_id_of(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["device.key"]


def test_an_id_is_read_without_importing_cryptography(tmp_path: Path) -> None:
    """Commands that need only the id do not load the signing library."""
    Identity.load_or_create(tmp_path)
    code = (
        "import sys, pathlib; from memcrdt.net.identity import device_id_of; device_id_of(pathlib.Path(sys.argv[1]));"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


def test_a_signature_verifies_with_the_public_key(tmp_path: Path) -> None:
    """Ed25519, 64 bytes, with a key read from the file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Identity.load_or_create(tmp_path)
    device = Identity.load_or_create(tmp_path)
    Ed25519PublicKey.from_public_bytes(device.public_key).verify(device.sign(b"message"), b"message")


@pytest.mark.parametrize(
    "content", [b"[" * 4_000, b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": "of another program"}']
)
def test_a_file_that_is_not_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """It is never overwritten, because it may be the only copy of something."""
    path = tmp_path / "device.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(CorruptError, match="move it away"):
        Identity.load_or_create(tmp_path)
    assert path.read_bytes() == content


def test_a_truncated_key_is_refused(tmp_path: Path) -> None:
    """Both halves must have 32 bytes."""
    _rewrite(tmp_path, private_key="00ff")
    with pytest.raises(CorruptError, match="truncated"):
        Identity.load_or_create(tmp_path)


def test_halves_that_do_not_match_do_not_sign(tmp_path: Path) -> None:
    """Checked before the first signature, when cryptography is loaded anyway."""
    _rewrite(tmp_path, private_key="00" * 32)
    device = Identity.load_or_create(tmp_path)
    with pytest.raises(CorruptError, match="do not match"):
        device.sign(b"message")


def test_the_home_is_created_with_the_key(tmp_path: Path) -> None:
    """Readable by its owner only, with all parent folders."""
    home = tmp_path / "share" / "memcrdt"
    Identity.load_or_create(home)
    assert (home / "device.key").is_file()


def test_reading_the_id_creates_nothing(tmp_path: Path) -> None:
    """A missing home stays missing."""
    with pytest.raises(NotFoundError, match="nowhere"):
        device_id_of(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """An OSError is never raised as such."""
    home = tmp_path / "file"
    home.write_text("mine")
    with pytest.raises(StoreError, match="is not a folder"):
        Identity.load_or_create(home)
    assert home.read_text() == "mine"


def _rewrite(home: Path, **changes: str) -> None:
    Identity.load_or_create(home)
    path = home / "device.key"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
