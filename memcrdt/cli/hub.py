"""`memcrdt hub`: a member device whose memories are in PostgreSQL, for a team."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from memcrdt.cli.devices import WAIT_S
from memcrdt.cli.face import Face, FaceGroup, command, ending, given, pass_face, run_loop
from memcrdt.cli.filters import several
from memcrdt.cli.monitoring import LOG_FORMAT, METRICS
from memcrdt.cli.output import Sentences, messages_as_json, readable, say, show_messages, telling
from memcrdt.cli.serve import http_options, http_server, options_of
from memcrdt.cli.status import print_peers
from memcrdt.cli.token import token_command
from memcrdt.errors import InputError
from memcrdt.model.limits import MIB
from memcrdt.model.ports import DEFAULT_PORT

if TYPE_CHECKING:
    from memcrdt import Memory, PairedDevice
    from memcrdt.cli.output import Printer
    from memcrdt.hub.checking import HubCheck
    from memcrdt.hub.hub import Hub, HubAddress
    from memcrdt.hub.node import HubNode, HubOptions
    from memcrdt.server.listening import HttpServer
    from memcrdt.service.monitoring import Monitor

POLL_S: Final = 1.0  # between two looks at the address
_DSN: Final = "memcrdt.postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReport:
    """Where a process of a hub listens.

    Attributes:
        device: The id of the hub.
        name: The name that other devices see.
        port: The port at which it listens for other devices; None until a device is accepted.
        addresses: The addresses at which other devices can dial it, as HOST:PORT.
        http: The URL for REST and MCP clients; None if they are not accepted.
        metrics: The URL of the metrics, health and readiness; None without them.
    """

    device: str
    name: str
    port: int | None
    addresses: tuple[str, ...]
    http: str | None
    metrics: str | None


def _note_dsn(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[_DSN] = value


POSTGRES = click.option(
    "--postgres",
    metavar="DSN",
    expose_value=False,
    callback=_note_dsn,
    help="The database: postgresql://USER@HOST/NAME, or host=… dbname=…. Default: $MEMCRDT_POSTGRES, which other users"
    " of this machine cannot see.",
)
PORT = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="The port at which the hub listens; 0 chooses a free one.",
)


@click.group("hub", cls=FaceGroup, invoke_without_command=True)
@POSTGRES
@click.option(
    "--listen-dsn",
    metavar="DSN",
    help="The database without a transaction pooler, for notifications. Default: that of --postgres.",
)
@click.option("--host", default="", help="Listen on this local address only.")
@PORT
@click.option("--name", metavar="NAME", help="The name that other devices see. Default: as before, or this machine's.")
@click.option("--max-updates", type=click.IntRange(min=1), metavar="N", help="Take N updates a minute of a device.")
@click.option("--max-mib", type=click.FloatRange(min=0.01), metavar="MIB", help="Take MIB MiB a minute of a device.")
@click.option(
    "--backup-days",
    type=click.IntRange(0, 36_500),
    metavar="N",
    help="Backups of the database keep forgotten memories for N days. Members see it.",
)
@click.option("--take-over", is_flag=True, help="The key of the hub is lost: go on with the key of this folder.")
@click.option("-v", "--verbose", is_flag=True, help="Show the addresses of other devices, and every dial that fails.")
@http_options
@METRICS
@LOG_FORMAT
@pass_face
@click.pass_context
def hub_command(
    context: click.Context,
    face: Face,
    /,
    *,
    verbose: bool,
    http: str | None,
    metrics: str | None,
    log_format: str,
    **options: Any,
) -> None:
    """Run a hub: a member device that is always on, with its memories in PostgreSQL. It sees plaintext.

    Without a subcommand, it serves the accepted devices until interrupted. Several processes can run one hub, with the
    same database and copies of the file hub.key. Needs the extra memcrdt[hub].
    """
    if context.invoked_subcommand is not None:
        face.opener = lambda: _memory(_open(_address(face, context)))
        return
    to_http = options_of("http", http is not None, context, options)
    address = _address(face, context)
    in_json = log_format == "json"
    face.json = face.json or in_json
    show_messages()
    with (
        messages_as_json(in_json),
        _open(address, name=options["name"], takes_over=options["take_over"]) as hub,
        _memory(hub) as memory,
        telling("memcrdt.net.peers", logging.DEBUG if verbose else logging.INFO),
    ):
        server = None if http is None else http_server(memory, http, **to_http)
        run_loop(_serve(hub, face.printer, server, metrics, _node_options(address, options)))


@command("pair")
@click.argument("words", nargs=-1, metavar="[CODE]")
@POSTGRES
@click.option("--at", metavar="HOST[:PORT]", help="With CODE: the address that the other device shows.")
@several(
    "--space",
    "spaces",
    "NAME",
    "Without CODE: a space to share, created if missing; can be repeated. Default: personal.",
)
@click.option("--read-only", is_flag=True, help="Without CODE: the other device may only read.")
@click.option("--name", metavar="NAME", help="The name of the other device on the hub. Default: its own name.")
@click.option("--host", default="", help="Without CODE: listen on this local address only.")
@PORT
@pass_face
@click.pass_context
def pair_command(
    context: click.Context,
    face: Face,
    /,
    *,
    words: tuple[str, ...],
    at: str | None,
    spaces: tuple[str, ...],
    port: int,
    **options: Any,
) -> None:
    """Pair the hub with another device by a short code.

    Without CODE: print a code, and wait five minutes until it is typed on the other device. With CODE: take the code
    that the other device shows.
    """
    code = " ".join(words)
    if code and at is None:
        raise click.UsageError("a hub does not search: give --at HOST[:PORT], which the other device shows")
    if at is not None and not code:
        raise click.UsageError("--at needs a CODE; it names the address of the device that shows the code")
    if code and (spaces or options["read_only"] or options["host"]):
        raise click.UsageError("give --space, --read-only and --host on the device that shows the code")
    show_messages()
    with _open(_address(face, context)) as hub:
        if at is not None:
            partner = run_loop(hub.join(code, at, name=options["name"], port=port))
        else:
            partner = run_loop(_invite(face, hub, {**options, **given({"spaces": spaces})}, port))
    face.printer.record(partner)
    say("paired; they sync while `memcrdt hub` runs")


@command("revoke")
@click.argument("device")
@POSTGRES
@pass_face
@click.pass_context
def revoke_command(context: click.Context, face: Face, /, device: str) -> None:
    """Stop trusting DEVICE, and remove it from every space of the hub. All members learn of it.

    DEVICE is a name, an id, or the first characters of one, 4 or more.
    """
    show_messages()
    with _open(_address(face, context)) as hub:
        name = hub.revoke(device)
    say(f"revoked {name}; the device keeps the data that it has")


@command("check")
@POSTGRES
@pass_face
@click.pass_context
def check_command(context: click.Context, face: Face, /) -> None:
    """Say whether the hub can do its work: the database, its tables, the key, and the devices. Changes nothing.

    The exit code is 0 if it can, and 1 if there is a problem.
    """
    address = _address(face, context)
    with _needed():
        from memcrdt.hub.checking import check
    found = check(address.folder, address.dsn)
    if face.json:
        face.printer.record(found)
    else:
        face.printer.record(_lines(found))
        if found.devices:
            print_peers(face, found.devices)
    for problem in found.problems:
        say(problem)
    if found.problems:
        raise click.exceptions.Exit(1)
    say("the hub can do its work" if found.device else "the database can take a hub; `memcrdt hub` makes and starts it")


for _command in (pair_command, revoke_command, token_command, check_command):
    hub_command.add_command(_command)


def _lines(found: HubCheck) -> dict[str, object]:
    versions = f"{found.schema_version}, as needed" if found.schema_version == found.newest_version else None
    return {
        "postgres": found.server,
        "tables": versions or f"version {found.schema_version} of {found.newest_version}",
        "hub": f"{found.name} ({readable(found.device)})" if found.device else "none yet; `memcrdt hub` makes it",
        "key": found.key,
        "log rows": found.log_rows,
        "waiting to be folded": found.to_fold or None,
        "alarms": Sentences(alarm.text for alarm in found.alarms),
    }


def _address(face: Face, context: click.Context) -> HubAddress:
    from memcrdt.paths import home_folder

    dsn = context.meta.get(_DSN) or os.environ.get("MEMCRDT_POSTGRES")
    if not dsn:
        raise InputError("which database? Give --postgres postgresql://USER@HOST/NAME, or set MEMCRDT_POSTGRES")
    with _needed():
        from memcrdt.hub.hub import HubAddress
    return HubAddress(home_folder(face.home), dsn)


def _memory(hub: Hub) -> Memory:
    """Return the memory of a hub. Closing it closes the hub."""
    from memcrdt._open import memory_of

    return memory_of(hub)


def _open(address: HubAddress, *, name: str | None = None, takes_over: bool = False) -> Hub:
    from memcrdt.hub.hub import Hub

    return Hub.open(address, name=name, takes_over=takes_over)


@contextmanager
def _needed() -> Iterator[None]:
    """Raise InputError if the packages of the hub are missing."""
    try:
        yield
    except ImportError as exc:  # psycopg also raises it if it finds no libpq
        raise InputError(f"a hub needs the package psycopg ({exc}); install memcrdt[hub]") from exc


def _node_options(address: HubAddress, given: dict[str, Any]) -> HubOptions:
    from memcrdt.hub.node import HubOptions
    from memcrdt.hub.quotas import Quotas

    max_mib = given["max_mib"]
    return HubOptions(
        host=given["host"],
        port=given["port"],
        listen_dsn=given["listen_dsn"] or address.dsn,
        backup_days=given["backup_days"],
        quotas=Quotas(updates=given["max_updates"], size=None if max_mib is None else int(max_mib * MIB)),
    )


async def _invite(face: Face, hub: Hub, options: dict[str, Any], port: int) -> PairedDevice:
    async with hub.invite(port=port, **options) as invitation:
        code = str(invitation.code)
        face.printer.value("code", code)
        where = " or ".join(f"--at {address}" for address in invitation.addresses)
        say(f"within five minutes, run on the other device: memcrdt pair {code} {where}")
        return await invitation.joined(WAIT_S)


async def _serve(
    hub: Hub, printer: Printer, server: HttpServer | None, metrics: str | None, options: HubOptions
) -> None:
    import asyncio

    from memcrdt.hub.node import HubNode

    node, ended = HubNode(hub, options), ending()
    monitor = None if metrics is None else _monitor(hub, node, metrics)
    async with node, server or nullcontext(), monitor or nullcontext():
        said: HubReport | None = None
        while not ended.is_set():
            if said is None or said.port != node.port:
                said = HubReport(
                    device=hub.device,
                    name=hub.name,
                    port=node.port,
                    addresses=tuple(node.addresses),
                    http=None if server is None else server.url,
                    metrics=None if monitor is None else monitor.url,
                )
                printer.record(said)
                if said.port is None:
                    say("no device is accepted yet, so no device can connect; run `memcrdt hub pair`")
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), POLL_S)


def _monitor(hub: Hub, node: HubNode, address: str) -> Monitor:
    from memcrdt import __version__
    from memcrdt.service.monitoring import Monitor, needed_package

    needed_package()
    from memcrdt.service.metrics import HubMetrics

    return Monitor(address, HubMetrics(hub, node, __version__).collect, node.problems)
