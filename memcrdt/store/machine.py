"""Which machine this is, and which boot of it: a copied store and a reboot both call for a new client id."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
import uuid
from functools import cache
from pathlib import Path

_LINUX_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LINUX_MACHINE = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@cache
def boot_id() -> str:
    """A name of this boot of the machine: the kernel's, or else the minute at which it was booted."""
    if _LINUX_BOOT.exists():
        return _LINUX_BOOT.read_text().strip()
    if sys.platform == "darwin" and (found := _output("sysctl", "-n", "kern.bootsessionuuid")):
        return found
    return f"minute {round((time.time() - time.monotonic()) / 60)}"


@cache
def machine_id() -> str:
    """A name of this machine that stays the same between boots."""
    for path in _LINUX_MACHINE:
        if path.exists() and (found := path.read_text().strip()):
            return found
    if sys.platform == "darwin" and (found := _output("sysctl", "-n", "kern.uuid")):
        return found
    return f"{platform.node()} {uuid.getnode():012x}"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=2, check=False).stdout.strip()  # noqa: S603 - a fixed command
    except (OSError, subprocess.SubprocessError):
        return ""
