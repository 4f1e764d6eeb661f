"""`memcrdt serve`: the network of one home, in the foreground, until it is interrupted."""

from __future__ import annotations

import gc
import io
import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from memcrdt.cli.face import Face, GivenPath, command, ending, pass_face, run_loop
from memcrdt.cli.monitoring import LOG_FORMAT, METRICS
from memcrdt.cli.output import messages_as_json, say, telling
from memcrdt.errors import InputError
from memcrdt.model.ports import DEFAULT_PORT, DEFAULT_YJS_PORT

if TYPE_CHECKING:
    from memcrdt import Memory, Node, YjsOptions
    from memcrdt.cli.output import Printer
    from memcrdt.server.listening import HttpServer
    from memcrdt.service.monitoring import Monitor

_FILE = GivenPath()


POLL_S: Final = 1.0  # between two looks at the address, until there is one: somebody pairs, and waits for it
KNOWN_POLL_S: Final = 10.0  # afterwards
LOG_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeReport:
    """The addresses of this device.

    Attributes:
        device: The id of this device.
        port: The port at which it listens for other devices; None until a device is accepted.
        addresses: The addresses at which other devices can dial it, as HOST:PORT.
        yjs: The URL for Yjs clients; None if they are not accepted.
        http: The URL for REST and MCP clients; None if they are not accepted.
        metrics: The URL of the metrics, health and readiness; None without them.
    """

    device: str
    port: int | None
    addresses: tuple[str, ...]
    yjs: str | None
    http: str | None
    metrics: str | None


_HTTP: Final = (
    click.option(
        "--http",
        is_flag=False,
        flag_value="",
        metavar="[HOST:PORT]",
        help="Accept REST and MCP clients with a token, by default on 127.0.0.1:27390. Needs the extra"
        " memcrdt[server].",
    ),
    click.option("--http-cert", type=_FILE, help="A certificate with its chain (PEM), for TLS."),
    click.option("--http-key", type=_FILE, help="The private key (PEM), if it is not in the file of the certificate."),
    click.option(
        "--http-name",
        "http_names",
        multiple=True,
        metavar="NAME",
        help="A further name of this machine; can be repeated.",
    ),
)
_F = TypeVar("_F", bound=Callable[..., Any])


def http_options(command: _F) -> _F:
    """Add the options for clients over HTTP: `http`, `http_cert`, `http_key` and `http_names`."""
    for option in reversed(_HTTP):
        command = option(command)
    return command


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
@http_options
@click.option("-v", "--verbose", is_flag=True, help="Show the addresses of other devices, and every dial that fails.")
@METRICS
@LOG_FORMAT
@click.option("--log", type=_FILE, help="Append what is printed to this file, each line with its time.")
@pass_face
@click.pass_context
def serve_command(
    context: click.Context,
    face: Face,
    /,
    yjs: bool,
    http: str | None,
    *,
    verbose: bool,
    log: Path | None,
    log_format: str,
    metrics: str | None,
    **options: Any,
) -> None:
    """Sync with the accepted devices until interrupted.

    Prints its addresses at the start and whenever they change, and one line on stderr for each change of another
    device. It listens while at least one device is accepted.
    """
    from memcrdt import Node

    to_yjs = options_of("yjs", yjs, context, options)
    to_http = options_of("http", http is not None, context, options)
    if options["port"] is None:
        del options["port"]  # follow the settings
    in_json = log_format == "json"
    face.json = face.json or in_json
    if log is not None:
        sys.stdout = sys.stderr = _opened(log, stamped=not in_json)
    with (
        messages_as_json(in_json),
        face.begin() as memory,
        telling("memcrdt.net.peers", logging.DEBUG if verbose else logging.INFO),
    ):
        node = Node(memory, yjs=_yjs(**to_yjs) if yjs else None, **options)
        server = None if http is None else http_server(memory, http, **to_http)
        monitor = None if metrics is None else _monitor(memory, node, metrics)
        run_loop(_serve(node, server, monitor, face.printer))


