"""Pairing with another device by a short code. `memory.sync.invite()` shows a code, `memory.sync.join()` takes it.

Pairing is asynchronous inside. For callers without an event loop, a thread runs one during the pairing.
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, Self, TypedDict, TypeVar, cast

from memcrdt.errors import InputError, PairingError
from memcrdt.model.checks import check_flag, check_names, check_optional_label, check_timeout
from memcrdt.model.relay_addresses import relay_address
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.serialization import Record

T = TypeVar("T")

EXPIRES_S: Final = 300.0  # lifetime of a code
FIND_S: Final = 60.0  # limit of the search for the other device
CLOSED: Final = "the invitation is closed, so its code is invalid; create another invitation"


@dataclass(frozen=True, slots=True)
class PairedDevice(Record):
    """The result of a pairing: the other device.

    Attributes:
        device: The device id.
        name: The local name of the device.
        address: The address that the device listens at, as HOST:PORT, or None if it is unknown.
        spaces: The spaces shared with the device.
        aside: Old names and new names of local spaces that were renamed, because a space of the other device with the
            same name is now shared here and this device may only read it.
    """

    device: str
    name: str
    address: str | None
    spaces: tuple[str, ...]
    aside: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """The options of a pairing. `spaces` and `read_only` are set on the device that shows the code.

    Attributes:
        spaces: The spaces to share.
        read_only: Whether the other device may only read the spaces.
        name: The local name for the other device. None takes the name that the device announces.
        host: The local address to listen at. An empty text listens on all interfaces.
        mdns: Whether to announce this device and to search on the local network. None takes the setting of config.toml.
        tailscale: Whether to search in the tailnet. None takes the setting of config.toml.
        relay: A relay at which the devices can meet, as HOST:PORT, beside those of the settings and of the spaces. On
            the device where the code is typed, the only way to look for the other one.
    """

    spaces: tuple[str, ...] = (PERSONAL,)
    read_only: bool = False
    name: str | None = None
    host: str = ""
    mdns: bool | None = None
    tailscale: bool | None = None
    relay: str | None = None


class JoinOptions(TypedDict, total=False):
    """The options of Sync.join().

    Attributes:
        name: The local name for the other device. Default: the name that the device announces.
        host: The local address to listen at. Default: all interfaces.
        mdns: Whether to search on the local network. Default: the setting of config.toml.
        tailscale: Whether to search in the tailnet. Default: the setting of config.toml.
        relay: The relay at which the other device waits, as HOST[:PORT]. Default: the search looks at the relays of the
            settings and of the spaces.
    """

    name: str | None
    host: str
    mdns: bool | None
    tailscale: bool | None
    relay: str | None


class InviteOptions(JoinOptions, total=False):
    """The options of Sync.invite(): the options of JoinOptions, and the spaces.

    Attributes:
        spaces: The spaces to share. Default: `personal`.
        read_only: Whether the other device may only read the spaces. Default: False.
    """

    spaces: str | Iterable[str]
    read_only: bool


def invite_options(given: InviteOptions) -> PairOptions:
    """Check the options of Sync.invite(). Raises InputError."""
    _check_known(given, InviteOptions.__annotations__)
    return PairOptions(
        spaces=check_names(given.get("spaces", PERSONAL), "the spaces"),
        read_only=check_flag(given.get("read_only", False), "read_only"),
        name=check_optional_label(given.get("name"), "the device's name"),
        host=given.get("host", ""),
        mdns=given.get("mdns"),
        tailscale=given.get("tailscale"),
        relay=None if (relay := given.get("relay")) is None else relay_address(relay),
    )


def join_options(given: JoinOptions) -> PairOptions:
    """Check the options of Sync.join(). Raises InputError."""
    _check_known(given, JoinOptions.__annotations__)
    return replace(invite_options(cast(InviteOptions, given)), spaces=())


def _check_known(given: Mapping[str, object], known: Iterable[str]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise InputError(f"pairing has no option {unknown[0]!r} here; the options are {', '.join(known)}")


class WaitingCode(Protocol):
    """A code that is valid inside the context. memcrdt.pairing.inviting implements it."""

    addresses: list[str]
    relays: list[str]

    @property
    def code(self) -> object:
        """The code. str() returns its text."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def joined(self, expires_s: float) -> PairedDevice:
        """Wait until the code is typed on another device. Raises PairingError."""
        ...


