"""The listener of a running network: it is there while somebody has to be answered, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcrdt.net.connection_gate import check_host
from memcrdt.net.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from memcrdt.model.device_ids import Signer
    from memcrdt.net.addresses import Address
    from memcrdt.net.listener import ConnectionHandler


class Reception:
    """Opens and closes a listener for one host at one address; at none (None) it opens nothing."""

    def __init__(
        self, identity: Signer, host: ConnectionHandler, listen: Address | None, listening: Callable[[int | None], None]
    ) -> None:
        """`listening` is told the port when listening begins, and None when it ends."""
        self.port: int | None = None  # while listening
        self._identity = identity
        self._host = host
        self._listen = listen
        self._listening = listening
        self._listener: Listener | None = None

    def check(self) -> None:
        """Raises InputError for a host that is none of ours: before anybody is accepted, open() would not say so."""
        if self._listen is not None:
            check_host(self._listen)

    @property
    def certificate(self) -> bytes | None:
        """The hash of the certificate that the listener shows, while there is one."""
        return None if self._listener is None else self._listener.certificate

    def open(self) -> None:
        """Listens, if that has not begun. Raises LockedError or InputError when the address cannot be listened at."""
        if self._listener is None and self._listen is not None:
            listener = Listener(self._identity, self._host)
            port = listener.start(self._listen)
            self._listener = listener
            self._tell(port)

    async def close(self) -> None:
        """Stops listening, if that has begun."""
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
            self._tell(None)

    def _tell(self, port: int | None) -> None:
        self.port = port
        self._listening(port)
