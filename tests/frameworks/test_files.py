"""Files over memories: paths, versions, and what happens when others write at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from memcrdt.errors import InputError, NotFoundError, StaleRevisionError, StoreError
from memcrdt.frameworks.files import NEW, PATH_CHARS, FileTree
from memcrdt.memory.memory import Memory
from memcrdt.service.context import Context
from memcrdt.service.service import Service
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]


@pytest.fixture(name="tree")
def _tree(memory: Memory) -> FileTree:
    return FileTree(Service(memory, Context(project="acme")))


def test_a_file_is_a_memory_of_the_scope(tree: FileTree, memory: Memory) -> None:
    """So other faces find it. A tree of another scope does not, and one of a folder has the same file."""
    made = tree.write("notes/todo.md", "Ask Ada")
    record = memory.get(made.id)
    assert (record.text, record.scope, record.kind) == ("Ask Ada", "project/acme", "file")
    assert tree.read("/notes/todo.md") == made
    assert FileTree(Service(memory)).files() == []
    assert FileTree(Service(memory, Context(project="acme")), root="notes").read("todo.md").id == made.id


def test_files_are_listed_by_folder(tree: FileTree) -> None:
    """A folder is not a prefix of a name."""
    for path in ("b/c.md", "b.md", "b/a/d.md", "bc/e.md"):
        tree.write(path, path)
    assert [file.path for file in tree.files()] == ["b.md", "b/a/d.md", "b/c.md", "bc/e.md"]
    assert [file.path for file in tree.files("/b/")] == ["b/a/d.md", "b/c.md"]
    assert tree.files("b.md") == []


def test_files_are_found_by_what_they_say(tree: FileTree) -> None:
    """In a folder, best first."""
    for path, text in {"a/1.md": "invoices in PDF", "a/2.md": "deploys", "b/1.md": "all invoices"}.items():
        tree.write(path, text)
    assert [file.path for file, _ in tree.search("invoices", "a")] == ["a/1.md"]
    assert {file.path for file, _ in tree.search("invoices")} == {"a/1.md", "b/1.md"}
    assert tree.search(" ") == tree.search("coffee") == []


def test_a_write_says_something_about_itself(tree: FileTree) -> None:
    """Up to the next write, which it is not about."""
    assert tree.write("a.md", "", metadata={"by": "planner", "path": "no"}).metadata == {"by": "planner"}
    assert tree.edit("a.md", lambda _: "two").metadata == {}


@pytest.mark.parametrize("text", ["", "\n", "a\n", "  x", 'notes.md is blank: ""'])
def test_every_text_comes_back_as_it_was(tree: FileTree, text: str) -> None:
    """Also blank ones, which a memory cannot have, and one that looks like what stands for them."""
    tree.write("notes.md", "before")
    assert tree.write("notes.md", text).text == text
    assert tree.write("notes.md", "after").text == "after"


def test_a_correction_by_another_face_is_the_text_of_a_blank_file(tree: FileTree, memory: Memory) -> None:
    """The mark of a blank file counts only as long as nobody has changed the text."""
    made = tree.write("notes.md", "")
    memory.update(made.id, text="Written elsewhere")
    assert tree.read("notes.md").text == "Written elsewhere"


def test_a_change_of_an_old_version_is_refused(tree: FileTree) -> None:
    """Whether it writes, creates or deletes."""
    old = tree.write("a.md", "one", expected=NEW)
    new = tree.write("a.md", "two", expected=old.version)
    for expected in (NEW, old.version):
        with pytest.raises(StaleRevisionError) as stale:
            tree.write("a.md", "three", expected=expected)
        assert stale.value.heads == new.version
    with pytest.raises(StaleRevisionError):
        tree.delete("a.md", expected=old.version)
    tree.delete("a.md", expected=new.version)
    with pytest.raises(StaleRevisionError):
        tree.write("a.md", "three", expected=new.version)
    for gone in (tree.read, tree.delete):
        with pytest.raises(NotFoundError, match=r"there is no file 'a\.md'"):
            gone("a.md")


def test_an_edit_is_made_again_on_what_others_wrote(tree: FileTree) -> None:
    """So both changes are in the file."""
    tree.write("a.md", "one")
    seen = []

    def change(text: str) -> str:
        seen.append(text)
        if len(seen) == 1:
            tree.write("a.md", "one\ntwo")
        return text + "\nthree"

    assert tree.edit("a.md", change).text == "one\ntwo\nthree"
    assert seen == ["one", "one\ntwo"]


def test_an_edit_does_not_fight_for_ever(tree: FileTree) -> None:
    """Somebody writes before each attempt."""
    tree.write("a.md", "0")
    with pytest.raises(StaleRevisionError):
        tree.edit("a.md", lambda text: tree.write("a.md", str(int(text) + 1)).text + "!")
    assert tree.read("a.md").text == "8"


def test_a_renamed_file_leaves_its_old_path(tree: FileTree) -> None:
    """It takes no path that is in use, and keeps a change that somebody makes meanwhile."""
    tree.write("a.md", "one")
    tree.write("b.md", "two")
    with pytest.raises(StaleRevisionError):
        tree.rename("a.md", "b.md")
    assert [file.text for file in tree.rename("a.md", "c/a.md")] == ["one"]
    assert [(file.path, file.text) for file in tree.files()] == [("b.md", "two"), ("c/a.md", "one")]
    with pytest.raises(NotFoundError):
        tree.rename("a.md", "d.md")


def test_a_rename_gives_way_to_a_change(tree: FileTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody changes meanwhile stays as it is."""
    tree.write("a.md", "one")
    rename = Memory.rename_keys

    def late(memory: Memory, items: Iterable[Any], **options: Any) -> list[str]:
        found = list(items)
        tree.write("a.md", "two")
        return rename(memory, found, **options)

    monkeypatch.setattr(Memory, "rename_keys", late)
    with pytest.raises(StaleRevisionError):
        tree.rename("a.md", "b.md")
    assert [(file.path, file.text) for file in tree.files()] == [("a.md", "two")]


