"""The members of spaces: signed statements, and the peers and shares that follow from them.

When the user accepts or revokes a device, peers and shares change at once, without the device key. `settle` signs
statements about these changes before any other device learns of them. The rule by which statements make members is in
memcrdt/model/membership.py.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from memcrdt.errors import InputError, ReadOnlyError
from memcrdt.model import limits
from memcrdt.model.device_ids import Signer, shown
from memcrdt.model.membership import Adoption, Membership, membership, remaining, side
from memcrdt.model.roll import retained
from memcrdt.model.statements import CONTEXT, NAME_CHARS, Claim, Kind, Statement
from memcrdt.store import alarms
from memcrdt.store.membership import relays
from memcrdt.store.membership.shares import (
    NO_INVITATION,
    derive,
    has_written,
    is_shared,
    replace_genesis,
    revoked_here,
    shared_with,
    shares_due,
    withdrawn,
)
from memcrdt.store.membership.statement_store import (
    add_statements,
    adds_to_keep,
    checked,
    creator_of,
    known_members,
    names_claimed,
    packed,
    revocations,
    statement_ids,
    statements_of,
)
from memcrdt.store.spaces import (
    LOCAL,
    Genesis,
    id_of_space,
    is_read_only,
    shareable_space_number,
    space_name,
    space_number,
)
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.store.base import BaseStore

SIGNED_AT_ONCE = 64  # statements in one transaction, so that other processes wait only shortly
THEY_READ = (
    "it may only read the space {name!r}, but has its own space of that name, so the two stay separate; run there:"
    " memcrdt space leave {name}, and then pair it again; here: memcrdt pair --space {name} --read-only"
)
WE_READ = (
    "this device may only read the space {name!r} there, but has its own space of that name, so the two stay separate;"
    " run here: memcrdt space leave {name}, and then pair again; there: memcrdt pair --space {name} --read-only"
)
APART = (
    "both devices share a space called {name!r} with others, so the two stay separate; on one of them run:"
    " memcrdt space leave {name}, and then on both: memcrdt space invite {name} DEVICE"
)
_FULL = {
    "add": (
        "the device {device} shares the space {name!r} with this device only, because the list of its members is full;"
        " revoke devices that are no longer used: memcrdt space members {name}"
    ),
    "revoke": (
        "this device no longer shares the space {name!r} with the device {device}, but the other members do not learn"
        " that it was revoked, because the list of members is full; revoke it on them too: memcrdt space revoke {name}"
        " {device}"
    ),
    "relays": (
        "the other members of the space {name!r} do not learn of a change of its relays, because the list of members is"
        " full; revoke devices that are no longer used: memcrdt space members {name}"
    ),
}


class Entry(NamedTuple):
    """The description of a space during pairing. `shared` is whether other devices already share it."""

    name: str
    id: str
    genesis: Genesis
    shared: bool


#: What a claim says, without its time: the same decision is not signed again and again.
_Decision: TypeAlias = tuple[Kind, str, str, bool, tuple[str, ...]]


class Members:
    """The members of one store's spaces. Every change is durable when its method returns."""

    def __init__(self, store: BaseStore[SqlConnection]) -> None:
        self._store = store
        # By space: the ids of a list of members, and the decisions for which that list has no room.
        self._lost: dict[int, tuple[frozenset[bytes], frozenset[_Decision]]] = {}

    def of(self, name: str) -> Membership:
        """Return the members of the space called `name` by its signed statements. Raises NotFoundError."""
        with self._store.reading() as db:
            return known_members(db, space_number(db, name))

    def roll(self, space: str) -> tuple[Genesis | None, list[bytes]]:
        """Return the genesis and all statements of the space with the id `space`; None and [] for an unknown space."""
        with self._store.reading() as db:
            row = db.execute("SELECT space, creator, nonce FROM spaces WHERE id = ?", (space,)).fetchone()
            if row is None:
                return None, []
            return Genesis(row[1], row[2]), packed(db, row[0])

    def learn(self, space: str, packed: Sequence[bytes]) -> None:
        """Add statements from another device about a space of this store.

        Raises:
            RemoteProtocolError: A statement is malformed, or about another space. Nothing is added.
        """
        known = set(self.roll(space)[1])
        statements = [checked(data, space) for data in packed if data not in known]
        with self._store.writing() as db:
            number = db.execute("SELECT space FROM spaces WHERE id = ?", (space,)).get
            if number is not None and add_statements(db, int(number), statements):  # None: the user has just left it
                derive(db, int(number), self._store.device, self._store.now_ms())

    def adopt(self, peer: str, name: str, genesis: Genesis, packed: Sequence[bytes]) -> Adoption:
        """Continue our space called `name` under the id that the peer has for it, if both continue under that id.

        The peer must have write access to our space, and the members' statements in its space must give us the same
        rights that we have. A device that we know to be revoked stays revoked, and devices that the user of this device
        has let in are let in again.

        Raises:
            RemoteProtocolError: A statement is malformed, or about another space. Nothing changes.
        """
        space_id, own = genesis.space_id, self._store.device
        statements = [checked(data, space_id) for data in packed]
        there = membership(genesis.creator, statements)
        with self._store.writing() as db:
            row = db.execute(_MOVABLE, (name, LOCAL, peer)).fetchone()
            if row is None:
                return Adoption(False)
            space, our_id, creator, read_only, peer_reads = row
            if peer_reads:  # if the peer may only read its own space too, it will adopt our id
                return Adoption(False, THEY_READ.format(name=name) if there.may_write(peer) else "")
            keeps_rights = there.may_write(own) or (read_only and own in there.members)
            if not keeps_rights:
                return Adoption(False, WE_READ.format(name=name) if own in there.members else "")
            ours = side(our_id, creator, statements_of(db, space))
            theirs = side(space_id, genesis.creator, statements)
            remains = remaining(ours, theirs, own, peer)
            if remains is not theirs:
                return Adoption(False, "" if remains else APART.format(name=name))
            out = known_members(db, space).revoked | withdrawn(db, space)
            replace_genesis(db, space, genesis, self._store.device)
            db.executemany("INSERT INTO withdrawn(space, device) VALUES(?, ?)", [(space, each) for each in out])
            add_statements(db, space, statements)
            derive(db, space, own, self._store.now_ms())
        return Adoption(True)

    def verdicts(self, device: str, spaces: Iterable[str]) -> Mapping[str, list[bytes]]:
        """Return the statements that revoke the device from these spaces, by the id of the space."""
        with self._store.reading() as db:
            known = list(db.execute(_KNOWN, (json.dumps([*spaces]),)))
            found = {str(space): revocations(db, int(number), device) for number, space in known}
        return {space: [each.packed() for each in statements] for space, statements in found.items() if statements}

    def settle(self, signer: Signer, own_name: str) -> None:
        """Sign statements for the user's recent decisions: accepted devices, revoked devices, and our own name.

        Signs up to 64 statements in one transaction. If the list of members has no room for a statement, raises an
        alarm for the user, and tries again when the list has changed.
        """
        with self._store.reading() as db:
            spaces = [int(space) for (space,) in db.execute("SELECT space FROM spaces WHERE name <> ?", (LOCAL,))]
        for space in spaces:
            tried = self._without_room(space)
            while claims := self._claims(space, own_name[:NAME_CHARS], tried):
                tried |= {_decision(each) for each in claims}
                if not self._sign(space, claims, signer):
                    break  # the rest would find no room, either

    def _without_room(self, space: int) -> set[_Decision]:
        """Return the decisions for which the present list has no room."""
        roll, lost = self._lost.get(space, (frozenset(), frozenset()))
        with self._store.reading() as db:
            return set(lost) if roll == statement_ids(db, space) else set()

    def _claims(self, space: int, own_name: str, tried: Set[_Decision]) -> list[Claim]:
        """Return the next claims to sign. Bring the shares up to date if there are none, and they are not."""
        own = self._store.device
        with self._store.reading() as db:
            due = [each for each in self._due_claims(db, space, own_name) if _decision(each) not in tried]
            is_stale = shared_with(db, space) != shares_due(db, space, own, known_members(db, space))
        if is_stale and not due:
            self._change(space, ())
        return due[:SIGNED_AT_ONCE]

    def _sign(self, space: int, claims: Sequence[Claim], signer: Signer) -> bool:
        """Sign the claims for which the list has room. Return whether there are any."""
        signed = [Statement(each, signer.public_key, signer.sign(CONTEXT + each.packed())) for each in claims]
        with self._store.reading() as db:
            roll = {each.id for each in retained(creator_of(db, space), [*statements_of(db, space), *signed])}
            name = space_name(db, space)
        if fitting := [each for each in signed if each.id in roll]:
            self._change(space, fitting)
        if lost := [each for each in signed if each.id not in roll]:
            with self._store.reading() as db:
                without = self._without_room(space) | {_decision(each.claim) for each in lost}
                self._lost[space] = statement_ids(db, space), frozenset(without)
        self._alarm([_no_room(each, name) for each in lost], ended=[_no_room(each, name) for each in fitting])
        return bool(fitting)

    def _change(self, space: int, statements: Sequence[Statement]) -> None:
        with self._store.writing() as db:
            add_statements(db, space, statements)
            derive(db, space, self._store.device, self._store.now_ms())

    def _alarm(self, texts: Iterable[str], *, ended: Iterable[str]) -> None:
        """Raise the alarms that are due, and drop those that have ended."""
        now = self._store.now_ms()
        with self._store.reading() as db:
            due = [text for text in texts if alarms.is_due(db, now, text)]
            over = {each.text for each in alarms.raised(db)} & set(ended)
        if due or over:
            with self._store.writing() as db:
                alarms.end_alarms(db, over)
                for text in due:
                    alarms.raise_alarm_once(db, now, text)

    def entries(self, names: Iterable[str]) -> list[Entry]:
        """Return the spaces with these names, for a device that is invited to them.

        Raises:
            NotFoundError: There is no such space.
            InputError: A space is `local`.
            ReadOnlyError: This device may only read a space.
        """
        found = [self._entry(name) for name in names]
        with self._store.reading() as db:
            for entry in found:
                if is_read_only(db, space_number(db, entry.name)):
                    raise ReadOnlyError(NO_INVITATION.format(name=entry.name))
        return found

    def known_entries(self, names: Iterable[str]) -> list[Entry]:
        """Return the spaces with these names that exist here."""
        with self._store.reading() as db:
            known = {str(name) for (name,) in db.execute("SELECT name FROM spaces")}
        return [self._entry(name) for name in names if name in known]

    def join(self, entry: Entry, *, read_only: bool = False) -> str | None:
        """Join another device's space. Our own space of that name becomes part of it, if it is not shared.

        Args:
            entry: The space.
            read_only: Only read the space. Statements will confirm this, and until they arrive nothing must be written.
                Other devices would refuse anything that this device wrote into its own space of that name. So such a
                space stays separate.

        Returns:
            The new name of our own space if it stays separate, or None.

        Raises:
            InputError: Our own space of that name is shared with others.
        """
        with self._store.writing() as db:
            if db.execute("SELECT 1 FROM spaces WHERE id = ?", (entry.id,)).get is not None:
                return None
            space, aside = _unshared(db, entry.name), None
            if space is not None and read_only and has_written(db, space, self._store.device):
                aside = _rename(db, space, entry.name)
                space = None
            if space is None:
                db.execute(_JOIN, (entry.id, entry.name, *entry.genesis, read_only, self._store.now_ms()))
            else:
                replace_genesis(db, space, entry.genesis, self._store.device)
                db.execute("UPDATE spaces SET read_only = ? WHERE space = ?", (read_only, space))
            return aside

    def leave(self, name: str) -> None:
        """Stop sharing a space. Its memories stay here. Raises NotFoundError, InputError."""
        with self._store.writing() as db:
            space = shareable_space_number(db, name)
            for table in ("shares", "invited"):
                db.execute(f"DELETE FROM {table} WHERE space = ?", (space,))
            genesis = Genesis(self._store.device, secrets.token_bytes(16))
            replace_genesis(db, space, genesis, self._store.device)

    def _entry(self, name: str) -> Entry:
        with self._store.reading() as db:
            space = shareable_space_number(db, name)
            space_id, creator, nonce = db.execute("SELECT id, creator, nonce FROM spaces WHERE space = ?", (space,)).get
            return Entry(name, str(space_id), Genesis(str(creator), bytes(nonce)), is_shared(db, space))

    def _due_claims(self, db: SqlConnection, space: int, own_name: str) -> list[Claim]:
        """Return the claims that this device must make about a space and is allowed to make."""
        own, now, known = self._store.device, self._store.now_ms(), known_members(db, space)
        if not known.may_write(own):
            return []
        space_id = id_of_space(db, space)

        def claim(kind: Kind, device: str, name: str = "", read_only: bool = False) -> Claim:
            keep = tuple(adds_to_keep(db, space, device)) if kind == "revoke" else ()
            return Claim(kind=kind, space=space_id, device=device, at=now, name=name, read_only=read_only, keep=keep)

        out = withdrawn(db, space) | known.members.keys() & set(revoked_here(db))
        claims = [claim("revoke", device) for device in sorted(out)]
        for device, name, read_only in db.execute(_INVITED, (space,)):
            has_less = device not in known.members or (known.members[device].read_only and not read_only)
            if has_less and device not in known.revoked | out:
                claims.append(claim("add", device, (name or "")[:NAME_CHARS], bool(read_only)))
        if is_shared(db, space) and own_name not in names_claimed(db, space, own):
            claims.append(claim("add", own, own_name))
        if (due := relays.list_due(db, space, own)) is not None:
            claims.append(replace(claim("relays", own), relays=due.relays, replaces=due.replaces))
        return claims


