"""Hold a replica in a process of its own, and answer commands: a line of JSON for a line of JSON.

    python benchmarks/replica.py memcrdt|pycrdt-websocket FOLDER

`python -m benchmarks sync` starts two of these, one that holds the memories and one that gets them, and `scale` more.
npm/replica.mjs answers the commands of `sync` for libraries of JavaScript.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

LOOPBACK = "127.0.0.1"
BATCH = 1_000
POLL_S = 0.01
POLL_SHARE = 20  # of the time is spent asleep for one part that a poll takes


class Replica(Protocol):
    """One participant. `device` names it, where the library has names."""

    device: str

    async def prepare(self) -> None:
        """Load what a running program has loaded."""
        ...

    async def hold(self, texts: list[str]) -> None:
        """Add the texts."""
        ...

    async def admit(self, device: str) -> int:
        """Let a device connect, and return the port."""
        ...

    async def connect(self, port: int, device: str) -> None:
        """Connect to a device at a port of this machine."""
        ...

    async def disconnect(self) -> None:
        """End the connection."""
        ...

    async def add(self, text: str) -> None:
        """Add one text."""
        ...

    async def forget(self) -> None:
        """Delete every second text of hold()."""
        ...

    async def count(self) -> int:
        """Return the number of texts."""
        ...

    def watch(self, arrived: Callable[[str], object]) -> None:
        """Call `arrived` in the event loop with every text that comes from now on."""
        ...


class MemcrdtReplica:
    """A home with the static model. A text is seen when the change feed tells it: it is durable and can be found."""

    def __init__(self, folder: Path) -> None:
        import memcrdt

        self._node: AsyncExitStack | None = None
        self._open: Callable[..., Any] = memcrdt.Node
        self._memory = memcrdt.open(folder / "home", embedder="static")
        self.device = self._memory.status().device
        self._ids: list[str] = []
        self._port = 0

    async def prepare(self) -> None:
        await asyncio.to_thread(self._memory.search, "load the embedder")
        async with self._open(self._memory, host=LOOPBACK, port=None):
            pass

    async def hold(self, texts: list[str]) -> None:
        for start in range(0, len(texts), BATCH):
            self._ids += await asyncio.to_thread(self._memory.add_many, texts[start : start + BATCH])

    async def admit(self, device: str) -> int:
        self._memory.sync.accept(device)
        if not self._port:
            self._port = (await self._enter(0)).port
        return self._port

    async def connect(self, port: int, device: str) -> None:
        await self.meet(port, device)
        await self._enter(None)

    async def meet(self, port: int, device: str) -> None:
        """Note the address of a device. The running node dials it."""
        self._memory.sync.accept(device, address=f"{LOOPBACK}:{port}")

    async def disconnect(self) -> None:
        if self._node is not None:
            await self._node.aclose()
            self._node, self._port = None, 0

    async def add(self, text: str) -> None:
        await asyncio.to_thread(self._memory.add, text)

    async def forget(self) -> None:
        await asyncio.to_thread(self._memory.forget, self._ids[::2])

    async def count(self) -> int:
        return await asyncio.to_thread(self._memory.count)

    def watch(self, arrived: Callable[[str], object]) -> None:
        loop, memory = asyncio.get_running_loop(), self._memory

        def told(change: Any) -> None:
            if change.kind == "added":
                loop.call_soon_threadsafe(arrived, memory.get(change.id).text)

        self._subscription = memory.subscribe(told)

    async def _enter(self, port: int | None) -> Any:
        self._node = AsyncExitStack()
        return await self._node.enter_async_context(self._open(self._memory, host=LOOPBACK, port=port))


class PycrdtReplica:
    """A document in memory: the room of a WebsocketServer at the side that holds it, and a Provider at the other."""

    def __init__(self, folder: Path) -> None:
        from pycrdt import Doc, Map

        self.device = ""
        self._doc: Any = Doc()
        self._map: Any = self._doc.get("memories", type=Map)
        self._ids: list[str] = []
        self._stack = AsyncExitStack()
        self._port = 0

    async def prepare(self) -> None:
        for name in ("httpx_ws", "pycrdt.websocket", "uvicorn"):
            importlib.import_module(name)

    async def hold(self, texts: list[str]) -> None:
        import uvicorn
        from pycrdt import Map

        rooms: Any = importlib.import_module("pycrdt.websocket")
        server = await self._stack.enter_async_context(rooms.WebsocketServer(auto_clean_rooms=False))
        self._doc = (await server.get_room("/bench")).ydoc
        self._map = self._doc.get("memories", type=Map)
        for start in range(0, len(texts), BATCH):
            with self._doc.transaction():
                self._ids += [self._set(text) for text in texts[start : start + BATCH]]
        web = uvicorn.Server(uvicorn.Config(rooms.ASGIServer(server), host=LOOPBACK, port=0, log_level="error"))
        self._serving = asyncio.create_task(web.serve())
        while not web.started:  # noqa: ASYNC110 - it has no event for this
            await asyncio.sleep(POLL_S)
        self._port = web.servers[0].sockets[0].getsockname()[1]

    async def admit(self, device: str) -> int:
        return self._port

    async def connect(self, port: int, device: str) -> None:
        from pycrdt import Provider

        sockets: Any = importlib.import_module("httpx_ws")
        channels: Any = importlib.import_module("pycrdt.websocket.websocket")
        socket = await self._stack.enter_async_context(sockets.aconnect_ws(f"http://{LOOPBACK}:{port}/bench"))
        await self._stack.enter_async_context(Provider(self._doc, channels.HttpxWebsocket(socket, "/bench")))

    async def disconnect(self) -> None:
        await self._stack.aclose()

    async def add(self, text: str) -> None:
        self._set(text)

    async def forget(self) -> None:
        with self._doc.transaction():
            for key in self._ids[::2]:
                del self._map[key]

    async def count(self) -> int:
        return len(self._map)

    def watch(self, arrived: Callable[[str], object]) -> None:
        def told(event: Any) -> None:
            for change in event.keys.values():
                if change["action"] == "add":
                    arrived(change["newValue"]["text"])

        self._subscription = self._map.observe(told)

    def _set(self, text: str) -> str:
        key = uuid4().hex
        self._map[key] = {"text": text, "created_at": time.time_ns() // 1_000_000}
        return key


REPLICAS: dict[str, Callable[[Path], Replica]] = {"memcrdt": MemcrdtReplica, "pycrdt-websocket": PycrdtReplica}


class Arrivals:
    """The texts that came, and when."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._news = asyncio.Event()

    def note(self, text: str) -> None:
        """Note a text that came now."""
        self._at[text] = time.perf_counter()
        self._news.set()

    async def wait(self, text: str) -> float:
        """Wait for a text, and return when it came."""
        while text not in self._at:
            self._news.clear()
            await self._news.wait()
        return self._at[text]


