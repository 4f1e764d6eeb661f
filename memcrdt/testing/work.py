"""What is done with the memories of a simulated computer, by its agent and by a stock Yjs client."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from memcrdt.crdt.shard import Shard
from memcrdt.errors import ReadOnlyError, StoreError
from memcrdt.model.registers import DELETED, REVISION, Writes, split
from memcrdt.model.requests import check_add
from memcrdt.store import compaction
from memcrdt.store.importing import Importing
from memcrdt.store.meta import PERSONAL
from memcrdt.testing.computer import Computer
from memcrdt.testing.expected import LostError
from memcrdt.testing.state import LOCAL_WORD, Life

_SHARED_ITEMS: Final = 12
_WORDS: Final = ("red", "green", "blue")


def write(life: Life, computer: Computer) -> None:
    """Adds memories."""
    space = life.rng.choice(life.may_write(computer))
    for _ in range(life.rng.choice((1, 1, 1, 3))):
        _add(life, computer, space)
    computer.committed()


def write_keyed(life: Life, computer: Computer) -> None:
    """Adds a memory under a key that others use, too."""
    _add(life, computer, PERSONAL, key=f"key {life.rng.randrange(3)}")
    computer.committed()


def write_local(life: Life, computer: Computer) -> None:
    """Adds a memory that must never leave the machine."""
    life.promises.kept_local(computer, computer.memory.add(f"{LOCAL_WORD} {life.text()}", space="local"))
    computer.committed()


def update(life: Life, computer: Computer) -> None:
    """Gives a memory another text."""
    if found := _some(life, computer):
        memory_id, space = found
        text = life.text(space)
        computer.memory.update(memory_id, text=text, add_tags=[life.rng.choice(_WORDS)])
        life.promises.wrote(computer, memory_id, text, space)
        computer.committed()


def tag(life: Life, computer: Computer) -> None:
    """Changes what is beside the text."""
    if found := _some(life, computer):
        change = life.rng.choice(
            ({"add_tags": ["new"]}, {"remove_tags": ["new"]}, {"metadata": {"n": life.rng.random()}})
        )
        computer.memory.update(found[0], **change)
        computer.committed()


def forget(life: Life, computer: Computer) -> None:
    """Forgets a memory."""
    if found := _some(life, computer):
        memory_id, _ = found
        texts = [revision.text for revision in computer.memory.history(memory_id)]
        computer.memory.forget(memory_id)
        # What others say under the same key may come later, and is gone a moment after that.
        life.promises.forgot(computer, memory_id, texts if memory_id not in life.keyed else [])
        computer.committed()


def fail(life: Life, computer: Computer) -> None:
    """The disk fails in the moment of the commit: nothing is acknowledged, and nothing may have gone out."""
    with computer.failing_disk(), suppress(StoreError):
        computer.memory.add(life.text())
    computer.committed()


def import_(life: Life, computer: Computer) -> None:
    """Takes in items of one file, which all the others have, too."""
    texts = [f"item {n} of the shared file zi{n}q" for n in life.rng.sample(range(_SHARED_ITEMS), 4)]
    before = {record.id for record in computer.memory.list(limit=1_000).items}
    plan = Importing(again=False)
    computer.memory.store.commit(partial(plan.plan, [check_add(text, {}) for text in texts]))
    for record in computer.memory.list(limit=1_000).items:
        if record.text in texts:
            if record.id not in before and life.promises.know(record.id, computer):
                life.counts["item imported here and elsewhere while apart"] += 1
            life.keyed.add(record.id)
            life.promises.wrote(computer, record.id, record.text, PERSONAL)
    computer.committed()


def compact(life: Life, computer: Computer) -> None:
    """Folds the log."""
    compaction.compact(computer.memory.store)
    computer.committed()


def stock_edit(life: Life, computer: Computer) -> None:
    """A stock Yjs client works on a copy that it has taken before, perhaps elsewhere, and takes a new one."""
    if life.stock is not None:
        shard, space = life.stock
        writes = _stock_writes(life, shard)
        if writes and space == computer.space(PERSONAL):
            for update in shard.write(writes).updates:
                computer.replica.apply(space, 0, update, "stock")
                life.counts["stock edit applied"] += 1
                computer.committed()
    take_stock(life, computer)


def take_stock(life: Life, computer: Computer) -> None:
    """A stock Yjs client takes a copy."""
    space = computer.space(PERSONAL)
    copy = Shard.load(life.rng.randrange(1, 1 << 32), [computer.replica.diff(space, 0, {}).update])
    life.stock = copy, space


def be_refused(life: Life, computer: Computer) -> None:
    """Tries to write what it may only read, once it knows that it may not. Raises LostError when that succeeds."""
    with computer.memory.store.reading() as db:
        if not db.execute("SELECT read_only FROM spaces WHERE name = ?", (PERSONAL,)).get:
            return
    try:
        computer.memory.add(life.text())
    except ReadOnlyError:
        life.counts["write refused where one may only read"] += 1
    else:
        raise LostError(f"{computer.name}: wrote into a space that it may only read")


def _add(life: Life, computer: Computer, space: str, *, key: str | None = None) -> None:
    text = life.text(space)
    memory_id = computer.memory.add(text, space=space, tags=["new"], key=key)
    if key is not None:
        life.keyed.add(memory_id)
    life.promises.wrote(computer, memory_id, text, space)


def _some(life: Life, computer: Computer) -> tuple[str, str] | None:
    """The id and space of a memory that may be changed."""
    space = life.rng.choice(life.may_write(computer))
    found = sorted(record.id for record in computer.memory.list(limit=1_000, space=space).items)
    return (life.rng.choice(found), space) if found else None


def _stock_writes(life: Life, shard: Shard) -> Writes:
    ids = sorted(shard.ids())
    if not ids:
        return {}
    memory_id = life.rng.choice(ids)
    keys = sorted(shard.registers(memory_id))
    key = keys[-1] if life.rng.random() < 0.5 else life.rng.choice(keys)
    parts = split(key)
    if parts is not None and parts.field in ("", REVISION):
        life.promises.doubtful(memory_id)
    return {key: DELETED}
