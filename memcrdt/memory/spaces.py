"""Spaces: sets of memories that are shared as a whole. Only members know the id of a space. Its name is local."""

from __future__ import annotations

from typing import Self

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.checks import check_flag, check_label, check_name
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.relay_addresses import relay_address
from memcrdt.model.secrets import check_no_secret
from memcrdt.store import digests
from memcrdt.store.base import AnyStore
from memcrdt.store.membership import relays, sharing
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.relays import SpaceRelay
from memcrdt.store.membership.sharing import SpaceMember
from memcrdt.store.spaces import NONCE_BYTES, Genesis, add_space, find_space, id_of_space, space_number


class Space:
    """One space of a Memory, by its local name.

    Every method except create() raises NotFoundError if the space does not exist here. Changes of membership are signed
    and sent to the other members by the process that runs the network.

    Attributes:
        name: The local name of the space.

    Example:
        >>> acme = memory.space("acme").create()
        >>> acme.invite(laptop)
    """

    def __init__(self, store: AnyStore, name: str) -> None:
        self._store = store
        self.name = check_label(name, "the name of the space", limits.NAME_CHARS)

    def create(self) -> Self:
        """Create the space and return it. Raises InputError if the name is taken."""
        check_name(self.name, "the name of the space")
        check_no_secret(self.name)
        with self._store.writing() as db:
            if find_space(db, self.name) is not None:
                raise InputError(f"the space {self.name!r} exists already; choose another name")
            genesis = Genesis(self._store.device, self._store.options.random(NONCE_BYTES))
            add_space(db, self.name, genesis, self._store.now_ms())
        return self

    def id(self) -> str:
        """Return the id of the space: 52 characters, the same on every device."""
        with self._store.reading() as db:
            return id_of_space(db, space_number(db, self.name))

    def members(self, *, revoked: bool = False) -> tuple[SpaceMember, ...]:
        """Return the members of the space, this device first. With `revoked`, include revoked devices."""
        check_flag(revoked, "revoked")
        return tuple(each for each in sharing.members(self._store, self.name) if revoked or each.state == "member")

    def invite(self, device: str) -> None:
        """Share the space with an accepted device.

        The other device has to invite this device into its space of the same name. Then the two spaces become one.
        Pairing does both at once, and only pairing can make the other device a reader. A second call does nothing.

        Args:
            device: The device id.

        Raises:
            InputError: The space is `local`, the id is mistyped, or the device is not accepted or was revoked from the
                space.
            NotFoundError: The device is unknown.
            ReadOnlyError: This device may only read the space.
        """
        sharing.invite(self._store, self.name, parse_device_id(device))

    def revoke(self, device: str) -> None:
        """Remove a device from the space, for all members. The device keeps its data.

        A connection to the device ends within a second. It is opened again without this space if another space is
        shared. The key of the device cannot become a member again. A second call does nothing.

        Args:
            device: The device id.

        Raises:
            InputError: The space is `local`, the id is mistyped, or it is the id of this device. Use leave() instead.
            NotFoundError: The device is not a member.
            ReadOnlyError: This device may only read the space.
        """
        sharing.revoke(self._store, self.name, parse_device_id(device))

    def relays(self) -> tuple[SpaceRelay, ...]:
        """Return the relays of the space, at most four."""
        return relays.relays_of(self._store, self.name)

    def add_relay(self, address: str) -> None:
        """List a relay, at which the members of the space meet if no direct path works. A second call does nothing.

        Args:
            address: HOST or HOST:PORT.

        Raises:
            InputError: The address is malformed, the space lists four relays already, or it is `local`.
            ReadOnlyError: This device may only read the space.
        """
        relays.add_relay(self._store, self.name, relay_address(address))

    def remove_relay(self, address: str) -> None:
        """List a relay no longer, whichever member has listed it.

        Args:
            address: HOST or HOST:PORT.

        Raises:
            InputError: The address is malformed, or the space is `local`.
            NotFoundError: The space does not list the relay.
            ReadOnlyError: This device may only read the space.
        """
        relays.remove_relay(self._store, self.name, relay_address(address))

    def leave(self) -> None:
        """Stop sharing the space. Its memories stay on this device, in a space with a new id.

        The other members list this device until one of them revokes it. Raises InputError for `local`.
        """
        Members(self._store).leave(self.name)

    def digest(self) -> str:
        """Return a hexadecimal digest. It is equal on devices that have the same data in the space."""
        with self._store.reading() as db:
            number = space_number(db, self.name)
        return digests.whole(digests.of_space(self._store, number))
