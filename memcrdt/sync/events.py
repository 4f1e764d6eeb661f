"""The contract between sync and its driver: events go into the gossip, effects come out.

The driver (the network, or a simulator) turns sockets, clocks and threads into events, and performs the effects that
`Gossip.handle(event, now)` returns, in order. A link is one authenticated connection. The driver numbers links from 1
and never reuses a number.

The driver promises:
- Every `Dial` ends in one `Connected(dialed=True)` or one `DialFailed`.
- Every `Connected` ends in one `Lost`, even after a `Close`. No event of a link comes after its `Lost`.
- The queries of `Ask` are performed in the order in which they were asked, off the event loop.
- A timer fires on time or late, never early.
- Frames of a link arrive whole and in order, and have up to `FRAME_BYTES`. Sending never waits: the driver closes a
  link with more than `UNSENT_BYTES` waiting to be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from memcrdt.model.limits import MIB
from memcrdt.sync.queries import Query

FRAME_BYTES: Final = 1 * MIB
UNSENT_BYTES: Final = 8 * MIB  # twice what the windows of a session let it send unanswered
TIMER_SLACK_S: Final = 0.01  # more than the resolution of an event loop's clock on any system

NODE: Final = 0  # instead of a link number: the query or timer belongs to the gossip itself


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The first event."""


@dataclass(frozen=True, slots=True)
class Known:
    """A trusted device has an address, or a new one, and can be dialed.

    `writes`: it may write some of our spaces. `hub`: it has said that it is a hub.
    """

    peer: str
    writes: bool = True
    hub: bool = False


@dataclass(frozen=True, slots=True)
class Revoked:
    """A device is no longer trusted: its links are closed, and it is not dialed again."""

    peer: str


@dataclass(frozen=True, slots=True)
class Connected:
    """An authenticated connection to a device was made.

    `dialed`: we dialed, not the device. `relayed`: a relay joins us, and a direct connection is better.
    """

    link: int
    peer: str
    dialed: bool
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A `Dial` led to no authenticated connection."""

    peer: str


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One whole frame of a link has arrived."""

    link: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection has ended."""

    link: int


@dataclass(frozen=True, slots=True)
class Committed:
    """This process or another may have added to the store's log, or scrubbed its file.

    An update that an `Ask` applied needs no such event, but its scrubbing does.
    """


@dataclass(frozen=True, slots=True)
class SpacesChanged:
    """A space was made, joined or left, or its members changed."""


@dataclass(frozen=True, slots=True)
class SyncNow:
    """A request to compare with every connected peer now, and to dial the other peers without waiting."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to the query of `Ask` number `id`: what `perform` returned."""

    link: int
    id: int
    answer: object


@dataclass(frozen=True, slots=True)
class Timer:
    """The delay of a `Schedule` has passed."""

    link: int
    name: str


LinkEvent: TypeAlias = Connected | FrameReceived | Lost | SpacesChanged | SyncNow | Answered | Timer
Event: TypeAlias = LinkEvent | Started | Known | Revoked | DialFailed | Committed


# --- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send one binary frame."""

    link: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """Perform the query on the store, and answer with `Answered(link, id, perform(replica, query))`."""

    link: int
    id: int
    query: Query


@dataclass(frozen=True, slots=True)
class Schedule:
    """Send `Timer(link, name)` after `delay_s` seconds."""

    link: int
    delay_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection once all earlier frames are written, within a second."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Try to connect to the device, at any of its addresses."""

    peer: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """A report for the user about a peer or, with an empty id, about this node.

    Kinds:
    - `ready`: greetings were exchanged;
    - `agreed`: a space (`text` is its id) has the same content on both devices;
    - `refused`: an update was malformed, or would have made a shard too large;
    - `declined`: the peer did not take an update of ours;
    - `protocol`: the peer broke the protocol;
    - `apart`: two spaces of one name cannot become one;
    - `failed`: our store failed to answer a query;
    - `alarm`: two stores claim to be one device;
    - `role`: what the peer says of itself: `text` has the features of its HubHint, or is empty if it is no hub.
    """

    peer: str
    kind: Literal["ready", "agreed", "refused", "declined", "protocol", "apart", "failed", "alarm", "role"]
    text: str


Effect: TypeAlias = SendFrame | Ask | Schedule | Close | Dial | SyncReport
