"""Identify this machine and its current boot: a copied store and a reboot both require a new client id."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

_LINUX_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LINUX_MACHINE = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_UNSET = "uninitialized"  # what systemd writes there before the first boot
_MINUTE = "minute "
_MINUTES_APART = 2


@cache
def boot_id() -> str:
    """Return a name of this boot of the machine: the kernel's boot id, or the minute of the boot."""
    if found := _content(_LINUX_BOOT):
        return found
    if sys.platform == "darwin" and (found := _output("sysctl", "-n", "kern.bootsessionuuid")):
        return found
    return f"{_MINUTE}{round((time.time() - time.monotonic()) / 60)}"


def is_same_boot(one: object, other: str) -> bool:
    """Return whether two names mean the same boot. Minutes may differ a little, because clocks are adjusted."""
    if isinstance(one, str) and one.startswith(_MINUTE) and other.startswith(_MINUTE):
        return abs(int(one[len(_MINUTE) :]) - int(other[len(_MINUTE) :])) <= _MINUTES_APART
    return one == other


@cache
def machine_id() -> str:
    """Return the id that the system gave this machine, or "" if it has none, as in most containers.

    The host name and the network's addresses do not count: both change while the machine stays the same.
    """
    for path in _LINUX_MACHINE:
        if (found := _content(path)) not in ("", _UNSET):
            return found
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "kern.uuid")
    return _windows_machine()


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


if sys.platform == "win32":
    import winreg

    def _windows_machine() -> str:
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        except OSError:
            return ""
else:

    def _windows_machine() -> str:
        return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=2, check=False).stdout.strip()  # noqa: S603 - a fixed command
    except (OSError, subprocess.SubprocessError):
        return ""
