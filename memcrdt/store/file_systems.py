"""Recognize places where a store is not safe: file systems of other machines, and folders that a program synchronizes.

SQLite needs locks and shared memory that all its processes see, which file systems of a network promise in vain. A
program that copies single files to the cloud copies a database in pieces, and puts old pieces back.

All of this is advice: what the system does not tell is not known, and nothing here raises an error.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, NamedTuple

_MOUNTS: Final = Path("/proc/self/mounts")
_REMOTE: Final = frozenset(
    (
        *(
            "9p",
            "afpfs",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "davfs",
            "ftp",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
        ),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "webdav"),
    )
)
_REMOTE_FUSE: Final = frozenset(
    (
        *(
            "ceph",
            "davfs",
            "davfs2",
            "gcsfuse",
            "glusterfs",
            "gvfsd-fuse",
            "juicefs",
            "portal",
            "rclone",
            "s3fs",
            "sshfs",
        ),
        "vmhgfs-fuse",
    )
)
_REMOTE_DRIVE: Final = 4  # DRIVE_REMOTE of Windows

# Names of folders, and of files that the programs leave in the folders that they synchronize.
_NAMES: Final = {
    r"Dropbox( \(.+\))?": "Dropbox",
    r"OneDrive( - .+)?": "OneDrive",
    r"Google ?Drive|GoogleDrive-.+|My Drive": "Google Drive",
    r"iCloud ?Drive|Mobile Documents": "iCloud",
    r"CloudStorage": "a cloud service",
}
_MARKERS: Final = {
    ".stfolder": "Syncthing",
    ".dropbox": "Dropbox",
    ".dropbox.cache": "Dropbox",
    ".sync": "Resilio Sync",
}
_VARIABLES: Final = ("OneDrive", "OneDriveConsumer", "OneDriveCommercial")  # where Windows says the folder is

_ADVICE: Final = (
    "The store {path} is {where}. {reason}, so memories may be lost. Move the home to a disk of this machine"
    " ($MEMCRDT_HOME names another), and let memcrdt sync the devices"
)
_SHARED: Final = "Its locks do not protect it from other machines"
_COPIED: Final = "That program copies single files, which tears a database apart"


class Mount(NamedTuple):
    """A mounted file system: its folder, and the name of its type."""

    folder: PurePath
    kind: str


def advice(path: Path) -> str | None:
    """Return, in words for the user, why a store at `path` is in a bad place; None if nothing speaks against it."""
    try:
        folder = path.parent.resolve()
        if (program := _synchronized(folder)) is not None:
            return _ADVICE.format(path=path, where=f"in a folder that {program} synchronizes", reason=_COPIED)
        if (kind := _remote(folder)) is not None:
            return _ADVICE.format(path=path, where=f"on a file system of another machine ({kind})", reason=_SHARED)
    except (OSError, ValueError, RuntimeError):
        pass
    return None


def _synchronized(folder: Path) -> str | None:
    """Return the program that synchronizes a folder, or None."""
    for variable in _VARIABLES:
        if (named := os.environ.get(variable)) and folder.is_relative_to(Path(named)):
            return "OneDrive"
    for parent in (folder, *folder.parents):
        for pattern, program in _NAMES.items():
            if re.fullmatch(pattern, parent.name):
                return program
        for marker, program in _MARKERS.items():
            if (parent / marker).exists():
                return program
    return None


def _remote(folder: Path) -> str | None:
    """Return the type of the file system of a folder if that is another machine's, or None."""
    if os.name == "nt":
        return _remote_drive(folder)
    mounts = parse_proc_mounts(_MOUNTS.read_bytes()) if _MOUNTS.exists() else parse_mount(_listed_mounts())
    return remote_kind(folder, mounts)


def remote_kind(folder: PurePath, mounts: Iterable[Mount]) -> str | None:
    """Return the type of the innermost mount above a folder if that is a file system of another machine, or None."""
    above = [mount for mount in mounts if folder.is_relative_to(mount.folder)]
    if not above:
        return None
    place, kind = max(
        reversed(above), key=lambda mount: len(mount.folder.parts)
    )  # of two at one place, the last counts
    if len(place.parts) == 1:  # the whole system is there, as in a sandbox: nobody else writes it
        return None
    family, _, program = kind.partition(".")
    is_remote = kind in _REMOTE or (family in ("fuse", "fuseblk", "macfuse") and program in _REMOTE_FUSE)
    return kind if is_remote else None


def parse_proc_mounts(data: bytes) -> Iterator[Mount]:
    """Yield the mounts of Linux' list, in which some characters of names are octal numbers."""
    for line in os.fsdecode(data).splitlines():
        if len(fields := line.split(" ")) > 2:
            folder = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[1])
            yield Mount(PurePosixPath(folder), fields[2])


def parse_mount(listed: str) -> Iterator[Mount]:
    """Yield the mounts that the command `mount` of macOS and the BSDs lists."""
    for line in listed.splitlines():
        if found := re.fullmatch(r".+? on (/.*) \(([^,)]+).*\)", line):
            yield Mount(PurePosixPath(found[1]), found[2].strip())


@cache
def _listed_mounts() -> str:
    try:
        return subprocess.run(["mount"], capture_output=True, text=True, timeout=2, check=False).stdout  # noqa: S607 - as the system finds it
    except (OSError, subprocess.SubprocessError):
        return ""


if sys.platform == "win32":
    import ctypes

    def _remote_drive(folder: Path) -> str | None:
        if folder.drive.startswith("\\\\"):
            return "a network share"
        return "a network drive" if ctypes.windll.kernel32.GetDriveTypeW(folder.anchor) == _REMOTE_DRIVE else None
else:

    def _remote_drive(folder: Path) -> str | None:
        return None
