"""What a scenario is about: the computers, what was promised, and what stands around them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

from memcrdt.crdt.shard import Shard
from memcrdt.model.requests import PERSONAL
from memcrdt.testing.simulator import SimulatedNode, Simulator
from tests.campaigns.computer import Computer, Files, Site
from tests.campaigns.promises import Promises
from tests.campaigns.wiretap import Wiretap

CLUB: Final = "secret-club"  # a space of which most know nothing; its texts begin with this word, too
LOCAL_WORD: Final = "only-here"
TAMPERED_WORD: Final = "tampered-with"
_WORDS: Final = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "granite", "harbor", "iris", "juniper")


class World:
    """The state of one seeded run. Its computers have their homes in `folder`."""

    def __init__(self, seed: int, folder: Path, *, rot: bool = False) -> None:
        self.rng = Random(seed)
        self.rot = Random(f"rot {seed}") if rot else None  # when disks spoil what was written, and what
        self.spoiled: list[Computer] = []  # those whose disks have done so
        self.sim = Simulator(seed)
        self.site = Site(self.sim, folder)
        self.parts: dict[str, dict[str, bool]] = {}  # by device: its spaces, and whether it may write each
        self.promises = Promises(self.parts)
        self.wiretap = Wiretap({LOCAL_WORD.encode(): set(), TAMPERED_WORD.encode(): set()})
        self.computers: list[Computer] = []  # those that keep to the rules, and have to agree
        self.strangers: list[Computer] = []  # hostile, tampered with or revoked: of them nothing is promised
        self.waiting: list[Computer] = []  # that are to be invited
        self.by_hand = False  # whether everyone accepts everyone; else one invites the other
        self.suspect: Computer | None = None  # that may be revoked
        self.outcast: Computer | None = None  # that is
        self.backups: dict[str, tuple[float, Files]] = {}
        self.stock: tuple[Shard, str] | None = None  # what a stock Yjs client holds, and the space's id
        self.keyed: set[str] = set()  # memories that several may add under one id
        self.counts: Counter[str] = Counter()
        self._texts = 0
        self.sim.watch = self._watch

    @property
    def everyone(self) -> list[Computer]:
        """All that have ever taken part."""
        return [*self.computers, *self.strangers]

    def enroll(self, computer: Computer, *, read_only: bool = False) -> None:
        """The computer has to keep to the rules from now on, and what it is promised counts."""
        self.computers.append(computer)
        self.parts[computer.id] = {PERSONAL: not read_only}
        self.wiretap.on(computer)

    def cast_out(self, computer: Computer) -> None:
        """The computer is revoked."""
        self.outcast = computer
        if computer in self.computers:
            self.computers.remove(computer)
            self.strangers.append(computer)
        self.promises.doubt(computer)

    def text(self, space: str = PERSONAL) -> str:
        """A new one; by its words one can tell where it may stand."""
        self._texts += 1
        words = [*self.rng.sample(_WORDS, 4), f"zq{self._texts}q"]
        return " ".join(words if space == PERSONAL else [space, *words])

    def may_write(self, computer: Computer) -> list[str]:
        """The spaces."""
        return [space for space, writes in self.parts[computer.id].items() if writes]

    def writers(self, space: str = PERSONAL) -> list[Computer]:
        """The computers that are on and may write the space."""
        return [each for each in self.computers if each.on and self.parts[each.id].get(space)]

    def inviters(self, space: str = PERSONAL) -> list[Computer]:
        """Those of them that may invite others. The suspect does not: whom only it has added would be out with it."""
        return [computer for computer in self.writers(space) if computer is not self.suspect]

    def _watch(self, source: SimulatedNode, target: SimulatedNode, frame: bytes) -> None:
        self.wiretap.look(source.id, target.id, frame)
