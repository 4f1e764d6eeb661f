"""Write registers that make no sense into the documents of two devices, then read, change and compare them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from random import Random
from typing import Final

from memcrdt.crdt.shard import Shard
from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.model.scopes import PERSONAL
from memcrdt.node.store_replica import StoreReplica
from memcrdt.testing.memories import Clock, exchange, temporary
from tests.bare_device import dump
from tests.odd_registers import MEMORIES, OddRegisters

_LIFE: Final = 50  # updates of one pair of devices
_SHARDS: Final = 2
_SPACES: Final = (PERSONAL, "team")  # with the same ids in both, so that memories supersede each other across spaces
_CLIENT: Final = "Y" * 52


def run(numbers: range) -> int:
    """Apply one update of nonsensical registers for each number. The first number is the seed.

    Returns:
        The number of readable memories that came about.

    Raises:
        AssertionError: Two devices differ, or the doctor finds fault. Any other exception is a bug too.
    """
    rng = Random(numbers.start)
    shown = 0
    for start in range(0, len(numbers), _LIFE):
        shown += _live(rng, min(_LIFE, len(numbers) - start))
    return shown


def _live(rng: Random, updates: int) -> int:
    """Let two devices take this many updates, and return how many memories they show in the end."""
    odd = OddRegisters(rng)
    with ExitStack() as stack:
        pair = [stack.enter_context(temporary(clock=Clock())) for _ in range(2)]
        for memory in pair:
            memory.space(_SPACES[1]).create()
        _meet(pair)
        for number in range(updates):
            memory, roll = rng.choice(pair), rng.random()
            _write(memory, rng, odd, client=1_000 + number)
            if roll < 0.05:
                _meet(pair)
            elif roll < 0.3:
                _change(memory, rng)
            elif roll < 0.4:
                read_all(memory)
        _meet(pair)
        for memory in pair:
            read_all(memory)
        assert len({repr(_views(memory)) for memory in pair}) == 1, "equal documents have different views"
        return pair[0].count(include=("superseded", "expired"))


def _meet(pair: Sequence[Memory]) -> None:
    for space in _SPACES:
        exchange(*pair, space=space)


def _write(memory: Memory, rng: Random, odd: OddRegisters, client: int) -> None:
    """Write registers into a shard, as a stock Yjs client that has the whole shard."""
    replica, shard = StoreReplica(memory.store), rng.randrange(_SHARDS)
    space = memory.space(rng.choice(_SPACES)).id()
    stock = Shard.load(client, [replica.diff(space, shard, {}).update])
    for update in stock.write(odd.writes()).updates:
        applied = replica.apply(space, shard, update, _CLIENT)
        assert applied.status == "applied", applied.reason


def _change(memory: Memory, rng: Random) -> None:
    """Change one of the memories, as a user does. It may be missing, or at a limit."""
    memory_id = rng.choice(MEMORIES)
    changes = (
        lambda: memory.update(memory_id, text=f"text {rng.random()}", add_tags=["one"], importance=0.5),
        lambda: memory.update(memory_id, tags=["two"], metadata={"one": 1}, pinned=True, scope="project/z"),
        lambda: memory.add(f"text {rng.random()}", key="a key"),
        lambda: memory.link(memory_id, "one", rng.choice(MEMORIES)),
        lambda: memory.forget(memory_id),
        lambda: memory.rename_scope("project/x", "project/y"),
        memory.compact,
    )
    with suppress(InputError, NotFoundError):
        rng.choice(changes)()


def read_all(memory: Memory) -> None:
    """Ask every public reader about every memory.

    Raises:
        AssertionError: The doctor finds fault.
    """
    listed = memory.list(limit=1_000, include=("superseded", "expired")).items
    for record in map(memory.get, dict.fromkeys(each.id for each in listed)):
        assert record in listed
        assert any(revision.text == record.text for revision in memory.history(record.id)), record
        memory.conflicts(record.id)
        memory.related(record.id)
        record.to_dict()
    memory.search("a text that one of them may have", limit=20)
    memory.search("one", tags=["one"], metadata={"one": 1})
    memory.export(io.BytesIO(), format="jsonl")
    memory.stats()
    memory.status()
    memory.forget_expired()
    assert not (problems := memory.doctor().problems), problems


def _views(memory: Memory) -> list[object]:
    with memory.store.reading() as db:
        return dump(db)
