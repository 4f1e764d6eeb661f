"""`memcrdt serve`: the network of one home in the foreground, until it is told to end."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from memcrdt.cli.face import Face, command, pass_face, run_loop
from memcrdt.cli.output import readable, say
from memcrdt.model.ports import DEFAULT_PORT, DEFAULT_YJS_PORT

if TYPE_CHECKING:
    from memcrdt import Node, YjsOptions
    from memcrdt.cli.output import Printer

_FILE = click.Path(path_type=Path)


POLL_S: Final = 0.1  # how soon we say that the listening began or ended


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeReport:
    """Who we are, and where others reach us. Port and addresses are None and empty until a device is accepted; `yjs` is
    where Yjs clients find the spaces, None if they are not let in."""

    device: str
    port: int | None
    addresses: tuple[str, ...]
    yjs: str | None


@command("serve")
@click.option("--host", default="", help="Listen at this address of the machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
@click.option("--mdns/--no-mdns", default=None, help="Whether to find and be found on the local network.")
@click.option("--tailscale/--no-tailscale", default=None, help="Whether to look for devices in the tailnet.")
@click.option("--yjs", is_flag=True, help="Let Yjs clients in, with a token (memcrdt token create).")
@click.option("--yjs-host", default="127.0.0.1", show_default=True, help="Any other than this machine wants TLS.")
@click.option("--yjs-port", type=click.IntRange(0, 65535), default=DEFAULT_YJS_PORT, show_default=True)
@click.option("--yjs-cert", type=_FILE, help="A certificate with its chain (PEM), for TLS.")
@click.option("--yjs-key", type=_FILE, help="Its key (PEM), unless it is in the same file.")
@pass_face
@click.pass_context
def serve_command(context: click.Context, face: Face, /, yjs: bool, **options: Any) -> None:
    """Sync with the accepted devices until interrupted.

    Says where it listens, which begins when the first device is accepted, and again whenever that changes.
    """
    from memcrdt import Node

    to_yjs = {name: options.pop(name) for name in list(options) if name.startswith("yjs_")}
    for name in to_yjs:
        if not yjs and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --yjs")
    with face.open() as memory:
        run_loop(_serve(Node(memory, yjs=_yjs(**to_yjs) if yjs else None, **options), face.printer))


def _yjs(yjs_host: str, yjs_port: int, yjs_cert: Path | None, yjs_key: Path | None) -> YjsOptions:
    from memcrdt import YjsOptions

    return YjsOptions(host=yjs_host, port=yjs_port, certificate=yjs_cert, key=yjs_key)


async def _serve(node: Node, printer: Printer) -> None:
    import asyncio

    ended = asyncio.Event()
    if sys.platform != "win32":  # which has no such handlers; ending the process ends the rest
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # the terminal is closed; nohup ignores that
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, ended.set)
    async with node:
        said: ServeReport | None = None
        while not ended.is_set():
            said = _say_where(printer, node, said)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), POLL_S)


def _say_where(printer: Printer, node: Node, said: ServeReport | None) -> ServeReport:
    if said is not None and said.port == node.port:
        return said
    now = ServeReport(device=node.status().device, port=node.port, addresses=tuple(node.addresses), yjs=node.yjs_url)
    printer.record(now if printer.is_json else replace(now, device=readable(now.device)))
    if now.port is None:
        say("nobody is accepted yet, so no device gets in; run `memcrdt pair`")
    return now
