"""The documents describe the command line completely."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

import memcrdt
from memcrdt.cli.app import root
from memcrdt.cli.dashboard import DashboardLink
from memcrdt.cli.demo_story import DemoOutcome
from memcrdt.cli.filters import filter_options
from memcrdt.cli.home import DoctorFinding, SettingLine
from memcrdt.cli.hub import HubReport
from memcrdt.cli.mcp_install import ClientChange
from memcrdt.cli.serve import ServeReport
from memcrdt.hub.checking import HubCheck
from memcrdt.mcp.trial import Trial
from memcrdt.memory.devices import Device
from memcrdt.memory.forgetting import ForgetProgress, ForgetStatus
from memcrdt.memory.pairing import PairedDevice
from memcrdt.memory.retention import Budget
from memcrdt.memory.status import Status
from memcrdt.memory.sync import Serving
from memcrdt.memory.tokens import YjsToken
from memcrdt.memory.transfer import ImportReport, RefusedLine
from memcrdt.model.records import Forgotten, Hit, Link, MemoryRecord, Revision
from memcrdt.search.embedders.catalog import KnownModel
from memcrdt.search.searcher import SearchStatus
from memcrdt.service.capture import Captured
from memcrdt.service.problems import Problem
from memcrdt.service.start import NextStep, Start
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.compaction import Compacted
from memcrdt.store.membership.relays import SpaceRelay
from memcrdt.store.membership.sharing import SpaceMember
from memcrdt.store.overview import SpaceStatus, Stats

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")
REFERENCE = DOCS / "reference"
RECORDS = [MemoryRecord, Link, Hit, Revision, Forgotten, ForgetStatus, ForgetProgress]
REPORTS = [ImportReport, RefusedLine, Stats, Compacted, DoctorFinding]
STATES = [
    PairedDevice,
    Device,
    SpaceMember,
    SpaceRelay,
    StoreAlarm,
    Status,
    Serving,
    Budget,
    SearchStatus,
    SpaceStatus,
    SettingLine,
    YjsToken,
]
PRINTED = [
    *RECORDS,
    *REPORTS,
    *STATES,
    Start,
    NextStep,
    ClientChange,
    Trial,
    Captured,
    ServeReport,
    HubReport,
    HubCheck,
    DashboardLink,
    DemoOutcome,
]


@pytest.mark.parametrize("name", root.list_commands(click.Context(root)))
def test_every_command_is_described(name: str) -> None:
    """Each has a line in the table of commands."""
    assert f"\n| `{name}" in PAGE


@pytest.mark.parametrize("name", root.list_commands(click.Context(root)))
def test_every_command_has_a_section_in_the_reference(name: str) -> None:
    """The site makes it from the command."""
    pages = [page.read_text(encoding="utf-8") for page in REFERENCE.glob("commands/*.md")]
    assert sum(f"\n   :prog: memcrdt {name}\n" in page for page in pages) == 1


@pytest.mark.parametrize("kind", [*PRINTED, KnownModel, Problem])
def test_every_object_of_the_json_has_a_table(kind: type) -> None:
    """The site makes it from the docstring, which therefore describes every field."""
    page = (REFERENCE / "json.md").read_text(encoding="utf-8")
    assert f"```{{record}} {kind.__module__}:{kind.__name__}\n" in page
    described = (kind.__doc__ or "").partition("Attributes:")[2]
    assert [field.name for field in fields(kind) if f"\n        {field.name}: " not in described] == []


@pytest.mark.parametrize("name", memcrdt.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """The site makes the section from the docstring."""
    pages = [page.read_text(encoding="utf-8") for page in REFERENCE.glob("python/*.md")]
    assert name == "__version__" or sum(f":: memcrdt.{name}\n" in page for page in pages) == 1


def test_every_filter_is_listed() -> None:
    """Each option is listed among the filters."""

    @click.command()
    @filter_options
    def command() -> None: ...

    page = (REFERENCE / "filters.md").read_text(encoding="utf-8")
    options = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
    assert [name for name in options if f"`{name}`" not in page] == []


def test_every_variable_of_the_environment_is_listed() -> None:
    """The page has all that begin with MEMCRDT."""
    page = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "memcrdt").rglob("*.py"))
    assert [name for name in set(re.findall(r'"(MEMCRDT_[A-Z]+)"', code)) if f"`{name}`" not in page] == []
