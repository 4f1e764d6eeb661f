"""Options of several commands: one for each filter of Memory, and one for each attribute."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from memcrdt.cli.face import given
from memcrdt.model.attributes import FLAG, SHARE, Attribute, Verb, taken_by
from memcrdt.model.scopes import FORMS

F = TypeVar("F", bound=Callable[..., Any])


def json_object(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Parse the JSON object of an option. Raises click.BadParameter."""
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise click.BadParameter('give a JSON object, such as \'{"by": "ops"}\'')
    return parsed


def _ranges(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    """Parse --range. Return (low, high) by key, with None for an open end."""
    ranges = {}
    for item in value:
        key, equals, span = item.partition("=")
        low, dots, high = span.partition("..")
        if not (key and equals and dots):
            raise click.BadParameter(f"{item!r} is not a range; write KEY=LOW..HIGH, where one end may be left out")
        ranges[key] = (_end(low), _end(high))
    return ranges


def _end(text: str) -> Any:
    """Return a JSON value, such as a number, or the text itself if it is not JSON."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def several(flag: str, name: str, metavar: str, text: str) -> Callable[[F], F]:
    """Return a decorator for an option that can be repeated."""
    return click.option(flag, name, multiple=True, metavar=metavar, help=text)


def attribute_options(verb: Verb) -> Callable[[F], F]:
    """Return a decorator that adds an option for every attribute that `verb` takes."""
    options = [_attribute_option(attribute, verb) for attribute in taken_by(verb)]

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _attribute_option(attribute: Attribute, verb: Verb) -> Callable[[F], F]:
    flag = attribute.flag or f"--{attribute.name.replace('_', '-')}"
    if attribute.type is FLAG and verb == "add":  # a new memory has no flag to remove
        flag = flag.partition("/")[0]
    kind: dict[str, Any] = {"metavar": attribute.type.metavar}
    if attribute.type is FLAG:
        kind = {"is_flag": True}
    elif attribute.type is SHARE:
        kind = {"type": float}
    return click.option(flag, attribute.name, default=None, help=attribute.help, **kind)


allow_secret = click.option(
    "--allow-secret", is_flag=True, default=None, help="Accept values that look like a key or a token."
)

_OPTIONS = (
    several("--space", "space", "NAME", "Any of these spaces."),
    several("--scope", "scope", "SCOPE", f"Any of these scopes: {FORMS}."),
    click.option("--ancestors", is_flag=True, default=None, help="With --scope: also the scopes that contain it."),
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
        help='Metadata with these values; a list matches any of its items. Operators: {"year": {"$gte": 2020}}.',
    ),
    click.option(
        "--range",
        "ranges",
        multiple=True,
        metavar="KEY=LOW..HIGH",
        callback=_ranges,
        help="Metadata from LOW to HIGH, numbers or texts; one end may be left out.",
    ),
    click.option("--contains", metavar="TEXT", help="The text contains TEXT, ignoring case."),
    click.option("--pinned/--not-pinned", default=None, help="Only pinned memories, or only others."),
    several("--author", "author", "NAME", "Any of these authors."),
    several("--device", "device", "DEVICE", "Added on any of these devices."),
    several("--source", "source", "SOURCE", "From any of these sources."),
    several("--include", "include", "WHAT", "Hidden memories to show: expired, superseded."),
    click.option("--as-of", metavar="TIME", help="The memories as they were at this time."),
)


def filter_options(command: F) -> F:
    """Add an option for every filter, with the names of the arguments of Memory."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked(options: dict[str, Any]) -> dict[str, Any]:
    """Return the filters and other options that were given, with device ids in canonical form.

    Raises InputError for a mistyped device id, and click.UsageError for --ancestors without --scope.
    """
    filters = given(options)
    if "ancestors" in filters and "scope" not in filters:
        raise click.UsageError("--ancestors needs --scope")
    if ranges := filters.pop("ranges", None):
        filters["metadata"] = {**filters.get("metadata", {}), **ranges}
    if "device" in filters:
        from memcrdt.model.device_ids import parse_device_id

        filters["device"] = [parse_device_id(device) for device in filters["device"]]
    return filters
