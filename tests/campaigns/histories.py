"""Random histories of several copies of one shard: concurrent writes, and exchanges in any order."""

from __future__ import annotations

from random import Random

from memcrdt.crdt.shard import Edit, Shard
from memcrdt.model.registers import DELETED, Writes, attribute_key, birth_key, forgotten_key, revision_key
from memcrdt.model.values import Json

_IDS = tuple(f"01JD8Z6Q4M00000000000000{number:02}" for number in range(6))


class History:
    """Copies of one shard, each with its own client id.

    Args:
        rng: The source of every choice.
        copies: Number of copies.
        nulls: Share of values that are null. All other values differ, so every write changes something.

    Attributes:
        edits: Every change so far, in order.
    """

    def __init__(self, rng: Random, copies: int = 4, nulls: float = 0.2) -> None:
        self.rng = rng
        self.nulls = nulls
        self.shards = [Shard(rng.randrange(1, 1 << 53)) for _ in range(copies)]
        self.edits: list[Edit] = []

    def run(self, steps: int) -> History:
        for _ in range(steps):
            self.step()
        return self

    def step(self) -> Edit:
        """Make one copy write, or fetch its missing changes from another copy."""
        shard = self.rng.choice(self.shards)
        if self.rng.random() < 0.7:
            edit = shard.write(self._writes(shard))
        else:
            edit = shard.apply(self.rng.choice(self.shards).diff(shard.state_vector()))
        self.edits.append(edit)
        return edit

    def settle(self) -> None:
        """Exchange until every copy has everything."""
        first = self.shards[0]
        for shard in self.shards + self.shards:
            first.apply(shard.diff(first.state_vector()))
            shard.apply(first.diff(shard.state_vector()))

    def _writes(self, shard: Shard) -> Writes:
        memory_id = self.rng.choice(_IDS)
        if self.rng.random() < 0.1:
            return self._forget(shard, memory_id)
        keys = self.rng.sample(self._keys(memory_id), self.rng.randint(1, 4))
        return {key: DELETED if self.rng.random() < 0.15 else self._value() for key in keys}

    def _forget(self, shard: Shard, memory_id: str) -> Writes:
        writes: Writes = dict.fromkeys(shard.registers(memory_id), DELETED)
        return writes | {forgotten_key(memory_id): self._value()}

    def _keys(self, memory_id: str) -> list[str]:
        revisions = [revision_key(memory_id, f"01JD8Z6Q4M000000000000R{number:03}") for number in range(3)]
        attributes = [attribute_key(memory_id, name) for name in ("pinned", "scope")]
        return [birth_key(memory_id), *revisions, *attributes, f"{memory_id}/later/x", "no register at all"]

    def _value(self) -> Json:
        if self.rng.random() < self.nulls:
            return None
        return {"text": f"ü{self.rng.random()}", "at": self.rng.randrange(1 << 53), "base": [self.rng.random(), None]}
