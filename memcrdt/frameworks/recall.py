"""Recall and remember: what most frameworks ask of a memory.

A framework either wants the memories themselves (`search`) or a text for the model (`prompt`), which is fenced and
keeps to a budget of tokens.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.frameworks.threads import in_thread
from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.service import recall
from memcrdt.service.answers import MIN_CHARS
from memcrdt.service.service import LIMIT, Saved, Service

CHARS_PER_TOKEN: Final = 4  # of English text; other languages take more tokens
PROMPT_TOKENS: Final = recall.PROMPT_CHARS // CHARS_PER_TOKEN
MESSAGE: Final = "message"  # the kind of a memory that repeats what was said

_LOG: Final = logging.getLogger(__name__)
_HEADING_CHARS: Final = 200  # room for the line above the memories


class Recall:
    """Finds memories for a question, and adds what an agent learned. Each method has an awaitable twin.

    Args:
        service: The calls over the memory. Its context decides the scopes of calls that name none.
        defaults: Arguments of Memory.add() for what is remembered, such as `space`, `kind`, `source` or `trust`.

    Example:
        >>> recall = Recall(Service(memory, Context(project="acme", agent="planner")))
        >>> recall.remember("The client wants invoices in PDF")
        >>> recall.search("how do we send bills?")[0].memory.text
        'The client wants invoices in PDF'
    """

    def __init__(self, service: Service, **defaults: Any) -> None:
        self.service = service
        self._defaults = defaults

    def search(self, query: str, *, scope: str | None = None, limit: int = LIMIT, **options: Any) -> list[Hit]:
        """Return the memories that best answer a question, best first; none for a blank query.

        Args:
            query: A question or keywords.
            scope: A scope, `project`, `agent` or `conversation` for the present one, `all`, or None for the project
                and `global`.
            limit: Maximum number of hits, up to 1,000.
            **options: `min_score`, `fold`, and filters as for Memory.search().
        """
        return self.service.find(query, scope=scope, limit=limit, **options) if query.strip() else []

    def prompt(
        self,
        query: str,
        *,
        scope: str | None = None,
        limit: int = recall.PROMPT_HITS,
        min_score: float = recall.PROMPT_SCORE,
        max_tokens: int = PROMPT_TOKENS,
    ) -> str:
        """Return the memories that match a question well as one block for a model; empty if none does.

        The block says that the memories are data. Their texts cannot close its fence.

        Args:
            query: What the user says.
            scope: As for search().
            limit: Maximum number of memories.
            min_score: Leave out memories below this score, from 0 to 1.
            max_tokens: Maximum length of the block, at four characters for a token.

        Raises:
            InputError: `max_tokens` leaves no room for a memory.
        """
        chars = max_tokens * CHARS_PER_TOKEN
        if chars < MIN_CHARS + _HEADING_CHARS:
            least = (MIN_CHARS + _HEADING_CHARS) // CHARS_PER_TOKEN
            raise InputError(f"max_tokens is {max_tokens!r}; give at least {least}")
        if not recall.is_worth_recall(query):
            return ""
        return recall.prompt_context(
            self.service, query, scope=scope, limit=limit, min_score=min_score, max_chars=chars
        )

    def remember(self, text: str, *, scope: str | None = None, **options: Any) -> Saved:
        """Add a memory, with the agent as its author and the conversation as its source.

        Args:
            text: The text. Maximum: 64 KiB of UTF-8.
            scope: The scope; None for the project, or `global` outside of projects.
            **options: Arguments of Memory.add(), except `allow_secret`. They override the defaults.
        """
        return self.service.add(text, **{**self._defaults, "scope": scope, **options})

    def remember_many(self, items: list[str | Mapping[str, Any]]) -> list[Saved]:
        """Add several memories in one transaction: texts, or mappings with the arguments of remember()."""
        given = [{"text": item} if isinstance(item, str) else dict(item) for item in items]
        return self.service.add_many([{**self._defaults, **item} for item in given])

    def keep(self, said: Iterable[Mapping[str, Any]]) -> None:
        """Add what was said in a conversation, which may be said again: each memory has a key.

        What was forgotten stays forgotten. What cannot be kept, such as a text that looks like a secret, is left out
        with a warning.

        Args:
            said: The arguments of remember() for each memory, as JSON has them, with `key` and `scope`.

        Raises:
            StoreError: The store cannot be written.
        """
        lines = "\n".join(json.dumps({**self._defaults, **item}) for item in said)
        if lines:
            self.service.access.check_write()
            report = self.service.memory.files.import_(BytesIO(lines.encode()), format="jsonl")
            for refused in report.refusals:
                _LOG.warning("a part of a conversation was not remembered: %s", refused.reason)

    def get(self, id: str) -> MemoryRecord:
        """Return one memory. Raises NotFoundError."""
        return self.service.record(id)

    def forget(self, id: str) -> bool:
        """Forget a memory on every device, and return whether it was there. Raises NotFoundError for an unknown id."""
        return self.service.forget(id).count > 0

    asearch = in_thread(search)
    aprompt = in_thread(prompt)
    aremember = in_thread(remember)
    aremember_many = in_thread(remember_many)
    akeep = in_thread(keep)
    aget = in_thread(get)
    aforget = in_thread(forget)


def of_message(text: str, author: str, session: str | None) -> dict[str, Any]:
    """Return what Recall.keep() takes for a message of a conversation, without its scope.

    The same message of the same session is one memory.
    """
    named = json.dumps([session, author, text])
    said = {"text": text, "author": author, "kind": MESSAGE}
    key = f"{MESSAGE}:{hashlib.blake2b(named.encode(), digest_size=16).hexdigest()}"
    return {**said, "key": key, **({"source": f"conversation/{session}"} if session else {})}
