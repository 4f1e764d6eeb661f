"""The options of commands that run for long: metrics, and the format of the log."""

from __future__ import annotations

import click

METRICS = click.option(
    "--metrics",
    is_flag=False,
    flag_value="",
    metavar="[HOST:PORT]",
    help="Serve metrics for Prometheus, health and readiness over HTTP, by default on 127.0.0.1:27393. Needs the extra"
    " memcrdt[metrics].",
)
LOG_FORMAT = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Print messages as text for people, or as lines of JSON.",
)
