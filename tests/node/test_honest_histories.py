"""Random histories of honest devices: nothing that they do looks like a loss to another one, whatever their clocks are.

The first shard is closed, or becomes so: what is edited there goes to another shard. Some devices are apart for a
while, one may only read, and each clock has an error of its own.
"""

from __future__ import annotations

from contextlib import closing
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memcrdt.model import limits
from memcrdt.sync.messages import Restate
from tests.bare_device import BareDevice
from tests.bare_network import SOON_S, Devices

FEW = 16  # client ids of a shard; with half of them it is closed
CLOCK_ERRORS_MS = (0, 0, 1_000, 3_600_000, 100_000_000)
TAGS = ("old", "x", "y", "z")


class History:
    """A random history of two to four devices, in simulated time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = Random(seed)
        self.names = "ABCD"[: self.rng.choice([2, 3, 4])]
        self.devices = Devices(folder, self.names)
        self.links: dict[tuple[str, ...], int] = {}
        self.reader = self.rng.choice([None, *self.names[1:]])
        if self.reader is not None:
            self.devices.restrict(self.reader)
        for device in self.devices.all.values():
            device.clock += self.rng.choice(CLOCK_ERRORS_MS)

    def begin(self) -> None:
        """Let all devices have a few memories, in a shard with room or in a closed one, and take them apart."""
        first = self.devices.all["A"]
        for _ in range(self.rng.choice([1, FEW // 2])):
            first.use_client(self.rng.getrandbits(48))
            first.add("text", tags=["old"], importance=0.5)
        for name in self.names[1:]:
            self.connect("A", name)
        for link in tuple(self.links):
            self.cut(link)

    def step(self) -> None:
        """Let one thing happen."""
        kinds = (self._add, self._edit, self._forget, self._connect_two, self._cut_one)
        self.rng.choices(kinds, (2, 6, 1, 2, 1))[0]()

    def connect(self, *pair: str) -> None:
        if pair not in self.links:
            self.links[pair] = self.devices.connect(*pair)

    def cut(self, pair: tuple[str, ...]) -> None:
        self.devices.sim.cut(self.links.pop(pair))
        self.devices.sim.run(1)

    def reached_from(self, name: str) -> set[str]:
        """Return the devices that receive the changes of one. Nobody takes any from a device that may only read."""
        reached = {name}
        for _ in self.names:
            for pair in self.links:
                if (reached - {self.reader}).intersection(pair):
                    reached.update(pair)
        return reached

    def _writer(self) -> str:
        return self.rng.choice([name for name in self.names if name != self.reader])

    def _add(self) -> None:
        name = self._writer()
        self.devices.all[name].add("new", tags=["old"])
        self.devices.committed(name)

    def _forget(self) -> None:
        name = self._writer()
        if texts := self.devices.all[name].texts():
            self.devices.all[name].forget(self.rng.choice(sorted(texts)))
            self.devices.committed(name)

    def _connect_two(self) -> None:
        self.connect(*self.rng.choice([*combinations(self.names, 2)]))

    def _cut_one(self) -> None:
        if self.links:
            self.cut(self.rng.choice(sorted(self.links)))

    def _edit(self) -> None:
        """Edit a memory. All writers that the edit reaches show it, since its device had all their changes."""
        name = self._writer()
        editor = self.devices.all[name]
        if not (texts := editor.texts()):
            return
        memory, importance, tag = self.rng.choice(sorted(texts)), self.rng.random(), self.rng.choice(TAGS)
        changes: list[dict[str, Any]] = [{"importance": importance}, {"add_tags": [tag]}, {"remove_tags": [tag]}]
        for given in self.rng.sample(changes, self.rng.choice([1, 2])):
            editor.update(memory, **given)
        shown = _shown(editor, memory)
        self.devices.committed(name)
        for other in self.reached_from(name) - {self.reader}:
            assert _shown(self.devices.all[other], memory) == shown, (name, other, memory)


def _shown(device: BareDevice, memory: str) -> list[tuple[Any, ...]]:
    return device.rows(
        "SELECT importance, tag FROM memories LEFT JOIN tags USING(memory) WHERE id = ? ORDER BY tag", memory
    )


@pytest.mark.parametrize("seed", range(30))
def test_honest_devices_agree_and_take_nothing_for_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """None of them asks for anything, or writes anything again."""
    monkeypatch.setattr(limits, "SHARD_CLIENTS_MAX", FEW)
    history = History(tmp_path, seed)
    with closing(history.devices) as devices:
        history.begin()
        for _ in range(15):
            history.step()
        for pair in combinations(history.names, 2):
            history.connect(*pair)
        devices.sim.run(4 * SOON_S)
        first, *others = devices.all.values()
        for device in others:
            assert device.views() == first.views()
            assert device.digest() == first.digest()
        assert devices.count(Restate) == 0
        assert [devices.alarms(name) for name in history.names] == [""] * len(history.names)
