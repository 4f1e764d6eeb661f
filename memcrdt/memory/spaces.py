"""Spaces: what is shared with whom. Each has an id that only its members know, and a name that it has here."""

from __future__ import annotations

from typing import Self

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.checks import check_flag, check_label, check_name
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.secrets import check_no_secret
from memcrdt.store import digests
from memcrdt.store.membership import sharing
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.sharing import SpaceMember
from memcrdt.store.spaces import NONCE_BYTES, Genesis, add_space, find_space, id_of_space, space_number
from memcrdt.store.store import Store


class Space:
    """One space of a Memory, by its local name. All but `create` raise NotFoundError when it is not here.

    What is decided here about devices is signed, and told to the other members, by whichever process runs the network.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = check_label(name, "the name of the space", limits.NAME_CHARS)

    def create(self) -> Self:
        """Makes the space. Raises InputError when there is one of that name."""
        check_name(self.name, "the name of the space")
        check_no_secret(self.name)
        with self._store.writing() as db:
            if find_space(db, self.name) is not None:
                raise InputError(f"there is a space called {self.name!r} here already; take another name")
            genesis = Genesis(self._store.device, self._store.options.random(NONCE_BYTES))
            add_space(db, self.name, genesis, self._store.now_ms())
        return self

    def id(self) -> str:
        """52 characters, the same on every device that has the space."""
        with self._store.reading() as db:
            return id_of_space(db, space_number(db, self.name))

    def members(self, *, revoked: bool = False) -> tuple[SpaceMember, ...]:
        """The devices that take part in it, this one first; with `revoked` also those that do no longer."""
        check_flag(revoked, "revoked")
        return tuple(each for each in sharing.members(self._store, self.name) if revoked or each.state == "member")

    def invite(self, device: str) -> None:
        """Shares it with a device that is accepted here, and through this one with all other members.

        That one has to invite this one too, into its space of the same name: the two become one. (Pairing does all of
        this at once, and alone can say that the other may only read.) A second time nothing happens. Raises InputError
        for `local`, for a mistyped id, and for a device that is not accepted, or was revoked from it; NotFoundError for
        a device that is not known; ReadOnlyError when this device itself may only read it.
        """
        sharing.invite(self._store, self.name, parse_device_id(device))

    def revoke(self, device: str) -> None:
        """Takes a device out of it, for all members; what that one has already stays there.

        A connection to it ends within a second, and comes back without this space if it shares another one. Its key
        never comes back into the space. A second time nothing happens. Raises InputError for `local`, for this device
        (it may `leave()`) and for a mistyped id; NotFoundError for a device that does not take part; ReadOnlyError when
        this device itself may only read it.
        """
        sharing.revoke(self._store, self.name, parse_device_id(device))

    def leave(self) -> None:
        """Shares it with nobody any more; what is in it stays here, under another id. Others list this device until one
        of them revokes it. Raises InputError for `local`."""
        Members(self._store).leave(self.name)

    def digest(self) -> str:
        """Hexadecimal; equal on devices that hold the same of it."""
        with self._store.reading() as db:
            number = space_number(db, self.name)
        return digests.whole(digests.of_space(self._store, number))
