"""`memcrdt add`, `update`, `link`, `unlink`, `move` and `rename-scope`: commands that change memories."""

from __future__ import annotations

from typing import Any, Final

import click

from memcrdt.cli.face import Face, command, given, pass_face, read_text
from memcrdt.cli.filters import allow_secret, attribute_options, expected, json_object, past, several, ttl
from memcrdt.cli.names import memory_id, with_names
from memcrdt.model.attributes import taken_by

# What --clear removes, with the argument of update() that does it.
_CLEARED: Final[dict[str, Any]] = {
    "tags": (),
    **{attribute.name: None for attribute in taken_by("update") if attribute.is_none(None)},
}


@command("add")
@click.argument("text")
@click.option("--space", metavar="NAME", help="The space: personal (default), local (this machine only), or your own.")
@attribute_options("add")
@ttl
@several("--tag", "tags", "TAG", "A tag; can be repeated.")
@click.option("--metadata", metavar="JSON", callback=json_object, help="A JSON object that filters can match.")
@click.option("--created-at", metavar="TIME", callback=past, help="The time of the fact, if not now: 2026-11-01, 2w.")
@click.option("--id", metavar="ID", help="The id, a ULID. Default: a new one.")
@click.option("--key", metavar="KEY", help="A name for the memory; adding again with the same key updates it.")
@click.option("--dedupe", is_flag=True, help="If the scope has the same text, print its id instead.")
@expected
@allow_secret
@pass_face
def add_command(face: Face, /, text: str, **options: Any) -> None:
    """Add a memory with TEXT and print its id. `-` reads the text from stdin.

    Put a text that starts with a dash after two dashes: memcrdt add -- "-1 is not an index".
    """
    with face.changing(begins=True) as memory:
        face.printer.value("id", memory.add(read_text(text), **with_names(memory, given(options))))


@command("update")
@click.argument("id")
@click.argument("text", required=False)
@several("--tag", "tags", "TAG", "A tag; together they replace all present tags; can be repeated.")
@several("--add-tag", "add_tags", "TAG", "Add a tag; can be repeated.")
@several("--remove-tag", "remove_tags", "TAG", "Remove a tag; can be repeated.")
@click.option("--metadata", metavar="JSON", callback=json_object, help="Entries to add or replace; null removes one.")
@attribute_options("update")
@ttl
@click.option("--author", metavar="NAME", help="The agent or person who makes the change.")
@click.option("--clear", multiple=True, type=click.Choice(tuple(_CLEARED)), help="Remove this value; can be repeated.")
@expected
@allow_secret
@pass_face
def update_command(face: Face, /, id: str, text: str | None, clear: tuple[str, ...], **options: Any) -> None:
    """Change the given parts of a memory, and show it. `-` reads TEXT from stdin.

    The old text stays in the history. A new text settles a conflict.
    """
    if both := set(options["add_tags"]) & set(options["remove_tags"]):
        raise click.UsageError(f"add or remove the tag {min(both)!r}, not both")
    if both := given(options).keys() & set(clear):
        raise click.UsageError(f"give --{_flag(min(both))} or clear it, not both")
    changes = {**given(options), **{name: _CLEARED[name] for name in clear}}
    if "tags" in changes and changes.keys() & {"add_tags", "remove_tags"}:
        whole = "--clear tags removes" if "tags" in clear else "--tag replaces"
        raise click.UsageError(f"{whole} all tags; give it without --add-tag and --remove-tag")
    if text is not None:
        changes["text"] = read_text(text)
    if not changes.keys() - {"expected"}:
        raise click.UsageError("nothing to change; give a TEXT or an option")
    with face.changing() as memory:
        face.printer.record(memory.update(memory_id(memory, id), **with_names(memory, changes)))


@command("link")
@click.argument("id")
@click.argument("rel")
@click.argument("to")
@pass_face
def link_command(face: Face, /, id: str, rel: str, to: str) -> None:
    """Link memory ID to memory TO by relation REL, such as: memcrdt link ID causes TO."""
    with face.changing() as memory:
        memory.link(memory_id(memory, id), rel, memory_id(memory, to))


@command("unlink")
@click.argument("id")
@click.argument("rel")
@click.argument("to")
@pass_face
def unlink_command(face: Face, /, id: str, rel: str, to: str) -> None:
    """Remove a link. Removing a missing link is not an error."""
    with face.changing() as memory:
        memory.unlink(memory_id(memory, id), rel, memory_id(memory, to))


@command("move")
@click.argument("id")
@click.option("--space", metavar="NAME", required=True, help="The name of the other space.")
@pass_face
def move_command(face: Face, /, id: str, space: str) -> None:
    """Move a memory to another space, and print its new id.

    The history and the links to the memory are not moved. The memory is forgotten in its old space.
    """
    with face.changing() as memory:
        face.printer.value("id", memory.move(memory_id(memory, id), space=memory.find_space(space)))


@command("rename-scope")
@click.argument("old")
@click.argument("new")
@pass_face
def rename_scope_command(face: Face, /, old: str, new: str) -> None:
    """Rename scope OLD to NEW in all its memories.

    If both are projects, the conversations of the project are renamed too. Older versions kept conversations outside of
    their project. To move one: memcrdt rename-scope conversation/standup project/acme/conversation/standup
    """
    with face.changing() as memory:
        face.printer.record({"memories": memory.rename_scope(old, new)})


def _flag(name: str) -> str:
    """Return the option of an argument of update(), without dashes in front."""
    return "tag" if name == "tags" else name.replace("_", "-")