def options_of(part: str, wanted: bool, context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a part out of all options. Refuse them if the part does not run."""
    taken = {name: options.pop(name) for name in list(options) if name.startswith(f"{part}_")}
    for name in taken:
        if not wanted and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            shown = name.removesuffix("s").replace("_", "-")
            raise click.UsageError(f"--{shown} needs --{part}")
    return taken


class _LogFile(io.TextIOWrapper):
    """A file that lines are appended to, each with its time. A long one is moved to `.1` before.

    Args:
        path: The file. It is created if it is missing.
        stamped: Whether each line begins with its time. Lines of JSON have it in a field.
    """

    def __init__(self, path: Path, *, stamped: bool = True) -> None:
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        super().__init__(path.open("ab"), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._stamped = stamped
        self._begins = True  # a line

    def write(self, text: str) -> int:
        super().write(text[:0])  # refuses bytes, by which click finds out that this is a stream of text
        for line in text.splitlines(keepends=True):
            super().write(
                f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}" if self._begins and self._stamped else line
            )
            self._begins = line.endswith("\n")
        return len(text)


def _opened(path: Path, *, stamped: bool) -> _LogFile:
    """Return the log of this run. Raises click.BadParameter if it cannot be written."""
    try:
        return _LogFile(path, stamped=stamped)
    except OSError as exc:
        raise click.BadParameter(
            f"{path} cannot be written ({exc.strerror}); name another file", param_hint="'--log'"
        ) from exc


def _yjs(yjs_host: str, yjs_port: int, yjs_cert: Path | None, yjs_key: Path | None) -> YjsOptions:
    from memcrdt import YjsOptions

    return YjsOptions(host=yjs_host, port=yjs_port, certificate=yjs_cert, key=yjs_key)


def http_server(
    memory: Memory, http: str, http_cert: Path | None, http_key: Path | None, http_names: tuple[str, ...]
) -> HttpServer:
    try:
        from memcrdt.server.listening import HttpServer, ServerOptions
    except ModuleNotFoundError as exc:
        raise InputError(f"the HTTP server needs the module {exc.name}; install memcrdt[server]") from exc
    return HttpServer(memory, ServerOptions(address=http, certificate=http_cert, key=http_key, names=http_names))


def _monitor(memory: Memory, node: Node, address: str) -> Monitor:
    from memcrdt import __version__
    from memcrdt.service.monitoring import Monitor, needed_package

    needed_package()
    from memcrdt.service.metrics import ServeMetrics

    metrics = ServeMetrics(memory, node, __version__)
    return Monitor(address, metrics.collect, metrics.check)


async def _serve(node: Node, server: HttpServer | None, monitor: Monitor | None, printer: Printer) -> None:
    import asyncio

    ended = ending()
    async with node, server or nullcontext(), monitor or nullcontext():
        said: ServeReport | None = _say_where(printer, node, (server, monitor), None)
        _leave_out_loaded()
        while not ended.is_set():
            said = _say_where(printer, node, (server, monitor), said)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), POLL_S if said.port is None else KNOWN_POLL_S)


def _leave_out_loaded() -> None:
    """Let the garbage collector leave out what is loaded: 91,000 objects, which stop the event loop for 60 ms."""
    gc.collect()
    gc.freeze()


def _say_where(
    printer: Printer, node: Node, beside: tuple[HttpServer | None, Monitor | None], said: ServeReport | None
) -> ServeReport:
    if said is not None and said.port == node.port:
        return said
    server, monitor = beside
    now = ServeReport(
        device=node.status().device,
        port=node.port,
        addresses=tuple(node.addresses),
        yjs=node.yjs_url,
        http=None if server is None else server.url,
        metrics=None if monitor is None else monitor.url,
    )
    printer.record(now)
    if now.port is None:
        say("no device is accepted yet, so no device can connect; run `memcrdt pair`")
    return now
