"""`memcrdt relay`: a meeting point for devices that cannot reach each other, until it is interrupted."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, command, ending, pass_face, run_loop
from memcrdt.cli.monitoring import LOG_FORMAT, METRICS
from memcrdt.cli.output import messages_as_json, show_messages, telling
from memcrdt.model.ports import DEFAULT_RELAY_PORT

if TYPE_CHECKING:
    from memcrdt import Relay
    from memcrdt.cli.output import Printer
    from memcrdt.service.monitoring import Monitor

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReport:
    """Where a relay listens.

    Attributes:
        port: The port.
        devices: The ids of the only devices that may use it; empty: every device.
        metrics: The URL of the metrics, health and readiness; None without them.
    """

    port: int
    devices: tuple[str, ...]
    metrics: str | None


@command("relay")
@click.option("--host", default="", help="Listen on this local address only.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_RELAY_PORT,
    show_default=True,
    help="The port; 0 chooses a free one.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A host by which devices dial this relay; can be repeated. Then a proof for another relay is refused here.",
)
@click.option(
    "--device", "devices", multiple=True, help="Serve this device only; can be repeated. Default: every device."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0.01),
    default=4,
    show_default=True,
    metavar="MIB",
    help="Maximum MiB a second of one pair of devices.",
)
@click.option(
    "--total-rate",
    type=click.FloatRange(min=0.01),
    default=16,
    show_default=True,
    metavar="MIB",
    help="Maximum MiB a second of all pairs.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show why connections end.")
@METRICS
@LOG_FORMAT
@pass_face
def relay_command(
    face: Face,
    /,
    host: str,
    port: int,
    *,
    names: tuple[str, ...],
    devices: tuple[str, ...],
    rate: float,
    total_rate: float,
    verbose: bool,
    metrics: str | None,
    log_format: str,
) -> None:
    """Join devices that cannot reach each other, until interrupted. It needs no home and can read nothing.

    Tell the devices its address on one of them: memcrdt relays add HOST.
    """
    from memcrdt import Relay, RelayOptions

    options = RelayOptions(
        host=host,
        port=port,
        names=names,
        devices=devices,
        rate=int(rate * _MIB),
        total_rate=int(total_rate * _MIB),
    )
    relay = Relay(options)
    monitor = None if metrics is None else _monitor(relay, metrics)
    in_json = log_format == "json"
    face.json = face.json or in_json
    show_messages()
    with messages_as_json(in_json), telling("memcrdt.net.relay", logging.DEBUG if verbose else logging.INFO):
        run_loop(_run(relay, monitor, face.printer, devices))


def _monitor(relay: Relay, address: str) -> Monitor:
    from memcrdt.service.monitoring import Monitor, needed_package

    needed_package()
    from memcrdt.service.metrics import relay_metrics

    async def check() -> tuple[str, ...]:
        return ()  # it listens as long as it runs

    return Monitor(address, partial(relay_metrics, relay), check)


async def _run(relay: Relay, monitor: Monitor | None, printer: Printer, devices: tuple[str, ...]) -> None:
    ended = ending()
    async with relay, monitor or nullcontext():
        printer.record(RelayReport(port=relay.port, devices=devices, metrics=None if monitor is None else monitor.url))
        await ended.wait()
