"""A hub: its key, its store in PostgreSQL, and how it is paired with other devices."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, Unpack

from memcrdt import config as configuration
from memcrdt.config import Config
from memcrdt.errors import StoreError
from memcrdt.hub.checking import KEY_FILE, NAME, hub_device
from memcrdt.hub.connection import check_address
from memcrdt.hub.search import search_index
from memcrdt.hub.store import PostgresStore
from memcrdt.memory.devices import find_device
from memcrdt.memory.pairing import InviteOptions, PairedDevice, PairOptions, invite_options, join_options
from memcrdt.model.checks import check_name
from memcrdt.model.device_ids import shown
from memcrdt.model.ports import DEFAULT_PAIRING_PORT, DEFAULT_PORT
from memcrdt.net.addresses import Address
from memcrdt.net.identity import Identity
from memcrdt.pairing.channel import PairingOffer
from memcrdt.pairing.codes import parse_code
from memcrdt.pairing.inviting import InvitationListener, PairingContext
from memcrdt.pairing.joining import JoinAttempt
from memcrdt.search import SearchIndex, make_embedder
from memcrdt.store import meta
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.spaces import NONCE_BYTES, Genesis, add_space, find_space

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NO_KEY: Final = (
    "{folder} has no {file}, and the database belongs to the hub {device}: copy the file from a machine that runs the"
    " hub. If it is lost, take the hub over with a new key: memcrdt hub --take-over"
)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Where a hub has its parts.

    Attributes:
        folder: The folder with the key. All processes of the hub have the same key.
        dsn: The address of the database, as libpq takes it.

    Raises:
        InputError: The address of the database is not well formed.
    """

    folder: Path
    dsn: str

    def __post_init__(self) -> None:
        check_address(self.dsn)


class Hub:
    """One process of an open hub. Use it as a context manager.

    Attributes:
        identity: The key of the hub.
        store: The store.
        index: The indexes of search.
        config: The settings in its folder. Of these, the embedder counts.

    Example:
        >>> with Hub.open(HubAddress(folder, "postgresql://hub@db.example/memories")) as hub:  # doctest: +SKIP
        ...     asyncio.run(serve(hub))
    """

    def __init__(
        self, identity: Identity, store: PostgresStore, index: SearchIndex, config: Config | None = None
    ) -> None:
        self.identity = identity
        self.store = store
        self.index = index
        self.config = config or Config()

    @classmethod
    def open(cls, address: HubAddress, *, name: str | None = None, takes_over: bool = False) -> Self:
        """Open a hub. The first process makes its key and its tables.

        Args:
            address: Where its key and its database are.
            name: The name that other devices see. Default: the name given before, or that of this machine.
            takes_over: Whether to go on with the key in the folder, or a new one, if the hub's own key is lost.

        Raises:
            SchemaError: A newer version of memcrdt wrote the database.
            StoreError: The database cannot be used, or belongs to a hub with another key.
            InputError: The name is not one, or the settings in the folder are wrong.
        """
        if name is not None:
            check_name(name, "the name of the hub")
        if not takes_over and not (address.folder / KEY_FILE.name).exists() and (device := hub_device(address.dsn)):
            raise StoreError(_NO_KEY.format(folder=address.folder, file=KEY_FILE.name, device=shown(device)))
        identity = Identity.load_or_create(address.folder, KEY_FILE)
        config = configuration.load(address.folder)
        index = search_index(make_embedder(config.embedder, threads=config.embed_threads))
        store = PostgresStore(address.dsn, identity.device_id, indexer=index, takes_over=takes_over)
        hub = cls(identity, store, index, config)
        try:
            if name is not None or not hub.name:
                with store.writing() as db:
                    meta.write(db, NAME, name or platform.node() or "hub")
        except BaseException:
            store.close()
            raise
        return hub

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    @property
    def device(self) -> str:
        """The id of the hub's device."""
        return self.store.device

    @property
    def name(self) -> str:
        """The name that other devices see."""
        with self.store.reading() as db:
            return str(meta.read(db, NAME) or "")

    def invite(self, *, port: int = DEFAULT_PORT, **given: Unpack[InviteOptions]) -> InvitationListener:
        """Return a code for another device, to enter as a context. Spaces that do not exist are created.

        Call it inside the running event loop.

        Args:
            port: The port at which the processes of the hub listen.
            given: The spaces to share, the rights, the name for the other device, and the host to listen at.

        Raises:
            InputError: A space cannot be shared, or a name is not one.
            ReadOnlyError: The hub may only read a space.
        """
        options = invite_options(given)
        self._create_missing(options.spaces)
        return InvitationListener(self._ours(options, port), options.host)

    async def join(self, code: str, at: str, *, name: str | None = None, port: int = DEFAULT_PORT) -> PairedDevice:
        """Pair with the device that shows a code.

        Args:
            code: The code as the user typed it.
            at: The address of the device, as HOST[:PORT].
            name: The name for the other device. Default: its own name.
            port: The port at which the processes of the hub listen.

        Raises:
            InputError: The code or the address is malformed.
            PairingError: The code is wrong, or the devices could not agree.
            UnreachableError: The device does not answer.
            RemoteProtocolError: The device breaks the protocol.
        """
        typed, address = parse_code(code), Address.parse(at, DEFAULT_PAIRING_PORT)
        return await JoinAttempt(self._ours(join_options({"name": name}), port), typed).join_at(address)

    def revoke(self, device: str) -> str:
        """Stop trusting a device, and remove it from every space. Return how messages call it.

        Args:
            device: Its name, its id, or the first characters of one, 4 or more.

        Raises:
            NotFoundError: No device is named so.
            InputError: Several devices are named so, or the id is mistyped.
        """
        peers = Peers(self.store)
        found = peers.get(find_device(peers.all(), device))
        peers.revoke(found.device)
        return f"{found.name} ({shown(found.device)})" if found.name else shown(found.device)

    def _ours(self, options: PairOptions, port: int) -> PairingContext:
        entries = tuple(Members(self.store).entries(options.spaces))
        offer = PairingOffer(self.name, port, options.read_only, entries)
        return PairingContext(identity=self.identity, store=self.store, offer=offer, name=options.name)

    def _create_missing(self, names: Iterable[str]) -> None:
        for name in names:
            check_name(name, "the name of the space")
            with self.store.writing() as db:
                if find_space(db, name) is None:
                    genesis = Genesis(self.device, self.store.options.random(NONCE_BYTES))
                    add_space(db, name, genesis, self.store.now_ms())
