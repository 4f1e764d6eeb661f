"""The store for clients: its shards, and how a client follows the log."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from memcrdt.crdt.shard import Shard
from memcrdt.errors import NotFoundError, UntrustedPeerError
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.store.membership.tokens import StoredToken
from memcrdt.yjs import source as module
from memcrdt.yjs.room import ShardRef
from memcrdt.yjs.source import ShardSource


@pytest.fixture(name="source")
def _source(memory: Memory) -> ShardSource:
    return ShardSource(memory.store)


@pytest.fixture(name="token")
def _token(source: ShardSource) -> StoredToken:
    token = source.tokens.find(source.tokens.create("browser"))
    assert token is not None
    return token


@pytest.fixture(name="place")
def _place(source: ShardSource) -> ShardRef:
    return source.place("personal", 0)


def copy_of(updates: Iterable[bytes]) -> Shard:
    copy = Shard(1)
    for update in updates:
        copy.apply(update)
    return copy


def test_an_empty_space_has_no_shard_and_shard_0_is_open(source: ShardSource, token: StoredToken) -> None:
    """The first writer creates shard 0."""
    listed = source.state(token, "personal").listing
    assert listed == {"space": "personal", "open": 0, "read_only": None, "shards": []}


def test_the_list_says_why_the_client_may_not_write(source: ShardSource) -> None:
    """So that it can say so before somebody writes."""
    token = source.tokens.find(source.tokens.create("screen", rights=["read"]))
    assert token is not None
    assert "'screen' is read-only" in source.state(token, "personal").listing["read_only"]


def test_the_list_names_sizes_and_the_open_shard(
    memory: Memory, source: ShardSource, token: StoredToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full shard is listed and no longer open. Then the next shard is open, even before it exists."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 2)
    memory.add_many(["one", "two"])
    listed = source.state(token, "personal").listing
    assert listed["open"] == 1
    (shard,) = listed["shards"]
    assert (shard["shard"], shard["births"], shard["registers"]) == (0, 2, 2)
    assert shard["bytes"] > 300
    memory.add("three")
    assert [shard["shard"] for shard in source.state(token, "personal").listing["shards"]] == [0, 1]
    assert source.state(token, "personal").listing["open"] == 1


def test_only_existing_shards_and_the_next_one_can_be_opened(memory: Memory, source: ShardSource) -> None:
    """Not shard 1,000,000, and none of an unknown space."""
    memory.add("one")
    assert source.place("personal", 1).shard == 1
    for name, shard in (("personal", 2), ("personal", -1), ("elsewhere", 0)):
        with pytest.raises(NotFoundError):
            source.place(name, shard)


def test_news_are_the_updates_after_a_position(
    memory: Memory, source: ShardSource, token: StoredToken, place: ShardRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few at a time, in order, and then none."""
    monkeypatch.setattr(module, "ROWS", 2)
    updates, position = source.answer(token, place, {})
    for number in range(5):
        memory.add(str(number))
    sizes = []
    while True:
        news, position = source.news(token, place, position)
        if not news:
            break
        sizes.append(len(news))
        updates += news
    assert sizes == [2, 2, 1]
    assert copy_of(updates).births == 5
    assert position.known == source.known(place)


def test_folded_news_come_as_a_diff(memory: Memory, source: ShardSource, token: StoredToken, place: ShardRef) -> None:
    """A forget folds the log into a snapshot. The rows after the position are gone, but not their effect."""
    doomed = memory.add("doomed")
    updates, position = source.answer(token, place, {})
    added = memory.add("stays")
    memory.forget(doomed)
    news, after = source.news(token, place, position)
    copy = copy_of([*updates, *news])
    assert set(copy.registers(added)) == {added}
    assert set(copy.registers(doomed)) == {f"{doomed}/x"}
    assert b"doomed" not in b"".join(news)
    assert source.news(token, place, after) == ([], after)


def test_a_revoked_token_gives_no_access(
    memory: Memory, source: ShardSource, token: StoredToken, place: ShardRef
) -> None:
    """Neither to the document, nor to news, nor to new connections."""
    _, position = source.answer(token, place, {})
    source.tokens.revoke("browser")
    for call in (
        lambda: source.answer(token, place, {}),
        lambda: source.news(token, place, position),
        lambda: source.take(token, place, b"\0\0"),
    ):
        with pytest.raises(UntrustedPeerError, match="revoked"):
            call()
