"""docs/cli.md describes the command line completely."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import pytest

from memcrdt.cli.app import root
from memcrdt.cli.demo_story import DemoOutcome
from memcrdt.cli.filters import filter_options
from memcrdt.cli.home import DoctorFinding, SettingLine
from memcrdt.cli.mcp_install import ClientChange
from memcrdt.cli.serve import ServeReport
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
from memcrdt.service.start import NextStep, Start
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.compaction import Compacted
from memcrdt.store.membership.sharing import SpaceMember
from memcrdt.store.overview import SpaceStatus, Stats

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
RECORDS = [MemoryRecord, Link, Hit, Revision, Forgotten, ForgetStatus, ForgetProgress]
REPORTS = [ImportReport, RefusedLine, Stats, Compacted, DoctorFinding]
STATES = [
    PairedDevice,
    Device,
    SpaceMember,
    StoreAlarm,
    Status,
    Serving,
    Budget,
    SearchStatus,
    SpaceStatus,
    SettingLine,
    YjsToken,
]
PRINTED = [*RECORDS, *REPORTS, *STATES, Start, NextStep, ClientChange, Trial, Captured, ServeReport, DemoOutcome]


@pytest.mark.parametrize("name", root.list_commands(click.Context(root)))
def test_every_command_is_described(name: str) -> None:
    """Each has a line in the table of commands."""
    assert f"\n| `{name}" in PAGE


@pytest.mark.parametrize("kind", PRINTED)
def test_every_name_in_the_json_is_documented(kind: type) -> None:
    """Scripts rely on these names, so every printed field is on the page."""
    text = PAGE.partition("## JSON")[2]
    assert [field.name for field in fields(kind) if f"`{field.name}`" not in text] == []


def test_every_name_of_a_model_is_documented() -> None:
    """For `model list`."""
    text = PAGE.partition("## JSON")[2]
    assert [field.name for field in fields(KnownModel) if f"`{field.name}`" not in text] == []


def test_every_filter_is_listed() -> None:
    """Each option is listed among the filters."""

    @click.command()
    @filter_options
    def command() -> None: ...

    options = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
    assert [name for name in options if f"`{name}`" not in PAGE] == []
