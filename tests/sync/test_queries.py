"""Queries, and how they are performed."""

from __future__ import annotations

import pytest

from memcrdt.model.membership import Adoption
from memcrdt.sync.queries import Failed, Query, ask, perform, query
from memcrdt.sync.replica import Applied, Digest, LogPage, MembershipRecord, Replica, ShardDiff, SharedSpace
from memcrdt.testing.fake_replica import FakeReplica

QUERIES = [
    (query(Replica.spaces, "B"), [SharedSpace("S", "name", MembershipRecord().digest())]),
    (query(Replica.digests, "S"), {0: Digest}),
    (query(Replica.state_vector, "S", 0), {1: 1}),
    (query(Replica.diff_for, "B", "S", 0, {}), ShardDiff),
    (query(Replica.apply, "S", 0, b"nonsense", "B"), Applied),
    (query(Replica.log_for_all, 0, 10), LogPage),
    (query(Replica.head), 1),
    (query(Replica.note_receipts, "B", "S", {0: 1}, {}), {}),
    (query(Replica.is_scrubbed, "S"), True),
    (query(Replica.merge_space, "B", "name", "R", MembershipRecord()), Adoption(True)),
    (query(Replica.revocations, "B", ["S"]), {}),
]


def _name(value: object) -> str:
    return value.method if isinstance(value, Query) else type(value).__name__


@pytest.fixture
def replica() -> FakeReplica:
    made = FakeReplica(client=1)
    made.share("S", "name", "B")
    made.write("S", 0, "text")
    return made


@pytest.mark.parametrize(("asked", "expected"), QUERIES, ids=_name)
def test_each_query_is_one_call_of_the_replica(replica: FakeReplica, asked: Query, expected: object) -> None:
    """The answer is the result of the call."""
    answer = perform(replica, asked)
    if isinstance(expected, type):
        assert isinstance(answer, expected)
    elif asked.method == "digests":
        assert isinstance(answer, dict)
        assert answer.keys() == {0}
    else:
        assert answer == expected


@pytest.mark.parametrize(("asked", "expected"), QUERIES, ids=_name)
def test_a_failing_store_is_an_answer(replica: FakeReplica, asked: Query, expected: object) -> None:
    """So the driver does not have to handle exceptions."""
    replica.failing = "the disk is full"
    assert perform(replica, asked) == Failed("the disk is full")
    assert perform(replica, asked) != expected


def test_a_space_that_is_gone_is_an_answer_too(replica: FakeReplica) -> None:
    """It was left while the query waited, which is no fault of the store."""
    answer = perform(replica, query(Replica.digests, "gone"))
    assert isinstance(answer, Failed)
    assert answer.is_gone


def test_nothing_is_read_for_a_device_that_was_just_revoked(replica: FakeReplica) -> None:
    """The session learns of it a moment later, and must not send later commits in between."""
    replica.members["S"][1].remove("B")
    assert isinstance(perform(replica, query(Replica.diff_for, "B", "S", 0, {})), Failed)
    page = perform(replica, query(Replica.log_for_all, 0, 10))
    assert isinstance(page, LogPage)
    assert page.audience == {"S": frozenset()}


def test_receipts_and_adoption_reach_the_replica(replica: FakeReplica) -> None:
    """The queries that change the store."""
    perform(replica, query(Replica.note_receipts, "B", "S", {0: 1}, {0: 1}))
    perform(replica, query(Replica.merge_space, "B", "name", "R", MembershipRecord()))
    assert replica.receipts == replica.scrubbed == {("B", "S", 0): 1}
    assert replica.members.keys() == {"R"}


def test_a_flow_continues_with_the_answer(replica: FakeReplica) -> None:
    """It yields the query, and `ask` returns the answer."""
    flow = ask(Replica.state_vector, "S", 0)
    with pytest.raises(StopIteration) as ended:
        flow.send(perform(replica, next(flow)))
    assert ended.value.value == {1: 1}
