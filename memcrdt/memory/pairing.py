"""Pairing with another device by a short code: `memory.sync.invite()` shows one, `memory.sync.join()` takes one.

Pairing itself is asynchronous. Programs without an event loop get one in a thread for as long as it takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, Self, TypedDict, TypeVar, cast

from memcrdt.errors import InputError
from memcrdt.model.checks import check_flag, check_names, check_optional_label, check_timeout
from memcrdt.model.requests import PERSONAL
from memcrdt.model.serialization import Record

T = TypeVar("T")

EXPIRES_S: Final = 300.0  # how long a code waits
FIND_S: Final = 60.0  # how long the other device is looked for


@dataclass(frozen=True, slots=True)
class PairedDevice(Record):
    """A device that this one is paired with now.

    Attributes:
        device: Its id.
        name: What it is called here.
        address: Where it listens, as HOST:PORT; None if that is not known.
        spaces: The spaces shared with it.
        aside: Our spaces that gave their name to one of its spaces, which we may only read, with their new names.
    """

    device: str
    name: str
    address: str | None
    spaces: tuple[str, ...]
    aside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """The options of a pairing. The side that shows the code says `spaces` and `read_only`.

    Attributes:
        spaces: The spaces to share.
        read_only: Whether the other device may only read them.
        name: What to call the other device here; None: what it calls itself.
        host: The address of this machine to wait at; empty: all interfaces.
        mdns: Whether to find and be found on the local network; None: as config.toml says.
        tailscale: Whether to look for devices in the tailnet; None: as config.toml says.
    """

    spaces: tuple[str, ...] = (PERSONAL,)
    read_only: bool = False
    name: str | None = None
    host: str = ""
    mdns: bool | None = None
    tailscale: bool | None = None


class JoinOptions(TypedDict, total=False):
    """The options of Sync.join(), as in PairOptions."""

    name: str | None
    host: str
    mdns: bool | None
    tailscale: bool | None


class InviteOptions(JoinOptions, total=False):
    """The options of Sync.invite(), as in PairOptions."""

    spaces: str | Iterable[str]
    read_only: bool


def invite_options(given: InviteOptions) -> PairOptions:
    """Check the options of the side that shows a code. Raises InputError."""
    _check_known(given, InviteOptions.__annotations__)
    return PairOptions(
        spaces=check_names(given.get("spaces", PERSONAL), "the spaces"),
        read_only=check_flag(given.get("read_only", False), "read_only"),
        name=check_optional_label(given.get("name"), "the device's name"),
        host=given.get("host", ""),
        mdns=given.get("mdns"),
        tailscale=given.get("tailscale"),
    )


def join_options(given: JoinOptions) -> PairOptions:
    """Check the options of the side on which a code is typed. Raises InputError."""
    _check_known(given, JoinOptions.__annotations__)
    return replace(invite_options(cast(InviteOptions, given)), spaces=())


def _check_known(given: Mapping[str, object], known: Iterable[str]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise InputError(f"pairing has no option {unknown[0]!r} here; its options are {', '.join(known)}")


class WaitingCode(Protocol):
    """A code that waits while it is entered. memcrdt.pairing.inviting implements it."""

    addresses: list[str]

    @property
    def code(self) -> object:
        """The code; str() gives its text."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def joined(self, expires_s: float) -> PairedDevice:
        """Wait for the device on which the code is typed. Raises PairingError."""
        ...


class Pairing(Protocol):
    """What Sync needs of pairing. memcrdt._open provides it, over memcrdt.pairing."""

    async def invite(self, options: PairOptions) -> WaitingCode:
        """Return a code to be entered. Raises NotFoundError and InputError for spaces that can't be shared."""
        ...

    async def join(self, code: str, options: PairOptions, *, at: str | None, find_s: float) -> PairedDevice:
        """Type a code. Raises InputError, PairingError, UnreachableError."""
        ...

    def spell(self, code: str) -> str:
        """Return a typed code as it is shown. Raises InputError, naming a mistyped word."""
        ...


class AsyncInvitation:
    """A code that waits for another device: an async context manager.

    Attributes:
        code: The code, such as `7-crossover-granite`. One wrong guess ends it.
        addresses: Where this device waits, as HOST:PORT, for a device that doesn't find it.
    """

    def __init__(self, waiting: WaitingCode) -> None:
        self._waiting = waiting
        self.code = str(waiting.code)
        self.addresses: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        await self._waiting.__aenter__()
        self.addresses = tuple(self._waiting.addresses)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._waiting.__aexit__(None, None, None)

    async def joined(self, *, timeout: float | None = None) -> PairedDevice:  # noqa: ASYNC109 - as Invitation's
        """Wait until the code is typed on the other device.

        Args:
            timeout: Maximum time to wait, in seconds. Without it: five minutes.

        Raises:
            PairingError: The code was guessed wrong, or the time is over.
        """
        limit_s = check_timeout(timeout)
        return await self._waiting.joined(EXPIRES_S if limit_s is None else limit_s)


class Invitation:
    """A code that waits for another device: a context manager, for programs without an event loop.

    Attributes:
        code: The code, such as `7-crossover-granite`. One wrong guess ends it.
        addresses: Where this device waits, as HOST:PORT, for a device that doesn't find it.
    """

    def __init__(self, pairing: Pairing, options: PairOptions) -> None:
        self._loop = LoopThread()
        try:
            self._invitation = self._loop.run(_entered(pairing, options))
        except BaseException:  # also a Ctrl-C while waiting: no thread is left behind
            self._loop.close()
            raise
        self.code, self.addresses = self._invitation.code, self._invitation.addresses

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def joined(self, *, timeout: float | None = None) -> PairedDevice:
        """Wait until the code is typed on the other device.

        Args:
            timeout: Maximum time to wait, in seconds. Without it: five minutes.

        Raises:
            PairingError: The code was guessed wrong, or the time is over.
        """
        return self._loop.run(self._invitation.joined(timeout=timeout))

    def close(self) -> None:
        """End the code. A second call does nothing."""
        if self._loop.is_open:
            try:
                self._loop.run(self._invitation.__aexit__())
            finally:
                self._loop.close()


async def _entered(pairing: Pairing, options: PairOptions) -> AsyncInvitation:
    return await AsyncInvitation(await pairing.invite(options)).__aenter__()


class LoopThread:
    """An event loop in a thread of its own, for a caller without one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="memcrdt-pairing", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether run() may be called."""
        return not self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. An interrupted caller cancels it."""
        begun = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return begun.result()
        except BaseException:
            begun.cancel()
            raise

    def close(self) -> None:
        """End the loop when everything that was begun in it has ended."""
        self.run(_ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _ended() -> None:
    """Wait for everything that was begun: goodbyes are said, records withdrawn, and connections closed."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