def test_a_rename_is_one_commit(tree: FileTree, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it fails on the way, the file is where it was; then nobody ever sees both paths or none."""
    tree.write("a.md", "one", metadata={"by": "Ada"})
    tree.write("blank.md", " ")

    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("memcrdt.store.transaction.Transaction.forget", fail)
        with pytest.raises(StoreError):
            tree.rename("a.md", "b.md")
    assert [file.path for file in tree.files()] == ["a.md", "blank.md"]
    commits: list[object] = []
    with closing_subscription(memory, commits):
        (made,) = tree.rename("a.md", "b.md")
    assert (made.text, made.metadata, len(commits)) == ("one", {"by": "Ada"}, 1)
    assert [file.text for file in tree.rename("blank.md", "still.md")] == [" "]
    assert [file.path for file in tree.files()] == ["b.md", "still.md"]


def test_a_folder_exists_as_long_as_a_file_is_in_it(tree: FileTree) -> None:
    """And a file may have the place of a folder."""
    tree.write("notes/a.md", "one")
    assert [tree.exists(path) for path in ("notes", "notes/a.md", "note", "notes/a")] == [True, True, False, False]
    above = tree.file_above("/notes/a.md/deep/b.md")
    assert above is not None
    assert (above.path, tree.file_above("notes/a.md")) == ("notes/a.md", None)
    tree.delete("notes/a.md")
    assert not tree.exists("notes")


def test_a_renamed_folder_is_one_commit(tree: FileTree, memory: Memory) -> None:
    """All its files move, or none of them, if there is a file at one of the new paths."""
    for path in ("notes/a.md", "notes/deep/b.md", "notes.md", "others/deep/b.md"):
        tree.write(path, path)
    with pytest.raises(StaleRevisionError):
        tree.rename("notes", "others")
    assert {file.path: file.text for file in tree.files("notes")} == {
        "notes/a.md": "notes/a.md",
        "notes/deep/b.md": "notes/deep/b.md",
    }
    commits: list[object] = []
    with closing_subscription(memory, commits):
        moved = tree.rename("/notes/", "pages/")
    assert [(file.path, file.text) for file in moved] == [
        ("pages/a.md", "notes/a.md"),
        ("pages/deep/b.md", "notes/deep/b.md"),
    ]
    assert [file.path for file in tree.files()] == ["notes.md", "others/deep/b.md", "pages/a.md", "pages/deep/b.md"]
    assert len(commits) == 1
    with pytest.raises(NotFoundError):
        tree.rename("notes", "pages")


def test_a_cleared_folder_is_one_commit(tree: FileTree, memory: Memory) -> None:
    """And the files beside it stay."""
    for path in ("notes/a.md", "notes/deep/b.md", "notes.md"):
        tree.write(path, path)
    commits: list[object] = []
    with closing_subscription(memory, commits):
        assert tree.clear("notes") == 2
    assert ([file.path for file in tree.files()], len(commits)) == (["notes.md"], 1)
    assert (tree.clear("notes"), tree.clear(), tree.files()) == (0, 1, [])


@contextmanager
def closing_subscription(memory: Memory, commits: list[object]) -> Iterator[None]:
    """Gather the commits of a block."""
    end = memory.store.subscribe(commits.append)
    try:
        yield
    finally:
        end()


def test_a_file_with_rivals_is_not_renamed(open_memory: OpenMemory) -> None:
    """One of the texts would be lost."""
    memories = [open_memory(device) for device in "AB"]
    trees = [FileTree(Service(each)) for each in memories]
    for number, tree in enumerate(trees):
        tree.write("a.md", f"of device {number}")
    exchange(*memories)
    with pytest.raises(InputError, match="write one text before you rename it"):
        trees[0].rename("a.md", "b.md")
    with pytest.raises(InputError, match="competing texts"):
        memories[0].rename_key(trees[0].read("a.md").id, "other")
    trees[0].write("a.md", "settled")
    assert [file.text for file in trees[0].rename("a.md", "b.md")] == ["settled"]


def test_texts_written_apart_are_both_there(open_memory: OpenMemory) -> None:
    """The next write on what is shown settles them, if it has seen both."""
    ours, theirs = open_memory("A"), open_memory("B")
    trees = [FileTree(Service(each)) for each in (ours, theirs)]
    for name, tree in zip(("ours", "theirs"), trees, strict=True):
        tree.write("a.md", name)
    exchange(ours, theirs)
    merged = trees[0].read("a.md")
    assert merged == trees[1].read("a.md")
    assert (merged.text, set(merged.rivals), len(merged.version)) == (merged.rivals[-1], {"ours", "theirs"}, 2)
    with pytest.raises(StaleRevisionError):
        trees[0].write("a.md", "both", expected=merged.version[-1:])
    assert trees[0].write("a.md", "both", expected=merged.version).rivals == ()


@pytest.mark.parametrize("path", ["", "/", "a//b", "../a", "a/./b", "a/\n", "a\0", "x" * (PATH_CHARS + 1)], ids=repr)
def test_a_path_stays_in_the_tree(tree: FileTree, path: str) -> None:
    """And can be printed."""
    for call in (tree.read, tree.delete, lambda path: tree.write(path, "text")):
        with pytest.raises(InputError, match="is not valid; use printable names"):
            call(path)


async def test_the_awaitable_twins_do_the_same(tree: FileTree) -> None:
    """In a thread, so that the loop goes on."""
    made = await tree.awrite("a.md", "one")
    assert await tree.aread("a.md") == made
    assert (await tree.aedit("a.md", str.upper)).text == "ONE"
    assert [file.path for file in await tree.afiles()] == ["a.md"]
    await tree.arename("a.md", "b.md")
    await tree.adelete("b.md")
    assert tree.files() == []


def test_what_people_say_about_a_file_stays(tree: FileTree, memory: Memory) -> None:
    """A write replaces the text, and neither a tag nor a pin."""
    made = tree.write("a.md", "one")
    memory.update(made.id, pinned=True, add_tags=["todo"])
    tree.write("a.md", "two")
    record = memory.get(made.id)
    assert (record.text, record.pinned, record.tags) == ("two", True, ("todo",))
