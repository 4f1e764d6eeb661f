"""A folder and a scope are kept equal, each way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from memcrdt.mirror import reconcile
from memcrdt.testing.memories import Clock, exchange
from tests.mirror.world import SCOPE, Crash, Machine, crashing


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "A", Clock())


@pytest.fixture
def deleting(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "D", Clock(), deletes=True)


def left(machine: Machine) -> dict[str, str]:
    return {line.path: line.text for line in machine.run().lines}


def test_an_edit_in_either_place_reaches_the_other(machine: Machine) -> None:
    memory_id = machine.add("Deploys go out on Tuesdays")
    machine.run()
    name = "Deploys go out on Tuesdays.md"
    machine.write(name, machine.read(name).replace("Tuesdays", "Mondays"))
    machine.run()
    assert machine.texts() == {memory_id: "Deploys go out on Mondays"}

    machine.memory.update(memory_id, text="Deploys go out on Fridays", tags=["release"])
    machine.run()
    assert "tags: [release]" in machine.read(name)
    assert "Fridays" in machine.read(name)
    assert not machine.run().actions


def test_files_that_do_not_change_are_not_written(machine: Machine) -> None:
    machine.write("Ada.md", "---\nzeta: 1\n---\nPhone")
    before = (machine.folder / "Ada.md").stat()
    machine.run()
    machine.run()
    after = (machine.folder / "Ada.md").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_if_both_were_edited_the_memory_and_the_file_have_both_texts(machine: Machine) -> None:
    machine.write("a.md", "# a\none")
    machine.run()
    [memory_id] = machine.texts()
    machine.write("a.md", "# a\nof the file")
    machine.memory.update(memory_id, text="# a\nof the agent")
    machine.run()
    assert {each.text for each in machine.memory.conflicts(memory_id)} == {"# a\nof the file", "# a\nof the agent"}
    assert "of the file" in machine.read("a.md")
    assert "of the agent" in machine.read("a.md")

    machine.write("a.md", machine.read("a.md") + "half done")
    assert "marks" in left(machine)["a.md"]
    machine.write("a.md", "# a\nsettled")
    machine.run()
    assert machine.memory.conflicts(memory_id) == []
    assert machine.texts() == {memory_id: "# a\nsettled"}


def test_an_edit_that_both_machines_take_from_one_file_is_no_conflict(tmp_path: Path) -> None:
    """A folder that git brings to both machines, too, is edited once and seen twice."""
    clock = Clock()
    a, b = Machine(tmp_path, "A", clock), Machine(tmp_path, "B", clock)
    for text in ("# a\none", "# a\ntwo"):
        for each in (a, b):
            each.write("a.md", text)
            each.run()
    exchange(a.memory, b.memory)
    assert list(a.texts().values()) == ["# a\ntwo"]
    [memory_id] = a.texts()
    assert a.memory.conflicts(memory_id) == []
    assert not b.run().actions


def test_a_lost_agreement_deletes_and_replaces_nothing(deleting: Machine) -> None:
    deleting.write("a.md", "# a\none")
    deleting.write("b.md", "# b\none")
    deleting.run()
    ids = {text.split()[1]: memory_id for memory_id, text in deleting.texts().items()}
    deleting.write("a.md", "# a\nof the file")
    deleting.memory.update(ids["a"], text="# a\nof the agent")
    (deleting.folder / "b.md").unlink()
    (deleting.home / "mirrors" / "test.agreed.json").write_text("{half")
    deleting.restart()
    deleting.run()
    assert {each.text for each in deleting.memory.conflicts(ids["a"])} == {"# a\nof the file", "# a\nof the agent"}
    assert "of the agent" in deleting.read("a.md")
    assert "of the file" in deleting.read("a.md")
    assert "one" in deleting.read("b.md")


@pytest.mark.parametrize("lost", [False, True])
def test_a_forgotten_memory_does_not_come_back_because_its_file_is_there(machine: Machine, lost: bool) -> None:
    machine.write("a.md", "# a\na secret plan")
    machine.run()
    machine.add("Another plan")
    machine.run()
    for memory_id in machine.texts():
        machine.memory.forget(memory_id)
    if lost:
        (machine.home / "mirrors" / "test.agreed.json").unlink()
        machine.restart()
    assert left(machine) == {
        "a.md": reconcile.LEFT["forgotten"],
        "Another plan.md": reconcile.LEFT["forgotten"],
    }
    machine.write("a.md", "# a\na secret plan, edited")
    (machine.folder / "Another plan.md").rename(machine.folder / "renamed.md")
    machine.run()
    assert machine.texts() == {}
    assert set(machine.files()) == {"a.md", "renamed.md"}


def test_deletions_are_carried_over_on_request_only(machine: Machine, deleting: Machine) -> None:
    for each in (machine, deleting):
        each.write("a.md", "# a\none")
        each.write("b.md", "# b\none")
        each.run()
        ids = {text.split()[1]: memory_id for memory_id, text in each.texts().items()}
        (each.folder / "a.md").unlink()
        each.memory.forget(ids["b"])
        each.run()
    assert set(machine.files()) == {"b.md"}
    assert list(machine.texts().values()) == ["# a\none"]
    assert deleting.files() == {}
    assert deleting.texts() == {}


def test_a_change_outlives_a_deletion(deleting: Machine) -> None:
    deleting.write("a.md", "# a\none")
    deleting.write("b.md", "# b\none")
    deleting.run()
    ids = {text.split()[1]: memory_id for memory_id, text in deleting.texts().items()}
    (deleting.folder / "a.md").unlink()
    deleting.memory.update(ids["a"], text="# a\ntwo")
    deleting.memory.forget(ids["b"])
    deleting.write("b.md", "# b\ntwo")
    deleting.run()
    assert "two" in deleting.read("a.md")
    assert "two" in deleting.read("b.md")
    assert list(deleting.texts().values()) == ["# a\ntwo"]


def test_after_a_deletion_another_file_of_the_name_is_another_memory(deleting: Machine) -> None:
    deleting.write("todo.md", "# todo\nbuy milk")
    deleting.run()
    (deleting.folder / "todo.md").unlink()
    deleting.run()
    deleting.write("todo.md", "# todo\nbuy bread")
    deleting.run()
    assert list(deleting.texts().values()) == ["# todo\nbuy bread"]


def test_many_deletions_at_once_are_not_carried_over(deleting: Machine) -> None:
    """A disk that is missing, or another branch, must not forget everything."""
    for number in range(12):
        deleting.write(f"{number}.md", f"# {number}\ntext")
    deleting.run()
    for number in range(11):
        (deleting.folder / f"{number}.md").unlink()
    assert "11 of 12 were deleted at once" in left(deleting)[""]
    assert len(deleting.texts()) == 12


def test_a_renamed_file_keeps_its_memory_on_both_machines(tmp_path: Path) -> None:
    clock = Clock()
    a, b = Machine(tmp_path, "A", clock), Machine(tmp_path, "B", clock)
    a.write("old.md", "# A note\ntext")
    a.run()
    exchange(a.memory, b.memory)
    b.run()
    before = a.texts()
    (a.folder / "sub").mkdir()
    (a.folder / "old.md").rename(a.folder / "sub" / "new.md")
    a.run()
    exchange(a.memory, b.memory)
    b.run()
    assert set(b.files()) == {"sub/new.md"}
    assert b.texts() == before


def test_secrets_are_refused_each_way(machine: Machine) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6"
    machine.write("a.md", f"the token is {secret}")
    memory_id = machine.add(f"the token is {secret}", allow_secret=True)
    lines = left(machine)
    assert "GitHub token" in lines["a.md"]
    assert "GitHub token" in lines[memory_id]
    assert set(machine.files()) == {"a.md"}
    assert len(machine.texts()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own on Windows")
def test_links_are_not_followed_out_of_the_folder(machine: Machine, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.md").write_text("private")
    (machine.folder / "link.md").symlink_to(outside / "private.md")
    (machine.folder / "sub").symlink_to(outside)
    machine.add("text", metadata={"path": "sub/written.md"})
    machine.add("other", metadata={"path": "../outside/written.md"})
    machine.run()
    assert [path.name for path in outside.iterdir()] == ["private.md"]
    assert all("private" not in text for text in machine.texts().values())


def test_files_of_editors_and_hidden_folders_are_no_notes(machine: Machine) -> None:
    for name in (".obsidian/a.md", ".a.md.swp", ".#a.md", "~$a.md", "a.md~", "a.md.tmp", "#a.md#", "a.txt"):
        machine.write(name, "text")
    machine.run()
    assert machine.texts() == {}


def test_a_file_that_is_being_written_is_left_until_it_stays_the_same(machine: Machine) -> None:
    machine.mirror._looks._settle_s = 3600
    machine.write("a.md", "half a te")
    done = machine.run()
    assert done.waits
    assert machine.texts() == {}
    machine.mirror._looks._settle_s = 0
    machine.write("a.md", "half a text, and the rest")
    machine.run()
    assert list(machine.texts().values()) == ["# a\n\nhalf a text, and the rest"]


def test_a_memory_that_leaves_the_scope_leaves_its_file(machine: Machine) -> None:
    machine.write("a.md", "# a\none")
    machine.run()
    [memory_id] = machine.texts()
    machine.memory.update(memory_id, scope="global")
    assert left(machine) == {"a.md": reconcile.LEFT["elsewhere"]}
    machine.memory.update(memory_id, scope=SCOPE, text="# a\ntwo")
    machine.run()
    assert "two" in machine.read("a.md")


def test_an_emptied_file_takes_nothing_from_its_memory(machine: Machine) -> None:
    machine.write("a.md", "# a\none")
    machine.run()
    machine.write("a.md", "")
    machine.run()
    assert list(machine.texts().values()) == ["# a\none"]
    assert machine.read("a.md") == ""


def test_names_that_differ_in_their_case_only_do_not_meet(tmp_path: Path) -> None:
    """On Linux two such files can exist, and on other platforms only one."""
    clock = Clock()
    a, b = Machine(tmp_path, "A", clock), Machine(tmp_path, "B", clock)
    a.add("one", metadata={"path": "Note.md"})
    a.add("two", metadata={"path": "note.md"})
    exchange(a.memory, b.memory)
    b.run()
    names = [name.casefold() for name in b.files()]
    assert len(set(names)) == 2
    assert not b.run().actions


@pytest.mark.parametrize("after", range(40))
def test_a_crash_at_any_step_is_followed_by_the_same_result(tmp_path: Path, after: int) -> None:
    machine = Machine(tmp_path, "A", Clock())
    machine.write("new.md", "# new\nnote")
    machine.write("edited.md", "# edited\none")
    machine.run()
    machine.write("edited.md", "# edited\ntwo")
    machine.write("more.md", "# more\ntext")
    machine.add("Of an agent")
    [new] = [memory_id for memory_id, text in machine.texts().items() if "new" in text]
    machine.memory.update(new, text="# new\nnote of the agent")
    try:
        with crashing(machine, after):
            machine.run()
    except Crash:
        machine.restart()
    machine.run()
    expected = {"# new\nnote of the agent", "# edited\ntwo", "# more\ntext", "Of an agent"}
    assert set(machine.texts().values()) == expected
    assert all(not machine.memory.conflicts(memory_id) for memory_id in machine.texts())
    assert set(machine.files()) == {"new.md", "edited.md", "more.md", "Of an agent.md"}
    assert "note of the agent" in machine.read("new.md")
