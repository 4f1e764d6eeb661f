"""Work in the background that users should not feel: threads of low priority, and whether a battery is drained."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

_NICENESS: Final = 10  # of 19: everything that a user waits for goes first
_SUPPLIES: Final = Path("/sys/class/power_supply")

if sys.platform == "win32":
    import ctypes

    _LOWEST: Final = -2

    def lower_priority() -> None:
        """Lower the priority of the calling thread."""
        kernel = ctypes.windll.kernel32
        kernel.GetCurrentThread.restype = ctypes.c_void_p
        kernel.SetThreadPriority(ctypes.c_void_p(kernel.GetCurrentThread()), _LOWEST)

    def is_on_battery() -> bool:
        """Return whether this machine runs on its battery. False if that is unknown."""
        status = (ctypes.c_ubyte * 12)()  # SYSTEM_POWER_STATUS; the first byte is 0 without power from the line
        return bool(ctypes.windll.kernel32.GetSystemPowerStatus(status)) and status[0] == 0

elif sys.platform == "darwin":
    _THREAD, _BACKGROUND = 3, 0x1000  # PRIO_DARWIN_THREAD, PRIO_DARWIN_BG: in os since Python 3.12
    _ANSWER_S: Final = 5.0

    def lower_priority() -> None:
        """Lower the priority of the calling thread."""
        with suppress(OSError):
            os.setpriority(_THREAD, 0, _BACKGROUND)

    def is_on_battery() -> bool:
        """Return whether this machine runs on its battery. False if that is unknown."""
        try:
            asked = subprocess.run(["/usr/bin/pmset", "-g", "batt"], capture_output=True, check=True, timeout=_ANSWER_S)
        except (OSError, subprocess.SubprocessError):
            return False
        return b"'Battery Power'" in asked.stdout

else:

    def lower_priority() -> None:
        """Lower the priority of the calling thread. On Linux, a priority belongs to a thread."""
        if sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)

    def is_on_battery(supplies: Path = _SUPPLIES) -> bool:
        """Return whether this machine runs on its battery. False if that is unknown.

        Args:
            supplies: The folder in which the kernel describes the power supplies.
        """
        kinds = {supply: _read(supply / "type") for supply in supplies.glob("*")}
        if any(kind != "Battery" and _read(supply / "online") == "1" for supply, kind in kinds.items()):
            return False
        return any(
            kind == "Battery" and _read(supply / "scope") != "Device" and _read(supply / "status") == "Discharging"
            for supply, kind in kinds.items()
        )

    def _read(path: Path) -> str:
        with suppress(OSError):
            return path.read_text("ascii", "replace").strip()
        return ""
