"""The work of simulated agents and of a stock Yjs client."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from memcrdt.crdt.shard import Shard
from memcrdt.errors import ReadOnlyError, StoreError
from memcrdt.model.registers import DELETED, REVISION, Writes, split
from memcrdt.model.requests import check_add
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.values import from_ms
from memcrdt.store import compaction, log
from memcrdt.store.importing import Importing
from memcrdt.store.store import in_file
from tests.campaigns.computer import Computer
from tests.campaigns.expected import LostError
from tests.campaigns.world import LOCAL_WORD, World
from tests.odd_registers import MEMORIES

_LIFE_MS: Final = 60 * 86_400_000
_SHARED_ITEMS: Final = 12
_WORDS: Final = ("red", "green", "blue")


def write(world: World, computer: Computer) -> None:
    """Add memories."""
    space = world.rng.choice(world.may_write(computer))
    for _ in range(world.rng.choice((1, 1, 1, 3))):
        _add(world, computer, space)
    computer.committed()


def write_keyed(world: World, computer: Computer) -> None:
    """Add a memory under a key that other computers use too."""
    _add(world, computer, PERSONAL, key=f"key {world.rng.randrange(3)}")
    computer.committed()


def write_expiring(world: World, computer: Computer) -> None:
    """Add a memory that expires in 60 days, by the true time or by this computer's clock if that is later.

    A computer forgets memories of its own 30 days after they expired, so none is forgotten in a run.
    """
    if may_only_read(computer):  # by a statement of the hostile member, until that of the device that let it in arrives
        return
    text = world.text()
    memory_id = computer.memory.add(text, expires_at=from_ms(computer.true_ms() + max(computer.skew_ms, 0) + _LIFE_MS))
    world.promises.wrote(computer, memory_id, text, PERSONAL)
    computer.committed()


def write_local(world: World, computer: Computer) -> None:
    """Add a memory that must never leave the machine."""
    world.promises.kept_local(computer, computer.memory.add(f"{LOCAL_WORD} {world.text()}", space="local"))
    computer.committed()


def update(world: World, computer: Computer) -> None:
    """Give a memory another text."""
    if found := _some(world, computer):
        memory_id, space = found
        text = world.text(space)
        computer.memory.update(memory_id, text=text, add_tags=[world.rng.choice(_WORDS)])
        world.promises.wrote(computer, memory_id, text, space)
        computer.committed()


def tag(world: World, computer: Computer) -> None:
    """Change tags or metadata of a memory."""
    if found := _some(world, computer):
        change = world.rng.choice(
            ({"add_tags": ["new"]}, {"remove_tags": ["new"]}, {"metadata": {"n": world.rng.random()}})
        )
        computer.memory.update(found[0], **change)
        computer.committed()


def forget(world: World, computer: Computer) -> None:
    """Forget a memory."""
    if found := _some(world, computer):
        memory_id, _ = found
        texts = [revision.text for revision in computer.memory.history(memory_id)]
        computer.memory.forget(memory_id)
        # Other computers' texts under the same key may still arrive, and are deleted a moment later.
        world.promises.forgot(computer, memory_id, texts if memory_id not in world.keyed else [])
        computer.committed()


def fail(world: World, computer: Computer) -> None:
    """Make the disk fail at the commit. Nothing is acknowledged, and nothing may be sent."""
    with computer.failing_disk(), suppress(StoreError):
        computer.memory.add(world.text())
    computer.committed()


def import_(world: World, computer: Computer) -> None:
    """Import items of a file that all computers have."""
    texts = [f"item {n} of the shared file zi{n}q" for n in world.rng.sample(range(_SHARED_ITEMS), 4)]
    before = {record.id for record in computer.memory.list(limit=1_000).items}
    plan = Importing(again=False)
    computer.memory.store.commit(partial(plan.plan, [check_add(text, {}, 0) for text in texts]))
    for record in computer.memory.list(limit=1_000).items:
        if record.text in texts:
            if record.id not in before and world.promises.know(record.id, computer):
                world.counts["item imported here and elsewhere while apart"] += 1
            world.keyed.add(record.id)
            world.promises.wrote(computer, record.id, record.text, PERSONAL)
    computer.committed()


def compact(world: World, computer: Computer) -> None:
    """Compact the store."""
    compaction.compact(in_file(computer.memory.store))
    computer.committed()


def stock_edit(world: World, computer: Computer) -> None:
    """Make a stock Yjs client edit its copy, perhaps from another computer, and take a new copy."""
    if world.stock is not None:
        shard, space = world.stock
        writes = _stock_writes(world, shard)
        if writes and space == computer.space(PERSONAL):
            for update in shard.write(writes).updates:
                computer.replica.apply(space, 0, update, f"{log.STOCK}editor")
                world.counts["stock edit applied"] += 1
                computer.committed()
    take_stock(world, computer)


def take_stock(world: World, computer: Computer) -> None:
    """Make a stock Yjs client take a copy."""
    space = computer.space(PERSONAL)
    copy = Shard.load(world.rng.randrange(1, 1 << 32), [computer.replica.diff(space, 0, {}).update])
    world.stock = copy, space


def may_only_read(computer: Computer) -> bool:
    """Return whether the computer knows that it may only read the space `personal`."""
    with computer.memory.store.reading() as db:
        return bool(db.execute("SELECT read_only FROM spaces WHERE name = ?", (PERSONAL,)).get)


def be_refused(world: World, computer: Computer) -> None:
    """Try to write a space that the computer knows it may only read. Raise LostError if that succeeds."""
    if not may_only_read(computer):
        return
    try:
        computer.memory.add(world.text())
    except ReadOnlyError:
        world.counts["write refused where one may only read"] += 1
    else:
        raise LostError(f"{computer.name}: wrote to a space that it may only read")


def _add(world: World, computer: Computer, space: str, *, key: str | None = None) -> None:
    text = world.text(space)
    memory_id = computer.memory.add(text, space=space, tags=["new"], key=key)
    if key is not None:
        world.keyed.add(memory_id)
    world.promises.wrote(computer, memory_id, text, space)


def _some(world: World, computer: Computer) -> tuple[str, str] | None:
    """Return the id and the space of a memory that the computer may change, or None. Nonsense is left alone."""
    space = world.rng.choice(world.may_write(computer))
    found = sorted({record.id for record in computer.memory.list(limit=1_000, space=space).items} - {*MEMORIES})
    return (world.rng.choice(found), space) if found else None


def _stock_writes(world: World, shard: Shard) -> Writes:
    ids = sorted(shard.ids())
    if not ids:
        return {}
    memory_id = world.rng.choice(ids)
    keys = sorted(shard.registers(memory_id))
    key = keys[-1] if world.rng.random() < 0.5 else world.rng.choice(keys)
    parts = split(key)
    if parts is not None and parts.field in ("", REVISION):
        world.promises.doubtful(memory_id)
    return {key: DELETED}
