"""The values that a shell completes: ids, scopes, tags, spaces, devices and kinds of the home of the command line.

Nothing is created or changed for a completion, and any problem means that there is nothing to offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
from click.shell_completion import CompletionItem

from memcrdt.cli.output import CONTROLS, memories
from memcrdt.errors import MemcrdtError

if TYPE_CHECKING:
    from memcrdt import Memory, MemoryRecord

READ: Final = 2_000  # memories, the newest, whose ids and scopes are offered
OFFERED: Final = 100
HELP_CHARS: Final = 60

Values: TypeAlias = Callable[["Memory"], Iterable[tuple[str, str]]]  # each with its description


def ids(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the ids of the newest memories, with their texts."""
    return ((record.id, record.text) for record in _newest(memory))


def scopes(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the scopes of the newest memories."""
    return ((scope, "") for scope in dict.fromkeys(record.scope for record in _newest(memory)))


def tags(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the tags, with the number of their memories."""
    return ((tag, memories(count)) for tag, count in memory.tags().items())


def kinds(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the kinds of memories."""
    return ((kind, "") for kind in memory.stats().by_kind if kind)


def spaces(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the names of the spaces."""
    return ((space.name, memories(space.memories)) for space in memory.status().spaces)


def devices(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the names of the other devices, or the ids of those without one. An accepted one of a name counts."""
    from memcrdt.cli.output import readable

    found = sorted(memory.devices(), key=lambda device: device.state == "accepted")
    yield from {device.name or readable(device.device): device.state for device in found}.items()


def tokens(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the names of the tokens, with their spaces."""
    return ((token.name, ", ".join(token.spaces)) for token in memory.tokens.list())


def mirrors(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the names of the mirrors, with their folders."""
    return ((mirror.name, mirror.folder) for mirror in memory.mirrors.list())


def models(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yield the names of the embedding models."""
    return ((model.name, model.description) for model in memory.models.list())


BY_PARAMETER: Final[dict[str, Values]] = {
    "id": ids,
    "to": ids,
    "superseded_by": ids,
    "scope": scopes,
    "old": scopes,
    "tags": tags,
    "all_tags": tags,
    "not_tags": tags,
    "add_tags": tags,
    "remove_tags": tags,
    "kind": kinds,
    "space": spaces,
    "spaces": spaces,
    "device": devices,
}


class CompletedText(click.types.StringParamType):
    """A text that a shell completes with the values of this home."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        from memcrdt._open import open as open_memory
        from memcrdt.paths import home_folder

        begun = incomplete.casefold()
        try:
            with open_memory(home_folder(getattr(ctx.obj, "home", None)), read_only=True) as memory:
                fitting = (each for each in self._values(memory) if each[0].casefold().startswith(begun))
                return [CompletionItem(value, help=_help(text)) for value, text in islice(fitting, OFFERED)]
        except (MemcrdtError, OSError):
            return []


def complete_values(parameters: Iterable[click.Parameter]) -> None:
    """Let a shell complete each parameter that takes a text and is named like one of BY_PARAMETER."""
    for parameter in parameters:
        values = BY_PARAMETER.get(parameter.name or "")
        if values is not None and type(parameter.type) is click.types.StringParamType:
            parameter.type = CompletedText(values)


def _newest(memory: Memory) -> Iterator[MemoryRecord]:
    return islice(memory.iterate(), READ)


def _help(text: str) -> str | None:
    return " ".join(text[: 4 * HELP_CHARS].split())[:HELP_CHARS].translate(CONTROLS) or None
