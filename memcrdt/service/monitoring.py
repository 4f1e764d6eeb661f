"""Metrics for Prometheus, health and readiness, over HTTP at a port of its own.

    GET /metrics   the metrics, in the text format of Prometheus; needs memcrdt[metrics]
    GET /health    200 while the process answers
    GET /ready     200 while it does its work, else 503; the answer has the problems

It has no TLS and asks for no token: whoever reaches the port learns the names of spaces and devices, and no memory.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from memcrdt.errors import InputError, LockedError, MemcrdtError
from memcrdt.model.ports import DEFAULT_METRICS_PORT
from memcrdt.net.addresses import Address

if TYPE_CHECKING:
    from prometheus_client import Metric

HOST: Final = "127.0.0.1"
ANSWER_S: Final = 10.0  # for one look at the store
REQUEST_BYTES: Final = 8 * 1024
CONNECTIONS: Final = 16  # further ones wait in the backlog

Collect = Callable[[], Awaitable[Iterable["Metric"]]]
Check = Callable[[], Awaitable[Sequence[str]]]


class Monitor:
    """Answers a monitoring system while the context is entered: `async with Monitor(...) as monitor`.

    Args:
        address: HOST:PORT, HOST or nothing for 127.0.0.1:27393. Port 0 is a free one.
        collect: Returns the metrics.
        check: Returns the reasons why the process does not do its work; none if it does.

    Raises:
        InputError: The address is malformed, or the package prometheus_client is missing.

    Entering the context raises LockedError if another program has the port, and InputError for a host of another
    machine.

    Attributes:
        url: Where it listens, while it is entered.
    """

    def __init__(self, address: str, collect: Collect, check: Check) -> None:
        needed_package()
        self._address = _parsed(address)
        self._collect = collect
        self._check = check
        self._looking = asyncio.Lock()  # scrapes that overlap wait for each other
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=REQUEST_BYTES, middlewares=[_refuse_pages])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=75.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address.host, self._address.port, backlog=CONNECTIONS)
        try:
            await site.start()
        except OSError as exc:
            await self._runner.cleanup()
            raise LockedError(f"cannot listen for metrics at {self._address}: {exc}; name another address") from exc
        self.url = f"http://{Address(self._address.host, self._runner.addresses[0][1])}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        try:
            async with asyncio.timeout(ANSWER_S), self._looking:
                families = list(await self._collect())
        except (MemcrdtError, TimeoutError) as exc:
            return web.Response(status=503, text=f"{exc or 'the store does not answer in time'}\n")
        registry = CollectorRegistry()
        registry.register(_Families(families))
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, **_NO_STORE}
        )

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True}, headers=_NO_STORE)

    async def _ready(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(ANSWER_S), self._looking:
                problems = list(await self._check())
        except MemcrdtError as exc:
            problems = [str(exc)]
        except TimeoutError:
            problems = ["the store does not answer in time"]
        answer = {"ready": not problems, "problems": problems}
        return web.json_response(answer, status=503 if problems else 200, headers=_NO_STORE)


def _parsed(text: str) -> Address:
    """Return the address to listen at. Raises InputError."""
    text = f"{HOST}{text}" if text.startswith(":") else text or HOST
    if text.endswith(":0"):  # any free port; elsewhere an address has to be one that can be dialed
        return Address(Address.parse(text.removesuffix(":0")).host, 0)
    return Address.parse(text, DEFAULT_METRICS_PORT)


def needed_package() -> None:
    """Raise InputError if the package of the metrics is missing."""
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError as exc:
        raise InputError("metrics need the package prometheus-client; install memcrdt[metrics]") from exc


class _Families:
    """A collector of metrics that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_NO_STORE: Final = {"Cache-Control": "no-store"}


@web.middleware
async def _refuse_pages(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse requests of web pages: with an Origin, or by a name that a page gave to an address of this machine."""
    if "Origin" in request.headers or not _is_own_name(request):
        return web.Response(status=403, text="requests of web pages are refused\n")
    return await handler(request)


def _is_own_name(request: web.Request) -> bool:
    """Return whether the Host header names no stranger. On the loopback interface only addresses and localhost do."""
    local = request.transport and request.transport.get_extra_info("sockname")
    with suppress(ValueError, TypeError):
        if local and not ipaddress.ip_address(local[0]).is_loopback:
            return True  # monitoring systems use names that this machine does not know
    host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    if host.lower() == "localhost":
        return True
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host.strip("[]")))
    return False
