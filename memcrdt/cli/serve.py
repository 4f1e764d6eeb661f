"""`memcrdt serve`: the network of one home, in the foreground, until it is interrupted."""

from __future__ import annotations

import io
import logging
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from memcrdt.cli.face import Face, command, pass_face, run_loop
from memcrdt.cli.output import say, telling
from memcrdt.model.ports import DEFAULT_PORT, DEFAULT_YJS_PORT

if TYPE_CHECKING:
    from memcrdt import Node, YjsOptions
    from memcrdt.cli.output import Printer

_FILE = click.Path(path_type=Path)


POLL_S: Final = 1.0  # between two looks at the address
LOG_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeReport:
    """The addresses of this device.

    Without an accepted device, `port` is None and `addresses` is empty. `yjs` is the URL for Yjs clients, or None if
    they are not accepted.
    """

    device: str
    port: int | None
    addresses: tuple[str, ...]
    yjs: str | None


@command("serve")
@click.option("--host", default="", help="Listen on this local address only.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"The port; 0 chooses a free one. Default: the setting `port`, or {DEFAULT_PORT} or the next free one.",
)
@click.option("--mdns/--no-mdns", default=None, help="Announce this device and look for others on the local network.")
@click.option("--tailscale/--no-tailscale", default=None, help="Look for other devices in the tailnet.")
@click.option("--yjs", is_flag=True, help="Accept Yjs clients with a token (memcrdt token create).")
@click.option(
    "--yjs-host",
    default="127.0.0.1",
    show_default=True,
    help="The local address for Yjs clients. An address that other machines can reach needs TLS.",
)
@click.option(
    "--yjs-port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_YJS_PORT,
    show_default=True,
    help="The port for Yjs clients.",
)
@click.option("--yjs-cert", type=_FILE, help="A certificate with its chain (PEM), for TLS.")
@click.option("--yjs-key", type=_FILE, help="The private key (PEM), if it is not in the file of the certificate.")
@click.option("-v", "--verbose", is_flag=True, help="Show the addresses of other devices, and every dial that fails.")
@click.option("--log", type=_FILE, help="Append what is printed to this file, each line with its time.")
@pass_face
@click.pass_context
def serve_command(
    context: click.Context, face: Face, /, yjs: bool, verbose: bool, log: Path | None, **options: Any
) -> None:
    """Sync with the accepted devices until interrupted.

    Prints its addresses at the start and whenever they change, and one line on stderr for each change of another
    device. It listens while at least one device is accepted.
    """
    from memcrdt import Node

    to_yjs = {name: options.pop(name) for name in list(options) if name.startswith("yjs_")}
    for name in to_yjs:
        if not yjs and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --yjs")
    if options["port"] is None:
        del options["port"]  # follow the settings
    if log is not None:
        sys.stdout = sys.stderr = _LogFile(log)
    with face.open() as memory, telling("memcrdt.net.peers", logging.DEBUG if verbose else logging.INFO):
        run_loop(_serve(Node(memory, yjs=_yjs(**to_yjs) if yjs else None, **options), face.printer))


class _LogFile(io.TextIOWrapper):
    """A file that lines are appended to, each with its time. A long one is moved to `.1` before.

    Args:
        path: The file. It is created if it is missing.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        super().__init__(path.open("ab"), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._begins = True  # a line

    def write(self, text: str) -> int:
        super().write(text[:0])  # refuses bytes, by which click finds out that this is a stream of text
        for line in text.splitlines(keepends=True):
            super().write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}" if self._begins else line)
            self._begins = line.endswith("\n")
        return len(text)


def _yjs(yjs_host: str, yjs_port: int, yjs_cert: Path | None, yjs_key: Path | None) -> YjsOptions:
    from memcrdt import YjsOptions

    return YjsOptions(host=yjs_host, port=yjs_port, certificate=yjs_cert, key=yjs_key)


async def _serve(node: Node, printer: Printer) -> None:
    import asyncio

    ended = asyncio.Event()
    if sys.platform != "win32":  # Windows has no such handlers
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a closed terminal; nohup ignores it
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
    printer.record(now)
    if now.port is None:
        say("no device is accepted yet, so no device can connect; run `memcrdt pair`")
    return now
