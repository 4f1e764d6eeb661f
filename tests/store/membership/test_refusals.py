"""Tests of the refusals from which a device learns that it was revoked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import memcrdt
from memcrdt.memory.memory import Memory
from memcrdt.net.identity import KEY_FILE
from memcrdt.store.membership.peers import PeerConnection, Peers
from tests.store.conftest import Home

LAPTOP, PHONE, READER = "B" * 51 + "A", "C" * 51 + "A", "D" * 51 + "A"
KEY = b"k" * 32


@pytest.fixture(name="here")
def _here(make_home: Callable[[str], Home]) -> Home:
    """Return a home that shares `personal` with a laptop, a phone and a device that may only read."""
    home = make_home("home")
    home.peers.accept(LAPTOP, name="laptop")
    home.peers.accept(PHONE)
    home.peers.accept(READER, read_only=True)
    return home


def _lost(memory: Memory) -> bool:
    """Return whether this device is revoked from `personal`. The warnings, the members and the alarms agree."""
    memory.add("a change")
    warned = any(each.reason == "revoked" and each.spaces == ("personal",) for each in memory.sync.warnings())
    (ours,) = (each for each in memory.space("personal").members(revoked=True) if each.ours)
    assert (ours.state == "revoked") == warned
    assert any("revoked from 'personal' by" in alarm.text for alarm in memory.status().alarms) == warned
    return warned


def test_a_refusal_by_a_writer_ends_the_membership(here: Home) -> None:
    """The warning and the only alarm name the device that revoked this one, however many devices confirm it."""
    assert not _lost(here.memory)
    for peer in (PHONE, LAPTOP, READER):
        here.peers.refused(peer, LAPTOP)
    assert _lost(here.memory)
    (warning,) = here.memory.sync.warnings()
    assert warning.text == (
        "the change stays here: this device was revoked from the space 'personal' by laptop; see `memcrdt status`"
    )
    (alarm,) = here.memory.status().alarms
    assert alarm.text.startswith("this device was revoked from 'personal' by laptop; to come back it needs a new key")


def test_spaces_that_the_refusing_device_does_not_share_are_not_lost(here: Home) -> None:
    """Their changes still go to the other members."""
    here.memory.space("acme").create().invite(PHONE)
    here.peers.refused(LAPTOP, LAPTOP)
    here.memory.add("for the phone", space="acme")
    assert [each.spaces for each in here.memory.sync.warnings() if each.reason == "revoked"] == []
    assert [each.state for each in here.memory.space("acme").members()] == ["member", "member"]


def test_a_reader_revokes_for_itself_only(here: Home) -> None:
    """Unless a writer made the revocation, or no other device shares the space."""
    here.peers.refused(READER, READER)
    assert not _lost(here.memory)
    here.peers.refused(READER, LAPTOP)
    assert _lost(here.memory)
    here.peers.refused(READER, READER)
    for writer in (LAPTOP, PHONE):
        here.peers.revoke(writer)
    assert _lost(here.memory)


@pytest.mark.parametrize(
    "come_back",
    [
        lambda peers: peers.accept(LAPTOP),
        lambda peers: peers.connected(LAPTOP, KEY, PeerConnection("dialed", "10.0.0.2:1", 1)),
        lambda peers: peers.revoke(LAPTOP),
        lambda peers: peers.forget(LAPTOP),
    ],
    ids=["accepted again", "connected again", "revoked too", "forgotten"],
)
def test_a_refusal_ends_when_it_means_nothing_any_more(here: Home, come_back: Callable[[Peers], None]) -> None:
    """After a pairing, a connection, and our own decision about the device."""
    here.peers.refused(LAPTOP, LAPTOP)
    assert _lost(here.memory)
    come_back(here.peers)
    assert not _lost(here.memory)
    assert here.memory.status().alarms == ()


def test_a_refusal_is_about_one_key(tmp_path: Path) -> None:
    """A device that comes back with a new key was not revoked."""
    home = tmp_path / "home"
    with memcrdt.open(home, embedder=None) as memory:
        memory.accept(LAPTOP, name="laptop")
        Peers(memory.store).refused(LAPTOP, LAPTOP)
        assert _lost(memory)
    (home / KEY_FILE.name).rename(home / "old.key")
    with memcrdt.open(home, embedder=None) as memory:
        assert not _lost(memory)
