"""Discovery by Tailscale: finds the machines of the user's tailnet, which does not support multicast.

The list of machines comes from the Tailscale daemon on this machine: from its LocalAPI on a Unix socket or, without a
socket, from the `tailscale` program. The list does not tell which machines run memcrdt, so each machine is tried at
memcrdt's default port. Format of the list: https://pkg.go.dev/tailscale.com/ipn/ipnstate#Status.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from memcrdt.errors import InputError
from memcrdt.model.ports import DEFAULT_PORT
from memcrdt.model.values import parse_json
from memcrdt.net.addresses import Address
from memcrdt.net.discovery.finder import AddressCandidate, Found

log = logging.getLogger("memcrdt.net")

SOCKETS: Final = (
    Path("/var/run/tailscale/tailscaled.sock"),  # Linux
    Path("/var/run/tailscaled.socket"),  # macOS, the open-source daemon
)
PROGRAM_MACOS: Final = "/Applications/Tailscale.app/Contents/MacOS/Tailscale"
INTERVAL_S: Final = 60.0
ASK_S: Final = 5.0
STATUS_BYTES: Final = 8 << 20
MACHINES: Final = 64  # tried; the user's own machines first
ADDRESSES: Final = 2  # per machine: IPv4 and IPv6
_URL: Final = "http://local-tailscaled.sock/localapi/v0/status"


class TailscaleFinder:
    """Finds the machines of the tailnet that are online."""

    def __init__(
        self, *, sockets: Sequence[Path] = SOCKETS, program: str | None = None, port: int = DEFAULT_PORT
    ) -> None:
        """Take the parameters; nothing is asked yet.

        Args:
            sockets: Paths where the daemon's socket may be.
            program: The path of the `tailscale` program. None: search the usual places. Empty: use no program.
            port: The port where other machines may listen.
        """
        self._sockets = sockets
        self._program = program
        self._port = port

    def announce(self, port: int | None) -> None:
        """Implement Finder. Does nothing, because a tailnet has no announcements."""

    async def run(self, found: Found) -> None:
        """Implement Finder."""
        while True:
            for address in addresses_in(await self._status(), self._port):
                found(AddressCandidate(address, "tailscale"))
            await asyncio.sleep(INTERVAL_S)

    async def _status(self) -> object:
        """Return the status document; None if Tailscale is not installed or does not answer."""
        for socket in self._sockets:
            if socket.exists() and (status := await _ask_socket(socket)) is not None:
                return status
        program = self._program if self._program is not None else _find_program()
        return await asyncio.to_thread(_ask_program, program) if program else None


def addresses_in(status: object, port: int) -> list[Address]:
    """Return the addresses of the online machines in a status document, the user's own machines first.

    Returns:
        The addresses with this port; an empty list for a document of any other form.
    """
    if not isinstance(status, Mapping) or status.get("BackendState") != "Running":
        return []  # logged out or stopped
    ours, peers = status.get("Self"), status.get("Peer")
    user = ours.get("UserID") if isinstance(ours, Mapping) else None
    machines = list(peers.values()) if isinstance(peers, Mapping) else []
    online = [machine for machine in machines if isinstance(machine, Mapping) and machine.get("Online") is True]
    online.sort(key=lambda machine: machine.get("UserID") != user)
    return [address for machine in online[:MACHINES] for address in _addresses_of(machine, port)]


def _addresses_of(machine: Mapping[str, Any], port: int) -> list[Address]:
    hosts = machine.get("TailscaleIPs")
    addresses = []
    for host in hosts[:ADDRESSES] if isinstance(hosts, list) else ():
        with suppress(InputError):
            addresses.append(Address(str(host), port))
    return addresses


async def _ask_socket(socket: Path) -> object:
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(socket)),
                timeout=aiohttp.ClientTimeout(total=ASK_S),
                trust_env=False,
            ) as session,
            session.get(_URL, allow_redirects=False) as response,
        ):
            document = bytearray()
            async for chunk in response.content.iter_any():
                document += chunk
                if len(document) > STATUS_BYTES:
                    return None
            return _parsed(bytes(document)) if response.status == 200 else None
    except (OSError, aiohttp.ClientError) as exc:  # the daemon has stopped, or refuses us access
        log.debug("Tailscale does not answer at %s: %s", socket, exc)
        return None


def _ask_program(program: str) -> object:
    try:
        done = subprocess.run(  # noqa: S603 - the program is the user's own
            [program, "status", "--json"], capture_output=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as exc:
        log.debug("%s does not answer: %s", program, exc)
        return None
    return _parsed(done.stdout)


def _find_program() -> str | None:
    return shutil.which("tailscale") or shutil.which(PROGRAM_MACOS)


def _parsed(document: bytes) -> object:
    with suppress(ValueError):
        return parse_json(document)
    return None
