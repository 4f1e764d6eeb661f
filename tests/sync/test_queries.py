"""Queries, and how they are performed."""

from __future__ import annotations

import pytest

from memcrdt.model.statements import Adoption
from memcrdt.sync import queries
from memcrdt.sync.queries import Failed, perform
from memcrdt.sync.replica import Applied, Digest, LogPage, MembershipRecord, ShardDiff, SharedSpace
from memcrdt.testing.fake_replica import FakeReplica

QUERIES = [
    (queries.Spaces("B"), [SharedSpace("S", "name", MembershipRecord().digest())]),
    (queries.Digests("S"), {0: Digest}),
    (queries.StateVectorOf("S", 0), {1: 1}),
    (queries.DiffFor("B", "S", 0, {}), ShardDiff),
    (queries.ApplyUpdate("S", 0, b"nonsense", "B"), Applied),
    (queries.ReadLog(0, 10), LogPage),
    (queries.Head(), 1),
    (queries.RecordReceipts("B", "S", {0: 1}, {}), {}),
    (queries.IsScrubbed("S"), True),
    (queries.Adopt("B", "name", "R", MembershipRecord()), Adoption(True)),
    (queries.Verdicts("B", ["S"]), {}),
]


@pytest.fixture
def replica() -> FakeReplica:
    made = FakeReplica(client=1)
    made.share("S", "name", "B")
    made.write("S", 0, "text")
    return made


@pytest.mark.parametrize(("query", "expected"), QUERIES, ids=lambda value: type(value).__name__)
def test_each_query_is_one_call_of_the_replica(replica: FakeReplica, query: queries.Query, expected: object) -> None:
    """The answer is what that call returns."""
    answer = perform(replica, query)
    if isinstance(expected, type):
        assert isinstance(answer, expected)
    elif isinstance(query, queries.Digests):
        assert isinstance(answer, dict)
        assert answer.keys() == {0}
    else:
        assert answer == expected


@pytest.mark.parametrize(("query", "expected"), QUERIES, ids=lambda value: type(value).__name__)
def test_a_failing_store_is_an_answer(replica: FakeReplica, query: queries.Query, expected: object) -> None:
    """So the driver needs to handle nothing."""
    replica.failing = "the disk is full"
    assert perform(replica, query) == Failed("the disk is full")
    assert perform(replica, query) != expected


def test_a_space_that_is_gone_is_an_answer_too(replica: FakeReplica) -> None:
    """It was left while the query waited."""
    assert isinstance(perform(replica, queries.Digests("gone")), Failed)


def test_nothing_is_read_for_whom_the_store_has_cast_out(replica: FakeReplica) -> None:
    """The session hears of that a moment later, and must not send in between what was committed since."""
    replica.members["S"][1].remove("B")
    assert isinstance(perform(replica, queries.DiffFor("B", "S", 0, {})), Failed)
    page = perform(replica, queries.ReadLog(0, 10))
    assert isinstance(page, LogPage)
    assert page.audience == {"S": frozenset()}


def test_receipts_and_adoption_reach_the_replica(replica: FakeReplica) -> None:
    """The queries that change something."""
    perform(replica, queries.RecordReceipts("B", "S", {0: 1}, {0: 1}))
    perform(replica, queries.Adopt("B", "name", "R", MembershipRecord()))
    assert replica.receipts == replica.scrubbed == {("B", "S", 0): 1}
    assert replica.members.keys() == {"R"}
