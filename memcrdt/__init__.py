"""A memory for AI agents that lives on the user's own machines.

The public names, resolved when they are first used, so that importing memcrdt costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memcrdt._open import open, open_async  # noqa: A004 - the name of the public interface
    from memcrdt.errors import (
        CorruptError,
        DiskFullError,
        EmbedderError,
        InputError,
        LocalProtocolError,
        LockedError,
        MemcrdtError,
        ModelMissingError,
        NotFoundError,
        PairingError,
        PeerError,
        ProtocolError,
        ReadOnlyError,
        RemoteProtocolError,
        SchemaError,
        StoreError,
        UnreachableError,
        UntrustedPeerError,
    )
    from memcrdt.memory.async_memory import AsyncMemory, OpeningMemory
    from memcrdt.memory.devices import Device
    from memcrdt.memory.feed import Subscription
    from memcrdt.memory.memory import Memory
    from memcrdt.memory.scoped import ScopedMemory
    from memcrdt.memory.spaces import Space
    from memcrdt.memory.transfer import ImportReport
    from memcrdt.model.attributes import AddOptions, ScopedAddOptions, UpdateOptions
    from memcrdt.model.filters import Filters, Order, ScopedFilters
    from memcrdt.model.prompt import to_prompt
    from memcrdt.model.records import Change, Forgotten, Hit, Link, MemoryRecord, Page, Revision
    from memcrdt.node.node import Node
    from memcrdt.store.membership.sharing import SpaceMember

__version__ = "0.1.0"

__all__ = [
    "AddOptions",
    "AsyncMemory",
    "Change",
    "CorruptError",
    "Device",
    "DiskFullError",
    "EmbedderError",
    "Filters",
    "Forgotten",
    "Hit",
    "ImportReport",
    "InputError",
    "Link",
    "LocalProtocolError",
    "LockedError",
    "MemcrdtError",
    "Memory",
    "MemoryRecord",
    "ModelMissingError",
    "Node",
    "NotFoundError",
    "OpeningMemory",
    "Order",
    "Page",
    "PairingError",
    "PeerError",
    "ProtocolError",
    "ReadOnlyError",
    "RemoteProtocolError",
    "Revision",
    "SchemaError",
    "ScopedAddOptions",
    "ScopedFilters",
    "ScopedMemory",
    "Space",
    "SpaceMember",
    "StoreError",
    "Subscription",
    "UnreachableError",
    "UntrustedPeerError",
    "UpdateOptions",
    "__version__",
    "open",
    "open_async",
    "to_prompt",
]

_HOMES = {
    "memcrdt.memory.async_memory": ("AsyncMemory", "OpeningMemory"),
    "memcrdt.memory.devices": ("Device",),
    "memcrdt.memory.feed": ("Subscription",),
    "memcrdt.memory.memory": ("Memory",),
    "memcrdt.model.filters": ("Filters", "Order", "ScopedFilters"),
    "memcrdt.model.prompt": ("to_prompt",),
    "memcrdt.model.records": ("Change", "Forgotten", "Hit", "Link", "MemoryRecord", "Page", "Revision"),
    "memcrdt.model.requests": ("AddOptions", "ScopedAddOptions", "UpdateOptions"),
    "memcrdt.node.node": ("Node",),
    "memcrdt._open": ("open", "open_async"),
    "memcrdt.memory.scoped": ("ScopedMemory",),
    "memcrdt.memory.spaces": ("Space",),
    "memcrdt.store.membership.sharing": ("SpaceMember",),
    "memcrdt.memory.transfer": ("ImportReport",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'memcrdt' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF.get(name, "memcrdt.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
