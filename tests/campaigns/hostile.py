"""Compromised members, which speak the protocol and sometimes break it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.statements import CONTEXT, KEPT, STATEMENTS, Claim, Kind, Statement, unpack
from memcrdt.net.identity import Identity
from memcrdt.store import spaces
from memcrdt.store.membership.shares import replace_genesis
from memcrdt.store.membership.statement_store import packed
from memcrdt.store.spaces import Genesis
from memcrdt.sync.events import Effect, Event, FrameReceived, SendFrame
from memcrdt.sync.messages import Bye, Diff, Fragment, Hello, MembershipUpdate, Message, Offer, Push, Unknown
from memcrdt.sync.wire import decode, encode
from memcrdt.testing.simulator import Reactor, SimulatedNode
from tests.campaigns.computer import Computer
from tests.campaigns.mutate import ATTACKS, mutated

_SHARE: Final = 0.15  # share of its frames
_SHARE_OF_GREETINGS: Final = 0.5  # higher, because greetings are rare
_SHARE_IN_DISORDER: Final = 0.1  # links never reorder frames, but a member can
_SHARE_OF_ROLLS: Final = 0.3  # of the spoiled frames, because greetings carry rolls only if they differ
_ATTACK_BYTES: Final = 64 * 1024
_ROLL_BYTES: Final = 900 * 1024  # still fits into a frame
_ATTEMPTS: Final = 100  # to find a smaller id, which gets less likely each time the space is carried off
_MANY: Final = 40  # statements, which at maximum length make a frame of 200 KB


class TakenOverComputer(Computer):
    """A computer controlled by an attacker. Its promises do not count."""

    def carry_off(self) -> None:
        """Continue the space `personal` under a smaller id created by this computer, and tell the others."""
        with self._server.writing() as db:
            space = spaces.space_number(db, PERSONAL)
            taken = str(db.execute("SELECT id FROM spaces WHERE space = ?", (space,)).get)
            candidates = (Genesis(self.id, self._rng.randbytes(16)) for _ in range(_ATTEMPTS))
            for genesis in candidates:
                if genesis.space_id < taken:
                    replace_genesis(db, space, genesis, self.id)
                    break
        self.told()

    def state(self, statements: Iterable[Statement]) -> None:
        """Put signed statements about the space `personal` into this computer's list, and tell the others.

        A message has room for so many. The others are left out.
        """
        with self._server.writing() as db:
            space = spaces.space_number(db, PERSONAL)
            room = STATEMENTS - len(packed(db, space))
            rows = [(space, each.id, each.packed()) for each in islice(statements, room)]
            db.executemany("INSERT OR IGNORE INTO members(space, id, statement) VALUES(?, ?, ?)", rows)
        self.told()


class HostileComputer(TakenOverComputer):
    """A computer that spoils a share of its frames."""

    def say(self, message: Message, *, to: str | None = None) -> None:
        """Send a message to one device, or to every device that it is connected with."""
        self.sim.tell(self.node, encode(message), self.peers_now() if to is None else (to,))

    def peers_now(self) -> list[str]:
        """Return the devices that it is connected with."""
        return self.sim.peers(self.node)

    def reactor(self, incarnation: str) -> Reactor:
        return _Hostile(super().reactor(incarnation), Random(self.sim.rng.random()))

    def introduction(self, device: str) -> bytes | None:
        honest = super().introduction(device)
        return None if honest is None else mutated(honest, [honest], self._rng)


class TamperedComputer(TakenOverComputer):
    """A member that may only read, and ignores that.

    It writes, sends and revokes others, except in spaces that it has taken over under its own id.
    """

    def _refresh(self, node: SimulatedNode) -> None:
        super()._refresh(node)
        if not node.running:
            return
        with self._server.writing() as db:
            db.execute("UPDATE spaces SET read_only = 0")
            accepted = "SELECT space, id, device FROM shares JOIN spaces USING(space) WHERE creator <> ?"
            for number, space, device in list(db.execute(accepted, (self.id,))):
                statement = signed(self.identity, "revoke", space, device)
                row = (number, statement.id, statement.packed())
                db.execute("INSERT OR IGNORE INTO members(space, id, statement) VALUES(?, ?, ?)", row)


class _Hostile:
    """A Gossip whose frames are spoiled, repeated, or sent out of order.

    It never signs a revocation of another member, which would be valid.
    """

    def __init__(self, honest: Reactor, rng: Random) -> None:
        self._honest = honest
        self._rng = rng
        self._frames: list[bytes] = [b""]
        self._greetings: list[bytes] = []
        self._heard_members: MembershipUpdate | None = None  # the last membership update that it received or sent
        self._late: dict[int, SendFrame] = {}  # by link

    def handle(self, event: Event, now: float) -> list[Effect]:
        if isinstance(event, FrameReceived):
            self._remember(event.data)
        spoiled = [each for effect in self._honest.handle(event, now) for each in self._spoiled(effect)]
        return [each for effect in spoiled for each in self._disordered(effect)]

    def _disordered(self, effect: Effect) -> list[Effect]:
        if not isinstance(effect, SendFrame):
            return [effect]
        late = self._late.pop(effect.link, None)
        if late is not None:
            return [effect, late]
        if self._rng.random() > _SHARE_IN_DISORDER:
            return [effect]
        if self._rng.random() < 0.5:
            return [effect, effect]
        self._late[effect.link] = effect
        return []

    def _remember(self, frame: bytes) -> None:
        message = decode(frame)
        if isinstance(message, MembershipUpdate):
            self._heard_members = message

    def _spoiled(self, effect: Effect) -> list[Effect]:
        if not isinstance(effect, SendFrame):
            return [effect]
        self._remember(effect.data)
        message = decode(effect.data)
        is_greeting = isinstance(message, Hello | MembershipUpdate)
        if is_greeting:
            self._greetings = [*self._greetings[-20:], effect.data]
        if self._rng.random() > (_SHARE_OF_GREETINGS if is_greeting else _SHARE):
            return [effect]
        if isinstance(message, Hello | MembershipUpdate):
            return [SendFrame(effect.link, self._greeting(message, effect.data))]
        if self._heard_members is not None and self._rng.random() < _SHARE_OF_ROLLS:
            return [effect, SendFrame(effect.link, encode(self._false_record(self._heard_members)))]
        return [SendFrame(effect.link, self._frame(message, effect.data))]

    def _frame(self, message: object, frame: bytes) -> bytes:
        if isinstance(message, Push | Diff):
            attack = self._rng.choice([attack for attack in ATTACKS.values() if 0 < len(attack) < _ATTACK_BYTES])
            return encode(replace(message, update=attack))
        if isinstance(message, Fragment | Unknown | Bye):
            return frame
        self._frames = [*self._frames[-20:], frame]
        return mutated(frame, self._frames, self._rng)

    def _greeting(self, message: Hello | MembershipUpdate, frame: bytes) -> bytes:
        choice = self._rng.randrange(3)
        if choice == 0:
            return mutated(frame, self._greetings, self._rng)
        if choice == 1:
            return self._rng.choice(self._greetings)  # perhaps a greeting that was meant for another device
        return encode(self._false_hello(message) if isinstance(message, Hello) else self._false_record(message))

    def _false_hello(self, hello: Hello) -> Hello:
        rng, spaces = self._rng, hello.spaces
        more = Offer("0" * 52, "local", bytes(16)), Offer("1" * 52, "secret-club?", bytes(16))
        many = tuple(Offer(f"{number:052}", f"space {number}", bytes(16)) for number in range(1_000))
        return rng.choice(
            [
                replace(hello, version=rng.choice((0, 2, 1 << 50))),
                replace(hello, incarnation=""),
                replace(hello, spaces=()),
                replace(hello, spaces=tuple(replace(space, name=space.name + "?") for space in spaces)),
                replace(hello, spaces=tuple(replace(space, digest=rng.randbytes(16)) for space in spaces)),
                replace(hello, spaces=(*spaces, *more)),
                replace(hello, spaces=many),
            ]
        )

    def _false_record(self, members: MembershipUpdate) -> MembershipUpdate:
        rng, record, space = self._rng, members.record, members.space
        statements = list(record.statements)
        stranger = new_identity(rng)
        some: list[Callable[[], MembershipUpdate]] = [
            lambda: replace(members, space="0" * 52),
            lambda: replace(members, record=replace(record, creator=stranger.device_id)),
            lambda: replace(members, record=replace(record, nonce=rng.randbytes(16))),
            *[lambda: _with(members, [_forged(statement) for statement in statements] or [b""])] * 3,
            lambda: _with(members, [signed(stranger, "add", "0" * 52, stranger.device_id).packed()]),
            lambda: _with(members, [_boast(stranger, space, n) for n in range(_MANY)]),
            lambda: _with(members, _repeated(min(statements, default=b"", key=len))),
            lambda: _with(members, [signed(stranger, "add", space, stranger.device_id).packed()]),
            lambda: _with(members, [signed(stranger, "revoke", space, device_id(rng.randbytes(KEY_BYTES))).packed()]),
        ]
        return rng.choice(some)()


def _with(members: MembershipUpdate, statements: list[bytes]) -> MembershipUpdate:
    return replace(members, record=replace(members.record, statements=tuple(statements)))


def _forged(statement: bytes) -> bytes:
    """Return a statement changed into a revocation by its author, with the old signature."""
    said = unpack(statement)
    claim = Claim(kind="revoke", space=said.claim.space, device=said.claim.device, at=1)
    return replace(said, claim=claim).packed()


def _repeated(statement: bytes) -> list[bytes]:
    """Repeat a statement until there is one too many, if that fits into a frame."""
    return [statement] * min(STATEMENTS + 1, _ROLL_BYTES // (len(statement) + 8))


def _boast(signer: Identity, space: str, number: int) -> bytes:
    """Return a statement of the maximum length."""
    claim = Claim(
        kind="revoke",
        space=space,
        device=f"{number:052}",
        at=1,
        keep=tuple(n.to_bytes(16, "big") for n in range(KEPT)),
    )
    return Statement(claim, signer.public_key, signer.sign(CONTEXT + claim.packed())).packed()


def signed(signer: Identity, kind: Kind, space: str, device: str, **more: Any) -> Statement:
    """Return a statement with a valid signature, even if its signer has no right to make it.

    `more` are further fields of its claim. It is dated to the year 1970 unless they say otherwise.
    """
    claim = Claim(**{"kind": kind, "space": space, "device": device, "at": 1, **more})
    return Statement(claim, signer.public_key, signer.sign(CONTEXT + claim.packed()))


def new_identity(rng: Random) -> Identity:
    """Return the key of a device that no member has added."""
    private = rng.randbytes(KEY_BYTES)
    return Identity(Path(), Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw(), private)
