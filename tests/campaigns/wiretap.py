"""Looks at all that leaves the computers of a simulation, and finds what must not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from memcrdt.model.clocks import covers
from memcrdt.sync.messages import Bye, Diff, Hello, Message, Push, Unknown
from memcrdt.sync.wire import decode
from tests.campaigns.computer import DEAF_S, Computer
from tests.campaigns.expected import LostError

_NOTHING = (b"", b"\0\0")  # and an update of no blocks and no deletions


@dataclass(slots=True)
class Wiretap:
    """`secrets`: bytes that only the devices named with them (by their ids) may get from another one. `readers`: which
    device may only read which space (by its name), and so never passes anything on. `spoiled`: devices whose disks have
    changed what was durable when it was read."""

    secrets: dict[bytes, set[str]] = field(default_factory=dict)
    readers: set[tuple[str, str]] = field(default_factory=set)
    spoiled: set[str] = field(default_factory=set)
    _computers: dict[str, Computer] = field(default_factory=dict)
    _sent: dict[str, dict[tuple[str, int], dict[int, int]]] = field(default_factory=dict)

    def on(self, computer: Computer) -> None:
        """Watches this computer, too."""
        self._computers[computer.id] = computer
        self._sent[computer.id] = defaultdict(dict)

    def look(self, source: str, target: str, frame: bytes) -> None:
        """Raises LostError when a frame tells somebody what he must not know, or what is not durable."""
        computer = self._computers.get(source)
        if computer is None:
            return
        message = decode(frame)
        said = frame + " ".join(_spaces(message)).encode()  # ids stand in frames in another form
        for secret, devices in self.secrets.items():
            if secret in said and target not in devices:
                raise LostError(f"{computer.name}: sent {secret!r} to a device that has no part in it")
        since = computer.outcasts.get(target)
        if since is not None and computer.sim.now > since + DEAF_S and not isinstance(message, Bye):
            raise LostError(f"{computer.name}: sent a {type(message).__name__} to a device that it knows to be revoked")
        if isinstance(message, Push | Diff) and message.update not in _NOTHING:
            if since is not None and computer.node.read_at > since:
                raise LostError(f"{computer.name}: read from its store for a device that it knows to be revoked")
            if (source, computer.name_of(message.space)) in self.readers:
                raise LostError(f"{computer.name}: passed on what it may only read")
            self._check_durable(computer, message)

    def restored(self, computer: Computer) -> None:
        """The computer goes on with what it had before: nothing that it sent has to be there."""
        self._sent[computer.id].clear()

    def check_kept(self, computer: Computer) -> None:
        """After a power cut: what the computer has sent is still there."""
        for (space, shard), sent in self._sent[computer.id].items():
            durable = computer.durable_vector(space, shard)
            if durable is not None and not covers(durable, sent):
                raise LostError(f"{computer.name}: an update of shard {shard} was sent, and lost by a power cut")

    def _check_durable(self, computer: Computer, message: Push | Diff) -> None:
        key = (message.space, message.shard)
        durable = computer.durable_vector(*key)
        if durable is not None and not covers(durable, message.after) and computer.id not in self.spoiled:
            raise LostError(f"{computer.name}: an update of shard {message.shard} was sent before it was durable")
        if computer.on_mains:
            sent = self._sent[computer.id][key]
            sent.update({client: max(clock, sent.get(client, 0)) for client, clock in message.after.items()})


def _spaces(message: Message | Unknown) -> list[str]:
    """The ids of the spaces that a message is about."""
    if isinstance(message, Hello):
        return [space.id for space in message.spaces]
    return [message.space] if hasattr(message, "space") else []
