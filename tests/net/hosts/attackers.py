"""What attackers in one's network do, again and again: python attackers.py KIND HOME FILE OWN ADDRESS VICTIM.

HOME is the attacker's, and has its key, and OWN its address; ADDRESS is the host that it attacks, VICTIM the id of a
device which that host trusts. Every byte that it is given, out of TLS where it can read it, goes to FILE.
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
        """Proves its key, which nobody trusts, or nobody trusts any more; and sends what it likes afterwards."""
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
        """A web page opens a WebSocket: browsers say where the page is from."""
        async with aiohttp.ClientSession() as session:
            try:
                await self._opened(session, Origin="https://evil.example")
            except aiohttp.WSServerHandshakeError as refused:
                self.took(str(refused.status).encode())

    async def slow(self) -> None:
        """Sends its request byte by byte, and never ends it."""
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
        """Connects and sends garbage, within TLS and without."""
        for context in (None, dialer_context()):
            reader, writer = await asyncio.open_connection(self.host, DEFAULT_PORT, ssl=context)
            writer.write(UPGRADE + b"X: " + b"a" * 200_000)
            with suppress(OSError):
                self.took(b"flood " + await reader.read())
            writer.transport.abort()

    async def relay(self) -> None:
        """Stands where the victim looks for the host, and passes on what both say."""
        server = web.ServerRunner(web.Server(self._pass_on))
        await server.setup()
        await web.TCPSite(server, self.own, DEFAULT_PORT, ssl_context=new_credentials().context).start()
        self.attacking.set()
        await asyncio.Event().wait()

    async def records(self) -> None:
        """Announces 64 devices that are not there, half of them under the name of the victim."""
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
        with suppress(OSError, aiohttp.ClientError, MemcrdtError, TypeError):  # TypeError: it was hung up on
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
