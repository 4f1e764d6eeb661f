"""The options that narrow search, list and forget: one for each filter of Memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from memcrdt.cli.face import given

F = TypeVar("F", bound=Callable[..., Any])


def json_object(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """The callback of an option that takes a JSON object. Raises click.BadParameter."""
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise click.BadParameter('this is no JSON object, such as \'{"by": "ops"}\'')
    return parsed


def several(flag: str, name: str, metavar: str, text: str) -> Callable[[F], F]:
    """An option that can be repeated."""
    return click.option(flag, name, multiple=True, metavar=metavar, help=text)


_OPTIONS = (
    click.option("--space", metavar="NAME", help="Only this space."),
    several("--scope", "scope", "SCOPE", "Any of these scopes: global, project/NAME, agent/NAME, conversation/NAME."),
    click.option("--ancestors", is_flag=True, default=None, help="With --scope: what contains the scope too."),
    several("--category", "category", "NAME", "Any of these: global, project, agent, conversation."),
    several("--kind", "kind", "NAME", "Any of these kinds."),
    several("--tag", "tags", "TAG", "Any of these tags."),
    several("--all-tag", "all_tags", "TAG", "All of these tags."),
    several("--not-tag", "not_tags", "TAG", "None of these tags."),
    click.option("--after", metavar="TIME", help="Created after this time (ISO 8601 with an offset)."),
    click.option("--before", metavar="TIME", help="Created before this time."),
    click.option("--updated-after", metavar="TIME", help="Changed after this time."),
    click.option("--updated-before", metavar="TIME", help="Changed before this time."),
    click.option(
        "--metadata",
        metavar="JSON",
        callback=json_object,
        help="Metadata with these values; a list of values stands for any of them.",
    ),
    click.option("--contains", metavar="TEXT", help="The text contains this, in either case."),
    click.option("--pinned/--not-pinned", default=None, help="Only pinned memories, or only the others."),
    several("--author", "author", "NAME", "Any of these authors."),
    several("--device", "device", "DEVICE", "Added on any of these devices."),
    several("--source", "source", "SOURCE", "From any of these sources."),
    several("--include", "include", "WHAT", "Show what is hidden: expired, superseded."),
    click.option("--as-of", metavar="TIME", help="What was there at this time."),
)


def filter_options(command: F) -> F:
    """Adds an option for every filter; the command gets them as keyword arguments of Memory's methods."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked(options: dict[str, Any]) -> dict[str, Any]:
    """The filters among the options that were given. Device ids may be typed as people see them.

    Raises InputError for one that is mistyped.
    """
    filters = given(options)
    if "device" in filters:
        from memcrdt.net.identity import parse_device_id

        filters["device"] = [parse_device_id(device) for device in filters["device"]]
    return filters
