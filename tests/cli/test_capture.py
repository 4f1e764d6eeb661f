"""memcrdt capture."""

from __future__ import annotations

import json
from pathlib import Path

from memcrdt.service.capture_queue import enqueue
from tests.cli.conftest import Cli


def test_a_transcript_is_shown_and_then_stored(cli: Cli, tmp_path: Path) -> None:
    """A dry run stores nothing. A second run knows what is there."""
    file = tmp_path / "session.jsonl"
    said = {"type": "user", "message": {"content": "Never deploy the billing service on Fridays"}}
    file.write_text(json.dumps(said) + "\n", encoding="utf-8")
    cli("init")
    shown = cli("capture", str(file), "--dry-run", "--project", "app", "--json").json
    assert [(each["kind"], each["left_out"]) for each in shown] == [("preference", "dry run")]
    assert cli("list", "--json").json == []
    (stored,) = cli("capture", str(file), "--project", "app", "--json").json
    (record,) = cli("list", "--json").json
    assert (record["id"], record["scope"]) == (stored["id"], "project/app")
    assert cli("capture", str(file), "--project", "app", "--json").json[0]["left_out"] == "known"


def test_a_queued_session_begins_the_memory(cli: Cli, home: Path, tmp_path: Path) -> None:
    """A hook queues sessions before there is a memory, so that it need not wait for one to be made."""
    file = tmp_path / "session.jsonl"
    said = {"type": "user", "message": {"content": "Never deploy the billing service on Fridays"}}
    file.write_text(json.dumps(said) + "\n", encoding="utf-8")
    assert enqueue(home, {"session_id": "one", "transcript_path": str(file)}, "app")
    cli("capture")
    assert [record["text"] for record in cli("list", "--json").json] == ["Never deploy the billing service on Fridays"]


def test_wrong_calls_say_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    """Without a file only the queue is worked on, which may not exist."""
    cli("capture", "--dry-run").failed(2, "FILE")
    cli("capture", str(tmp_path / "missing")).failed(2, "transcript")
    ran = cli("capture")
    assert (ran.code, ran.out) == (0, "")
