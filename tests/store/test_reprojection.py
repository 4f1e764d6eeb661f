"""Tests of attributes that an older version did not know and that this version shows when it opens the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files

import pytest

from memcrdt.model import attributes, checks, scopes
from memcrdt.store import meta, reprojection, spaces
from memcrdt.store.recovery import doctor
from tests.bare_device import BareDevice

Make = Callable[[str], BareDevice]


def _as_if_older(device: BareDevice, memory_id: str) -> None:
    """Leave the store as a version would that does not know the register of `kind`."""
    with device.store.writing() as db:
        db.execute("DELETE FROM meta WHERE key = 'attributes'")
        db.execute("UPDATE memories SET kind = 'born' WHERE id = ?", (memory_id,))


def _kind(device: BareDevice, memory_id: str) -> object:
    return device.rows("SELECT kind FROM memories WHERE id = ?", memory_id)[0][0]


def test_a_register_that_an_older_version_ignored_is_shown_at_the_next_start(device: Make) -> None:
    """The document already has it. A store that is up to date is not projected again."""
    laptop = device("L")
    memory_id = laptop.add("a memory", kind="born")
    laptop.update(memory_id, kind="changed")
    _as_if_older(laptop, memory_id)
    laptop.reopen()
    assert _kind(laptop, memory_id) == "changed"
    assert doctor.examine(laptop.store).problems == ()
    with laptop.store.reading() as db:
        assert json.loads(str(meta.read(db, "attributes"))) == sorted(attributes.IN_REGISTERS)


def test_a_new_store_knows_every_attribute(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has nothing to project again."""
    laptop = device("L")
    monkeypatch.setattr(reprojection.log, "shard_numbers", lambda db: pytest.fail("it reads the shards"))
    laptop.reopen()


def test_a_damaged_shard_keeps_its_views(device: Make) -> None:
    """They may be all that is left of its lost rows."""
    laptop = device("L")
    memory_id = laptop.add("a memory", kind="born")
    laptop.update(memory_id, kind="changed")
    _as_if_older(laptop, memory_id)
    with laptop.store.writing() as db:
        db.execute("UPDATE shards SET damaged = 1")
    laptop.reopen()
    assert _kind(laptop, memory_id) == "born"


def test_a_conversation_in_a_project_gets_its_category_at_the_upgrade(device: Make) -> None:
    """An older version treated it as a project and showed it as one."""
    laptop = device("L")
    memory_id = laptop.add("a memory", scope="project/acme/conversation/standup")
    with laptop.store.writing() as db:
        db.execute("UPDATE memories SET category = 'project'")
        db.execute(files("memcrdt.store").joinpath("schema", "0007.sql").read_text("utf-8"))
    laptop.reopen()
    assert laptop.rows("SELECT category FROM memories WHERE id = ?", memory_id) == [("conversation",)]
    assert doctor.examine(laptop.store).problems == ()


def test_names_of_an_earlier_version_are_composed_at_the_next_start(
    device: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wrote them as they were given. Their registers stay as they are."""
    laptop = device("L")
    with monkeypatch.context() as earlier:
        for module in (checks, scopes):
            earlier.setattr(module, "nfc", lambda text: text)
        memory_id = laptop.add("a memory", scope="project/Zu\u0308rich", tags=("Cafe\u0301",))
    with laptop.store.writing() as db:
        db.execute("DELETE FROM meta WHERE key = 'unicode_form'")
        db.execute("UPDATE memories SET scope = 'project/Zu\u0308rich'")
        db.execute("UPDATE tags SET tag = 'Cafe\u0301'")
        spaces.add_space(db, "first", spaces.Genesis(laptop.store.device, b"1" * 16), 0)
        spaces.add_space(db, "second", spaces.Genesis(laptop.store.device, b"2" * 16), 0)
        db.execute("UPDATE spaces SET name = 'Bu\u0308ro' WHERE name = 'first'")
        db.execute("UPDATE spaces SET name = 'Cafe\u0301' WHERE name = 'second'")
    before = laptop.rows("SELECT seq FROM updates")
    laptop.reopen()
    assert laptop.rows("SELECT scope FROM memories WHERE id = ?", memory_id) == [("project/Zürich",)]
    assert laptop.rows("SELECT tag FROM tags") == [("Café",)]
    assert {("Büro",), ("Café",)} <= set(laptop.rows("SELECT name FROM spaces"))
    assert laptop.store.space("Bu\u0308ro") == laptop.store.space("Büro")
    assert laptop.rows("SELECT seq FROM updates") == before
    assert doctor.examine(laptop.store).problems == ()
