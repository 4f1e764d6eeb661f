"""The tests of convergence and of hostile updates, with hubs among the devices: the same tests, another store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bare_device import BareDevice
from tests.hub.hub_device import HubDevice
from tests.postgres import Server
from tests.store import test_claims, test_convergence

pytestmark = pytest.mark.xdist_group("postgres")

# Left out are those that take minutes with a database, and those that look into the file.
_TAKEN = {
    test_convergence: (
        "test_who_may_only_read_erases_what_others_delete",
        "test_two_devices_that_add_anew_while_apart_give_one_new_life",
        "test_a_memory_born_in_two_shards_is_one",
        "test_forgetting_in_one_shard_forgets_in_all",
        "test_a_memory_with_many_heads_is_settled_on_all_devices",
        "test_an_edit_of_a_memory_in_two_shards_stands",
        "test_a_register_whose_birth_is_missing_waits",
        "test_no_edit_is_lost_where_a_clock_is_days_ahead",
        "test_concurrent_edits_of_text_tags_and_metadata_all_survive",
    ),
    test_claims: (
        "test_a_claim_of_the_clocks_ahead_makes_the_owner_take_another_client_id",
        "test_a_claim_that_arrives_through_other_devices_takes_nothing",
        "test_a_deletion_without_a_tombstone_takes_nothing",
        "test_two_stores_that_wrote_under_one_client_id_become_equal",
    ),
}
for _module, _names in _TAKEN.items():
    globals().update({_name: getattr(_module, _name) for _name in _names})
_small_shards = test_convergence._small_shards  # a fixture of theirs


@pytest.fixture(name="device")
def _device(tmp_path: Path, server: Server) -> Iterator[Callable[..., BareDevice]]:
    """Make devices by name: the first and every other one is a hub."""
    made: list[BareDevice] = []

    def make(name: str, **options: Any) -> BareDevice:
        home = tmp_path / f"{name}{len(made)}"
        home.mkdir()
        is_hub = len(made) % 2 == 0
        made.append(
            HubDevice(home, name, server.make_schema(), **options) if is_hub else BareDevice(home, name, **options)
        )
        return made[-1]

    yield make
    for device in made:
        device.close()
