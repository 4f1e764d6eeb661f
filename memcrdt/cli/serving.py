"""`memcrdt serve`: the network of one home, in the foreground."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import say
from memcrdt.net.addresses import DEFAULT_PORT

if TYPE_CHECKING:
    from memcrdt.memory import Memory
    from memcrdt.node import Node

POLL_S: Final = 0.1  # how soon we say that the listening began or ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Who we are, and where others reach us. Port and addresses are None and empty while nobody is accepted."""

    device: str
    port: int | None
    addresses: tuple[str, ...]


@command("serve")
@click.option("--host", default="", help="Listen at this address of the machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
@pass_face
def serve_command(face: Face, host: str, port: int) -> None:
    """Sync with the accepted devices until interrupted.

    Says where it listens, which begins when the first device is accepted, and again whenever that changes.
    """
    logging.basicConfig(format="memcrdt: %(message)s")
    with face.open() as memory:
        asyncio.run(_serve(face, memory, (host, port)))


async def _serve(face: Face, memory: Memory, address: tuple[str, int]) -> None:
    from memcrdt.node import Node

    ended = asyncio.Event()
    with suppress(NotImplementedError):  # Windows has no such handlers; ending the process ends the rest
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    host, port = address
    async with Node(memory, host=host, port=port) as node:
        said: Listening | None = None
        while not ended.is_set():
            said = _say_where(face, node, said)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), POLL_S)


def _say_where(face: Face, node: Node, said: Listening | None) -> Listening:
    if said is not None and said.port == node.port:
        return said
    now = Listening(device=node.status().device, port=node.port, addresses=tuple(node.addresses))
    face.printer.record(now)
    if now.port is None:
        say("nobody is accepted yet, so nothing listens; run `memcrdt accept DEVICE`, here and on the other device")
    return now
