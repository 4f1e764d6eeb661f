"""The exceptions of memcrdt, all under one root.

Each message says what happened, to what, and what to do next; the command line prints it in one line.
"""

from __future__ import annotations


class MemcrdtError(Exception):
    """The root of everything that memcrdt raises on purpose."""

    def __str__(self) -> str:
        # KeyError would print its argument with quotes around it.
        return str(self.args[0]) if self.args else ""


class InputError(MemcrdtError, ValueError):
    """An argument is not acceptable. Nothing was changed."""


class NotFoundError(MemcrdtError, KeyError):
    """There is no such memory, space or device here."""


class ReadOnlyError(MemcrdtError):
    """The store, or our part in the space, is for reading only."""


class StoreError(MemcrdtError):
    """The store could not do what was asked. Nothing was changed."""


class LockedError(StoreError):
    """Another process kept the store's write lock for too long."""


class CorruptError(StoreError):
    """Bytes of the store are not what was written."""


class SchemaError(StoreError):
    """The file is no store of ours, or one of a newer memcrdt."""


class DiskFullError(StoreError):
    """The disk has no room for the change."""


class ProtocolError(MemcrdtError):
    """The rules of the sync protocol were broken."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the rules."""


class LocalProtocolError(ProtocolError):
    """We were about to break the rules: a bug on this side."""


class PeerError(MemcrdtError):
    """Something about another device went wrong."""


class UntrustedPeerError(PeerError):
    """The device is not one that we have accepted, or it is not the one it claims to be."""


class UnreachableError(PeerError):
    """No device answered at the address."""


class PairingError(PeerError):
    """The two devices were not paired."""


class EmbedderError(MemcrdtError):
    """The embedder could not be loaded, or failed on a text."""


class ModelMissingError(EmbedderError):
    """The model's files are not on this machine."""
