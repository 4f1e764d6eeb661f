"""Run many commands, each of which opens the home, and count the client ids that they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from memcrdt.store import log
from tests.campaigns.expected import LostError, open_memory

_HANDFUL: Final = 5


def run(home: Path, count: int) -> int:
    """Open, write and close `count` times.

    Returns:
        The highest number of client ids in a shard.

    Raises:
        LostError: A shard has more than a handful.
    """
    with open_memory(home) as memory:
        memory_id = memory.add("it is changed by every command")
    for number in range(count):
        with open_memory(home) as memory:
            memory.update(memory_id, importance=number / count)
    with open_memory(home) as memory, memory.store.reading() as db:
        rows = [log.shard_row(db, shard) for shard in log.shard_numbers(db)]
    most = max(len(log.state_vector_of(row)) for row in rows)
    if most > _HANDFUL:
        raise LostError(f"{count:,} commands left {most} client ids in a shard")
    return most
