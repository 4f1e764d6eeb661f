"""The memories of Claude Code and Codex. The files are written by hand, from the description of its folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from memcrdt.memory.memory import Memory

FILES = {
    "CLAUDE.md": "# Style\n\nUse tabs.\n\n# Tests\n\nRun them with make.\n",
    "projects/-home-ada-acme/memory/MEMORY.md": "# Memory\n\n- [Deploys](deploys.md): when they go out\n\n"
    "## Notes\n\nAsk Max.\n",
    "projects/-home-ada-acme/memory/deploys.md": "---\nname: Deploys\ndescription: when they go out\nmetadata:\n"
    "  node_type: memory\n  type: project\n  modified: 2026-02-03T04:05:06Z\n---\nOn Wednesdays.\n",
    "projects/-home-ada-acme/memory/old.md": "---\nname: Style\ntype: user\n---\nShort answers.\n",
    "projects/-home-ada-acme/5c3.jsonl": "{}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of Claude Code in the home of a user."""
    for name, text in FILES.items():
        file = tmp_path / "user" / ".claude" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return tmp_path / "user" / ".claude"


def test_the_folder_becomes_memories(memory: Memory, folder: Path) -> None:
    """A topic is one memory, and so is a section of CLAUDE.md and MEMORY.md. The index is left out."""
    assert memory.import_from("claude-code", folder).added == 5
    assert {(each.text, each.kind) for each in memory.list()} == {
        ("# Style\n\nUse tabs.", "instruction"),
        ("# Tests\n\nRun them with make.", "instruction"),
        ("## Notes\n\nAsk Max.", None),
        ("# Deploys\n\nwhen they go out\n\nOn Wednesdays.", "project"),
        ("# Style\n\nShort answers.", "user"),
    }
    (deploys,) = (each for each in memory.list() if each.kind == "project")
    assert deploys.metadata == {"path": "-home-ada-acme/deploys.md", "project": "-home-ada-acme"}
    assert deploys.updated_at.isoformat() == "2026-02-03T04:05:06+00:00"
    assert memory.import_from("claude-code", folder).known == 5


def test_one_memory_folder_has_the_same_keys(memory: Memory, folder: Path) -> None:
    """As in an import of the whole folder."""
    memory.import_from("claude-code", folder)
    report = memory.import_from("claude-code", folder / "projects" / "-home-ada-acme" / "memory")
    assert (report.known, report.added) == (3, 0)


def test_a_new_section_leaves_the_others(memory: Memory, folder: Path) -> None:
    """Their keys are their headings."""
    memory.import_from("claude-code", folder / "CLAUDE.md")
    (folder / "CLAUDE.md").write_text("# New\n\nFirst.\n\n" + FILES["CLAUDE.md"])
    report = memory.import_from("claude-code", folder / "CLAUDE.md")
    assert (report.added, report.known) == (1, 2)


def test_without_a_path_the_usual_folder_is_read(memory: Memory, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is `.claude` in the home of the user."""
    monkeypatch.setattr(Path, "home", lambda: folder.parent)
    assert memory.import_from("claude-code").added == 5


def _memory_of(project: Path, user: Path) -> Path:
    """Write a memory for the folder of a project, and return the folder of Claude Code for the project."""
    slug = re.sub("[^A-Za-z0-9]", "-", str(project))
    folder = user / ".claude" / "projects" / slug
    (folder / "memory").mkdir(parents=True)
    (folder / "memory" / "deploys.md").write_text("---\nname: Deploys\n---\nOn Wednesdays.\n")
    return folder


def _repository(folder: Path) -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text('[remote "origin"]\n\turl = git@git.example.org:Team/Acme.git\n')
    return folder


@pytest.mark.parametrize("below", ["", "src/a.b"])
@pytest.mark.parametrize("with_transcript", [True, False])
def test_the_project_of_a_folder_is_its_repository(
    memory: Memory, tmp_path: Path, below: str, with_transcript: bool
) -> None:
    """As for agents, which find the memories there. A transcript names the folder; else its path is looked for."""
    place = _repository(tmp_path / "work" / "acme-1_x") / below
    place.mkdir(parents=True, exist_ok=True)
    folder = _memory_of(place, tmp_path / "user")
    if with_transcript:
        lines = [{"type": "summary"}, {"cwd": "/elsewhere"}, {"cwd": str(place)}]
        (folder / "5c3.jsonl").write_text("no json\n" + "".join(json.dumps(line) + "\n" for line in lines))
    assert memory.import_from("claude-code", tmp_path / "user" / ".claude").added == 1
    (found,) = memory.list()
    assert found.scope == "project/git.example.org/team/acme"
    assert memory.import_from("claude-code", folder / "memory").known == 1


@pytest.mark.parametrize("cwd", ["/home/ada/acme", r"C:\Users\ada\acme"])
def test_the_project_of_a_folder_of_another_machine_is_its_name(memory: Memory, tmp_path: Path, cwd: str) -> None:
    """Without a transcript there is no way to tell, because a dash may be any character."""
    slug = re.sub("[^A-Za-z0-9]", "-", cwd)
    folder = _memory_of(Path(slug), tmp_path)
    (folder / "5c3.jsonl").write_text(json.dumps({"cwd": cwd}) + "\n")
    memory.import_from("claude-code", folder / "memory")
    (found,) = memory.list()
    assert found.scope == "project/acme"
    (folder / "5c3.jsonl").unlink()
    memory.import_from("claude-code", folder / "memory")
    assert {each.scope for each in memory.list()} == {"project/acme", "global"}


def test_two_folders_with_one_slug_have_no_scope(memory: Memory, tmp_path: Path) -> None:
    """A guess could show the memories of one project in another."""
    (tmp_path / "a-b").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    folder = _memory_of(tmp_path / "a-b", tmp_path / "user")
    memory.import_from("claude-code", folder / "memory")
    assert memory.list().items[0].scope == "global"


def test_the_memories_of_codex(memory: Memory, tmp_path: Path) -> None:
    """Its handbook by section, and its summaries of sessions. The other files repeat them."""
    folder = tmp_path / "memories"
    for name, text in {
        "MEMORY.md": "# Tests\n\nRun make.\n",
        "memory_summary.md": "Run make.",
        "rollout_summaries/one.md": "Fixed the build.",
        "other/x.md": "not read",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    assert memory.import_from("codex", folder).added == 2
    (tmp_path / "AGENTS.md").write_text("# Style\n\nUse tabs.\n")
    assert memory.import_from("codex", tmp_path / "AGENTS.md").added == 1
    assert {(each.text, each.kind) for each in memory.list()} == {
        ("# Tests\n\nRun make.", None),
        ("Fixed the build.", "summary"),
        ("# Style\n\nUse tabs.", "instruction"),
    }
