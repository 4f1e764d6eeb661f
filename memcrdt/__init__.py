"""A memory for AI agents that stays on the user's own machines.

Public names are imported on first use, so that `import memcrdt` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memcrdt._open import doctor, open, open_async  # noqa: A004 - the name of the public interface
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
        SecretError,
        StaleRevisionError,
        StoreError,
        UnreachableError,
        UntrustedPeerError,
    )
    from memcrdt.memory.async_feed import AsyncSubscription
    from memcrdt.memory.async_memory import AsyncMemory, OpeningMemory
    from memcrdt.memory.async_parts import (
        AsyncFiles,
        AsyncMirrors,
        AsyncModels,
        AsyncScopedMemory,
        AsyncSpace,
        AsyncSync,
        AsyncYjsTokens,
    )
    from memcrdt.memory.devices import Device
    from memcrdt.memory.feed import Subscription
    from memcrdt.memory.files import Files
    from memcrdt.memory.forgetting import ForgetProgress, ForgetStatus
    from memcrdt.memory.memory import Memory
    from memcrdt.memory.mirrors import MirrorReport, Mirrors
    from memcrdt.memory.models import Models
    from memcrdt.memory.pairing import AsyncInvitation, Invitation, InviteOptions, JoinOptions, PairedDevice
    from memcrdt.memory.retention import Budget
    from memcrdt.memory.scoped import ScopedMemory
    from memcrdt.memory.spaces import Space
    from memcrdt.memory.status import Status
    from memcrdt.memory.sync import Serving, Sync, SyncResult, SyncWarning
    from memcrdt.memory.tokens import YjsToken, YjsTokens
    from memcrdt.memory.transfer import ImportReport, RefusedLine
    from memcrdt.mirror.records import MirrorInfo, MirrorLine
    from memcrdt.model.attributes import AddOptions, ScopedAddOptions, UpdateOptions
    from memcrdt.model.filters import Filters, Order, ScopedFilters
    from memcrdt.model.prompt import to_prompt
    from memcrdt.model.records import Change, Forgotten, Hit, Link, MemoryRecord, Page, Revision
    from memcrdt.net.relay.rendezvous import RelayLimits
    from memcrdt.net.relay.server import Relay, RelayOptions
    from memcrdt.node.node import Node, NodeStatus
    from memcrdt.paths import home_folder
    from memcrdt.search.embedders.catalog import KnownModel
    from memcrdt.search.embedders.embedder import Embedder, EmbedFunction
    from memcrdt.search.searcher import SearchStatus
    from memcrdt.store.alarms import StoreAlarm
    from memcrdt.store.compaction import Compacted
    from memcrdt.store.membership.relays import SpaceRelay
    from memcrdt.store.membership.sharing import SpaceMember
    from memcrdt.store.overview import SpaceStatus, Stats
    from memcrdt.store.recovery.doctor import DoctorReport
    from memcrdt.yjs.listener import YjsOptions

__version__ = "0.1.0"

__all__ = [
    "AddOptions",
    "AsyncFiles",
    "AsyncInvitation",
    "AsyncMemory",
    "AsyncMirrors",
    "AsyncModels",
    "AsyncScopedMemory",
    "AsyncSpace",
    "AsyncSubscription",
    "AsyncSync",
    "AsyncYjsTokens",
    "Budget",
    "Change",
    "Compacted",
    "CorruptError",
    "Device",
    "DiskFullError",
    "DoctorReport",
    "EmbedFunction",
    "Embedder",
    "EmbedderError",
    "Files",
    "Filters",
    "ForgetProgress",
    "ForgetStatus",
    "Forgotten",
    "Hit",
    "ImportReport",
    "InputError",
    "Invitation",
    "InviteOptions",
    "JoinOptions",
    "KnownModel",
    "Link",
    "LocalProtocolError",
    "LockedError",
    "MemcrdtError",
    "Memory",
    "MemoryRecord",
    "MirrorInfo",
    "MirrorLine",
    "MirrorReport",
    "Mirrors",
    "ModelMissingError",
    "Models",
    "Node",
    "NodeStatus",
    "NotFoundError",
    "OpeningMemory",
    "Order",
    "Page",
    "PairedDevice",
    "PairingError",
    "PeerError",
    "ProtocolError",
    "ReadOnlyError",
    "RefusedLine",
    "Relay",
    "RelayLimits",
    "RelayOptions",
    "RemoteProtocolError",
    "Revision",
    "SchemaError",
    "ScopedAddOptions",
    "ScopedFilters",
    "ScopedMemory",
    "SearchStatus",
    "SecretError",
    "Serving",
    "Space",
    "SpaceMember",
    "SpaceRelay",
    "SpaceStatus",
    "StaleRevisionError",
    "Stats",
    "Status",
    "StoreAlarm",
    "StoreError",
    "Subscription",
    "Sync",
    "SyncResult",
    "SyncWarning",
    "UnreachableError",
    "UntrustedPeerError",
    "UpdateOptions",
    "YjsOptions",
    "YjsToken",
    "YjsTokens",
    "__version__",
    "doctor",
    "home_folder",
    "open",
    "open_async",
    "to_prompt",
]

_HOMES = {
    "memcrdt._open": ("doctor", "open", "open_async"),
    "memcrdt.memory.async_feed": ("AsyncSubscription",),
    "memcrdt.memory.async_memory": ("AsyncMemory", "OpeningMemory"),
    "memcrdt.memory.async_parts": (
        "AsyncFiles",
        "AsyncMirrors",
        "AsyncModels",
        "AsyncScopedMemory",
        "AsyncSpace",
        "AsyncSync",
        "AsyncYjsTokens",
    ),
    "memcrdt.memory.devices": ("Device",),
    "memcrdt.memory.feed": ("Subscription",),
    "memcrdt.memory.files": ("Files",),
    "memcrdt.memory.forgetting": ("ForgetProgress", "ForgetStatus"),
    "memcrdt.memory.memory": ("Memory",),
    "memcrdt.memory.mirrors": ("MirrorReport", "Mirrors"),
    "memcrdt.memory.models": ("Models",),
    "memcrdt.memory.pairing": ("AsyncInvitation", "Invitation", "InviteOptions", "JoinOptions", "PairedDevice"),
    "memcrdt.memory.retention": ("Budget",),
    "memcrdt.memory.scoped": ("ScopedMemory",),
    "memcrdt.memory.spaces": ("Space",),
    "memcrdt.memory.status": ("Status",),
    "memcrdt.memory.sync": ("Serving", "Sync", "SyncResult", "SyncWarning"),
    "memcrdt.memory.tokens": ("YjsToken", "YjsTokens"),
    "memcrdt.memory.transfer": ("ImportReport", "RefusedLine"),
    "memcrdt.model.filters": ("Filters", "Order", "ScopedFilters"),
    "memcrdt.model.prompt": ("to_prompt",),
    "memcrdt.model.records": ("Change", "Forgotten", "Hit", "Link", "MemoryRecord", "Page", "Revision"),
    "memcrdt.mirror.records": ("MirrorInfo", "MirrorLine"),
    "memcrdt.model.attributes": ("AddOptions", "ScopedAddOptions", "UpdateOptions"),
    "memcrdt.net.relay.rendezvous": ("RelayLimits",),
    "memcrdt.net.relay.server": ("Relay", "RelayOptions"),
    "memcrdt.node.node": ("Node", "NodeStatus"),
    "memcrdt.paths": ("home_folder",),
    "memcrdt.search.embedders.catalog": ("KnownModel",),
    "memcrdt.search.embedders.embedder": ("EmbedFunction", "Embedder"),
    "memcrdt.search.searcher": ("SearchStatus",),
    "memcrdt.store.compaction": ("Compacted",),
    "memcrdt.store.membership.relays": ("SpaceRelay",),
    "memcrdt.store.membership.sharing": ("SpaceMember",),
    "memcrdt.store.alarms": ("StoreAlarm",),
    "memcrdt.store.overview": ("SpaceStatus", "Stats"),
    "memcrdt.store.recovery.doctor": ("DoctorReport",),
    "memcrdt.yjs.listener": ("YjsOptions",),
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
