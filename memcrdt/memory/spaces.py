"""Spaces: memories that are shared as a whole. Only the members know the id of a space; its name is local."""

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
    """One space of a Memory, by its local name. Every method but `create` raises NotFoundError when it is not here.

    The process that runs the network signs what is decided here about devices, and tells the other members.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = check_label(name, "the name of the space", limits.NAME_CHARS)

    def create(self) -> Self:
        """Make the space, and return it. Raises InputError when the name is taken."""
        check_name(self.name, "the name of the space")
        check_no_secret(self.name)
        with self._store.writing() as db:
            if find_space(db, self.name) is not None:
                raise InputError(f"there is a space called {self.name!r} here already; take another name")
            genesis = Genesis(self._store.device, self._store.options.random(NONCE_BYTES))
            add_space(db, self.name, genesis, self._store.now_ms())
        return self

    def id(self) -> str:
        """Return the id: 52 characters, the same on every device that has the space."""
        with self._store.reading() as db:
            return id_of_space(db, space_number(db, self.name))

    def members(self, *, revoked: bool = False) -> tuple[SpaceMember, ...]:
        """Return the devices that take part in it, this one first; with `revoked` also the revoked ones."""
        check_flag(revoked, "revoked")
        return tuple(each for each in sharing.members(self._store, self.name) if revoked or each.state == "member")

    def invite(self, device: str) -> None:
        """Share the space with a device that is accepted here.

        The other device has to invite this one too, into its space of the same name; the two spaces become one.
        Pairing does all of this at once, and only pairing can make the other device a reader. A second call does
        nothing.

        Args:
            device: The id of the device.

        Raises:
            InputError: The space is `local`, the id is mistyped, or the device is not accepted or was revoked from it.
            NotFoundError: The device is not known.
            ReadOnlyError: This device itself may only read the space.
        """
        sharing.invite(self._store, self.name, parse_device_id(device))

    def revoke(self, device: str) -> None:
        """Take a device out of the space, for all members. It keeps what it has.

        A connection to it ends within a second, and comes back without this space if another one is shared. Its key
        never comes back into the space. A second call does nothing.

        Args:
            device: The id of the device.

        Raises:
            InputError: The space is `local`, the id is mistyped, or the device is this one, which may `leave()`.
            NotFoundError: The device does not take part.
            ReadOnlyError: This device itself may only read the space.
        """
        sharing.revoke(self._store, self.name, parse_device_id(device))

    def leave(self) -> None:
        """Stop sharing the space with anybody. Its memories stay here, under another id.

        Others list this device until one of them revokes it. Raises InputError for `local`.
        """
        Members(self._store).leave(self.name)

    def digest(self) -> str:
        """Return a digest in hexadecimal; it is equal on devices that hold the same of the space."""
        with self._store.reading() as db:
            number = space_number(db, self.name)
        return digests.whole(digests.of_space(self._store, number))
