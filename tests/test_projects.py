"""The name of the project that an agent works on."""

from __future__ import annotations

from pathlib import Path

import pytest

from memcrdt.errors import InputError
from memcrdt.projects import find_project, project_of_remote


def _repository(folder: Path, config: str) -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text(config, "utf-8")
    return folder


def _remote(url: str) -> str:
    return f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {url}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/Team/App.git",
        "https://ada:secret@git.example.org/team/app/",
        "http://www.git.example.org:8080/team/app",
        "git@git.example.org:Team/App.git",
        "ssh://git@ssh.git.example.org:2222/team/app.git",
        "git://git.example.org/team/app.git",
    ],
)
def test_all_addresses_of_a_repository_give_one_name(url: str) -> None:
    """User, password, port, protocol, case and `.git` make no difference between machines."""
    assert project_of_remote(url) == "git.example.org/team/app"


def test_both_forms_of_azure_give_one_name() -> None:
    """ssh and https order the parts of the path differently."""
    names = {
        project_of_remote("git@ssh.dev.azure.com:v3/org/project/repo"),
        project_of_remote("https://org@dev.azure.com/org/project/_git/repo"),
    }
    assert names == {"dev.azure.com/org/project/repo"}


@pytest.mark.parametrize(
    "url", ["/srv/git/app.git", "../app", r"C:\git\app", "file:///srv/git/app.git", "https://[", ""]
)
def test_a_path_is_no_name(url: str) -> None:
    """Another machine has the same repository elsewhere."""
    assert project_of_remote(url) is None


def test_the_name_comes_from_the_remote_of_the_repository_around_the_folder(tmp_path: Path) -> None:
    """Two checkouts under different paths, and their folders, are one project."""
    first = _repository(tmp_path / "one", _remote("git@git.example.org:team/app.git"))
    second = _repository(tmp_path / "two", _remote("https://git.example.org/team/app"))
    (second / "src" / "deep").mkdir(parents=True)
    assert (
        find_project(None, {}, first) == find_project(None, {}, second / "src" / "deep") == "git.example.org/team/app"
    )


def test_a_linked_work_tree_and_a_submodule_have_their_own_settings(tmp_path: Path) -> None:
    """`.git` is a file there, which names the folder of the settings."""
    main = _repository(tmp_path / "main", _remote("git@git.example.org:team/app.git"))
    linked = main / ".git" / "worktrees" / "fix"
    linked.mkdir(parents=True)
    (linked / "commondir").write_text("../..\n", "utf-8")
    tree = tmp_path / "fix"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {linked}\n", "utf-8")
    assert find_project(None, {}, tree) == "git.example.org/team/app"
    module = main / ".git" / "modules" / "lib"
    module.mkdir(parents=True)
    (module / "config").write_text(_remote("https://git.example.org/team/lib"), "utf-8")
    (main / "lib").mkdir()
    (main / "lib" / ".git").write_text("gitdir: ../.git/modules/lib\n", "utf-8")
    assert find_project(None, {}, main / "lib") == "git.example.org/team/lib"


def test_the_order_of_the_sources(tmp_path: Path) -> None:
    """An option beats the variables, a named project beats a folder, and the client's folder beats the working one."""
    here = _repository(tmp_path / "here", _remote("git@git.example.org:team/here.git"))
    there = _repository(tmp_path / "there", _remote("git@git.example.org:team/there.git"))
    environ = {"MEMCRDT_PROJECT": "named", "CLAUDE_PROJECT_DIR": str(there)}
    assert find_project("project/given", environ, here) == "given"
    assert find_project(None, environ, here) == "named"
    del environ["MEMCRDT_PROJECT"]
    assert find_project(None, environ, here) == "git.example.org/team/there"
    assert find_project(None, {}, here) == "git.example.org/team/here"


def test_a_user_can_name_a_repository(tmp_path: Path) -> None:
    """`git config memcrdt.project` beats the remote, and no file of the work tree can."""
    config = _remote("git@git.example.org:team/app.git") + "[memcrdt]\n\tproject = my app\n"
    assert find_project(None, {}, _repository(tmp_path / "app", config)) == "my app"


def test_a_folder_without_a_remote_gives_its_own_name(tmp_path: Path) -> None:
    """Also a folder that a client names and that is no repository."""
    assert find_project(None, {}, _repository(tmp_path / "notes", "[core]\n")) == "notes"
    (tmp_path / "plain").mkdir()
    assert find_project(None, {"CLAUDE_PROJECT_DIR": str(tmp_path / "plain")}, tmp_path) == "plain"


def test_outside_of_repositories_there_is_no_project(tmp_path: Path) -> None:
    """A working folder alone does not make a project; neither does the user's own folder."""
    assert find_project(None, {}, tmp_path) is None
    assert find_project(None, {"CLAUDE_PROJECT_DIR": str(Path.home())}, tmp_path) is None


def test_a_path_with_the_name_of_a_category_is_still_a_project(tmp_path: Path) -> None:
    """`project/a/conversation/b` would be a conversation, so the slashes become colons."""
    folder = _repository(tmp_path / "x", _remote("https://git.example.org/team/conversation/app"))
    assert find_project(None, {}, folder) == "git.example.org:team:conversation:app"


@pytest.mark.parametrize("content", [b"\xff\xfe[remote", b'[remote "origin"\nurl', b"\0" * 100_000, b"url = x"])
def test_broken_settings_are_no_error(tmp_path: Path, content: bytes) -> None:
    """The folder's name remains."""
    folder = _repository(tmp_path / "odd", "")
    (folder / ".git" / "config").write_bytes(content)
    assert find_project(None, {}, folder) == "odd"


def test_a_bad_explicit_name_is_refused(tmp_path: Path) -> None:
    """A user who names a project wants that one and no other."""
    with pytest.raises(InputError):
        find_project("a\nb", {}, tmp_path)
