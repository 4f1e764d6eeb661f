"""The state of a simulated run: the computers, their promises and their environment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

from memcrdt.crdt.shard import Shard
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.statements import STATEMENTS
from memcrdt.sync.messages import Bye
from memcrdt.sync.wire import decode
from memcrdt.testing.simulator import SimulatedNode, Simulator
from tests.campaigns.computer import DEAF_S, Computer
from tests.campaigns.expected import LostError
from tests.campaigns.machine import Files, Site
from tests.campaigns.promises import Promises
from tests.campaigns.second_key import SecondKey
from tests.campaigns.wiretap import Wiretap

CLUB: Final = "secret-club"  # a space that most computers do not know; its texts begin with this word too
LOCAL_WORD: Final = "only-here"
TAMPERED_WORD: Final = "tampered-with"
_WORDS: Final = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "granite", "harbor", "iris", "juniper")


class World:
    """The state of one seeded run. Its computers have their homes in `folder`."""

    def __init__(self, seed: int, folder: Path, *, rot: bool = False) -> None:
        self.rng = Random(seed)
        self.rot = Random(f"rot {seed}") if rot else None  # decides when disks spoil data, and which data
        self.attacks = Random(f"attacks {seed}")  # decides which attacks there are, and when
        # Whether a member was taken over by a thief who prepares for its revocation.
        self.has_thief = Random(f"thief {seed}").random() < 0.1
        self.roll = STATEMENTS  # maximum in a list of members
        self.was_attacked = False  # by a member
        self.has_hazards = self.attacks.random() < 0.2  # clocks that jump, and files that others put in place
        self.spoiled: list[Computer] = []  # computers whose disks have spoiled data
        self.sim = Simulator(seed)
        self.site = Site(self.sim, folder)
        self.parts: dict[
            str, dict[str, bool]
        ] = {}  # by device: its shared spaces, and whether it may write each of them
        self.promises = Promises(self.parts)
        self.wiretap = Wiretap({LOCAL_WORD.encode(): set(), TAMPERED_WORD.encode(): set()})
        self.computers: list[Computer] = []  # honest computers, which must agree in the end
        self.strangers: list[Computer] = []  # hostile, tampered or revoked computers, whose promises do not count
        self.waiting: list[Computer] = []  # computers that are not invited yet
        self.by_hand = False  # whether all accept each other by hand; otherwise one invites the next
        self.suspect: Computer | None = None  # the computer that may be revoked
        self.outcast: Computer | None = None  # the computer that is revoked
        self.second_key: SecondKey | None = None  # of a member that was taken over; a stranger once it has arrived
        self.backups: dict[str, tuple[float, Files]] = {}
        self.images: dict[str, tuple[float, Files]] = {}  # of disks, with the marks
        self.stock: tuple[Shard, str] | None = None  # the copy of a stock Yjs client, and the id of its space
        self.creators: set[str] = set()  # of `personal`, once others have joined it
        self.keyed: set[str] = set()  # memories that several computers may add under one id
        self.counts: Counter[str] = Counter()
        self._texts = 0
        self._heard_at: dict[str, float] = {}  # by device: when it first talked to the second key as an outsider
        self.sim.watch = self._watch

    @property
    def everyone(self) -> list[Computer]:
        """All computers that have ever taken part."""
        return [*self.computers, *self.strangers]

    def enroll(self, computer: Computer, *, read_only: bool = False) -> None:
        """Add an honest computer, whose promises count."""
        self.computers.append(computer)
        self.parts[computer.id] = {PERSONAL: not read_only}
        self.wiretap.on(computer)
        computer.on_confirming = self.promises.check_confirming

    def cast_out(self, computer: Computer) -> None:
        """Note that a computer is revoked."""
        self.outcast = computer
        if computer in self.computers:
            self.computers.remove(computer)
            self.strangers.append(computer)
        self.promises.doubt(computer)

    def text(self, space: str = PERSONAL) -> str:
        """Return a new text. Its words show in which spaces and on which computers it may be."""
        self._texts += 1
        words = [*self.rng.sample(_WORDS, 4), f"zq{self._texts}q"]
        return " ".join(words if space == PERSONAL else [space, *words])

    def may_write(self, computer: Computer) -> list[str]:
        """Return the spaces that the computer may write."""
        return [space for space, writes in self.parts[computer.id].items() if writes]

    def writers(self, space: str = PERSONAL) -> list[Computer]:
        """Return the computers that are on and may write the space."""
        return [each for each in self.computers if each.on and self.parts[each.id].get(space)]

    def inviters(self, space: str = PERSONAL) -> list[Computer]:
        """Return the writers that may invite others.

        The suspect may not, because a computer that only the suspect has added would be revoked with it.
        """
        return [computer for computer in self.writers(space) if computer is not self.suspect]

    def _watch(self, source: SimulatedNode, target: SimulatedNode, frame: bytes) -> None:
        self.wiretap.look(source.id, target.id, frame)
        if target is getattr(self.second_key, "node", None):
            self._check_second_key(source, frame)

    def _check_second_key(self, source: SimulatedNode, frame: bytes) -> None:
        """Raise LostError if an honest computer talks to the second key although its thief was revoked."""
        honest = {computer.id: computer for computer in self.computers}
        computer = honest.get(source.id)
        if computer is None or self.second_key is None or isinstance(decode(frame), Bye):
            return
        if not self.second_key.is_out_at(computer, {*honest}):
            self._heard_at.pop(source.id, None)
        elif self.sim.now > self._heard_at.setdefault(source.id, self.sim.now) + DEAF_S:
            raise LostError(f"{computer.name}: talks to the second key of a device that it knows to be revoked")
