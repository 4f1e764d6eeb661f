"""Two machines that sync, both simulated by this process.

    python examples/two_machines.py

Each machine has a home of its own. They accept each other, and each finds the memories of the other. Then both change
the same memory while they are disconnected. The example leaves no files behind.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import memcrdt
from memcrdt import Memory, Node

PATIENCE_S = 20.0


async def meet(laptop: Memory, desktop: Memory, until: Callable[[], bool]) -> None:
    """Run the network of both machines until the condition is true."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake(_: memcrdt.Change) -> None:
        loop.call_soon_threadsafe(changed.set)  # subscribers are called from another thread

    with laptop.subscribe(wake), desktop.subscribe(wake):
        async with (
            asyncio.timeout(PATIENCE_S),
            Node(desktop, host="127.0.0.1", port=0) as desktop_node,
            Node(laptop, host="127.0.0.1", port=0) as laptop_node,
        ):
            await laptop_node.connect(desktop_node.addresses[0])
            while not until():
                await changed.wait()
                changed.clear()


async def main() -> None:
    # Each meeting uses new ports. Warnings about the old ones are noise here.
    logging.getLogger("memcrdt").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as folder,
        memcrdt.open(Path(folder) / "laptop") as laptop,
        memcrdt.open(Path(folder) / "desktop") as desktop,
    ):
        # Both sides have to accept the other device by its id. On real machines: `memcrdt accept DEVICE`.
        laptop.accept(desktop.device, name="desktop")
        desktop.accept(laptop.device, name="laptop")

        rota = laptop.add("Tomás waters the roof garden on Fridays", scope="project/roof-garden", tags=["rota"])
        desktop.add("The rain barrel on the roof holds 300 litres", scope="project/roof-garden")
        await meet(laptop, desktop, lambda: len(laptop.list()) == len(desktop.list()) == 2)
        print("The desktop answers who waters the plants:")
        print("  ", desktop.search("who waters the plants?", limit=1)[0].memory.text)

        # While disconnected, both change the same memory.
        laptop.update(rota, text="Tomás waters the roof garden on Saturdays")
        desktop.update(rota, text="Amina waters the roof garden on Fridays")
        await meet(laptop, desktop, lambda: len(laptop.conflicts(rota)) == len(desktop.conflicts(rota)) == 2)
        print("Both texts are kept, and both machines show the same one:")
        print("   laptop: ", laptop.get(rota).text)
        print("   desktop:", desktop.get(rota).text)

        # Either machine can settle the conflict, for both.
        desktop.update(rota, text="Amina waters the roof garden on Fridays, Tomás on Saturdays")
        await meet(laptop, desktop, lambda: not laptop.conflicts(rota) and not desktop.conflicts(rota))
        print("Settled:")
        print("   laptop: ", laptop.get(rota).text)


if __name__ == "__main__":
    asyncio.run(main())
