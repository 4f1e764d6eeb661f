"""Values under keys for LangChain: a byte store, and a cache of answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.history import LOCAL
from memcrdt.frameworks.values import Values
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.values import parse_json

with needs("langchain"):
    from langchain_core.caches import BaseCache
    from langchain_core.messages import message_to_dict, messages_from_dict
    from langchain_core.outputs import ChatGeneration, Generation
    from langchain_core.stores import ByteStore

if TYPE_CHECKING:
    from memcrdt import AsyncMemory
    from memcrdt.memory.memory import Memory

BYTES_SCOPE: Final = "agent/byte-store"  # apart from what agents recall
CACHE_SCOPE: Final = "agent/llm-cache"


class MemcrdtByteStore(ByteStore):
    """A byte store of LangChain, for example for the documents of a ParentDocumentRetriever.

    Args:
        memory: The memory. It stays open as long as the store is used.
        scope: The scope of the values. The usual one is apart from what agents recall.
        space: The space to share them in; `local` is this machine only.
        allow_secret: Whether to accept text that looks like a secret; None accepts it in `local` alone.
        ttl: The seconds, or timedelta, for which a value is there after it was last set; None for ever.

    Raises:
        InputError: The scope or the ttl is not valid.
        NotFoundError: The space does not exist here.

    Example:
        >>> store = MemcrdtByteStore(memory)
        >>> store.mset([("greeting", b"hello")])
        >>> store.mget(["greeting", "unknown"])
        [b'hello', None]
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory,
        *,
        scope: str = BYTES_SCOPE,
        space: str = PERSONAL,
        allow_secret: bool | None = None,
        ttl: float | timedelta | None = None,
    ) -> None:
        self._values = Values(memory, scope=scope, space=space, allow_secret=allow_secret, ttl=ttl)

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of several keys, None for a key without one."""
        return self._values.get(keys)

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Set the values of several keys. Up to 500 memories with 2 MiB of text are one transaction: all or none.

        Raises:
            InputError: A value needs more than 256 memories of 64 KiB: 12 MiB, or for readable ASCII 16 MiB.
            SecretError: A value looks like a secret.
        """
        self._values.put(dict(key_value_pairs))

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete the values of several keys, on every device that shares the space."""
        self._values.delete(keys)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys, or those with a prefix."""
        yield from self._values.keys(prefix)


class MemcrdtCache(BaseCache):
    """A cache of LangChain for the answers of models. It is in the space `local`, so it never leaves this machine.

    An answer that is not JSON is not cached.

    Args:
        memory: The memory. It stays open as long as the cache is used.
        ttl: The seconds, or timedelta, for which an answer is used; None for ever.

    Raises:
        InputError: The ttl is not valid.

    Example:
        >>> set_llm_cache(MemcrdtCache(memory, ttl=timedelta(days=7)))
    """

    def __init__(self, memory: Memory | AsyncMemory, *, ttl: float | timedelta | None = None) -> None:
        self._values = Values(memory, scope=CACHE_SCOPE, space=LOCAL, ttl=ttl)

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return the answers of a model to a prompt, or None if they are not cached."""
        (known,) = self._values.get([_question(prompt, llm_string)])
        try:
            return None if known is None else [_generation(said) for said in parse_json(known.decode())]
        except (ValueError, TypeError, LookupError):  # of another version, or changed by hand
            return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Cache the answers of a model to a prompt."""
        with suppress(TypeError, ValueError):
            answers = json.dumps([_said(each) for each in return_val]).encode()
            self._values.put({_question(prompt, llm_string): answers})

    def clear(self, **_: Any) -> None:
        """Delete all answers."""
        self._values.clear()


def _question(prompt: str, llm_string: str) -> str:
    said = json.dumps([prompt, llm_string])
    return hashlib.blake2b(said.encode(), digest_size=20).hexdigest()


def _said(generation: Generation) -> dict[str, Any]:
    """Return an answer as JSON."""
    message = message_to_dict(generation.message) if isinstance(generation, ChatGeneration) else None
    return {"text": generation.text, "info": generation.generation_info, "message": message}


def _generation(said: dict[str, Any]) -> Generation:
    """Return the answer that _said() had. Nothing is loaded but messages."""
    if said["message"] is None:
        return Generation(text=said["text"], generation_info=said["info"])
    (message,) = messages_from_dict([said["message"]])
    return ChatGeneration(message=message, generation_info=said["info"])
