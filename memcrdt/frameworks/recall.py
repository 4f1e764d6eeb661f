"""Recall and remember: what most frameworks ask of a memory.

A framework either wants the memories themselves (`search`) or a text for the model (`prompt`), which is fenced and
keeps to a budget of tokens.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from memcrdt.errors import InputError, NotFoundError
from memcrdt.frameworks.services import opened
from memcrdt.frameworks.threads import in_thread
from memcrdt.model.limits import RESULTS
from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.service import recall
from memcrdt.service.access import Access
from memcrdt.service.answers import MIN_CHARS, answer, check_chars
from memcrdt.service.context import Context
from memcrdt.service.service import LIMIT, MOST, Saved, Service
from memcrdt.service.transfer import LineImport

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

Action: TypeAlias = Literal["create", "update", "delete"]

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
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

    def tell(
        self, query: str, *, scope: str | None, limit: int, offset: int, max_tokens: int, **filters: Any
    ) -> tuple[str, list[Hit]]:
        """Return a page of what search() finds, as a fenced text for a model and as hits.

        Args:
            query: A question or keywords.
            scope: As for search().
            limit: Maximum number of memories, up to 100.
            offset: Number of memories to skip, up to 900.
            max_tokens: Maximum length of the text, at four characters for a token.
            **filters: As for search().
        """
        if not 1 <= limit <= MOST or not 0 <= offset <= RESULTS - MOST:
            raise InputError(f"the limit is {limit} and the offset {offset}; give 1 to 100, and 0 to 900")
        hits = self.search(query, scope=scope, limit=limit + offset, **filters)[offset:]
        told = answer(hits, self.service.origins(hits), (), max_chars=check_chars(max_tokens * CHARS_PER_TOKEN))
        return told.text or "No memory matches. Try other words.", hits

    def manage(self, action: Action, content: str | None, id: str | None, *, scope: str | None = None) -> str:
        """Do what a model asks for, and return what was done.

        Args:
            action: `create`, `update` or `delete`.
            content: The text to create, or to update to.
            id: The id of the memory to update or delete.
            scope: The scope of a new memory, as for remember().

        Raises:
            InputError: The action lacks an argument, or has one too many.
        """
        if action == "create" and id is not None:
            raise InputError("a new memory has no id yet; leave out the id, or update")
        if action != "create" and id is None:
            raise InputError(f"{action} needs the id of the memory; search shows it")
        if action != "delete" and content is None:
            raise InputError(f"{action} needs the content")
        if action == "create":
            saved = self.remember(str(content), scope=scope)
            return f"memory {saved.id} says this already" if saved.known else f"created memory {saved.id}"
        if action == "update":
            return f"updated memory {self.service.update(str(id), text=content).id}"
        return f"deleted memory {id}" if self.forget(str(id)) else f"memory {id} was deleted before"

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
            ReadOnlyError: The caller may not write.
            StoreError: The store cannot be written.
        """
        lines = [json.dumps({**self._defaults, **item}).encode() for item in said]
        for line in LineImport(self.service).take(lines) if lines else ():
            if not line.ok:
                _LOG.warning("a part of a conversation was not remembered: %s", line.reason)

    def get(self, id: str) -> MemoryRecord:
        """Return one memory. Raises NotFoundError."""
        return self.service.record(id)

    def forget(self, id: str) -> bool:
        """Forget a memory on every device, and return whether it was there. Raises NotFoundError for an unknown id."""
        return self.service.forget(id).count > 0

    def forget_in(self, scope: str, id: str) -> None:
        """Forget a memory on every device if it is in a scope. Any other id does nothing."""
        with suppress(InputError, NotFoundError):  # no id of ours, or forgotten meanwhile
            if self.get(id).scope == scope:
                self.forget(id)

    asearch = in_thread(search)
    aprompt = in_thread(prompt)
    aremember = in_thread(remember)
    aremember_many = in_thread(remember_many)
    akeep = in_thread(keep)
    aget = in_thread(get)
    aforget = in_thread(forget)
    aforget_in = in_thread(forget_in)


def recall_of(memory: Memory | AsyncMemory | Recall, *, space: str | None = None, **context: str | None) -> Recall:
    """Return the calls over a memory, for an agent.

    Args:
        memory: The memory, or calls that exist already.
        space: The only space that the agent sees and writes; None for all of them, and `personal` for what is new.
        **context: `project`, `agent` and `conversation`, as for Context.

    Raises:
        InputError: There are calls already, and a context or a space for them.
        NotFoundError: The space does not exist here.
    """
    if not isinstance(memory, Recall):
        access = Access(spaces=None if space is None else (space,))
        service = Service(opened(memory), Context(**context), access)
        if space is not None:
            service.check_space(space)
        return Recall(service)
    given = [name for name, value in {"space": space, **context}.items() if value is not None]
    if given:
        raise InputError(f"{given[0]} is given beside a Recall, which has a context; give it there")
    return memory


def of_message(
    text: str,
    author: str | None,
    session: str | None,
    *,
    kind: str = MESSAGE,
    id: str | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """Return what Recall.keep() takes for a message of a conversation, without its scope.

    The same message of the same session is one memory: one with the same id, or with the same author, text and time.
    """
    time = {"created_at": at.isoformat()} if at else {}
    named = json.dumps([session, author, text, *time.values()])
    key = f"{session or ''}/{id}" if id else hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
    source = {"source": f"conversation/{session}"} if session else {}
    return {"text": text, "author": author or None, "kind": kind, "key": f"{kind}:{key}", **time, **source}
