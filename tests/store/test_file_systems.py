"""Tests of the advice about places where a store is not safe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from memcrdt.store import file_systems, overview
from memcrdt.store.file_systems import Mount, advice, parse_mount, parse_proc_mounts, remote_kind
from tests.bare_device import BareDevice

PROC = rb"""/dev/sda1 / ext4 rw 0 0
server:/export /home/ada nfs4 rw,vers=4.2 0 0
//nas/team /mnt/the\040team cifs rw 0 0
/dev/sdb1 /home/ada/local ext4 rw 0 0
ada@host:/ /mnt/ssh fuse.sshfs rw 0 0
/dev/sdc1 /mnt/usb fuseblk rw 0 0
broken
"""
MOUNT = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//ada@nas/team on /Volumes/the team (smbfs, nodev, nosuid, mounted by ada)
server:/export on /Volumes/export (nfs, asynchronous)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
what else
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/ada/memcrdt", "nfs4"),
        ("/home/ada/local/memcrdt", None),
        ("/home/adam", None),
        ("/mnt/the team/memcrdt", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/mnt/usb/memcrdt", None),
        ("/", None),
    ],
)
def test_linux_lists_file_systems_of_other_machines(folder: str, kind: str | None) -> None:
    """The innermost mount counts. Spaces in names are octal numbers."""
    assert remote_kind(PurePosixPath(folder), parse_proc_mounts(PROC)) == kind


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/Users/ada", None), ("/Volumes/the team/x", "smbfs"), ("/Volumes/export", "nfs"), ("/Volumes/other", None)],
)
def test_macos_lists_file_systems_of_other_machines(folder: str, kind: str | None) -> None:
    """By the output of `mount`. Lines of another form are skipped."""
    assert remote_kind(PurePosixPath(folder), parse_mount(MOUNT)) == kind


def test_of_two_mounts_at_one_place_the_last_counts() -> None:
    """It hides the first."""
    place = PurePosixPath("/mnt")
    assert remote_kind(place, [Mount(place, "nfs"), Mount(place, "ext4")]) is None
    assert remote_kind(place, [Mount(place, "ext4"), Mount(place, "nfs")]) == "nfs"


def test_a_system_that_is_on_another_machine_as_a_whole_is_no_reason() -> None:
    """Sandboxes have such a root, which only they write."""
    assert remote_kind(PurePosixPath("/home/ada"), [Mount(PurePosixPath("/"), "9p")]) is None


@pytest.mark.parametrize(
    ("folder", "program"),
    [
        ("Dropbox/x", "Dropbox"),
        ("Dropbox (Personal)", "Dropbox"),
        ("OneDrive - Example", "OneDrive"),
        ("Google Drive/My Drive", "Google Drive"),
        ("Library/Mobile Documents/com~apple~CloudDocs", "iCloud"),
        ("Library/CloudStorage/OneDrive-Personal", "a cloud service"),
        ("dropbox-client", None),
        ("my OneDrive notes", None),
    ],
)
def test_folders_of_cloud_programs_are_known_by_name(tmp_path: Path, folder: str, program: str | None) -> None:
    """Other folders with similar names are not."""
    found = advice(tmp_path / folder / "memories.db")
    assert (found is None) if program is None else (found is not None and f"that {program} synchronizes" in found)


@pytest.mark.parametrize(("marker", "program"), [(".stfolder", "Syncthing"), (".dropbox.cache", "Dropbox")])
def test_folders_that_a_program_has_marked_are_known(tmp_path: Path, marker: str, program: str) -> None:
    """The mark is in any folder above."""
    (tmp_path / marker).mkdir()
    assert program in str(advice(tmp_path / "a" / "b" / "memories.db"))


def test_windows_names_the_folder_of_onedrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, whatever its name is."""
    monkeypatch.setenv("OneDrive", str(tmp_path.resolve()))
    assert "OneDrive" in str(advice(tmp_path / "home" / "memories.db"))


@pytest.mark.parametrize("error", [OSError("no"), ValueError("embedded null byte"), RuntimeError("a circle of links")])
def test_what_the_system_does_not_tell_is_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """There is no advice then."""

    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr(file_systems, "_remote", fail)
    assert advice(tmp_path / "memories.db") is None


def test_opening_warns_once_and_the_status_always(
    device: Callable[..., BareDevice], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store in a good place has no such message."""
    good = device("A")
    assert overview.alarms_of(good.store) == ()
    monkeypatch.setattr(file_systems, "_remote", lambda folder: "nfs")
    bad = device("B")
    bad.reopen()
    assert caplog.text.count("on a file system of another machine (nfs)") == 1
    assert ["(nfs)" in alarm.text for alarm in overview.alarms_of(bad.store)] == [True]
