"""A simulated life of two machines: people and agents edit both sides, processes crash, and no text is lost."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from random import Random
from unittest.mock import patch

from memcrdt.errors import NotFoundError
from memcrdt.mirror.text_file import has_marks
from memcrdt.testing.memories import Clock, exchange
from tests.mirror.world import Crash, Machine, crashing

FILES = 12
SOURCES = ("markdown", "claude-code")

_TOKEN = re.compile(r"t\d{4,}")
_MARKS = re.compile(r"^(?:<{7}|={7}|>{7}) memcrdt.*\n?", re.MULTILINE)


class Life:
    """Two machines and what people wrote on them. Each text that somebody writes has a token of its own."""

    def __init__(self, at: Path, seed: int, source: str, *, deletes: bool) -> None:
        self.random = Random(seed)
        clock = Clock()
        self.machines = [Machine(at, device, clock, source, deletes=deletes) for device in "AB"]
        self.written: set[str] = set()
        self.given_up: set[str] = set()  # in files that people deleted, and memories that they forgot
        self.forgotten: set[str] = set()  # of memories that were forgotten, and whose files stayed under their names
        self.renamed: set[str] = set()
        self.crashes = 0
        for machine in self.machines:
            self._watch_forgetting(machine)

    def _watch_forgetting(self, machine: Machine) -> None:
        """Forgetting by a mirror gives up what its memory says: a person has deleted its file."""
        real = machine.memory._writer.forget

        def forget(ids: list[str], **options: object) -> object:
            for each in ids:
                self.given_up |= tokens(*machine.every_text(each))
            return real(ids, **options)  # type: ignore[arg-type]

        machine.memory._writer.forget = forget  # type: ignore[method-assign,assignment]

    def step(self) -> None:
        machine = self.random.choice(self.machines)
        kinds = {
            self.create_file: 3,
            self.edit_file: 8,
            self.delete_file: 1,
            self.rename_file: 1,
            self.resolve: 2,
            self.add_memory: 3,
            self.update_memory: 6,
            self.forget_memory: 1,
            self.run: 8,
            self.crash: 8,
            self.lose_agreements: 0.1,
        }
        [kind] = self.random.choices(list(kinds), list(kinds.values()))
        kind(machine)
        if self.random.random() < 0.05:
            self.sync()

    def token(self) -> str:
        token = f"t{len(self.written):04}"
        self.written.add(token)
        return token

    def create_file(self, machine: Machine) -> None:
        name = f"note {self.random.randrange(FILES)}.md"
        if not (machine.folder / name).exists():
            machine.write(name, f"A new note {self.token()}\n")

    def edit_file(self, machine: Machine) -> None:
        if (path := self.some_file(machine)) is None:
            return
        text = machine.read(path) + f"\nedited {self.token()}\n"
        if self.random.random() < 0.5:
            machine.write(path, text)
        else:  # as editors do: another file takes its place
            machine.write(".saving", text)
            (machine.folder / ".saving").replace(machine.folder / path)

    def delete_file(self, machine: Machine) -> None:
        if (path := self.some_file(machine)) is not None:
            self.given_up |= tokens(machine.read(path))
            (machine.folder / path).unlink()

    def rename_file(self, machine: Machine) -> None:
        to = machine.folder / f"note {self.random.randrange(FILES)}.md"
        if (path := self.some_file(machine)) is not None and not to.exists():
            self.renamed |= tokens(machine.read(path))
            (machine.folder / path).rename(to)

    def resolve(self, machine: Machine) -> None:
        for path, text in machine.files().items():
            if has_marks(text) and not path.startswith("."):
                machine.write(path, _MARKS.sub("", text) + f"\nsettled {self.token()}\n")
                return

    def add_memory(self, machine: Machine) -> None:
        machine.add(f"An agent noted {self.token()}", tags=["agent"])

    def update_memory(self, machine: Machine) -> None:
        if texts := machine.texts():
            memory_id = self.random.choice(sorted(texts))
            if not machine.memory.conflicts(memory_id):
                machine.memory.update(memory_id, text=f"{texts[memory_id]}\nThe agent adds {self.token()}")

    def forget_memory(self, machine: Machine) -> None:
        if texts := machine.texts():
            memory_id = self.random.choice(sorted(texts))
            self.forgotten |= tokens(*machine.every_text(memory_id))
            machine.memory.forget(memory_id)

    def run(self, machine: Machine) -> None:
        machine.run()

    def crash(self, machine: Machine) -> None:
        def write_meanwhile(path: Path) -> None:
            if path.suffix == ".md" and path.exists() and self.random.random() < 0.2:
                with path.open("a") as file:
                    file.write(f"\nat the last moment {self.token()}\n")

        try:
            with crashing(machine, self.random.randrange(60), write_meanwhile):
                machine.run()
        except Crash:
            self.crashes += 1
            machine.restart()

    def lose_agreements(self, machine: Machine) -> None:
        for path in machine.home.rglob("*.agreed.json"):
            path.unlink()
        machine.restart()

    def sync(self) -> None:
        for ours, theirs in (self.machines, reversed(self.machines)):
            for memory_id in theirs.texts():
                try:
                    ours.memory.get(memory_id)
                except NotFoundError as exc:
                    if "forgotten" in str(exc):
                        self.given_up |= tokens(*theirs.every_text(memory_id))
        exchange(*(machine.memory for machine in self.machines))

    def some_file(self, machine: Machine) -> str | None:
        names = [path for path in machine.files() if not path.startswith(".") and path != "MEMORY.md"]
        return self.random.choice(names) if names else None

    def settle(self) -> None:
        """Run mirrors and sync until nothing changes."""
        for _ in range(12):
            self.sync()
            done = [machine.run().actions for machine in self.machines]
            if not any(done):
                return
        raise AssertionError(f"the mirrors do not come to rest: {done}")

    def check(self, when: str) -> None:
        lost = self.written - self.given_up - self.forgotten - self.found()
        assert not lost, f"lost {when}: {sorted(lost)}"

    def found(self) -> set[str]:
        there: set[str] = set()
        for machine in self.machines:
            there |= tokens(*machine.files().values())
            for memory_id in machine.texts():
                there |= tokens(*machine.every_text(memory_id))
        return there


def tokens(*texts: str) -> set[str]:
    return {token for text in texts for token in _TOKEN.findall(text)}


def live(at: Path, seed: int, source: str, deletes: bool, steps: int) -> int:
    """Let two machines live in a folder, and return how often one crashed. Raises AssertionError for a lost text."""
    life = Life(at, seed, source, deletes=deletes)
    for step in range(1, steps + 1):
        life.step()
        if step % 100 == 0:
            life.check(f"after step {step}")
    life.settle()
    life.check("at the end")

    for machine in life.machines:
        alive = machine.texts()
        files = machine.files()
        lines = machine.run().lines
        in_question = tokens(*(files[line.path] for line in lines if line.path in files))
        named = {line.path for line in lines}
        for memory_id, text in alive.items():
            agreed = machine.mirror._agreed.get(memory_id)
            is_deleted = agreed is not None and agreed.left == "file"
            is_told = machine.memory.get(memory_id).metadata.get("path") in named or tokens(text) & in_question
            assert tokens(text) <= tokens(*files.values()) or is_deleted or is_told, text
        came_back = life.forgotten - life.renamed - life.given_up
        assert not came_back & tokens(*alive.values())
    assert life.machines[0].texts() == life.machines[1].texts()
    return life.crashes


def run(seeds: range, steps: int) -> int:
    """Run a life for each seed, of both sources, with and without deletes, and return the number of crashes."""
    crashes = 0
    for seed in seeds:
        kind = f"seed {seed}: {SOURCES[seed % 2]}{' with deletes' if seed // 2 % 2 else ''}"
        with tempfile.TemporaryDirectory(prefix="memcrdt-mirror-") as at, patch.object(os, "fsync", no_sync):
            try:
                crashes += live(Path(at), seed, SOURCES[seed % 2], bool(seed // 2 % 2), steps)
            except AssertionError as exc:
                raise AssertionError(f"{kind}: {exc}") from exc
    return crashes


def no_sync(descriptor: int) -> None:
    """Sync no file: a process ends here, never the machine."""
