"""`memcrdt add`, `update`, `forget`, `link`, `unlink`, `related`, `move` and `rename-scope`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memcrdt.model import limits
from memcrdt.model.attributes import FLAG, LABEL, MEMORY, SCOPE, SHARE, TIME, Attribute, taken_by

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def add(cli: Cli, *arguments: str) -> str:
    ran = cli("add", *arguments)
    assert ran.code == 0
    return ran.out.strip()


def get(cli: Cli, memory_id: str) -> Any:
    return cli("get", memory_id, "--json").json[0]


def count(cli: Cli) -> int:
    return len(cli("list", "--all", "--json").json)


def test_add_keeps_all_that_was_said(cli: Cli) -> None:
    """Every option is stored in the memory, and stdout has only its id."""
    added = add(
        cli, "Deploys go out on Tuesdays", "--scope", "project/acme", "--kind", "fact", "--tag", "b", "--tag", "a",
        "--metadata", '{"by": "ops", "n": [1, 2]}', "--author", "ada", "--source", "wiki", "--trust", "high",
        "--importance", "0.5", "--pin", "--created-at", "2026-01-02T03:04:05Z", "--expires-at", "2099-01-01T00:00:00Z",
    )  # fmt: skip
    memory = get(cli, added)
    expected = {
        "text": "Deploys go out on Tuesdays", "space": "personal", "scope": "project/acme", "category": "project",
        "kind": "fact", "tags": ["a", "b"], "metadata": {"by": "ops", "n": [1, 2]}, "author": "ada", "source": "wiki",
        "trust": "high", "importance": 0.5, "pinned": True, "created_at": "2026-01-02T03:04:05+00:00",
        "expires_at": "2099-01-01T00:00:00+00:00", "id": added,
    }  # fmt: skip
    assert {name: memory[name] for name in expected} == expected


def test_add_takes_an_id_a_key_or_the_same_text(cli: Cli) -> None:
    """--id sets the id, --key makes a second add an update, --dedupe prints the id of the same text."""
    assert add(cli, "one", "--id", UNKNOWN) == UNKNOWN
    keyed = add(cli, "two", "--key", "k")
    assert add(cli, "two and more", "--key", "k") == keyed
    assert get(cli, keyed)["text"] == "two and more"
    assert add(cli, "one", "--dedupe") == UNKNOWN
    assert count(cli) == 2


def test_what_looks_like_a_secret_is_refused_unless_it_is_allowed(cli: Cli) -> None:
    """In new and in changed texts. The message does not repeat the text."""
    secret = "the key is AKIAIOSFODNN7EXAMPLE"
    ran = cli("add", secret)
    ran.failed(2, "AWS access key")
    assert "AKIA" not in ran.err
    added = add(cli, secret, "--allow-secret")
    cli("update", added, f"{secret}, too").failed(2, "AWS access key")
    assert cli("update", added, f"{secret}, too", "--allow-secret").code == 0


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)]
)
def test_a_duration_sets_the_expiry(cli: Cli, ttl: str, seconds: int) -> None:
    """Of a new memory, measured from its creation, and of a known one."""
    memory = get(cli, add(cli, "one", "--ttl", ttl))
    lived = datetime.fromisoformat(memory["expires_at"]) - datetime.fromisoformat(memory["created_at"])
    assert abs(lived.total_seconds() - seconds) < 1  # the expiry is computed just before the write
    before = datetime.now(UTC)
    (changed,) = cli("update", memory["id"], "--ttl", ttl, "--json").json
    assert datetime.fromisoformat(changed["expires_at"]) - before >= timedelta(seconds=seconds - 1)


@pytest.mark.parametrize("ttl", ["", "s", "12x", "a day", "0", "-1h", "nan"])
def test_a_wrong_duration_is_refused(cli: Cli, ttl: str) -> None:
    """With exit code 2, and nothing is added."""
    cli("add", "one", f"--ttl={ttl}").failed(2, "ttl")
    assert count(cli) == 0


def test_a_duration_and_an_expiry_exclude_each_other(cli: Cli) -> None:
    """Also if the expiry is cleared."""
    added = add(cli, "one")
    cli("update", added, "--ttl", "1h", "--clear", "expires_at").failed(2, "exclude each other")
    cli("update", added, "--ttl", "1h", "--expires-at", "2099-01-01T00:00:00Z").failed(2, "exclude each other")


def test_update_replaces_all_tags(cli: Cli) -> None:
    """--tag names the new tags, and --clear tags removes all."""
    added = add(cli, "one", "--tag", "a", "--tag", "b")
    assert cli("update", added, "--tag", "c", "--tag", "b", "--json").json[0]["tags"] == ["b", "c"]
    cli("update", added, "--tag", "c", "--add-tag", "d").failed(2, "--tag replaces all tags; give it without --add-tag")
    cli("update", added, "--clear", "tags", "--add-tag", "d").failed(2, "--clear tags removes all tags")
    cli("update", added, "--tag", "c", "--clear", "tags").failed(2, "give --tag or clear it")
    assert cli("update", added, "--clear", "tags", "--json").json[0]["tags"] == []


def test_a_dash_reads_stdin(cli: Cli) -> None:
    """The text is the content of stdin with its line breaks, but without the last one."""
    ran = cli("add", "-", stdin="Grüße\n\nzwei Absätze\r\n".encode())
    assert get(cli, ran.out.strip())["text"] == "Grüße\n\nzwei Absätze"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_stdin_may_hold_as_much_as_a_memory(cli: Cli, end: bytes) -> None:
    """64 KiB are accepted, with any line ending."""
    ran = cli("add", "-", stdin=b"x" * limits.TEXT_BYTES + end)
    assert len(get(cli, ran.out.strip())["text"]) == limits.TEXT_BYTES


def test_update_changes_what_is_named(cli: Cli) -> None:
    """Text, tags, metadata and attributes change, and the rest stays. The changed memory is printed."""
    added = add(cli, "on Tuesdays", "--tag", "old", "--tag", "kept", "--metadata", '{"a": 1, "b": 2}', "--pin")
    changed = cli(
        "update", added, "on Wednesdays", "--add-tag", "new", "--remove-tag", "old", "--metadata",
        '{"a": null, "c": 3}', "--scope", "project/acme", "--importance", "1", "--unpin", "--json",
    ).json[0]  # fmt: skip
    assert changed["text"] == "on Wednesdays"
    assert changed["tags"] == ["kept", "new"]
    assert changed["metadata"] == {"b": 2, "c": 3}
    assert (changed["scope"], changed["importance"], changed["pinned"]) == ("project/acme", 1, False)
    assert get(cli, added) == changed


def test_update_clears_what_is_named(cli: Cli) -> None:
    """--clear removes the value of an attribute."""
    added = add(cli, "text", "--importance", "0.5", "--trust", "low", "--expires-at", "2099-01-01T00:00:00Z")
    changed = cli("update", added, "--clear", "importance", "--clear", "expires_at", "--json").json[0]
    assert (changed["importance"], changed["expires_at"], changed["trust"]) == (None, None, "low")


def test_update_without_a_change_is_a_usage_error(cli: Cli) -> None:
    """A change needs at least one argument."""
    cli("update", UNKNOWN).failed(2, "nothing to change")


LONG = "x" * (limits.TEXT_BYTES + 1)
BAD = {
    "empty text": (["add", ""], b"", "empty"),
    "blank text": (["add", " \n"], b"", "empty"),
    "oversized text": (["add", LONG], b"", "65,537 bytes"),
    "empty stdin": (["add", "-"], b"", "empty"),
    "oversized stdin": (["add", "-"], LONG.encode(), "65,536 bytes"),
    "stdin that is no text": (["add", "-"], b"\xff\xfe", "not UTF-8"),
    "unknown scope form": (["add", "x", "--scope", "planet/earth"], b"", "planet/earth"),
    "scope without a name": (["add", "x", "--scope", "project/"], b"", "project/NAME"),
    "empty tag": (["add", "x", "--tag", ""], b"", "tag"),
    "metadata that is no JSON": (["add", "x", "--metadata", "{by: ops}"], b"", "give a JSON object"),
    "metadata that is no object": (["add", "x", "--metadata", "[1]"], b"", "give a JSON object"),
    "metadata with NaN": (["add", "x", "--metadata", '{"a": NaN}'], b"", "not JSON"),
    "metadata nested deeply": (["add", "x", "--metadata", '{"a": ' + "[" * 30_000], b"", "give a JSON object"),
    "oversized metadata": (["add", "x", "--metadata", f'{{"a": "{"x" * 9000}"}}'], b"", "8,192"),
    "importance out of range": (["add", "x", "--importance", "7"], b"", "0 to 1"),
    "importance that is NaN": (["add", "x", "--importance", "nan"], b"", "0 to 1"),
    "a past date": (["add", "x", "--expires-at", "2020-01-01"], b"", "not in the future"),
    "malformed id": (["add", "x", "--id", "abc"], b"", "abc"),
    "id and key": (["add", "x", "--id", UNKNOWN, "--key", "k"], b"", "exclude"),
    "update of a malformed id": (["update", "abc", "text"], b"", "abc"),
    "update with an empty text": (["update", UNKNOWN, ""], b"", "empty"),
    "forget of a malformed id": (["forget", "abc"], b"", "abc"),
    "forget in an unknown scope form": (["forget", "--scope", "x"], b"", "project/NAME"),
}


@pytest.mark.parametrize(("arguments", "stdin", "word"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_and_changes_nothing(cli: Cli, arguments: list[str], stdin: bytes, word: str) -> None:
    """One line names the mistake, the exit code is 2, and the memories are unchanged."""
    cli("add", "what is there")
    cli(*arguments, stdin=stdin).failed(2, word)
    assert count(cli) == 1


def test_an_argument_that_is_no_text_is_refused(cli: Cli) -> None:
    """Bytes that are not UTF-8 come from the shell as lone surrogates."""
    cli("add", "a\udcff").failed(2, "surrogate")


@pytest.mark.parametrize(
    "arguments",
    [["update", UNKNOWN, "text"], ["forget", UNKNOWN], ["add", "x", "--space", "nowhere"]],
)
def test_what_is_not_there_is_exit_code_3(cli: Cli, arguments: list[str]) -> None:
    """An unknown id or space: it is not created."""
    cli("init")
    cli(*arguments).failed(3)
    assert count(cli) == 0


def test_a_text_that_begins_with_a_dash_goes_behind_two(cli: Cli) -> None:
    """As in every command, -- ends the options."""
    assert get(cli, add(cli, "--", "-1 is no index"))["text"] == "-1 is no index"


def test_ids_are_read_by_scripts(process: Cli) -> None:
    """In a process of its own: stdout has only the id."""
    ran = process("add", "Deploys go out on Tuesdays")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.strip()) == 26


@pytest.mark.parametrize("attribute", taken_by("update"), ids=lambda each: each.name)
def test_every_attribute_is_given_shown_and_cleared(cli: Cli, attribute: Attribute) -> None:
    """By its own option, in each form of output. An optional attribute can be cleared."""
    other, memory = cli("add", "the other one").out.strip(), cli("add", "a memory").out.strip()
    flag = attribute.flag.partition("/")[0] or f"--{attribute.name.replace('_', '-')}"
    given, shown = {
        LABEL: ("fact", "fact"),
        SCOPE: ("project/acme", "project/acme"),
        SHARE: ("0.5", 0.5),
        TIME: ("2100-01-02T00:00:00+00:00", "2100-01-02T00:00:00+00:00"),
        MEMORY: (other, other),
        FLAG: (None, True),
    }[attribute.type]
    arguments = (flag,) if given is None else (flag, given)
    assert cli("update", memory, *arguments, "--json").json[0][attribute.name] == shown
    assert cli("get", memory, "--json").json[0][attribute.name] == shown
    assert f"{attribute.name}\t" in cli("get", memory).out
    listed = cli("list", "--include", "superseded", "--json").json
    assert [item[attribute.name] for item in listed if item["id"] == memory] == [shown]
    if attribute.default is None:
        assert cli("update", memory, "--clear", attribute.name, "--json").json[0][attribute.name] is None


@pytest.mark.parametrize("attribute", taken_by("add"), ids=lambda each: each.name)
def test_add_and_import_have_an_option_for_every_attribute(cli: Cli, attribute: Attribute) -> None:
    """With the help text of the table."""
    flag = attribute.flag.partition("/")[0] or f"--{attribute.name.replace('_', '-')}"
    assert flag in cli("add", "--help").out
    assert flag in cli("import", "--help").out


@pytest.fixture
def ids(cli: Cli) -> list[str]:
    return [cli("add", text).out.strip() for text in ("the disk was full", "the backup failed", "the pager rang")]


def related(cli: Cli, *arguments: str) -> list[str]:
    return [memory["id"] for memory in cli("related", "--json", *arguments).json]


def test_links_lead_to_memories_by_their_relation(cli: Cli, ids: list[str]) -> None:
    """All links, or links of one relation. The memory shows them."""
    for rel, to in (("causes", ids[1]), ("precedes", ids[2])):
        ran = cli("link", ids[0], rel, to)
        assert (ran.code, ran.out) == (0, "")
    assert set(related(cli, ids[0])) == set(ids[1:])
    assert related(cli, ids[0], "--rel", "causes") == [ids[1]]
    assert {"rel": "causes", "to": ids[1]} in cli("get", ids[0], "--json").json[0]["links"]


def test_unlink_takes_one_away(cli: Cli, ids: list[str]) -> None:
    """A second call finds no link, which is not an error."""
    cli("link", ids[0], "causes", ids[1])
    assert cli("unlink", ids[0], "causes", ids[1]).code == 0
    assert cli("unlink", ids[0], "causes", ids[1]).code == 0
    assert related(cli, ids[0]) == []


def test_both_ends_have_to_be_there(cli: Cli, ids: list[str]) -> None:
    """Exit code 3, and no link is added."""
    cli("link", ids[0], "causes", UNKNOWN).failed(3, UNKNOWN)
    cli("link", UNKNOWN, "causes", ids[0]).failed(3, UNKNOWN)
    cli("related", UNKNOWN).failed(3, UNKNOWN)
    assert related(cli, ids[0]) == []


def test_move_gives_a_new_life_elsewhere(cli: Cli) -> None:
    """Stdout has the new id. The old id is gone."""
    old = cli("add", "the printer's address", "--tag", "office").out.strip()
    new = cli("move", old, "--space", "local").out.strip()
    (memory,) = cli("get", new, "--json").json
    assert (memory["space"], memory["tags"], memory["text"]) == ("local", ["office"], "the printer's address")
    cli("get", old).failed(3, old)


def test_a_space_that_is_not_there_takes_nothing(cli: Cli) -> None:
    """Exit code 3, and the memory stays. Without a space it is a usage error."""
    old = cli("add", "the printer's address").out.strip()
    cli("move", old, "--space", "nowhere").failed(3, "nowhere")
    cli("move", old).failed(2, "--space")
    assert cli("get", old).code == 0


def test_rename_scope_takes_all_memories_along(cli: Cli) -> None:
    """It prints their number. The second time it is 0."""
    for text in ("one", "two"):
        cli("add", text, "--scope", "project/acme")
    cli("add", "three")
    assert cli("rename-scope", "project/acme", "project/apex", "--json").json == [{"memories": 2}]
    assert len(cli("list", "--scope", "project/apex", "--json").json) == 2
    again = cli("rename-scope", "project/acme", "project/apex", "--json")
    assert (again.json, again.err) == ([{"memories": 0}], "")
    cli("rename-scope", "acme", "project/apex").failed(2, "acme")


def test_a_change_may_expect_a_revision(cli: Cli) -> None:
    """`get` shows it. If somebody has changed the text since, nothing is changed, and the exit code says so."""
    added = add(cli, "Deploys are on Tuesdays", "--key", "deploys")
    revision = get(cli, added)["revision"]
    assert cli("update", added, "Deploys are on Fridays", "--expected", revision).code == 0
    for command in (
        ["update", added, "Deploys are on Mondays", "--expected", revision],
        ["add", "Deploys are on Mondays", "--key", "deploys", "--expected", revision],
        ["forget", added, "--yes", "--expected", revision],
    ):
        refused = cli(*command)
        assert refused.code != 0
        assert "nothing was changed" in refused.err
    assert "Fridays" in cli("get", added).out
    assert "nothing to change" in cli("update", added, "--expected", revision).err
