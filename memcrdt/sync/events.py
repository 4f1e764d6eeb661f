"""The contract between sync and its driver: events go into the gossip, effects come out.

The driver (the network, or a simulator) turns sockets, clocks and threads into events, and carries out the effects that
`Gossip.handle(event, now)` returns, in their order. A link is one authenticated connection. The driver numbers links
from 1 and never uses a number again.

The driver promises:
- Every `Dial` ends in one `Connected(dialed=True)` or one `DialFailed`.
- Every `Connected` ends in one `Lost`, also after a `Close`. No event of a link comes after its `Lost`.
- The queries of `Ask` are performed in the order in which they were asked, off the event loop.
- A timer fires late or in time, never early.
- Frames of a link arrive whole and in order, with at most `FRAME_BYTES` each. Sending never waits: the driver closes a
  link that has more than `UNSENT_BYTES` waiting to be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from memcrdt.model.limits import MIB
from memcrdt.sync.queries import Query

FRAME_BYTES: Final = 1 * MIB
UNSENT_BYTES: Final = 8 * MIB  # twice what the windows of a session let it send unanswered
TIMER_SLACK_S: Final = 0.01  # clocks of event loops are that coarse, at worst

NODE: Final = 0  # in place of a link: the query or timer is the gossip's own


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of all."""


@dataclass(frozen=True, slots=True)
class Known:
    """A trusted device has an address, or a new one, and can be dialed. `writes`: it may write in some space."""

    peer: str
    writes: bool = True


@dataclass(frozen=True, slots=True)
class Revoked:
    """A device is no longer trusted: its links are closed, and it is not dialed again."""

    peer: str


@dataclass(frozen=True, slots=True)
class Connected:
    """An authenticated connection to a device is up. `dialed`: we dialed it, not the device."""

    link: int
    peer: str
    dialed: bool


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
    """The connection is gone."""

    link: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The store's log may have grown, or its file may be scrubbed now, by this process or another.

    The update that an `Ask` applied needs no such event, but its scrubbing does.
    """


@dataclass(frozen=True, slots=True)
class SpacesChanged:
    """A space was made, joined or left, or its members changed."""


@dataclass(frozen=True, slots=True)
class SyncNow:
    """Compare with every peer now, and dial those that wait for their turn."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to the query of `Ask` number `id`: what `perform` returned."""

    link: int
    id: int
    answer: object


@dataclass(frozen=True, slots=True)
class Timer:
    """The time of a `Schedule` has come."""

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
    """Close the connection once all earlier frames are written, at most a second later."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Try to connect to the device, at any of its addresses."""

    peer: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """News for a person, about a peer or (with no id) about the node.

    Kinds:
    - `ready`: greetings were exchanged;
    - `agreed`: a space (`text` is its id) is the same here and there;
    - `refused`: an update was structurally wrong;
    - `protocol`: the peer broke the rules;
    - `apart`: two spaces of one name cannot become one;
    - `failed`: our store did not do what it was asked;
    - `alarm`: two stores claim to be one device.
    """

    peer: str
    kind: Literal["ready", "agreed", "refused", "protocol", "apart", "failed", "alarm"]
    text: str


Effect: TypeAlias = SendFrame | Ask | Schedule | Close | Dial | SyncReport
