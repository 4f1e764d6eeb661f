"""The bridge: copies the change feed into a stream of Redis or Valkey, from which other systems take it.

An entry says which memory changed, and not its text: a stream cannot be made to forget. Its id begins with the row of
the log. The position after a batch is written in the same transaction as the batch, so after any crash some changes may
be told twice, and none is left out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from memcrdt.errors import InputError, UnreachableError
from memcrdt.service.access import Access
from memcrdt.service.changes import ChangeReader, Numbered
from memcrdt.store.spaces import LOCAL

try:
    from redis import Redis, exceptions
    from redis.exceptions import WatchError
except ModuleNotFoundError as exc:
    raise InputError("the bridge needs the package redis; install memcrdt[bridge]") from exc

if TYPE_CHECKING:
    from memcrdt.memory.feed import Subscription
    from memcrdt.memory.memory import Memory

log = logging.getLogger("memcrdt.bridge")
T = TypeVar("T")

CONNECT_S: Final = 5.0
ANSWER_S: Final = 30.0
RETRY_S: Final = 0.5  # after the first failure; doubled with each further one
RETRY_MAX_S: Final = 30.0
LOOK_S: Final = 1.0  # between two looks whether the bridge is to end
NAME_CHARS: Final = 512
SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeOptions:
    """Where a bridge copies changes to. The constructor raises InputError.

    Attributes:
        url: The server: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` for TLS, or `unix://PATH`.
        stream: The key of the stream.
        spaces: The spaces; empty: all except `local`.
        from_now: Whether a stream that this home has not written to begins with the next change. Otherwise it begins
            with the memories that exist.
        max_length: The approximate number of entries to keep in the stream; None: all.
    """

    url: str
    stream: str
    spaces: tuple[str, ...] = ()
    from_now: bool = False
    max_length: int | None = None

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in SCHEMES:
            raise InputError("the URL is not one of Redis; write redis://HOST:PORT/DATABASE, or rediss:// for TLS")
        if not self.stream or len(self.stream) > NAME_CHARS:
            raise InputError(f"the name of the stream is empty or too long; the maximum is {NAME_CHARS} characters")
        if LOCAL in self.spaces:
            raise InputError("the space 'local' never leaves this machine; name another one")

    @property
    def server(self) -> str:
        """The server without the password, for messages."""
        parts = urlsplit(self.url)
        return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


class Bridge:
    """Copies the changes of a memory into a stream: `run` until `stop` is set. Not safe between threads.

    Args:
        memory: The memory. It may be read-only.
        options: Where to.

    Raises:
        InputError: The URL is malformed.

    Attributes:
        copied: The number of changes that were copied.
    """

    def __init__(self, memory: Memory, options: BridgeOptions) -> None:
        self._memory = memory
        self._options = options
        self._redis = _client(options)
        self._position_key = f"{{{options.stream}}}:position:{memory.device}"  # the braces keep both keys on one node
        self.copied = 0

    def run(self, stop: threading.Event) -> None:
        """Copy the changes, and wait for more, until `stop` is set. A server that goes away is waited for.

        Raises:
            UnreachableError: The server does not answer at the start.
            InputError: The key is not that of a stream, or the server refuses this client.
            NotFoundError: A space does not exist.
        """
        failures = 0
        with self._memory.changes() as news:  # before the first look, so that no change falls in between
            reader: ChangeReader | None = self._ask(self._reader)
            while not stop.is_set():
                try:
                    reader = reader or self._ask(self._reader)
                    self._copy_all(reader, stop)
                except UnreachableError as exc:
                    if not failures:
                        log.warning("%s; the bridge waits for it", exc)
                    reader, failures = None, min(failures + 1, 10)
                    stop.wait(min(RETRY_MAX_S, RETRY_S * 2**failures))
                    continue
                if failures:
                    log.warning("%s is there again", self._options.server)
                failures = 0
                _wait(news)

    def close(self) -> None:
        """Close the connections to the server."""
        self._redis.close()

    def _copy_all(self, reader: ChangeReader, stop: threading.Event) -> None:
        """Copy the changes that there are. Raises UnreachableError; a further reader reads the changes again."""
        more = True
        while more and not stop.is_set():
            found, more = reader.read()
            self._ask(partial(self._append, found, str(reader.position)))

    def _reader(self) -> ChangeReader:
        known: Any = self._redis.get(self._position_key)
        self._redis.xlen(self._options.stream)  # an error if the key is no stream
        from_start = known is None and not self._options.from_now
        return ChangeReader(self._memory, Access(), self._options.spaces, known, from_start=from_start)

    def _append(self, told: Sequence[Numbered], after: str) -> None:
        """Append the changes, and note the position after them, in one transaction."""
        wanted = [each for each in told if each.change.space != LOCAL]
        pipe: Any  # the types of the package are incomplete
        with self._redis.pipeline(transaction=True) as pipe:
            while True:
                pipe.watch(self._options.stream)  # another writer of the stream makes execute() fail as a whole
                if not wanted and pipe.get(self._position_key) == after:
                    return
                top = self._top(pipe)
                pipe.multi()
                self._queue(pipe, wanted, top, after)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                self.copied += len(wanted)
                return

    def _queue(self, pipe: Any, wanted: Sequence[Numbered], top: int, after: str) -> None:
        stream, limit = self._options.stream, self._options.max_length
        for each in wanted:
            top = max(top, each.row)  # after a restore the rows are lower than those that are in the stream
            pipe.xadd(stream, _fields(each), id=f"{top}-*", maxlen=limit, approximate=True)
        pipe.set(self._position_key, after)

    def _top(self, pipe: Any) -> int:
        """Return the row in the last id of the stream, also of an entry that was deleted; 0 without a stream."""
        if not pipe.exists(self._options.stream):
            return 0
        info: Any = pipe.xinfo_stream(self._options.stream)
        return int(str(info["last-generated-id"]).partition("-")[0])

    def _ask(self, call: Callable[[], T]) -> T:
        """Return the answer of the server. Raises UnreachableError, InputError."""
        server = self._options.server
        try:
            return call()
        except (exceptions.AuthenticationError, exceptions.NoPermissionError) as exc:
            raise InputError(f"{server} refuses this client ({exc}); give user and password in the URL") from exc
        except exceptions.ResponseError as exc:
            if "WRONGTYPE" not in str(exc):
                raise UnreachableError(f"{server} did not take the changes: {exc}") from exc
            raise InputError(f"the key {self._options.stream!r} at {server} is no stream; give another name") from exc
        except exceptions.RedisError as exc:
            raise UnreachableError(
                f"{server} does not answer ({type(exc).__name__}); is Redis or Valkey there?"
            ) from exc


def _wait(news: Subscription) -> None:
    """Wait for a change, for up to a second."""
    if news.get(LOOK_S) is not None:
        while news.poll() is not None:
            pass


def _fields(each: Numbered) -> dict[Any, Any]:
    change = each.change
    return {
        "kind": change.kind,
        "id": change.id,
        "space": change.space,
        "origin": change.origin,
        "at": change.at.isoformat(),
        "row": each.row,
    }


def _client(options: BridgeOptions) -> Redis:
    scheme, colon, rest = options.url.partition(":")
    url = scheme.replace("valkey", "redis") + colon + rest
    try:
        return Redis.from_url(
            url, decode_responses=True, socket_connect_timeout=CONNECT_S, socket_timeout=ANSWER_S, protocol=2
        )
    except ValueError as exc:
        raise InputError(f"the URL of {options.server} is malformed: {exc}") from exc
