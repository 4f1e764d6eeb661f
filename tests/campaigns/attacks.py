"""What a member that was taken over does with its right to write.

The times and the choices follow from the seed, but from a separate random generator: up to the first attack a run is
the same as without. None of the attacks uses a right to remove a member or a memory, which every member has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Final
from unittest.mock import patch

from memcrdt.crdt.shard import Shard
from memcrdt.errors import ReadOnlyError
from memcrdt.model import limits
from memcrdt.model.clocks import varuint
from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.model.registers import DELETED
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.statements import Statement
from memcrdt.store import log
from memcrdt.store.membership.statement_store import known_members
from memcrdt.store.meta import is_asserting
from memcrdt.sync.messages import Push, Restate
from tests.campaigns import hazards, membership
from tests.campaigns.computer import Computer
from tests.campaigns.expected import LostError
from tests.campaigns.hostile import HostileComputer, new_identity, signed
from tests.campaigns.second_key import SecondKey
from tests.campaigns.world import World
from tests.odd_registers import MEMORIES, OddRegisters

_OFTEN: Final = 0.2  # share of the steps
_OFTEN_WITH_HOSTILE: Final = 0.5  # the same with a hostile member
_AHEAD: Final = 0.2  # share of the attacks of a thief
_ROLL: Final = 150  # statements in most runs, instead of 1,000, so that a list is full soon
_TRUE_LIMITS: Final = 0.002  # share of runs without these two: each takes a minute or two
_CLIENTS: Final = 400  # client ids in a shard, instead of 16,384
_KEYS: Final = 4  # of a flood of statements
_BATCH: Final = 1 << 40  # of a push; far above the numbers that the hostile computer's own sync uses
_FAR: Final = limits.SHARDS - 1
_VALUES: Final = b"\x28\x01\x08memories\x01k"  # the beginning of a block with values under the key "k"


@contextmanager
def small_limits(world: World) -> Iterator[None]:
    """Lower the limits that an attack would take long to reach, in most runs."""
    if world.attacks.random() < _TRUE_LIMITS:
        yield
        return
    with ExitStack() as stack:
        world.roll = _ROLL
        stack.enter_context(patch("memcrdt.model.roll.STATEMENTS", _ROLL))
        stack.enter_context(patch.object(limits, "SHARD_CLIENTS_MAX", _CLIENTS))
        yield


def strike(world: World) -> None:
    """Occasionally let a hostile member attack, or something happen to a clock or to files (hazards.py)."""
    members = [each for each in world.strangers if isinstance(each, HostileComputer) and each.on]
    if world.attacks.random() >= (_OFTEN_WITH_HOSTILE if members else _OFTEN):
        return
    second = world.second_key
    if second is not None and second not in world.strangers and second.thief is world.outcast and second.thief.on:
        _let_second_key_arrive(world, second.thief)
        return
    if world.has_thief and world.outcast is None and world.attacks.random() < _AHEAD and _run_ahead(world):
        return
    if members and world.attacks.random() < 0.9:
        _attack(world, world.attacks.choice(members))
        return
    if world.has_hazards:
        hazards.strike(world)


def _attack(world: World, hostile: HostileComputer) -> None:
    (name,) = world.attacks.choices(list(_ATTACKS), [weight for weight, _ in _ATTACKS.values()])
    _ATTACKS[name][1](world, hostile)
    world.was_attacked = True
    world.counts[f"attack: {name}"] += 1


# --- statements -------------------------------------------------------------------------------------------------------


def _demote(world: World, hostile: HostileComputer) -> None:
    """Add every other member again, to read only, with the latest date."""
    space, others = hostile.space(PERSONAL), [each for each in world.everyone if each is not hostile]
    hostile.state(
        signed(hostile.identity, "add", space, each.id, at=limits.INTEGER_MAX, read_only=True) for each in others
    )


def _flood_statements(world: World, hostile: HostileComputer) -> None:
    """Fill the list of members with adds and revocations of unknown devices, by keys of the member's own."""
    rng, space = world.attacks, hostile.space(PERSONAL)
    keys = [new_identity(rng) for _ in range(_KEYS)]
    said: list[Statement] = [signed(hostile.identity, "add", space, key.device_id) for key in keys]
    for number in range(world.roll - _KEYS):
        device = device_id(rng.randbytes(KEY_BYTES))
        key = keys[number % _KEYS]
        said.append(
            signed(key, "add", space, device, read_only=number % 3 == 0)
            if number % 10
            else signed(key, "revoke", space, device)
        )
    hostile.state(said)


def _let_second_key_arrive(world: World, hostile: HostileComputer) -> None:
    """Let the second key of a hostile member arrive, or write."""
    second = world.second_key
    if second is None or second.thief is not hostile or (world.has_thief and world.outcast is None):
        return
    if second not in world.strangers:
        world.strangers.append(second)
        second.arrive(openly=world.attacks.random() < 0.5)
        world.promises.doubt(hostile)  # the second key revokes it
        world.counts["second key"] += 1
    elif second.on:
        with suppress(ReadOnlyError):
            second.memory.add(world.text())
            second.committed()


