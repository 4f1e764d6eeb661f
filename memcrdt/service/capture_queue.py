"""The queue of sessions to capture: a small file for each, which a hook writes and a process in the background takes.

Clients kill a hook after 1.5 s, so a hook only notes where the transcript is. Nothing heavy is imported here.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from memcrdt.paths import make_private

FOLDER: Final = "capture"  # in the home
KEPT_S: Final = 90 * 86_400.0  # how long it is remembered how far a session was read
ENTRY_BYTES: Final = 64 * 1024
PATH_CHARS: Final = 4_096

_ENTRY, _TAKEN, _DONE = ".json", ".taken", ".done"


class QueuedSession(NamedTuple):
    """A session whose transcript is to be read.

    Attributes:
        name: A hash of the session.
        transcript: The file.
        session: The id that the client gives it; empty if it gives none.
        project: The name of the project; None outside of projects.
    """

    name: str
    transcript: Path
    session: str
    project: str | None


def enqueue(home: Path, asked: Mapping[str, Any], project: str | None) -> bool:
    """Note the session of a hook. A later event of the same session replaces the entry. Return whether it names one.

    Args:
        home: The folder of the home.
        asked: What the client wrote to the hook.
        project: The name of the project.

    Raises:
        OSError: The entry cannot be written.
    """
    transcript, session = asked.get("transcript_path"), asked.get("session_id") or asked.get("conversation_id")
    if not isinstance(transcript, str) or not 0 < len(transcript) <= PATH_CHARS or "\0" in transcript:
        return False
    session = session[:200] if isinstance(session, str) else ""
    folder = home / FOLDER
    make_private(folder)
    name = hashlib.blake2b(f"{session}\0{transcript}".encode("utf-8", "replace"), digest_size=12).hexdigest()
    entry = {"transcript": transcript, "session": session, "project": project}
    new = folder / f"{name}.{os.getpid()}.new"
    new.write_text(json.dumps(entry), encoding="utf-8")
    os.replace(new, folder / (name + _ENTRY))  # noqa: PTH105 - atomic on every platform
    return True


def take(home: Path) -> Iterator[QueuedSession]:
    """Yield each session of the queue, and remove it when the next one is asked for. One process may do so at a time.

    Entries of a process that ended in the middle are yielded again.
    """
    folder = home / FOLDER
    for left in folder.glob("*" + _TAKEN):
        with suppress(OSError):
            os.replace(left, left.with_suffix(_ENTRY))  # noqa: PTH105
    while entries := sorted(folder.glob("*" + _ENTRY)):
        for entry in entries:
            taken = entry.with_suffix(_TAKEN)
            os.replace(entry, taken)  # noqa: PTH105
            if (queued := _parsed(taken)) is not None:
                yield queued
            taken.unlink(missing_ok=True)


def read_turns(home: Path, name: str) -> int:
    """Return how many turns of a session were captured."""
    try:
        return int((home / FOLDER / (name + _DONE)).read_text(encoding="ascii")[:20])
    except (OSError, ValueError):
        return 0


def note_turns(home: Path, name: str, count: int) -> None:
    """Note how many turns of a session were captured, and drop the notes of old sessions. Raises OSError."""
    folder = home / FOLDER
    make_private(folder)
    (folder / (name + _DONE)).write_text(str(count), encoding="ascii")
    for old in folder.glob("*" + _DONE):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > KEPT_S:
                old.unlink()


def _parsed(entry: Path) -> QueuedSession | None:
    try:
        with entry.open("rb") as file:
            said = json.loads(file.read(ENTRY_BYTES))
        project = said["project"]
        if isinstance(said["transcript"], str) and isinstance(said["session"], str) and isinstance(project, str | None):
            return QueuedSession(entry.stem, Path(said["transcript"]), said["session"], project)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return None
