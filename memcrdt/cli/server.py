"""The network of one home in the foreground: runs until it is told to end, and says where it listens."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from memcrdt.cli.output import Printer, say
from memcrdt.memory import Memory
from memcrdt.node import Node

POLL_S: Final = 0.1  # how soon we say that the listening began or ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Who we are, and where others reach us. Port and addresses are None and empty while nobody is accepted."""

    device: str
    port: int | None
    addresses: tuple[str, ...]


def run(memory: Memory, printer: Printer, *, host: str, port: int) -> None:
    """Returns when the process is asked to end (SIGTERM). Raises KeyboardInterrupt, and what entering a Node does."""
    asyncio.run(_serve(memory, printer, (host, port)))


async def _serve(memory: Memory, printer: Printer, address: tuple[str, int]) -> None:
    ended = asyncio.Event()
    with suppress(NotImplementedError):  # Windows has no such handlers; ending the process ends the rest
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    host, port = address
    async with Node(memory, host=host, port=port) as node:
        said: Listening | None = None
        while not ended.is_set():
            said = _say_where(printer, node, said)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), POLL_S)


def _say_where(printer: Printer, node: Node, said: Listening | None) -> Listening:
    if said is not None and said.port == node.port:
        return said
    now = Listening(device=node.status().device, port=node.port, addresses=tuple(node.addresses))
    printer.record(now)
    if now.port is None:
        say("nobody is accepted yet, so nothing listens; run `memcrdt accept DEVICE`, here and on the other device")
    return now
