"""The exceptions of memcrdt, all under one root.

Each message says what happened, to what, and what to do next. The command line prints it on one line.
"""

from __future__ import annotations


class MemcrdtError(Exception):
    """The base class of all exceptions that memcrdt raises on purpose."""

    def __str__(self) -> str:
        # KeyError would print its argument with quotes around it.
        return str(self.args[0]) if self.args else ""


class InputError(MemcrdtError, ValueError):
    """An argument is invalid. Nothing was changed."""


class SecretError(InputError):
    """A memory contains what looks like a key, a token or a password. Nothing was changed."""


class NotFoundError(MemcrdtError, KeyError):
    """The memory, space or device does not exist in this store."""


class StaleRevisionError(MemcrdtError):
    """A change expected other revisions of a memory than are there. Nothing was changed.

    Attributes:
        id: The id of the memory, or None if there is no memory.
        heads: The revisions that are there: one, several if the texts compete, none if there is no memory.
    """

    def __init__(self, message: str, id: str | None = None, heads: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.id = id
        self.heads = heads


class ReadOnlyError(MemcrdtError):
    """The store is open for reading only, or this device may only read the space."""


class StoreError(MemcrdtError):
    """The store could not complete an operation. Nothing was changed."""


class LockedError(StoreError):
    """Another process held the store's write lock for too long."""


class CorruptError(StoreError):
    """The store is damaged: some of its bytes differ from the bytes that were written."""


class SchemaError(StoreError):
    """The file is not a memcrdt store, or a newer version of memcrdt wrote it."""


class DiskFullError(StoreError):
    """The disk has no room for the change."""


class ProtocolError(MemcrdtError):
    """A device broke the rules of the sync protocol."""


class RemoteProtocolError(ProtocolError):
    """The other device broke the rules."""


class LocalProtocolError(ProtocolError):
    """This device was about to break the rules, which is a bug in memcrdt."""


class PeerError(MemcrdtError):
    """An operation with another device failed."""


class UntrustedPeerError(PeerError):
    """The device is not accepted, or it is not the device that it claims to be."""


class UnreachableError(PeerError):
    """No device answered at the address."""


class PairingError(PeerError):
    """The two devices were not paired."""


class EmbedderError(MemcrdtError):
    """The embedder could not be loaded, or failed on a text."""


class ModelMissingError(EmbedderError):
    """The model's files are not on this machine."""