def _run_ahead(world: World) -> bool:
    """Let the second key arrive at members that do not hear yet that the thief was just revoked.

    Return whether there are such members.
    """
    second, honest = world.second_key, world.inviters()
    if second is None or not second.thief.on or len(honest) < 2:
        return False
    revokers = [each for each in honest if each.peers.is_accepted(second.thief.id) and each.may_write(PERSONAL)]
    if not revokers:
        return False
    revoker = world.attacks.choice(revokers)
    others = [each.id for each in world.everyone if each is not revoker]
    world.sim.block([revoker.id], others)
    world.sim.block(others, [revoker.id])
    membership.revoke(world, revoker)
    _let_second_key_arrive(world, second.thief)
    world.counts["second key ahead of the revocation"] += 1
    return True


# --- data -------------------------------------------------------------------------------------------------------------


def _fill_with_clients(world: World, hostile: HostileComputer) -> None:
    """Fill three quarters of the room for client ids in a shard."""
    _take(hostile, 0, _of_clients(world, 3 * limits.SHARD_CLIENTS_MAX // 4))


def _flood_clients(world: World, hostile: HostileComputer) -> None:
    """Send more client ids than a shard may have."""
    _send(hostile, 0, _of_clients(world, limits.SHARD_CLIENTS_MAX + 1))


def _claim_clocks(world: World, hostile: HostileComputer) -> None:
    """Claim the next clocks of a client in the documents, most of which are of honest computers, perhaps offline."""
    known = hostile.replica.state_vector(hostile.space(PERSONAL), 0)
    used = [client for client in sorted(known) if client < limits.CLIENT_ID_MAX]
    if used:
        client, length = world.attacks.choice(used), world.attacks.choice((1, 5, 40))
        world.promises.is_clock_claimed = True
        claim = b"\x01\x01" + varuint(client) + varuint(known[client]) + b"\x00" + varuint(length) + b"\x00"
        _take(hostile, 0, claim)


def _hide_changes(world: World, hostile: HostileComputer) -> None:
    """Send one device other blocks in place of what another one writes, or delete some of its blocks there.

    The other devices are not told. A device that may only read is the best victim, because it passes nothing on.
    """
    peers = {*hostile.peers_now()}
    space = hostile.space(PERSONAL)
    reached = [each for each in world.computers if each.id in peers and each.on and each.space(PERSONAL) == space]
    victims = [each for each in reached if not world.parts[each.id][PERSONAL]] or reached
    authors = [each for each in world.writers() if each not in victims]
    if victims and authors:
        victim, author = world.attacks.choice(victims), world.attacks.choice(authors)
        client = author.memory.store.facts.client_id
        lie = _lie(world, client, victim.replica.state_vector(space, 0).get(client, 0))
        world.promises.is_clock_claimed = True
        hostile.say(Push(space, 0, lie, {}, {}, _BATCH), to=victim.id)


def _lie(world: World, client: int, clock: int) -> bytes:
    """Return an update with a block at the next clock of a client id, or, if there are any, without its last blocks."""
    length = world.attacks.choice((1, 5, 40, 2_000))
    if clock and world.attacks.random() < 0.3:
        start = max(0, clock - length)
        return b"\x00\x01" + varuint(client) + b"\x01" + varuint(start) + varuint(clock - start)
    values = _VALUES + varuint(min(length, 40)) + b"\x7e" * min(length, 40)
    block = world.attacks.choice((b"\x00" + varuint(length), values))
    return b"\x01\x01" + varuint(client) + varuint(clock) + block + b"\x00"


def _ask_to_restate(world: World, hostile: HostileComputer) -> None:
    """Ask every device to write registers again that this member has, and some that nobody has."""
    space = hostile.space(PERSONAL)
    keys = sorted(_copy(world, hostile, 0).values())
    hostile.say(Restate(space, 0, (*keys[:50], "no key of any register")))


def _send_far_shard(world: World, hostile: HostileComputer) -> None:
    """Send the last shard that a space can have, and one just within reach."""
    for number in (_FAR, limits.SHARDS_AHEAD // 2):
        _send(hostile, number, _of_clients(world, 1))


def _send_huge_register(world: World, hostile: HostileComputer) -> None:
    """Send a register that is too large to be passed on."""
    shard = Shard(world.attacks.randrange(1, 1 << 53))
    for update in shard.write({MEMORIES[0]: {"text": "x" * limits.REGISTER_BYTES}}).updates:
        _send(hostile, 0, update)


def _write_nonsense(world: World, hostile: HostileComputer) -> None:
    """Write well-formed registers that make no sense."""
    copy = _copy(world, hostile, 0)
    for update in copy.write(OddRegisters(world.attacks).writes()).updates:
        _take(hostile, 0, update)


def _write_one_key(world: World, hostile: HostileComputer) -> None:
    """Write one key many times, by several clients that do not know of each other."""
    for _ in range(6):
        copy = _copy(world, hostile, 0, {})
        for number in range(20):
            copy.write({f"{MEMORIES[1]}/a/pinned": DELETED if number % 5 == 4 else {"value": True, "at": number}})
        _take(hostile, 0, copy.snapshot())


def _of_clients(world: World, count: int) -> bytes:
    """Return an update with one collected block of each of so many new clients."""
    clients = world.attacks.sample(range(1 << 40, 1 << 52), count)
    blocks = b"".join(b"\x01" + varuint(client) + b"\x00\x00\x01" for client in sorted(clients, reverse=True))
    return varuint(count) + blocks + b"\x00"


def _copy(world: World, hostile: HostileComputer, number: int, known: Mapping[int, int] | None = None) -> Shard:
    """Return a copy of a shard under a new client id; an empty one if `known` is given."""
    client = world.attacks.randrange(1, 1 << 53)
    if known is not None:
        return Shard(client)
    return Shard.load(client, [hostile.replica.diff(hostile.space(PERSONAL), number, {}).update])


def _take(hostile: HostileComputer, number: int, update: bytes) -> None:
    """Let the hostile member take an update into its own store, so that it spreads like every other."""
    hostile.replica.apply(hostile.space(PERSONAL), number, update, f"{log.STOCK}hostile")
    hostile.committed()


def _send(hostile: HostileComputer, number: int, update: bytes) -> None:
    """Send an update that every store has to refuse, this member's own as well."""
    _take(hostile, number, update)
    hostile.say(Push(hostile.space(PERSONAL), number, update, {}, {}, _BATCH))


#: Each with its relative frequency.
_ATTACKS: Final[Mapping[str, tuple[int, Callable[[World, HostileComputer], None]]]] = {
    "demote everybody": (1, _demote),
    "second key": (3, _let_second_key_arrive),
    "flood of statements": (1, _flood_statements),
    "three quarters of the client ids": (1, _fill_with_clients),
    "too many client ids": (1, _flood_clients),
    "claimed clocks": (2, _claim_clocks),
    "hidden changes": (3, _hide_changes),
    "registers to be restated": (1, _ask_to_restate),
    "a far shard": (1, _send_far_shard),
    "a huge register": (1, _send_huge_register),
    "registers that make no sense": (2, _write_nonsense),
    "many writes of one key": (1, _write_one_key),
}


# --- checks -----------------------------------------------------------------------------------------------------------


def check(world: World) -> None:
    """Raise LostError if an attack has got a device in, taken a right away, or got over a limit."""
    for computer in world.computers:
        _check_shares(computer)
        _check_rights(world, computer)
        _check_creator(world, computer)
        _check_shards(computer)
    _check_second_key(world)


def _check_shares(computer: Computer) -> None:
    """Check that a space is shared only with members, and with devices that this user has let in."""
    with computer.memory.store.reading() as db:
        for (space,) in list(db.execute("SELECT space FROM spaces")):
            shared = {str(each) for (each,) in db.execute("SELECT device FROM shares WHERE space = ?", (space,))}
            invited = {str(each) for (each,) in db.execute("SELECT device FROM invited WHERE space = ?", (space,))}
            if strange := shared - invited - known_members(db, space).members.keys():
                raise LostError(f"{computer.name}: shares a space with {len(strange)} devices that are no members")


def _check_rights(world: World, computer: Computer) -> None:
    """Check that every honest computer that could write still can."""
    for space, writes in world.parts[computer.id].items():
        if writes and not computer.may_write(space):
            raise LostError(f"{computer.name}: may no longer write")


def _check_creator(world: World, computer: Computer) -> None:
    """Check that no member has taken an honest computer to a space of its own."""
    was_restored = world.counts["store restored"] or world.counts["crafted backup restored"]
    if world.creators and not was_restored and computer.creator(PERSONAL) not in world.creators:
        raise LostError(f"{computer.name}: was taken to a space that another member has made")


def _check_shards(computer: Computer) -> None:
    """Check the client ids and the numbers of all shards."""
    store = computer.memory.store
    with store.reading() as db:
        for row in log.shards_of(db, store.space(PERSONAL)):
            if (clients := sum(not is_asserting(each) for each in log.state_vector_of(row))) > limits.SHARD_CLIENTS_MAX:
                raise LostError(f"{computer.name}: a shard has {clients} client ids")
            if row.number == _FAR:
                raise LostError(f"{computer.name}: has the shard {row.number}")


def _check_second_key(world: World) -> None:
    """Raise LostError if a computer shares a space with the second key although its thief was revoked."""
    second = world.second_key
    for computer in _excluding(world):
        if second and (computer.knows(second, PERSONAL) or computer.peers.is_accepted(second.id)):
            raise LostError(f"{computer.name}: the second key of a revoked device is a member")


def second_outcast(world: World) -> SecondKey | None:
    """Return the second key if it has arrived and no computer may share the space with it, or None."""
    excluding = _excluding(world)
    if not excluding or len(excluding) < len(world.computers):
        return None
    world.counts["second key kept out"] += 1
    return world.second_key


def _excluding(world: World) -> list[Computer]:
    """Return the honest computers that may not share the space with the second key."""
    second, honest = world.second_key, {computer.id for computer in world.computers}
    if second is None or second not in world.strangers:
        return []
    return [computer for computer in world.computers if second.is_out_at(computer, honest)]
