"""Three stores are driven at random and compared with a model in plain Python after each step."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memcrdt.errors import NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.store.files import FILE
from memcrdt.testing.memories import Clock, exchange, open_memory, pull

EVERY = {"include": ("expired", "superseded"), "limit": 1_000}
TAGS = ("red", "green")
ABSENT = object()

devices = st.sampled_from("ABC")
picks = st.integers(0, 99)  # an index, modulo the number of items


@dataclass(frozen=True, eq=False)
class Write:
    """One write of one register of a memory, on a device that knew the writes `known`."""

    memory: str
    register: tuple[str, ...]
    value: Any
    known: frozenset[Write]


class Model:
    """The writes that each device knows.

    The model does not decide which of two concurrent writes wins, only that one of them does. But every text is in
    the history, and the latest head is shown.
    """

    def __init__(self) -> None:
        self.known: dict[str, frozenset[Write]] = dict.fromkeys("ABC", frozenset())
        self.order: dict[Write, int] = {}

    def write(self, device: str, memory: str, register: tuple[str, ...], value: Any) -> None:
        write = Write(memory, register, value, self.known[device])
        self.order[write] = len(self.order)
        self.known[device] |= {write}

    def learn(self, device: str, other: str) -> None:
        self.known[device] |= self.known[other]

    def forgotten(self, device: str) -> set[str]:
        return {write.memory for write in self.known[device] if write.register == ("forgotten",)}

    def living(self, device: str) -> list[str]:
        return sorted({write.memory for write in self.known[device]} - self.forgotten(device))

    def of(self, device: str, memory: str) -> dict[tuple[str, ...], list[Write]]:
        """Return the writes of a memory by register, in the order of time."""
        found: dict[tuple[str, ...], list[Write]] = defaultdict(list)
        for write in sorted(self.known[device], key=self.order.__getitem__):
            if write.memory == memory:
                found[write.register].append(write)
        return found


def latest(writes: Iterable[Write]) -> list[Write]:
    """Return the writes that no other write was made after. One of them wins."""
    every = list(writes)
    return [write for write in every if not any(write in other.known for other in every)]


class ThreeStores(RuleBasedStateMachine):
    """Devices A, B and C. After a crash, a Memory stays unclosed until the end."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="memcrdt-stateful-"))
        self.clock = Clock()
        self.model = Model()
        self.opened: list[Memory] = []
        self.memories: dict[str, Memory] = {}
        for device in "ABC":
            (self.folder / device).mkdir()
            shutil.copy(self.template, self.folder / device / FILE)
            self._open(device)

    def teardown(self) -> None:
        try:
            for device in "ABCABC":
                for other in "ABC":
                    self.model.learn(device, other)
            exchange(*self.memories.values())
            self.everything_readable_is_as_the_model_says()
            records = [{r.id: r for r in memory.list(**EVERY)} for memory in self.memories.values()]
            assert records[0] == records[1] == records[2]
        finally:
            for memory in self.opened:
                memory.close()
            shutil.rmtree(self.folder)

    def _open(self, device: str) -> None:
        self.memories[device] = open_memory(self.folder / device, device, self.clock)
        self.opened.append(self.memories[device])

    def _pick(self, device: str, pick: int) -> str:
        living = self.model.living(device)
        return living[pick % len(living)]

    @rule(device=devices, tag=st.sampled_from([None, *TAGS]))
    def add(self, device: str, tag: str | None) -> None:
        text = f"word {len(self.model.order)}"
        added = self.memories[device].add(text, tags=[tag] if tag else ())
        self.model.write(device, added, ("birth",), text)
        if tag:
            self.model.write(device, added, ("tag", tag), True)

    @rule(device=devices, key=st.sampled_from(["k1", "k2"]))
    def add_under_a_key(self, device: str, key: str) -> None:
        text = f"word {len(self.model.order)}"
        scopes = {record.id: record.scope for record in self.memories[device].list(**EVERY)}
        added = self.memories[device].add(text, key=key)
        assert added not in self.model.forgotten(device)
        is_new = added not in self.model.living(device)
        self.model.write(device, added, ("birth",) if is_new else ("text",), text)
        if scopes.get(added, "global") != "global":
            self.model.write(device, added, ("scope",), "global")

    @precondition(lambda self: any(self.model.living(device) for device in "ABC"))
    @rule(device=devices, pick=picks)
    def edit(self, device: str, pick: int) -> None:
        if self.model.living(device):
            text, memory_id = f"word {len(self.model.order)}", self._pick(device, pick)
            assert self.memories[device].update(memory_id, text=text).text == text
            self.model.write(device, memory_id, ("text",), text)

    @rule(device=devices, pick=picks, tag=st.sampled_from(TAGS))
    def tag_or_untag(self, device: str, pick: int, tag: str) -> None:
        if self.model.living(device):
            memory_id = self._pick(device, pick)
            there = tag in self.memories[device].get(memory_id).tags
            self.memories[device].update(memory_id, **{"remove_tags" if there else "add_tags": [tag]})
            self.model.write(device, memory_id, ("tag", tag), ABSENT if there else True)

    @rule(device=devices, pick=picks, value=st.sampled_from([None, 1, "x", [1, {"y": None}]]))
    def set_metadata(self, device: str, pick: int, value: Any) -> None:
        if self.model.living(device):
            memory_id = self._pick(device, pick)
            if self.memories[device].get(memory_id).metadata.get("key") != value:
                self.memories[device].update(memory_id, metadata={"key": value})
                self.model.write(device, memory_id, ("metadata", "key"), ABSENT if value is None else value)

    @rule(device=devices, pick=picks, scope=st.sampled_from(["global", "project/acme", "agent/bot"]))
    def change_scope(self, device: str, pick: int, scope: str) -> None:
        if self.model.living(device):
            memory_id = self._pick(device, pick)
            if self.memories[device].get(memory_id).scope != scope:
                self.memories[device].update(memory_id, scope=scope)
                self.model.write(device, memory_id, ("scope",), scope)

    @rule(device=devices, pick=picks)
    def forget(self, device: str, pick: int) -> None:
        if self.model.living(device):
            memory_id = self._pick(device, pick)
            assert self.memories[device].forget(memory_id).count == 1
            self.model.write(device, memory_id, ("forgotten",), True)

    @rule(device=devices)
    def compact(self, device: str) -> None:
        self.memories[device].compact()

    @rule(device=devices)
    def reopen(self, device: str) -> None:
        self.memories[device].close()
        self._open(device)

    @rule(device=devices)
    def crash(self, device: str) -> None:
        self._open(device)

    @rule(device=devices, other=devices)
    def merge(self, device: str, other: str) -> None:
        if device != other:
            pull(self.memories[device], self.memories[other])
            self.model.learn(device, other)

    @invariant()
    def everything_readable_is_as_the_model_says(self) -> None:
        for device, memory in self.memories.items():
            living = self.model.living(device)
            records = {record.id: record for record in memory.list(**EVERY)}
            assert sorted(records) == living
            assert sorted(hit.memory.id for hit in memory.search("word", **EVERY)) == living
            for memory_id in living:
                self._check(device, memory_id)
            for memory_id in self.model.forgotten(device):
                with pytest.raises(NotFoundError, match="forgotten"):
                    memory.get(memory_id)

    def _check(self, device: str, memory_id: str) -> None:
        memory, writes = self.memories[device], self.model.of(device, memory_id)
        record, history = memory.get(memory_id), memory.history(memory_id)
        texts = writes.pop(("text",), [])
        births = {write.value for write in writes.pop(("birth",))}
        heads = latest(texts)
        assert history[0].text in births
        # Of several births under one key, one is kept. All are revisions once the other devices know of it.
        edits = [revision for revision in history[1:] if len(births) == 1 or revision.text not in births]
        assert [revision.text for revision in edits] == [write.value for write in texts]
        assert {r.text for r in edits if r.head} == {write.value for write in heads}
        if len(births) == 1:
            assert record.text == (heads[-1].value if heads else history[0].text)
            assert record.conflicted == (len(heads) > 1)
            assert [r.text for r in memory.conflicts(memory_id)] == [w.value for w in heads if len(heads) > 1]
        said = {("tag", tag): True for tag in record.tags} | {("metadata", k): v for k, v in record.metadata.items()}
        said[("scope",)] = record.scope
        for register in said.keys() | writes.keys():
            may = [write.value for write in latest(writes.get(register, ()))] or ["global"]
            assert said.get(register, ABSENT) in may, register


@pytest.fixture(scope="module", autouse=True)
def _template(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Create an empty file with the schema, because its creation takes longer than everything else."""
    home = tmp_path_factory.mktemp("template")
    memory = open_memory(home, "T", Clock())
    with memory.store.writing() as db:
        db.execute("DELETE FROM meta; DELETE FROM spaces")
    memory.close()
    ThreeStores.template = home / FILE


TestThreeStores = ThreeStores.TestCase
TestThreeStores.settings = settings(max_examples=25, stateful_step_count=25)
