"""What goes into the gossip and what comes out of it: the contract between sync and its driver.

The driver (the network, or a simulator) turns sockets, clocks and threads into events, and carries out
the effects that `Gossip.handle(event, now)` returns, in their order. A link is one authenticated
connection; the driver numbers them, from 1, and never uses a number again.

What the driver promises:
- every `Dial` ends in one `Connected(dialed=True)` or one `DialFailed`;
- every `Connected` ends in one `Lost`, also after a `Close`; nothing of a link comes behind its `Lost`;
- the queries of `Ask` are performed in the order in which they were asked, off the event loop;
- a timer fires late or in time, never early;
- frames of a link arrive whole, in order, at most `FRAME_BYTES` each. Sending never waits: a link that
  has more than `UNSENT_BYTES` waiting to be written is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from memcrdt.model.limits import MIB
from memcrdt.sync.queries import Query

FRAME_BYTES: Final = 1 * MIB
UNSENT_BYTES: Final = 8 * MIB  # twice what the windows of a session let it send unanswered
TIMER_SLACK_S: Final = 0.01  # clocks of event loops are that coarse, at worst

NODE: Final = 0  # in the place of a link: the query or timer is the gossip's own


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of all."""


@dataclass(frozen=True, slots=True)
class Known:
    """A trusted device has an address, or a new one: it can be dialed. `writes`: whether it may write in any space."""

    peer: str
    writes: bool = True


@dataclass(frozen=True, slots=True)
class Revoked:
    """A device is trusted no longer: its links are closed, and it is not dialed again."""

    peer: str


@dataclass(frozen=True, slots=True)
class Connected:
    """An authenticated connection to a device stands; `dialed` by us, or by it."""

    link: int
    peer: str
    dialed: bool


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A `Dial` led to no authenticated connection."""

    peer: str


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One frame of a link, whole."""

    link: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone."""

    link: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The store's log may have grown, or its file may be scrubbed now, by this process or another. What `Ask` applied
    needs no such event, but its scrubbing does."""


@dataclass(frozen=True, slots=True)
class SpacesChanged:
    """A space was made, joined or left, or its members changed."""


@dataclass(frozen=True, slots=True)
class SyncNow:
    """Compare with every peer now, and dial those that wait for their turn."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of the query that `Ask` number `id` asked."""

    link: int
    id: int
    answer: object


@dataclass(frozen=True, slots=True)
class Timer:
    """The time that a `Schedule` named has come."""

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
    """Perform the query against the store, and answer with `Answered(link, id, perform(replica, query))`."""

    link: int
    id: int
    query: Query


@dataclass(frozen=True, slots=True)
class Schedule:
    """Send `Timer(link, name)` after so many seconds."""

    link: int
    delay_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection once what was sent before is written (at most a second later)."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Try the device's addresses."""

    peer: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Something that a person may want to know, of a peer or (with no id) of the node. `kind`:

    - `ready`: greetings were exchanged; - `agreed`: a space (`text` is its id) is the same here and there;
    - `refused`: an update was structurally wrong; - `protocol`: the peer broke the rules;
    - `apart`: a space of one name can't become one; - `failed`: our store did not do what was asked;
    - `alarm`: two stores claim to be one device.
    """

    peer: str
    kind: Literal["ready", "agreed", "refused", "protocol", "apart", "failed", "alarm"]
    text: str


Effect: TypeAlias = SendFrame | Ask | Schedule | Close | Dial | SyncReport
