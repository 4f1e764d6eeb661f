"""Work that users should not feel."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from memcrdt.search.embedders import background

MAINS = {"type": "Mains", "online": "1"}
BATTERY = {"type": "Battery", "status": "Discharging"}
MOUSE = {"type": "Battery", "status": "Discharging", "scope": "Device"}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these systems have another interface")
@pytest.mark.parametrize(
    ("supplies", "drained"),
    [
        ([], False),
        ([BATTERY], True),
        ([{**BATTERY, "status": "Charging"}], False),
        ([BATTERY, MAINS], False),
        ([BATTERY, {**MAINS, "online": "0"}], True),
        ([MOUSE], False),
        ([{}], False),
    ],
)
def test_the_kernel_says_whether_the_battery_is_drained(
    tmp_path: Path, supplies: list[dict[str, str]], drained: bool
) -> None:
    """A machine without a battery, a charger that is plugged in, and the battery of a mouse do not count."""
    for n, files in enumerate(supplies):
        folder = tmp_path / f"supply{n}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content + "\n")
    assert background.is_on_battery(tmp_path) is drained


def test_this_machine_has_an_answer() -> None:
    """On every platform, without an error."""
    assert background.is_on_battery() in (True, False)


def test_only_the_thread_itself_gets_a_lower_priority() -> None:
    """The threads that users wait for keep theirs."""
    found: list[int] = []

    def work() -> None:
        background.lower_priority()
        if sys.platform == "linux":
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    ours = os.getpriority(os.PRIO_PROCESS, 0) if sys.platform == "linux" else 0
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if sys.platform == "linux":
        assert found == [max(ours, 10)]
        assert os.getpriority(os.PRIO_PROCESS, 0) == ours