_MOVABLE = (
    "SELECT space, id, creator, spaces.read_only, shares.read_only FROM spaces JOIN shares USING(space)"
    " WHERE name = ? AND name <> ? AND device = ?"
)
_JOIN = "INSERT INTO spaces(id, name, creator, nonce, read_only, created_at) VALUES(?, ?, ?, ?, ?, ?)"
_KNOWN = "SELECT space, id FROM spaces WHERE id IN (SELECT value FROM json_each(?))"
_INVITED = (
    "SELECT device, name, read_only FROM invited JOIN peers USING(device) WHERE space = ? AND state = 'accepted'"
    " ORDER BY device"
)


def _decision(claim: Claim) -> _Decision:
    return claim.kind, claim.device, claim.name, claim.read_only, claim.relays


def _no_room(statement: Statement, name: str) -> str:
    """Return the alarm that the list of the members of a space has no room for a statement."""
    return _FULL[statement.claim.kind].format(device=shown(statement.claim.device), name=name)


def _unshared(db: SqlConnection, name: str) -> int | None:
    """Return our space of that name, or None. Raises InputError if it is shared with others."""
    space: int | None = db.execute("SELECT space FROM spaces WHERE name = ?", (name,)).get
    if space is not None and is_shared(db, space):
        raise InputError(
            f"both devices share a space called {name!r} with others; on one of them run: memcrdt space leave {name}"
        )
    return space


def _rename(db: SqlConnection, space: int, name: str) -> str:
    """Give a space an unused name. Return the name."""
    taken = {known for (known,) in db.execute("SELECT name FROM spaces")}
    names = (f"{name[: limits.NAME_CHARS - len(tail)]}{tail}" for tail in map("-{}".format, count(2)))
    free = next(each for each in names if each not in taken)
    db.execute("UPDATE spaces SET name = ? WHERE space = ?", (free, space))
    return free
