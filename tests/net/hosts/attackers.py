"""Attackers on the local network, which repeat one attack: python attackers.py KIND HOME FILE OWN ADDRESS VICTIM.

HOME is the attacker's home, with its key, and OWN is its address. ADDRESS is the attacked host, and VICTIM the id of a
device that this host trusts. Every byte that the attacker receives is written to FILE, decrypted where possible.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from memcrdt.errors import MemcrdtError
from memcrdt.model.ports import DEFAULT_PORT
from memcrdt.net.auth import DialerHandshake, Endpoint, fresh_nonce
from memcrdt.net.identity import Identity
from memcrdt.net.tls import certificate_hash, dialer_context, new_credentials
from memcrdt.net.websocket import PATH, SUBPROTOCOL

AT_ONCE = 32
UPGRADE = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n".encode()


class Attacker:
    """One attack on one host."""

    def __init__(self, home: str, file: str, own: str, host: str, victim: str) -> None:
        self.attacking = asyncio.Event()
        self.own = own
        self.host = host
        self.victim = victim
        self._identity = Identity.load_or_create(Path(home))
        self._file = Path(file)

    def took(self, data: bytes) -> None:
        with self._file.open("ab") as file:
            file.write(data)
        self.attacking.set()

    async def key(self) -> None:
        """Proves a key that is unknown or revoked, and then sends arbitrary data."""
        async with aiohttp.ClientSession() as session, await self._opened(session) as socket:
            greeting = await socket.receive_bytes()
            self.took(greeting)
            certificate = certificate_hash(socket.get_extra_info("ssl_object").getpeercert(binary_form=True))
            handshake = DialerHandshake(Endpoint(self._identity, certificate, fresh_nonce(0, DEFAULT_PORT), self.host))
            await socket.send_bytes(handshake.proof(handshake.read(greeting)))
            await socket.send_bytes(b"\x92\xd9\x34" + b"S" * 52 + b"\x90")
            async for message in socket:
                self.took(message.data)

    async def browser(self) -> None:
        """Opens a WebSocket like a web page: browsers send the page's origin."""
        async with aiohttp.ClientSession() as session:
            try:
                await self._opened(session, Origin="https://evil.example")
            except aiohttp.WSServerHandshakeError as refused:
                self.took(str(refused.status).encode())

    async def slow(self) -> None:
        """Sends its request byte by byte, and never finishes it."""
        reader, writer = await asyncio.open_connection(self.host, DEFAULT_PORT, ssl=dialer_context())
        with suppress(OSError):
            for byte in UPGRADE:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)
                if reader.at_eof():
                    break
        self.took(b"slow " + await reader.read())
        writer.transport.abort()

    async def flood(self) -> None:
        """Connects and sends garbage, with and without TLS."""
        for context in (None, dialer_context()):
            reader, writer = await asyncio.open_connection(self.host, DEFAULT_PORT, ssl=context)
            writer.write(UPGRADE + b"X: " + b"a" * 200_000)
            with suppress(OSError):
                self.took(b"flood " + await reader.read())
            writer.transport.abort()

    async def relay(self) -> None:
        """Listens where the victim looks for the host, and passes on the messages of both."""
        server = web.ServerRunner(web.Server(self._pass_on))
        await server.setup()
        await web.TCPSite(server, self.own, DEFAULT_PORT, ssl_context=new_credentials().context).start()
        self.attacking.set()
        await asyncio.Event().wait()

    async def records(self) -> None:
        """Announces 64 devices that do not exist, half of them under the victim's id."""
        from zeroconf import ServiceInfo
        from zeroconf.asyncio import AsyncZeroconf

        await asyncio.start_server(self._take_all, self.own, DEFAULT_PORT)
        zeroconf = AsyncZeroconf(interfaces=[self.own])
        for number in range(64):
            kind, name = "_memcrdt._tcp.local.", f"forged{number}._memcrdt._tcp.local."
            properties = {
                "v": "1",
                "id": self.victim if number % 2 else f"{number:052d}".replace("0", "A"),
                "pair": "7",
            }
            port = DEFAULT_PORT if number < 8 else 30000 + number
            info = ServiceInfo(kind, name, port, properties=properties, server=name, parsed_addresses=[self.own])
            await zeroconf.async_register_service(info, cooperating_responders=True)
        self.attacking.set()
        await asyncio.Event().wait()

    async def _opened(self, session: aiohttp.ClientSession, **headers: str) -> aiohttp.ClientWebSocketResponse:
        url = f"https://{self.host}:{DEFAULT_PORT}{PATH}"
        return await session.ws_connect(url, ssl=dialer_context(), protocols=(SUBPROTOCOL,), headers=headers)

    async def _take_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.took(await reader.read(65536))
        writer.close()

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        down = web.WebSocketResponse(protocols=(SUBPROTOCOL,), timeout=1)
        await down.prepare(request)
        async with aiohttp.ClientSession() as session, await self._opened(session) as up:
            await asyncio.gather(self._pump(up, down), self._pump(down, up))
        return down

    async def _pump(
        self,
        source: aiohttp.ClientWebSocketResponse | web.WebSocketResponse,
        sink: aiohttp.ClientWebSocketResponse | web.WebSocketResponse,
    ) -> None:
        async for message in source:
            self.took(message.data)
            await sink.send_bytes(message.data)
        await sink.close()


async def again(attack: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(OSError, aiohttp.ClientError, MemcrdtError, TypeError):  # TypeError: disconnected
            await attack()
        await asyncio.sleep(0.01)


async def main(kind: str, *arguments: str) -> None:
    attacker = Attacker(*arguments)
    once = kind in ("relay", "records")
    tasks = [asyncio.create_task(again(getattr(attacker, kind))) for _ in range(1 if once else AT_ONCE)]
    await attacker.attacking.wait()
    print("attacking", flush=True)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