class Pairing(Protocol):
    """The interface that Sync needs from pairing. memcrdt._open implements it with memcrdt.pairing."""

    async def invite(self, options: PairOptions) -> WaitingCode:
        """Return a code to enter as a context. Raises NotFoundError and InputError for spaces that cannot be shared."""
        ...

    async def join(self, code: str, options: PairOptions, *, at: str | None, find_s: float) -> PairedDevice:
        """Pair with the device that shows the code. Raises InputError, PairingError, UnreachableError."""
        ...

    def spell(self, code: str) -> str:
        """Return a typed code in its canonical form. Raises InputError that names a mistyped word."""
        ...


class AsyncInvitation:
    """A code that is shown to another device: an async context manager.

    Attributes:
        code: The code, such as `7-crossover-granite`. One wrong guess invalidates it.
        addresses: The addresses of this device, as HOST:PORT, for a device that cannot find it.
        relays: The relays at which this device waits, for a device that cannot reach it.
    """

    def __init__(self, waiting: WaitingCode) -> None:
        self._waiting = waiting
        self.code = str(waiting.code)
        self.relays = tuple(waiting.relays)
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
            timeout: Maximum time to wait, in seconds. Default: five minutes.

        Returns:
            The other device.

        Raises:
            PairingError: A wrong code was typed, the time is up, or the invitation is closed.
        """
        limit_s = check_timeout(timeout)
        return await self._waiting.joined(EXPIRES_S if limit_s is None else limit_s)


class Invitation:
    """A code that is shown to another device: a context manager.

    Attributes:
        code: The code, such as `7-crossover-granite`. One wrong guess invalidates it.
        addresses: The addresses of this device, as HOST:PORT, for a device that cannot find it.
        relays: The relays at which this device waits, for a device that cannot reach it.
    """

    def __init__(self, pairing: Pairing, options: PairOptions) -> None:
        self._loop = LoopThread()
        try:
            self._invitation = self._loop.run(_entered(pairing, options))
        except BaseException:  # also KeyboardInterrupt while waiting, to leave no thread behind
            self._loop.close()
            raise
        self.code, self.addresses = self._invitation.code, self._invitation.addresses
        self.relays = self._invitation.relays

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def joined(self, *, timeout: float | None = None) -> PairedDevice:
        """Wait until the code is typed on the other device.

        Args:
            timeout: Maximum time to wait, in seconds. Default: five minutes.

        Returns:
            The other device.

        Raises:
            PairingError: A wrong code was typed, the time is up, or the invitation is closed.
        """
        if not self._loop.is_open:
            raise PairingError(CLOSED)
        return self._loop.run(self._invitation.joined(timeout=timeout))

    def close(self) -> None:
        """Invalidate the code. A second call does nothing."""
        if self._loop.is_open:
            try:
                self._loop.run(self._invitation.__aexit__())
            finally:
                self._loop.close()


async def _entered(pairing: Pairing, options: PairOptions) -> AsyncInvitation:
    return await AsyncInvitation(await pairing.invite(options)).__aenter__()


class LoopThread:
    """An event loop in its own thread, for a caller without a loop."""

    def __init__(self) -> None:
        import asyncio  # here, as in memcrdt.node.background

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="memcrdt-pairing", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether the loop still runs."""
        return not self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. If the caller is interrupted, the coroutine is cancelled."""
        import asyncio

        begun = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return begun.result()
        except BaseException:
            begun.cancel()
            raise

    def close(self) -> None:
        """Wait for all tasks of the loop, and stop it."""
        self.run(_ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _ended() -> None:
    """Wait for all tasks, so that connections are closed properly and announcements are withdrawn."""
    import asyncio

    loop = asyncio.get_running_loop()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
