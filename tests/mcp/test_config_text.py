"""Changes of one entry in a configuration file of somebody else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcrdt.errors import InputError
from memcrdt.mcp.config_text import edit_json, edit_toml

PATH = ("mcpServers", "memcrdt")
ENTRY = {"command": "/bin/memcrdt", "args": ["mcp"]}

SETTINGS = """{
  // how it looks
  "theme": "dark", /* not light */
  "mcpServers": {
    // the files
    "files": {"command": "npx", "url": "https://example.org//a", },
  },
}
"""


def test_comments_and_layout_of_json_are_kept() -> None:
    """The new text has the entry, every old line in its order, and removing the entry restores every byte."""
    after = edit_json(SETTINGS, PATH, ENTRY)
    lines = iter(after.splitlines())
    assert all(line in lines for line in SETTINGS.splitlines())
    assert '"/bin/memcrdt"' in after
    assert edit_json(after, PATH, None) == SETTINGS


def test_a_second_installation_replaces_the_first() -> None:
    """The same entry changes nothing, and another one takes its place."""
    after = edit_json(SETTINGS, PATH, ENTRY)
    assert edit_json(after, PATH, ENTRY) == after
    assert edit_json(after, PATH, {"command": "/other"}).count('"memcrdt"') == 1


@pytest.mark.parametrize("text", ["{}", "{\n}\n", '{"a": 1}', '{"a": {"b": []}, "mcpServers": {"x": {}}}\n'])
def test_removal_restores_the_text(text: str) -> None:
    """A file without the table has none afterwards either."""
    assert json.loads(edit_json(edit_json(text, PATH, ENTRY), PATH, None)) == json.loads(text)


def test_an_empty_file_gets_an_object() -> None:
    """A file that does not exist or is empty gets just the entry."""
    assert edit_json(" \n", PATH, ENTRY).startswith('{\n  "mcpServers": {\n    "memcrdt": {\n')


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "7",
        '{"mcpServers": []}',
        '{"mcpServers": {"a": 1}',
        "{'a': 1}",
        '{"a": "\n"}',
        '{"a": 1} {"b": 2}',
        '{"mcpServers": {}, "mcpServers": {}, "a": /}',
        '{"a": ' + "[" * 500 + "]" * 500 + "}",
        "[" * 100_000,
    ],
)
def test_json_that_is_not_understood_is_refused(text: str) -> None:
    """Nothing is guessed: the user edits such a file by hand."""
    with pytest.raises(InputError):
        edit_json(text, PATH, ENTRY)


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet='{}[]:,"/*\\ \na1', max_size=40))
def test_any_text_is_edited_or_refused(text: str) -> None:
    """The only exception is InputError, and what was edited can be undone in meaning."""
    try:
        after = edit_json(text, PATH, ENTRY)
    except InputError:
        return
    assert '"memcrdt"' in after
    assert '"memcrdt"' not in edit_json(after, PATH, None)


CODEX = """# my settings
model = "o9" # fast

[mcp_servers.files] # all of them
command = "npx"
args = [
  "[mcp_servers.memcrdt]",
]

# how I work
[profiles.work]
model = "o8"
"""
TOML_PATH = ("mcp_servers", "memcrdt")


def test_comments_of_toml_are_kept() -> None:
    """The block is added at the end, replaced by another one, and removed without a trace."""
    after = edit_toml(CODEX, TOML_PATH, ENTRY)
    assert after.startswith(CODEX)
    assert after.endswith('[mcp_servers.memcrdt]\ncommand = "/bin/memcrdt"\nargs = ["mcp"]\n')
    assert edit_toml(after, TOML_PATH, ENTRY) == after
    assert edit_toml(after, TOML_PATH, None) == CODEX


def test_a_block_of_toml_in_the_middle_is_replaced_with_its_subtables() -> None:
    """Other tables and the comments above them stay."""
    block = '[mcp_servers.memcrdt]\ncommand = "old"\n[mcp_servers.memcrdt.env]\nA = "1"\n\n# how I work\n'
    after = edit_toml(CODEX.replace("# how I work\n", block), TOML_PATH, ENTRY)
    assert "old" not in after
    assert "# how I work\n[profiles.work]" in after
    assert after.count("[mcp_servers.memcrdt]") == 2  # one of them is a text in another table


@pytest.mark.parametrize(
    "text", ["a = ", 'mcp_servers = {memcrdt = {command = "a"}}', "mcp_servers = 3", "a=" + "[" * 9999]
)
def test_toml_that_is_not_understood_is_refused(text: str) -> None:
    """Nothing is guessed: the user edits such a file by hand."""
    with pytest.raises(InputError):
        edit_toml(text, TOML_PATH, ENTRY)
