"""`memcrdt serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.net.addresses import DEFAULT_PORT, DEFAULT_YJS_PORT

if TYPE_CHECKING:
    from memcrdt.yjs.listener import YjsOptions

_FILE = click.Path(path_type=Path)


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
    from memcrdt.cli.server import run
    from memcrdt.node.node import Node

    to_yjs = {name: options.pop(name) for name in list(options) if name.startswith("yjs_")}
    for name in to_yjs:
        if not yjs and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --yjs")
    with face.open() as memory:
        run(Node(memory, yjs=_yjs(**to_yjs) if yjs else None, **options), face.printer)


def _yjs(yjs_host: str, yjs_port: int, yjs_cert: Path | None, yjs_key: Path | None) -> YjsOptions:
    from memcrdt.yjs.listener import YjsOptions

    return YjsOptions(host=yjs_host, port=yjs_port, certificate=yjs_cert, key=yjs_key)
