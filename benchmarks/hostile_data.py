"""The cost of what a hostile member sends, and of a hostile backup, to the device that takes or refuses it.

Part of `python benchmarks/hostile.py`. Times are of the processor of the process, so other work on the machine affects
them little. In between, another thread searches, as far as the attack lets it.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import memcrdt
from memcrdt.crdt.shard import Shard
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.model.clocks import varuint
from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.model.ids import derive
from memcrdt.model.statements import CONTEXT, Claim, Kind, Statement
from memcrdt.net.identity import Identity
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.sync.replica import HIDDEN

_MEMBER = "M" * 52
_ROOT = b"\x08memories"
_WITHOUT_REASON = (10, 400)  # times: fewer and more than are written again at once
_CHAIN, _BESIDE = 20_000, 3_000  # writes of one key
_COPIES = 50
_TINY = 240_000  # registers in one update of 5 MB
_TURNS = 12  # updates that follow each other, so that enough searches happen meanwhile
_KEYS, _ADDS, _REVOCATIONS = 4, 900, 100


def measure_data(memory: Memory) -> None:
    """Measure every attack and print one line for each, and one for searches alone."""
    _measure(memory, "nothing", partial(_pause, 5.0))
    for name, update, shard in _updates():
        _measure(memory, f"{name}, {len(update):,} bytes", partial(_apply, memory, shard, update))
    for name, of in (("writes of one key", _of_one_key), ("updates of tiny registers", _of_tiny_registers)):
        updates = list(map(of, range(_TURNS)))
        _measure(memory, f"{_TURNS} {name}, {sum(map(len, updates)):,} bytes", partial(_apply_all, memory, updates))
    for count in _WITHOUT_REASON:
        _measure(memory, f"{count} times: delete everything in a shard", partial(_delete_everything, memory, count))
    for count in _WITHOUT_REASON:
        _measure(memory, f"{count} times: ask for all of a shard again", partial(_ask_again, memory, count))
    _measure(memory, f"{_COPIES} whole copies without news", partial(_send_copies, memory))
    _measure(memory, "the next clock of the client id of the device, claimed", partial(_claim, memory))
    _measure_statements(memory)
    with tempfile.TemporaryDirectory() as folder:
        path = _crafted_backup(Path(folder))
        _measure(memory, f"a crafted backup, {path.stat().st_size:,} bytes", partial(_restore, memory, path))


def _measure(memory: Memory, name: str, work: Callable[[], str]) -> None:
    """Do the work while another thread searches. Print the result, the time, and how long searches took."""
    waits, ended = [0.0], threading.Event()

    def search() -> None:
        while not ended.is_set():
            start = time.perf_counter()
            memory.search("when do we ship?")
            waits.append(time.perf_counter() - start)
            time.sleep(0.02)

    memory.search("when do we ship?")
    searching = threading.Thread(target=search)
    searching.start()
    start, used = time.perf_counter(), time.thread_time()
    result = work()
    took, used = time.perf_counter() - start, time.thread_time() - used
    ended.set()
    searching.join()
    p99_s = sorted(waits)[int(len(waits) * 0.99)]
    print(
        f"{name}: {result} in {used:.2f} s of processor ({took:.2f} s); {len(waits) - 1} searches,"
        f" p99 {p99_s * 1e3:.0f} ms, longest {max(waits) * 1e3:.0f} ms",
        flush=True,
    )


def _pause(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


def _updates() -> list[tuple[str, bytes, int]]:
    """Return updates with their names and shards."""
    huge = Shard(7).write({derive("huge", 0)[0]: {"text": "x" * (limits.UPDATE_BYTES - 1_000)}}).updates[0]
    return [
        ("65,533 client ids", _of_clients(range(1 << 40, (1 << 40) + 65_533)), 0),
        (
            "three quarters of the client ids",
            _of_clients(range(1 << 41, (1 << 41) + 3 * limits.SHARD_CLIENTS_MAX // 4)),
            0,
        ),
        ("the last shard", _of_clients(range(1)), limits.SHARDS - 1),
        ("a register of 16 MiB", huge, 0),
        (f"{_CHAIN:,} and {_BESIDE:,} writes of one key", _of_one_key(0), 0),
    ]


def _of_clients(clients: Iterable[int]) -> bytes:
    blocks = [b"\x01" + varuint(client + 1) + b"\x00\x00\x01" for client in clients]
    return varuint(len(blocks)) + b"".join(blocks) + b"\x00"


def _of_one_key(number: int) -> bytes:
    """Return an update with a chain of writes by one client, and writes beside it by another."""
    chained, other = varuint(1_000 + 2 * number), varuint(1_001 + 2 * number)
    first = _item(f"k{number}")
    chain = b"".join(b"\xa8" + chained + varuint(clock) + b"\x01\x7e" for clock in range(_CHAIN - 1))
    beside = b"\xa8" + chained + varuint(_CHAIN - 1) + b"\x01\x7e" + first * _BESIDE
    return (
        b"\x02"
        + (varuint(_BESIDE + 1) + other + b"\x00" + beside)
        + (varuint(_CHAIN) + chained + b"\x00" + first + chain)
        + b"\x00"
    )


def _of_tiny_registers(number: int) -> bytes:
    """Return an update with registers that take much more memory than bytes."""
    items = b"".join(_item(f"{number}-{register}") for register in range(_TINY))
    return b"\x01" + varuint(_TINY) + varuint(2_000 + number) + b"\x00" + items + b"\x00"


def _item(key: str) -> bytes:
    """Return a block that writes null to a key of the root map."""
    return b"\x28\x01" + _ROOT + varuint(len(key)) + key.encode() + b"\x01\x7e"


def _apply(memory: Memory, shard: int, update: bytes) -> str:
    found = StoreReplica(memory.store).apply(memory.space("personal").id(), shard, update, _MEMBER)
    return {"applied": "taken", "later": "refused", "full": "refused"}.get(found.status, found.status)


def _apply_all(memory: Memory, updates: list[bytes]) -> str:
    """Send updates to eight shards in turn."""
    results = [_apply(memory, number % 8, update) for number, update in enumerate(updates)]
    return f"{results.count('taken')} taken, {results.count('refused')} refused"


def _delete_everything(memory: Memory, times: int) -> str:
    """Delete all registers of a full shard, without a tombstone: the device writes them again, up to its limit."""
    replica, space, shard, size = StoreReplica(memory.store), memory.space("personal").id(), 1, 0
    count, taken = memory.count(), 0
    for _ in range(times):
        known = replica.state_vector(space, shard)
        deletes = (varuint(client) + b"\x01\x00" + varuint(clock) for client, clock in known.items())
        update = b"\x00" + varuint(len(known)) + b"".join(deletes)
        size = max(size, len(update))
        taken += replica.apply(space, shard, update, _MEMBER).status == "applied"
    return f"with up to {size:,} bytes each; {taken} were taken; {count - memory.count()} memories are gone"


def _ask_again(memory: Memory, times: int) -> str:
    """Ask for as many registers of a full shard as a message can name."""
    replica, space, shard = StoreReplica(memory.store), memory.space("personal").id(), 1
    head, copy = replica.head(), Shard.load(1, [replica.diff(space, shard, {}).update])
    keys = list(copy.values())[:HIDDEN]
    for _ in range(times):
        replica.restate(space, shard, keys, _MEMBER)
    return f"{len(keys):,} registers each, written again {replica.head() - head} times"


def _send_copies(memory: Memory) -> str:
    """Send a whole copy of a full shard: it is compared with the own one, register by register."""
    replica, space, shard = StoreReplica(memory.store), memory.space("personal").id(), 1
    copy = replica.diff(space, shard, {}).update
    hidden = sum(len(replica.apply(space, shard, copy, _MEMBER).hidden) for _ in range(_COPIES))
    return f"{len(copy):,} bytes each, {hidden} registers hidden"


def _claim(memory: Memory) -> str:
    """Send a block under the present client id of the device, with the clock that it would use next."""
    own = memory.store.facts.client_id
    clock = StoreReplica(memory.store).state_vector(memory.space("personal").id(), 0).get(own, 0)
    update = b"\x01\x01" + varuint(own) + varuint(clock) + b"\x00\x01\x00"
    taken = _apply(memory, 0, update)
    return f"{taken}, {len(update)} bytes; another client id from now on: {memory.store.facts.client_id != own}"


class _Key:
    """The key of a device."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        self._public = self._private.public_key().public_bytes_raw()
        self.device = device_id(self._public)

    def sign(self, kind: Kind, space: str, device: str) -> bytes:
        """Return a packed statement."""
        claim = Claim(kind=kind, space=space, device=device, at=1)
        return Statement(claim, self._public, self._private.sign(CONTEXT + claim.packed())).packed()