async def answer(replica: Replica, asked: dict[str, Any], arrivals: Arrivals) -> dict[str, Any]:
    """Carry out one command. `at` is the time when it began or, for `until` and `seen`, when it came true."""
    at, do = time.perf_counter(), asked["do"]
    if do == "hold":
        await replica.hold(await asyncio.to_thread(_lines, asked["file"]))
    elif do == "admit":
        return {"port": await replica.admit(asked["device"])}
    elif do == "connect":
        await replica.connect(asked["port"], asked["device"])
    elif do == "meet":
        assert isinstance(replica, MemcrdtReplica)
        await replica.meet(asked["port"], asked["device"])
    elif do == "until":
        at = await _until(replica, asked["count"])
    elif do == "count":
        return {"count": await replica.count()}
    elif do == "watch":
        replica.watch(arrivals.note)
    elif do == "seen":
        at = await arrivals.wait(asked["text"])
    elif do == "add":
        await replica.add(asked["text"])
    elif do == "forget":
        await replica.forget()
    elif do == "disconnect":
        await replica.disconnect()
    return {"at": at, **_usage()}


def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8").splitlines()


async def _until(replica: Replica, count: int) -> float:
    while True:
        begun = time.perf_counter()
        if await replica.count() == count:
            return time.perf_counter()
        await asyncio.sleep(max(POLL_S, POLL_SHARE * (time.perf_counter() - begun)))


def _usage() -> dict[str, float]:
    """Return the processor time so far and the most memory, where the platform tells it."""
    used = {"cpu_s": time.process_time()}
    try:
        import resource
    except ImportError:
        return used
    unit = 1 if sys.platform == "darwin" else 1024
    return {**used, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}


async def main() -> None:
    """Answer until the input ends."""
    replica, arrivals = REPLICAS[sys.argv[1]](Path(sys.argv[2])), Arrivals()
    await replica.prepare()
    print(json.dumps({"device": replica.device}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(replica, json.loads(line), arrivals)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
