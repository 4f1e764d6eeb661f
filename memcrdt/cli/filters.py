"""Options of several commands: one for each filter of Memory, and one for each attribute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from memcrdt.cli.face import given
from memcrdt.cli.output import say
from memcrdt.model.attributes import FLAG, SHARE, Attribute, Verb, taken_by
from memcrdt.model.scopes import FORMS
from memcrdt.model.values import parse_json
from memcrdt.service.times import parse_past

F = TypeVar("F", bound=Callable[..., Any])

_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def json_object(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Parse the JSON object of an option. Raises click.BadParameter."""
    if value is None:
        return None
    try:
        parsed = parse_json(value)
    except ValueError:
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
            raise click.BadParameter(f"{item!r} is not a range; write KEY=LOW..HIGH, where one end may be empty")
        ranges[key] = (_end(low), _end(high))
    return ranges


def _end(text: str) -> Any:
    """Return a JSON value, such as a number, or the text itself if it is not JSON."""
    try:
        return parse_json(text) if text else None
    except ValueError:
        return text


def duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Parse a duration, such as 90, 90s, 15m, 12h or 30d, and return its seconds. Raises click.BadParameter."""
    if value is None:
        return None
    number, unit = (value[:-1], value[-1]) if value[-1:] in _UNIT_S else (value, "s")
    try:
        return float(number) * _UNIT_S[unit]
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a duration; give seconds, or a form such as 15m, 12h or 30d"
        ) from None


def past(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Parse a time such as `yesterday` or `2w`, and show on a terminal how it was understood. Raises InputError."""
    if value is None or context.resilient_parsing:  # a shell completes the rest of the line
        return None
    flag = parameter.opts[0]
    moment = parse_past(value, time.time_ns() // 1_000_000, flag)
    if sys.stderr.isatty():
        say(f"{flag} is {moment:%Y-%m-%d %H:%M %Z}")
    return moment


def several(flag: str, name: str, metavar: str, text: str) -> Callable[[F], F]:
    """Return a decorator for an option that can be repeated."""
    return click.option(flag, name, multiple=True, metavar=metavar, help=text)


def expected(command: F) -> F:
    """Add the option for the revision that a change was made from."""
    text = "Change it only if its text is still at this revision, which `get` shows; repeat it for competing texts."
    return several("--expected", "expected", "REVISION", text)(command)


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


ttl = click.option(
    "--ttl",
    metavar="DURATION",
    callback=duration,
    help="The time until the memory is hidden, instead of --expires-at: seconds, or 90s, 15m, 12h, 30d.",
)
allow_secret = click.option(
    "--allow-secret", is_flag=True, default=None, help="Accept values that look like a key or a token."
)

_OPTIONS = (
    several("--space", "space", "NAME", "In this space; if repeated, in any of them."),
    several("--scope", "scope", "SCOPE", f"In this scope; if repeated, in any of them. Forms: {FORMS}."),
    click.option("--ancestors", is_flag=True, default=None, help="With --scope: also in the scopes that contain it."),
    several(
        "--category", "category", "NAME", "Of this category: global, project, agent or conversation; can be repeated."
    ),
    several("--kind", "kind", "NAME", "Of this kind; if repeated, of any of them."),
    several("--tag", "tags", "TAG", "With this tag; if repeated, with any of them."),
    several("--all-tag", "all_tags", "TAG", "With this tag; if repeated, with all of them."),
    several("--not-tag", "not_tags", "TAG", "Without this tag; can be repeated."),
    click.option(
        "--after", metavar="TIME", callback=past, help="Created after this time: 2026-11-01, yesterday, 12h or 2w."
    ),
    click.option("--before", metavar="TIME", callback=past, help="Created before this time."),
    click.option("--updated-after", metavar="TIME", callback=past, help="Changed after this time."),
    click.option("--updated-before", metavar="TIME", callback=past, help="Changed before this time."),
    click.option(
        "--metadata",
        metavar="JSON",
        callback=json_object,
        help='With these metadata values; a list matches any item. Example of an operator: {"year": {"$gte": 2020}}.',
    ),
    click.option(
        "--range",
        "ranges",
        multiple=True,
        metavar="KEY=LOW..HIGH",
        callback=_ranges,
        help="With a metadata value from LOW to HIGH, numbers or texts; one end may be empty.",
    ),
    click.option("--contains", metavar="TEXT", help="With TEXT in the text, ignoring case."),
    click.option("--pinned/--not-pinned", default=None, help="Only pinned memories, or only unpinned ones."),
    click.option(
        "--conflicts/--no-conflicts", default=None, help="Only memories with competing texts, or only others."
    ),
    several("--author", "author", "NAME", "By this author; if repeated, by any of them."),
    several("--device", "device", "DEVICE", "Added on this device; if repeated, on any of them."),
    several("--source", "source", "SOURCE", "From this source; if repeated, from any of them."),
    several("--include", "include", "WHAT", "Also hidden memories: expired or superseded; can be repeated."),
    click.option("--as-of", metavar="TIME", callback=past, help="The memories as they were at this time."),
)


def filter_options(command: F) -> F:
    """Add an option for every filter, with the names of the arguments of Memory."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked(options: dict[str, Any]) -> dict[str, Any]:
    """Return the filters and other options that were given. Raises click.UsageError for --ancestors without --scope."""
    filters = given(options)
    if "ancestors" in filters and "scope" not in filters:
        raise click.UsageError("--ancestors needs --scope")
    if ranges := filters.pop("ranges", None):
        filters["metadata"] = {**filters.get("metadata", {}), **ranges}
    return filters
