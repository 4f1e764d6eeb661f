"""Sessions of the dashboard: a page in the user's browser, with all rights of the user.

The user runs `memcrdt dashboard`. It leaves a code in the home, as a file that only the user can make, and opens a
link with this code. The page sends the code, and gets a secret in exchange; the file is gone, so a code works once.
The page sends the secret in a header, as other clients send their token. There is no cookie: browsers send cookies to
every port of a machine, so another program that listens here would get it, and a foreign page could make use of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import StoreError
from memcrdt.server.callers import Caller, bearer_of
from memcrdt.service.access import Access

CODE_S: Final = 120.0  # a link is opened at once; a browser may start slowly
SESSION_S: Final = 12 * 3_600.0  # a day at work
SESSIONS: Final = 32  # of one server; a further one ends the oldest
NAME: Final = "dashboard"  # the author of what is added there
ADDRESS_FILE: Final = "http.json"
_CODE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NOTE_BYTES: Final = 1_024


class Sessions:
    """The open sessions of a server. They end with it.

    Args:
        home: The folder in which the user leaves codes; None for a memory without one, which has no sessions.
        now: Returns the time in seconds, for the age of sessions.
    """

    def __init__(self, home: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._now = now
        self._sessions: dict[str, Caller] = {}

    async def caller(self, headers: Mapping[str, str]) -> Caller | None:
        """Return the user, if the request has the secret of a session that has not ended."""
        found = self._sessions.get(_hash(bearer_of(headers)))
        return None if found is None or found.ended() else found

    async def begin(self, code: str) -> str | None:
        """Return the secret of a new session for a code that nobody has used; None for any other code."""
        if self._home is None or not await asyncio.to_thread(_take, self._home, code):
            return None
        secret = secrets.token_hex(32)
        while len(self._sessions) >= SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        key, ends_at = _hash(secret), self._now() + SESSION_S
        self._sessions[key] = Caller(NAME, Access(), ended=lambda: key not in self._sessions or self._now() >= ends_at)
        return secret

    def end(self, headers: Mapping[str, str]) -> None:
        """End the session of a request, if it has one."""
        self._sessions.pop(_hash(bearer_of(headers)), None)


def offer(home: Path) -> str:
    """Return a code for a new session of any server of a home. It works once, within two minutes.

    Raises:
        StoreError: The home is not writable.
    """
    code = secrets.token_hex(32)
    with suppress(OSError):
        for old in home.glob("dashboard-*.code"):
            if not _is_fresh(old):
                old.unlink(missing_ok=True)
    try:
        os.close(os.open(_file_of(home, code), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as exc:
        raise StoreError(f"{home} cannot be written ({exc.strerror}); check the disk and its permissions") from exc
    return code


def is_offered(home: Path, code: str) -> bool:
    """Return whether nobody has used a code yet, and it has not expired."""
    return _is_fresh(_file_of(home, code))


def _take(home: Path, code: str) -> bool:
    """Use up a code. Of several who try, one succeeds: a file can be removed once."""
    if not _CODE.fullmatch(code):
        return False
    file = _file_of(home, code)
    is_fresh = _is_fresh(file)
    try:
        file.unlink()
    except OSError:
        return False
    return is_fresh


def _file_of(home: Path, code: str) -> Path:
    return home / f"dashboard-{_hash(code)}.code"  # whoever reads the name of the file does not know the code


def _is_fresh(file: Path) -> bool:
    try:
        return abs(time.time() - file.stat().st_mtime) <= CODE_S
    except OSError:
        return False


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


@contextmanager
def noted_address(home: Path | None, url: str) -> Iterator[None]:
    """Note the address of this process's server in its home, for `memcrdt dashboard`, while the context is entered."""
    if home is None:
        yield
        return
    note = home / ADDRESS_FILE
    said = json.dumps({"pid": os.getpid(), "url": url})
    with suppress(OSError):  # then the dashboard starts a server of its own
        note.write_text(said, encoding="ascii")
    try:
        yield
    finally:
        with suppress(OSError):
            if note.read_text(encoding="ascii") == said:
                note.unlink()


def address_of(home: Path, pid: int) -> str | None:
    """Return the address of the server of the process that runs the network of a home; None if it has none.

    The lock of the home says which process that is, so the note of one that was killed is not taken for it.
    """
    try:
        with (home / ADDRESS_FILE).open("rb") as file:
            note: Any = json.loads(file.read(_NOTE_BYTES))
        return str(note["url"]) if note["pid"] == pid else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
