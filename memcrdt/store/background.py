"""Work that is tried again in a thread until it is done, and the thread ends with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from memcrdt.errors import MemcrdtError

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 60.0

_log = logging.getLogger(__name__)


class Background:
    """Calls `work` until it returns True, with pauses that double. Nothing runs while there is nothing to do."""

    def __init__(self, work: Callable[[], bool]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._woken = False

    def wake(self) -> None:
        """There is something to do: soon, not now. Further calls before that are one with this."""
        with self._lock:
            self._woken = True
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="memcrdt background", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after the call of `work` that is under way."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.wait(pause_s):
            with self._lock:
                self._woken = False
            is_done = self._try()
            with self._lock:
                if is_done and not self._woken:
                    self._thread = None
                    return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) if not is_done else FIRST_PAUSE_S

    def _try(self) -> bool:
        try:
            return self._work()
        except MemcrdtError as exc:
            _log.info("tried again later: %s", exc)
            return False
