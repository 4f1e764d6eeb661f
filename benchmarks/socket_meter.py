"""Count the bytes of connections: a port that passes everything on to another port of this machine."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
CHUNK = 65_536
QUIET_S = 1.0  # without a byte, after which an exchange is over
LONGEST_S = 30.0


class SocketMeter:
    """A port that leads to another one: `async with SocketMeter() as meter`.

    Attributes:
        port: The port to connect to.
        target: The port where connections lead to.
        bytes: The number of bytes passed on, in both directions.
    """

    def __init__(self) -> None:
        self.port = self.target = self.bytes = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def quiet(self) -> int:
        """Wait until no bytes come for QUIET_S, and return their number."""
        deadline = asyncio.get_running_loop().time() + LONGEST_S
        before = -1
        while before != self.bytes and asyncio.get_running_loop().time() < deadline:
            before = self.bytes
            await asyncio.sleep(QUIET_S)
        return self.bytes

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            there = await asyncio.open_connection(LOOPBACK, self.target)
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        except OSError:  # one side ended the connection at once
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                self.bytes += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
