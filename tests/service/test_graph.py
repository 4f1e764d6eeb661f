"""The graph of server-memory over a store: several writers, several devices, and the rights of tokens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import NotFoundError, ReadOnlyError
from memcrdt.memory.memory import Memory
from memcrdt.service.access import Access
from memcrdt.service.graph import Entity, GraphService, Relation
from memcrdt.service.service import Service
from memcrdt.testing.memories import exchange

ADA = Entity("Ada", "person", ("likes tea",))


def _graph(memory: Memory, access: Access = Access()) -> GraphService:  # noqa: B008 - immutable
    return GraphService(Service(memory, access=access))


def _known(memory: Memory) -> set[str]:
    (entity,) = _graph(memory).read().entities
    return set(entity.observations)


def test_writers_that_share_a_home_lose_no_observation(tmp_path: Path) -> None:
    """Each change is based on the graph as the one before has left it."""
    with memcrdt.open(tmp_path, embedder=None) as one, memcrdt.open(tmp_path, embedder=None) as two:
        _graph(one).create_entities([ADA])

        def add(number: int) -> None:
            _graph((one, two)[number % 2]).add_observations({"Ada": [f"fact {number}"]})

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(add, range(20)))
        assert _known(two) == {"likes tea", *(f"fact {number}" for number in range(20))}


def test_observations_that_two_devices_add_at_once_are_both_there(open_memory: Callable[..., Memory]) -> None:
    """Although the text of the entity has rivals then. The next change settles them."""
    ours, theirs = open_memory("A"), open_memory("B")
    _graph(ours).create_entities([ADA])
    exchange(ours, theirs)
    for memory, text in ((ours, "has a dog"), (theirs, "lives in Bern")):
        _graph(memory).add_observations({"Ada": [text]})
    exchange(ours, theirs)
    both = {"likes tea", "has a dog", "lives in Bern"}
    assert _known(ours) == _known(theirs) == both
    assert ours.count(conflicts=True) == 1
    _graph(theirs).add_observations({"Ada": ["sings"]})
    exchange(ours, theirs)
    assert _known(ours) == {*both, "sings"}
    assert ours.count(conflicts=True) == 0


def test_a_token_sees_the_graph_of_its_spaces(memory: Memory) -> None:
    """And changes nothing if it may only read."""
    memory.space("team").create()
    _graph(memory).create_entities([ADA])
    team = _graph(memory, Access(spaces=("team",)))
    assert team.read().entities == ()
    team.create_entities([Entity("Max", "person", ())])
    with pytest.raises(NotFoundError, match="Ada"):
        team.create_relations([Relation("Max", "knows", "Ada")])
    assert team.delete_entities(["Ada"]) == ["Ada"]
    assert {each.name for each in _graph(memory).read().entities} == {"Ada", "Max"}
    with pytest.raises(ReadOnlyError):
        _graph(memory, Access(rights=("read",))).delete_entities(["Ada"])
