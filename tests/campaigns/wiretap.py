"""A wiretap that checks every frame of a simulation for content that must not be sent."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from memcrdt.model.clocks import covers
from memcrdt.sync.messages import Bye, Diff, Hello, Message, Push, Unknown
from memcrdt.sync.wire import decode
from tests.campaigns.computer import DEAF_S, Computer
from tests.campaigns.expected import LostError

_NOTHING = (b"", b"\0\0")  # no bytes, and an update without blocks and deletions


@dataclass(slots=True)
class Wiretap:
    """Watches the frames that computers send.

    Attributes:
        secrets: Bytes, and the ids of the only devices that may get them from another device.
        readers: Pairs of a device and the name of a space that it may only read, and so never passes on.
        spoiled: Devices whose disks have changed durable data.
    """

    secrets: dict[bytes, set[str]] = field(default_factory=dict)
    readers: set[tuple[str, str]] = field(default_factory=set)
    spoiled: set[str] = field(default_factory=set)
    _computers: dict[str, Computer] = field(default_factory=dict)
    _sent: dict[str, dict[tuple[str, int], dict[int, int]]] = field(default_factory=dict)

    def on(self, computer: Computer) -> None:
        """Watch this computer too."""
        self._computers[computer.id] = computer
        self._sent[computer.id] = defaultdict(dict)

    def look(self, source: str, target: str, frame: bytes) -> None:
        """Raise LostError if a frame carries data that the device must not have, or data that is not durable."""
        computer = self._computers.get(source)
        if computer is None:
            return
        message = decode(frame)
        said = frame + " ".join(_spaces(message)).encode()  # frames carry ids in binary form
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
                raise LostError(f"{computer.name}: forwarded data of a space that it may only read")
            self._check_durable(computer, message)

    def restored(self, computer: Computer) -> None:
        """Forget what the computer has sent: its store went back to an earlier state."""
        self._sent[computer.id].clear()

    def check_kept(self, computer: Computer) -> None:
        """Raise LostError if data that the computer has sent is gone after a power cut."""
        for (space, shard), sent in self._sent[computer.id].items():
            durable = computer.durable_vector(space, shard)
            if durable is not None and not covers(durable, sent):
                raise LostError(f"{computer.name}: an update of shard {shard} was sent, but lost in a power cut")

    def _check_durable(self, computer: Computer, message: Push | Diff) -> None:
        key = (message.space, message.shard)
        durable = computer.durable_vector(*key)
        if durable is not None and not covers(durable, message.after) and computer.id not in self.spoiled:
            raise LostError(f"{computer.name}: an update of shard {message.shard} was sent before it was durable")
        if computer.on_mains:
            sent = self._sent[computer.id][key]
            sent.update({client: max(clock, sent.get(client, 0)) for client, clock in message.after.items()})


def _spaces(message: Message | Unknown) -> list[str]:
    """Return the ids of the spaces that a message is about."""
    if isinstance(message, Hello):
        return [space.id for space in message.spaces]
    return [message.space] if hasattr(message, "space") else []
