"""`memcrdt serve`."""

from __future__ import annotations

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.net.addresses import DEFAULT_PORT


@command("serve")
@click.option("--host", default="", help="Listen at this address of the machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
@pass_face
def serve_command(face: Face, host: str, port: int) -> None:
    """Sync with the accepted devices until interrupted.

    Says where it listens, which begins when the first device is accepted, and again whenever that changes.
    """
    from memcrdt.cli.server import run

    with face.open() as memory:
        run(memory, face.printer, host=host, port=port)
