"""`memcrdt link`, `unlink` and `related`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def ids(cli: Cli) -> list[str]:
    return [cli("add", text).out.strip() for text in ("the disk was full", "the backup failed", "the pager rang")]


def related(cli: Cli, *arguments: str) -> list[str]:
    return [memory["id"] for memory in cli("related", "--json", *arguments).json]


def test_links_lead_to_memories_by_their_relation(cli: Cli, ids: list[str]) -> None:
    """All of them, or those of one relation; the memory names them."""
    for rel, to in (("causes", ids[1]), ("precedes", ids[2])):
        ran = cli("link", ids[0], rel, to)
        assert (ran.code, ran.out) == (0, "")
    assert set(related(cli, ids[0])) == set(ids[1:])
    assert related(cli, ids[0], "--rel", "causes") == [ids[1]]
    assert {"rel": "causes", "to": ids[1]} in cli("get", ids[0], "--json").json[0]["links"]


def test_unlink_takes_one_away(cli: Cli, ids: list[str]) -> None:
    """A second time it is gone already, which is no error."""
    cli("link", ids[0], "causes", ids[1])
    assert cli("unlink", ids[0], "causes", ids[1]).code == 0
    assert cli("unlink", ids[0], "causes", ids[1]).code == 0
    assert related(cli, ids[0]) == []


def test_both_ends_have_to_be_there(cli: Cli, ids: list[str]) -> None:
    """Exit code 3, and no link is made."""
    cli("link", ids[0], "causes", UNKNOWN).failed(3, UNKNOWN)
    cli("link", UNKNOWN, "causes", ids[0]).failed(3, UNKNOWN)
    cli("related", UNKNOWN).failed(3, UNKNOWN)
    assert related(cli, ids[0]) == []