def _measure_statements(memory: Memory) -> None:
    """Measure how a device learns a list that a member has filled, and how it revokes that member."""
    assert memory.home is not None
    own, members, peers = Identity.load_or_create(memory.home), Members(memory.store), Peers(memory.store)
    thief, keys = _Key(), [_Key() for _ in range(_KEYS)]
    peers.accept(thief.device)
    members.settle(own, "here")
    space, strangers = memory.space("personal").id(), map(_anybody, itertools.count())
    flood = [thief.sign("add", space, device) for device in (*(key.device for key in keys), *islice(strangers, _ADDS))]
    flood += [key.sign("revoke", space, device) for key in keys for device in islice(strangers, _REVOCATIONS // _KEYS)]

    def learn() -> str:
        members.learn(space, flood)
        return f"{len(members.roll(space)[1]):,} statements kept"

    def revoke() -> str:
        peers.revoke(thief.device)
        members.settle(own, "here")
        return f"{len(members.of('personal').members)} members left"

    _measure(memory, f"{_ADDS} adds and {_REVOCATIONS} revocations by {_KEYS + 1} keys", learn)
    _measure(memory, "the revocation of the member that sent them", revoke)


def _anybody(number: int) -> str:
    return device_id(number.to_bytes(KEY_BYTES, "big"))


def _crafted_backup(folder: Path) -> Path:
    """Return a backup with a trigger, a trusted device and a sequence at its end."""
    with memcrdt.open(folder / "home") as memory:
        memory.add_many(f"memory {number}" for number in range(1_000))
        memory.backup(folder / "backup.db")
    with closing(apsw.Connection(str(folder / "backup.db"))) as db:
        db.execute(_CRAFTED, (_MEMBER,))
    return folder / "backup.db"


_CRAFTED = """
INSERT INTO peers(device, state, added_at) VALUES(?, 'accepted', 1);
CREATE TRIGGER hide AFTER INSERT ON updates BEGIN DELETE FROM memories; END;
UPDATE sqlite_sequence SET seq = 9223372036854775807"""


def _restore(memory: Memory, path: Path) -> str:
    memory.restore(path)
    trusted = any(device.device == _MEMBER and device.state == "accepted" for device in memory.devices())
    return f"{memory.count():,} memories and {'a device' if trusted else 'no device'} taken"
