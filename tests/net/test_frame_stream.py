"""The acceptance suite of frame streams, over WebSockets and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from memcrdt.net.addresses import Address
from memcrdt.net.connection_gate import ConnectionGate, GateOptions, PendingConnection
from memcrdt.net.frame_stream import FrameStream
from memcrdt.net.tls import new_credentials
from memcrdt.net.websocket import PATH, WebSocketClient, answer_websocket
from memcrdt.testing.frame_streams import FrameStreamAcceptance, memory_streams


class TestInMemory(FrameStreamAcceptance):
    """Streams in memory, which other tests use, meet the same contract."""

    @pytest.fixture
    async def streams(self) -> tuple[FrameStream, FrameStream]:
        return memory_streams()


class TestOverWebSockets(FrameStreamAcceptance):
    """Streams over TLS on the loopback interface."""

    @pytest.fixture
    async def streams(self) -> AsyncIterator[tuple[FrameStream, FrameStream]]:
        credentials = new_credentials()
        accepted: asyncio.Future[FrameStream] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def answer(request: web.BaseRequest, pending: PendingConnection) -> web.StreamResponse:
            answered = await answer_websocket(request, PATH, credentials.certificate, pending.address)
            assert not isinstance(answered, int)
            pending.identified.set()
            accepted.set_result(answered[1])
            await over.wait()
            return answered[0]

        gate = ConnectionGate(answer, GateOptions(context=credentials.context, pending=1, per_host=1))
        client = WebSocketClient(PATH, "a test")
        address = Address("127.0.0.1", gate.open(Address("127.0.0.1", 0)))
        dialer = await client.connect(address, "the listener")
        listener = await accepted
        yield dialer, listener
        over.set()
        await asyncio.gather(dialer.close(), listener.close())
        await client.close()
        await gate.close()
