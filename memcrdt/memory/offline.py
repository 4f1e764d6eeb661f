"""Memories without a folder, which have no device key and no network."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from memcrdt.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from memcrdt.memory.memory import Memory
    from memcrdt.memory.pairing import PairedDevice, PairOptions, WaitingCode
    from memcrdt.memory.sync import Look, Serving


class Offline:
    """A Network and a Pairing that refuse every call with an InputError."""

    def __init__(self, _: Memory) -> None: ...

    def start(self, **options: Any) -> None:
        raise _no_key()

    def asking(self, timeout_s: float | None, peers: list[str] | None) -> AbstractContextManager[Look]:
        raise _no_key()

    def stop(self) -> None: ...

    def serving(self) -> Serving | None:
        return None

    def address(self, text: str) -> str:
        return text

    async def invite(self, options: PairOptions) -> WaitingCode:
        raise _no_key()

    async def join(self, code: str, options: PairOptions, *, at: str | None, find_s: float) -> PairedDevice:
        raise _no_key()

    def spell(self, code: str) -> str:
        return code


def home_of(memory: Memory) -> Path:
    """Return the folder of the memory. Raises InputError for a memory without one."""
    if memory.home is None:
        raise _no_key()
    return memory.home


def _no_key() -> InputError:
    return InputError(
        "a memory without a folder has no device key and cannot sync; open a memory in a folder, or use"
        " memcrdt.testing.exchange() in tests"
    )
