"""The members of spaces: signed statements, and the peers and shares that follow from them.

When the user accepts or revokes a device, peers and shares change at once, without the device key. `settle` signs
statements about these changes before any other device learns of them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import apsw

from memcrdt.errors import InputError, ReadOnlyError
from memcrdt.model import limits
from memcrdt.model.device_ids import Signer, shown
from memcrdt.model.statements import (
    CONTEXT,
    NAME_CHARS,
    Adoption,
    Claim,
    Kind,
    Member,
    Membership,
    Side,
    Statement,
    membership,
    stays,
)
from memcrdt.store import meta
from memcrdt.store.membership.shares import (
    has_written,
    is_shared,
    replace_genesis,
    revoke_if_alone,
    revoked_here,
    withdrawn,
)
from memcrdt.store.membership.statement_store import (
    add_statements,
    added_by,
    checked,
    known_members,
    names_claimed,
    packed,
    revocations,
)
from memcrdt.store.spaces import LOCAL, Genesis, is_read_only, shareable_space_number, space_number
from memcrdt.store.store import Store

COME_BACK = (
    "to come back it needs a new key: move its device.key (`memcrdt path` shows where) away, then run: memcrdt pair"
)
THEY_READ = (
    "it may only read the space {name!r}, but has its own space of that name, so the two stay separate; run there:"
    " memcrdt space leave {name}, and then pair it again; here: memcrdt pair --space {name} --read-only"
)
WE_READ = (
    "this device may only read the space {name!r} there, but has its own space of that name, so the two stay separate;"
    " run here: memcrdt space leave {name}, and then pair again; there: memcrdt pair --space {name} --read-only"
)
NO_INVITATION = "this device may only read the space {name!r}, so it cannot invite; do that on a device that may write"


class Entry(NamedTuple):
    """The description of a space during pairing. `shared` is whether other devices already share it."""

    name: str
    id: str
    genesis: Genesis
    shared: bool


class Members:
    """The members of one store's spaces. Every change is durable when its method returns."""

    def __init__(self, store: Store) -> None:
        self._store = store

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
                self._derive(db, int(number))

    def adopt(self, peer: str, name: str, genesis: Genesis, packed: Sequence[bytes]) -> Adoption:
        """Merge our space called `name` into the peer's space of that name, if the peer's id takes precedence.

        The smaller id takes precedence, unless its creator was revoked from the other space. The peer must have write
        access to our space, and the members' statements in its space must give us the same rights that we have. So no
        device can take the space away permanently. A device that we know to be revoked stays revoked.

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
            out = known_members(db, space).revoked | withdrawn(db, space)
            keeps_rights = there.may_write(own) or (read_only and own in there.members)
            ours, theirs = Side(our_id, creator, out), Side(space_id, genesis.creator, there.revoked)
            if not keeps_rights:
                return Adoption(False, WE_READ.format(name=name) if own in there.members else "")
            if not stays(theirs, ours):
                return Adoption(False)
            replace_genesis(db, space, genesis)
            db.executemany("INSERT INTO withdrawn(space, device) VALUES(?, ?)", [(space, each) for each in out])
            add_statements(db, space, statements)
            self._derive(db, space)
        return Adoption(True)

    def verdicts(self, device: str, spaces: Iterable[str]) -> Mapping[str, list[bytes]]:
        """Return the statements that revoke the device from these spaces, by the id of the space."""
        with self._store.reading() as db:
            known = list(db.execute(_KNOWN, (json.dumps([*spaces]),)))
            found = {str(space): revocations(db, int(number), device) for number, space in known}
        return {space: [each.packed() for each in statements] for space, statements in found.items() if statements}

    def settle(self, signer: Signer, own_name: str) -> None:
        """Sign statements for the user's recent decisions: accepted devices, revoked devices, and our own name."""
        with self._store.reading() as db:
            spaces = list(db.execute("SELECT space, id FROM spaces WHERE name <> ?", (LOCAL,)))
            due = [
                (int(space), claim)
                for space, space_id in spaces
                for claim in self._due_claims(db, int(space), str(space_id), own_name[:NAME_CHARS])
            ]
        if not due:
            return
        with self._store.writing() as db:
            for space, claim in due:
                signature = signer.sign(CONTEXT + claim.packed())
                add_statements(db, space, [Statement(claim, signer.public_key, signature)])
                self._derive(db, space)

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
                replace_genesis(db, space, entry.genesis)
                db.execute("UPDATE spaces SET read_only = ? WHERE space = ?", (read_only, space))
            return aside

    def leave(self, name: str) -> None:
        """Stop sharing a space. Its memories stay here. Raises NotFoundError, InputError."""
        with self._store.writing() as db:
            space = shareable_space_number(db, name)
            db.execute("DELETE FROM shares WHERE space = ?", (space,))
            genesis = Genesis(self._store.device, secrets.token_bytes(16))
            replace_genesis(db, space, genesis)

    def _entry(self, name: str) -> Entry:
        with self._store.reading() as db:
            space = shareable_space_number(db, name)
            space_id, creator, nonce = db.execute("SELECT id, creator, nonce FROM spaces WHERE space = ?", (space,)).get
            return Entry(name, str(space_id), Genesis(str(creator), bytes(nonce)), is_shared(db, space))

    def _due_claims(self, db: apsw.Connection, space: int, space_id: str, own_name: str) -> list[Claim]:
        """Return the claims that this device must make about a space and is allowed to make."""
        own, now, known = self._store.device, self._store.now_ms(), known_members(db, space)
        if not known.may_write(own):
            return []

        def claim(kind: Kind, device: str, name: str = "", read_only: bool = False) -> Claim:
            keep = tuple(added_by(db, space, device)) if kind == "revoke" else ()
            return Claim(kind=kind, space=space_id, device=device, at=now, name=name, read_only=read_only, keep=keep)

        out = {*withdrawn(db, space), *(device for device in revoked_here(db) if device in known.members)}
        claims = [claim("revoke", device) for device in sorted(out)]
        for device, name, read_only in db.execute(_SHARED, (space,)):
            if device not in known.members and device not in known.revoked:
                claims.append(claim("add", device, (name or "")[:NAME_CHARS], bool(read_only)))
        if is_shared(db, space) and own_name not in names_claimed(db, space, own):
            claims.append(claim("add", own, own_name))
        return claims

    def _derive(self, db: apsw.Connection, space: int) -> None:
        """Update peers and shares from the statements."""
        own, known, out = self._store.device, known_members(db, space), withdrawn(db, space)
        for device, member in known.members.items():
            if device != own and device not in out:
                self._admit(db, space, device, member)
        for device in known.revoked:
            for table in ("shares", "withdrawn"):
                db.execute(f"DELETE FROM {table} WHERE space = ? AND device = ?", (space, device))
            revoke_if_alone(db, device)
        if own in known.revoked:
            self._leave_after_revocation(db, space)
        elif own in known.members:
            db.execute("UPDATE spaces SET read_only = ? WHERE space = ?", (known.members[own].read_only, space))

    def _admit(self, db: apsw.Connection, space: int, device: str, member: Member) -> None:
        db.execute(_ACCEPT, (device, member.name or None, self._store.now_ms()))
        if db.execute("SELECT state FROM peers WHERE device = ?", (device,)).get == "accepted":
            db.execute(_SHARE, (space, device, member.read_only))

    def _leave_after_revocation(self, db: apsw.Connection, space: int) -> None:
        db.execute("DELETE FROM shares WHERE space = ?", (space,))
        if db.changes():
            name = db.execute("SELECT name FROM spaces WHERE space = ?", (space,)).get
            by = revocations(db, space, self._store.device)[0].by
            who = db.execute("SELECT name FROM peers WHERE device = ?", (by,)).get or f"the device {shown(by)}"
            text = f"this device was revoked from the space {name!r} by {who}; {COME_BACK}"
            meta.raise_alarm(db, self._store.now_ms(), text)


