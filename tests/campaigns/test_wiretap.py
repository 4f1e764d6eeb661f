"""Tests of the wiretap."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from memcrdt.sync.messages import Hello, MembershipDigest, Message, Offer, Range
from memcrdt.sync.wire import encode
from tests.campaigns.expected import LostError
from tests.campaigns.wiretap import Wiretap

SPACE = base64.b32encode(bytes(range(32))).decode().rstrip("=")  # frames carry it as 32 bytes


@pytest.mark.parametrize(
    "message",
    [Hello(1, (), "i", (Offer(SPACE, "harmless", b"d" * 16),)), Range(SPACE, ()), MembershipDigest(SPACE, b"d" * 16)],
    ids=lambda message: type(message).__name__,
)
def test_an_id_is_found_in_the_form_in_which_frames_carry_it(message: Message) -> None:
    """A frame to a member may carry the id of a space. A frame to any other device may not."""
    computer: Any = SimpleNamespace(id="A", name="A", outcasts={})
    tap = Wiretap({SPACE.encode(): {"A", "B"}})
    tap.on(computer)
    tap.look("A", "B", encode(message))
    with pytest.raises(LostError, match="no part in it"):
        tap.look("A", "C", encode(message))
