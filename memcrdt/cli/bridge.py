"""`memcrdt bridge`: copies the changes of the memories into a stream of Redis or Valkey, until it is interrupted."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.monitoring import LOG_FORMAT
from memcrdt.cli.output import messages_as_json, say, telling


@command("bridge")
@click.option(
    "--redis",
    "url",
    required=True,
    envvar="MEMCRDT_REDIS_URL",
    metavar="URL",
    help="redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS. Default: $MEMCRDT_REDIS_URL, which"
    " other users of this machine cannot see.",
)
@click.option("--stream", required=True, metavar="NAME", help="The key of the stream.")
@several("--space", "spaces", "NAME", "Copy this space only; can be repeated. Default: all except `local`.")
@click.option("--from-now", is_flag=True, help="Begin a new stream with the next change, not with all memories.")
@click.option("--max-length", type=click.IntRange(min=1), metavar="N", help="Keep about so many entries.")
@LOG_FORMAT
@pass_face
def bridge_command(face: Face, /, log_format: str, **options: Any) -> None:
    """Copy changes into a Redis or Valkey stream until interrupted.

    Each entry says which memory was added, updated or forgotten, without its text. After an interruption it goes on
    where it was. Needs the extra memcrdt[bridge].
    """
    from memcrdt.service.bridge import Bridge, BridgeOptions

    where = BridgeOptions(**options)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with messages_as_json(log_format == "json"), face.look() as memory, telling("memcrdt.bridge", logging.INFO):
        bridge = Bridge(memory, where)
        try:
            say(f"copying changes to the stream {where.stream} at {where.server}")
            bridge.run(stop)
        finally:
            bridge.close()
