"""Several processes that use one store at the same time. Each checks that it sees the others' commits."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from memcrdt.memory.memory import Memory
from memcrdt.testing.faults import UNSYNCED
from tests.campaigns.expected import LostError, Texts, open_memory, texts_of
from tests.campaigns.kill import processes

_LOOK_EVERY: Final = 20  # turns between two checks


def run(home: Path, workers: int, turns: int) -> Texts:
    """Run several processes that add, update and forget.

    Args:
        home: The home of the store.
        workers: The number of processes.
        turns: The number of changes by each process.

    Returns:
        The memories that the store must have afterwards.

    Raises:
        LostError: A process does not see an earlier commit of another process.
    """
    open_memory(home).close()
    with processes().Pool(workers) as pool:
        done = pool.starmap(_work, [(home, number, turns) for number in range(workers)], chunksize=1)
    return {memory_id: text for texts in done for memory_id, text in texts.items()}


def _work(home: Path, number: int, turns: int) -> Texts:
    rng = random.Random(number)
    kept: Texts = {}
    mine: list[str] = []
    with open_memory(home, UNSYNCED.name) as memory, (home / f"kept-{number}").open("w") as told:
        for turn in range(turns):
            text = f"{number}: {turn}"
            if turn % 4 < 2:
                mine.append(memory.add(text))
                kept[mine[-1]] = text
            elif turn % 4 == 2:
                target = rng.choice(mine)
                kept[target] = memory.update(target, text=text).text
            elif turn % _LOOK_EVERY != _LOOK_EVERY - 1:
                target = mine.pop(rng.randrange(len(mine)))
                memory.forget(target)
                del kept[target]
            else:
                print(mine.pop(), file=told, flush=True)  # this process never changes it again
                _look(home, memory)
    return kept


def _look(home: Path, memory: Memory) -> None:
    told = {line for file in home.glob("kept-*") for line in file.read_text().splitlines() if len(line) == 26}
    if unseen := told - texts_of(memory).keys():
        raise LostError(f"{sorted(unseen)} were committed by other processes earlier, but are not visible")
