"""Capture: statements of the user in a transcript become memories, without a model.

It is off by default (`capture` in config.toml). Each turn of a session is read once, so a memory that the user forgets
does not come back. Texts that the memory has already are not added again, and secrets are refused as everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memcrdt.errors import InputError, SecretError
from memcrdt.importing.transcripts import Transcript, read_transcript, typed_text
from memcrdt.memory.memory import Memory
from memcrdt.model.serialization import Record
from memcrdt.search.query.rerank import DUPLICATE, jaccard
from memcrdt.search.words import word_set
from memcrdt.service import capture_queue
from memcrdt.service.capture_queue import QueuedSession
from memcrdt.service.context import Context
from memcrdt.service.service import Service
from memcrdt.service.user_statements import UserStatement, statements
from memcrdt.store.locks import open_to_lock
from memcrdt.store.locks import take as take_lock

MOST: Final = 20  # memories of one session
TYPED_CHARS: Final = 2_000  # of one turn; most of a longer one was pasted, and is not the user's word
TAG: Final = "captured"
WAIT_S: Final = 30.0  # for another process that works on the queue
_LIKE: Final = 5  # known memories that a statement is compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured(Record):
    """A statement of a transcript.

    Attributes:
        kind: decision, preference, correction, fact, or session for its title.
        text: The text of the memory.
        id: The id of the memory; None if nothing was stored.
        left_out: Why nothing was stored: `known`, `secret` or `dry run`; None if it was stored.
    """

    kind: str
    text: str
    id: str | None = None
    left_out: str | None = None


def capture(
    service: Service, transcript: Transcript, *, scope: str | None = None, skip: int = 0, dry_run: bool = False
) -> list[Captured]:
    """Store the statements of a transcript, and the title of its session.

    Args:
        service: The calls over the memory. Its context has the project and the conversation.
        transcript: The transcript.
        scope: The scope of the memories; None for the project, or `global` outside of projects.
        skip: The number of turns that were captured before.
        dry_run: Whether to store nothing.

    Raises:
        MemcrdtError: The store cannot be written.
    """
    typed = (turn for turn in transcript.turns[skip:] if len(turn) <= TYPED_CHARS)
    found = list(dict.fromkeys(each for turn in typed for each in statements(turn)))[:MOST]
    done = [_store(service, each, scope, dry_run=dry_run) for each in found]
    if transcript.title and len(transcript.turns) > skip:
        done.append(_store_title(service, transcript.title, scope, dry_run=dry_run))
    return done


def capture_said(service: Service, said: str, *, scope: str | None = None) -> list[Captured]:
    """Store the statements in what the user has just said. Arguments and errors as for capture()."""
    return capture(service, Transcript([typed_text(said)]), scope=scope)


def work(home: Path, opener: Callable[[], AbstractContextManager[Memory]]) -> list[Captured]:
    """Capture every session in the queue of a home. If another process does so, wait for it.

    Args:
        home: The folder of the home.
        opener: Opens the memory for writing.

    Raises:
        OSError: The queue cannot be read.
        MemcrdtError: The memory cannot be opened or written. The session stays in the queue.
    """
    done: list[Captured] = []
    with open_to_lock(home / capture_queue.FOLDER / "lock") as lock:
        deadline = time.monotonic() + WAIT_S
        while not take_lock(lock):
            if time.monotonic() > deadline:
                return done  # the other process, or the next one, takes what is left
            time.sleep(0.1)
        with opener() as memory:
            for queued in capture_queue.take(home):
                done += _capture_queued(home, memory, queued)
    return done


def _capture_queued(home: Path, memory: Memory, queued: QueuedSession) -> list[Captured]:
    try:
        transcript = read_transcript(queued.transcript)
    except InputError:  # the client has deleted it
        return []
    context = Context(project=queued.project, agent="user", conversation=queued.session or None)
    skip = capture_queue.read_turns(home, queued.name)
    done = capture(Service(memory, context), transcript, skip=skip)
    capture_queue.note_turns(home, queued.name, len(transcript.turns))
    return done


def _store(service: Service, found: UserStatement, scope: str | None, *, dry_run: bool) -> Captured:
    if _is_known(found.text, (hit.memory.text for hit in service.find(found.text, scope=scope, limit=_LIKE))):
        return Captured(kind=found.kind, text=found.text, left_out="known")
    return _add(service, found.kind, found.text, scope, dry_run=dry_run)


def _store_title(service: Service, title: str, scope: str | None, *, dry_run: bool) -> Captured:
    """Store the title of a session, unless the agent has summed it up itself."""
    text, source = f"Session: {title}", f"conversation/{service.context.conversation}"
    if any(True for _ in service.iterate(scope=scope, kind="session", source=source)):
        return Captured(kind="session", text=text, left_out="known")
    return _add(service, "session", text, scope, dry_run=dry_run)


def _add(service: Service, kind: str, text: str, scope: str | None, *, dry_run: bool) -> Captured:
    if dry_run:
        return Captured(kind=kind, text=text, left_out="dry run")
    try:
        return Captured(kind=kind, text=text, id=service.add(text, scope=scope, kind=kind, tags=[TAG]).id)
    except SecretError:
        return Captured(kind=kind, text=text, left_out="secret")


def _is_known(text: str, others: Iterable[str]) -> bool:
    words = word_set(text)
    return any(jaccard(words, word_set(other)) >= DUPLICATE for other in others)