_MOVABLE = (
    "SELECT space, id, creator, spaces.read_only, shares.read_only FROM spaces JOIN shares USING(space)"
    " WHERE name = ? AND name <> ? AND device = ?"
)
_JOIN = "INSERT INTO spaces(id, name, creator, nonce, read_only, created_at) VALUES(?, ?, ?, ?, ?, ?)"
_KNOWN = "SELECT space, id FROM spaces WHERE id IN (SELECT value FROM json_each(?))"
_SHARED = (
    "SELECT device, name, read_only FROM shares JOIN peers USING(device) WHERE space = ? AND state = 'accepted'"
    " ORDER BY device"
)
_ACCEPT = (
    "INSERT INTO peers(device, name, state, added_at) VALUES(?, ?, 'accepted', ?) ON CONFLICT(device) DO UPDATE"
    " SET state = 'accepted', name = ifnull(name, excluded.name) WHERE state <> 'revoked'"
)
_SHARE = (
    "INSERT INTO shares(space, device, read_only) VALUES(?, ?, ?)"
    " ON CONFLICT DO UPDATE SET read_only = excluded.read_only"
)


def _unshared(db: apsw.Connection, name: str) -> int | None:
    """Return our space of that name, or None. Raises InputError if it is shared with others."""
    space: int | None = db.execute("SELECT space FROM spaces WHERE name = ?", (name,)).get
    if space is not None and is_shared(db, space):
        raise InputError(
            f"both devices share a space called {name!r} with others; on one of them run: memcrdt space leave {name}"
        )
    return space


def _rename(db: apsw.Connection, space: int, name: str) -> str:
    """Give a space an unused name. Return the name."""
    taken = {known for (known,) in db.execute("SELECT name FROM spaces")}
    names = (f"{name[: limits.NAME_CHARS - len(tail)]}{tail}" for tail in map("-{}".format, count(2)))
    free = next(each for each in names if each not in taken)
    db.execute("UPDATE spaces SET name = ? WHERE space = ?", (free, space))
    return free
