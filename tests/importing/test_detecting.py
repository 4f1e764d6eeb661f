"""What there is to import on a machine."""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path

import pytest

from memcrdt.importing.detecting import DetectedSource, Machine, detect
from memcrdt.memory.memory import Memory
from tests.importing.test_databases import unpacked

SETTINGS = {"linux": ".config", "darwin": "Library/Application Support", "win32": "AppData/Roaming"}
DATA = {"linux": ".local/share", "darwin": "Library/Application Support", "win32": "AppData/Local"}
ENTITY = '{"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea"]}\n'


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def _zip(file: Path, members: dict[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as target:
        for name, content in members.items():
            target.writestr(name, json.dumps(content))


def _fill(home: Path, folder: Path, platform: str) -> None:
    """Put the files of all programs where they keep them."""
    _write(home / ".claude" / "CLAUDE.md", "# Style\n\nUse tabs.\n\n# Tests\n\nRun make.\n")
    _write(home / ".codex" / "memories" / "MEMORY.md", "# Tests\n\nRun make.\n")
    _write(home / "basic-memory" / "Ada.md", "Ada likes tea.")
    unpacked("mem0", home / ".mem0")
    unpacked("claude-mem", home / ".claude-mem")
    unpacked("mcp-memory-service", home / DATA[platform] / "mcp-memory")
    unpacked("chroma", folder / "chroma")
    npx = home / ".npm" / "_npx" / "5f" / "node_modules" / "@modelcontextprotocol" / "server-memory" / "dist"
    _write(npx / "memory.jsonl", ENTITY)
    named = _write(home / "graph" / "my memory.jsonl", ENTITY * 2)
    servers = {"mcpServers": {"memory": {"command": "npx", "env": {"MEMORY_FILE_PATH": str(named)}}}}
    _write(home / SETTINGS[platform] / "Claude" / "claude_desktop_config.json", json.dumps(servers))
    _write(home / ".claude.json", json.dumps([{"projects": servers}, {"MEMORY_FILE_PATH": "/nowhere"}]))
    vault = _write(home / "vault" / "Plan.md", "Ship on Friday.").parent
    vaults = {"vaults": {"5c": {"path": str(vault), "open": True}, "6d": {"path": str(home / "gone")}}}
    _write(home / SETTINGS[platform] / "obsidian" / "obsidian.json", json.dumps(vaults))
    talk = {"uuid": "1", "name": "Tea", "chat_messages": [{"sender": "human", "text": "Which tea?"}]}
    _zip(home / "Downloads" / "data-2026-batch-0000.zip", {"conversations.json": [talk, 5], "users.json": []})
    message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Which tea?"]}}
    chat = {"id": "1", "current_node": "a", "mapping": {"a": {"message": message}}}
    _zip(home / "Downloads" / "5c3f.zip", {"conversations-000.json": [chat], "message_feedback.json": []})
    _zip(home / "Downloads" / "photos.zip", {"photo.json": 1})
    _write(home / "Downloads" / "broken.zip", "no zip")
    _write(home / "Downloads" / "scout.af", json.dumps({"blocks": [{"id": "b", "label": "human", "value": "Ada"}]}))


@pytest.mark.parametrize("platform", SETTINGS)
def test_every_program_is_found_with_its_number_of_items(tmp_path: Path, platform: str) -> None:
    """On each platform, and once, also if two settings name one file."""
    home, folder = tmp_path / "home", tmp_path / "work"
    _fill(home, folder, platform)
    told: list[str] = []
    found = list(detect(Machine.of(platform, home, folder, {}), told.append))
    assert sorted((each.source, each.items, each.refused) for each in found) == [
        ("chatgpt", 1, 0), ("chroma", 3, 1), ("claude", 1, 1), ("claude-code", 2, 0), ("claude-mem", 3, 0),
        ("codex", 1, 0), ("letta", 1, 0), ("markdown", 1, 0), ("markdown", 1, 0), ("mcp-memory-service", 2, 0),
        ("mem0", 2, 0), ("server-memory", 1, 0), ("server-memory", 2, 0),
    ]  # fmt: skip
    assert {each.path for each in found} <= set(told)


def test_the_command_imports_what_was_found(memory: Memory, tmp_path: Path) -> None:
    """With a path that a shell would cut."""
    _fill(tmp_path / "home", tmp_path / "work", "linux")
    for each in detect(Machine.of("linux", tmp_path / "home", tmp_path / "work", {})):
        *start, source, path = shlex.split(each.command)
        assert (start, source, path) == (["memcrdt", "import", "--from"], each.source, each.path)
        report = memory.import_from(source, path)
        assert (
            report.added + report.updated + report.known + report.repeated + report.refused == each.items + each.refused
        )


def test_variables_of_the_programs_count(tmp_path: Path) -> None:
    """Each names the folder that its program uses."""
    _write(tmp_path / "a" / "CLAUDE.md", "# Style\n\nUse tabs.\n")
    unpacked("mem0", tmp_path / "b")
    environ = {"CLAUDE_CONFIG_DIR": str(tmp_path / "a"), "MEM0_DIR": str(tmp_path / "b")}
    found = detect(Machine.of("linux", tmp_path / "home", tmp_path, environ))
    assert [each.source for each in found] == ["claude-code", "mem0"]


def test_an_empty_machine_has_nothing(tmp_path: Path) -> None:
    """And settings that are no JSON, or too deep, are passed over."""
    _write(tmp_path / ".claude.json", "[" * 100_000)
    _write(tmp_path / ".cursor" / "mcp.json", "no json")
    assert list(detect(Machine.of("linux", tmp_path, tmp_path, {}))) == []


def test_it_can_be_written_as_json() -> None:
    """And read again."""
    found = DetectedSource(source="mem0", path="/a", items=1, refused=0, command="memcrdt import --from mem0 /a")
    assert DetectedSource.from_dict(found.to_dict()) == found
