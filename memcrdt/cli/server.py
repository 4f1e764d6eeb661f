"""The network of one home in the foreground: runs until it is told to end, and says where it listens."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from memcrdt.cli import interrupts
from memcrdt.cli.output import Printer, readable, say
from memcrdt.node.node import Node

POLL_S: Final = 0.1  # how soon we say that the listening began or ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Who we are, and where others reach us. Port and addresses are None and empty until a device is accepted; `yjs` is
    where Yjs clients find the spaces, None if they are not let in."""

    device: str
    port: int | None
    addresses: tuple[str, ...]
    yjs: str | None


def run(node: Node, printer: Printer) -> None:
    """Returns when the process is asked to end. Raises KeyboardInterrupt, and what entering a Node does."""
    interrupts.run(_serve(node, printer))


async def _serve(node: Node, printer: Printer) -> None:
    ended = asyncio.Event()
    if sys.platform != "win32":  # which has no such handlers; ending the process ends the rest
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # the terminal is closed; nohup ignores that
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, ended.set)
    async with node:
        said: Listening | None = None
        while not ended.is_set():
            said = _say_where(printer, node, said)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), POLL_S)


def _say_where(printer: Printer, node: Node, said: Listening | None) -> Listening:
    if said is not None and said.port == node.port:
        return said
    now = Listening(device=node.status().device, port=node.port, addresses=tuple(node.addresses), yjs=node.yjs_url)
    printer.record(now if printer.is_json else replace(now, device=readable(now.device)))
    if now.port is None:
        say("nobody is accepted yet, so no device gets in; run `memcrdt pair`")
    return now
