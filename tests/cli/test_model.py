"""`memcrdt model list`, `use`, `pull` and `status`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memcrdt import config
from memcrdt.search.query.ranking import WEIGHTS
from memcrdt.testing.models import FakeHub, write_tiny_model

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

STATIC = "static-minilm-256"
FASTEMBEDS = "BAAI/bge-small-en-v1.5"


@pytest.fixture(autouse=True)
def _no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty model folder, and a hub address at which no process listens."""
    monkeypatch.setenv("MEMCRDT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Return a hub that serves a small model under a name of fastembed."""
    model = write_tiny_model(tmp_path / "theirs", dim=384, file="model_optimized.onnx")
    with FakeHub("Qdrant/bge-small-en-v1.5-onnx-Q", model) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.address)
        yield fake


def test_list_names_the_shipped_model_and_those_of_fastembed(cli: Cli) -> None:
    """With the models on this machine marked."""
    here = {model["name"]: model["here"] for model in cli("model", "list", "--json").json}
    assert here["auto"]
    assert here["static"]
    assert not here[FASTEMBEDS]
    assert cli("model", "list").out.startswith("auto\there\t0\t384\t")


def test_pull_without_a_network_fails_at_once(cli: Cli) -> None:
    """The error has the address that does not answer, and an alternative."""
    cli("model", "pull", FASTEMBEDS).failed(1, "127.0.0.1", "model use FOLDER")


def test_pull_refuses_an_unknown_name(cli: Cli) -> None:
    """Before any network access."""
    cli("model", "pull", "nobody/knows-it").failed(2, "model list")


def test_the_shipped_model_need_not_be_pulled(cli: Cli) -> None:
    """It is on the machine already."""
    assert cli("model", "pull", "static").code == 0


def test_use_embeds_what_was_there_before(cli: Cli, home: Path) -> None:
    """A store that was searched by words alone gets vectors, and its settings keep the choice."""
    config.change(home, "embedder", "none")
    added = cli("add", "Deploys go out on Tuesdays").out.strip()
    assert cli("model", "status", "--json").json[0]["model"] is None
    ran = cli("model", "use", "static")
    assert (ran.code, ran.out) == (0, f"{STATIC}\n")
    assert config.load(home).embedder == "static"
    (status,) = cli("model", "status", "--wait", "--json").json
    assert (status["model"], status["next_model"], status["waiting"]) == (STATIC, None, 0)
    assert cli("search", "when do we ship software?", "--json").json[0]["memory"]["id"] == added
    assert f"search\t{STATIC}\n" in cli("status", "-v").out


def test_a_model_that_is_not_here_changes_nothing(cli: Cli, home: Path) -> None:
    """The message says how to download it. The settings stay unchanged."""
    cli("add", "Deploys go out on Tuesdays")
    cli("model", "use", FASTEMBEDS).failed(1, f"memcrdt model pull {FASTEMBEDS}")
    cli("model", "use", "nonsense").failed(2, "nonsense")
    assert cli("model", "status", "--json").json[0]["model"] == STATIC
    assert config.written(home) == {}


def test_waiting_ends_with_the_error_that_stops_it(cli: Cli, home: Path, tmp_path: Path) -> None:
    """A model whose files are missing embeds nothing: exit code 1 instead of an endless wait."""
    cli("init")
    config.change(home, "embedder", FASTEMBEDS)
    cli("add", "Deploys go out on Tuesdays")
    cli("model", "status", "--wait").failed(1, f"memcrdt model pull {FASTEMBEDS}")


def test_a_model_is_pulled_and_used_with_one_command(cli: Cli, hub: FakeHub) -> None:
    """As the status suggests it to people who write in other languages."""
    assert cli("model", "use", "--pull", FASTEMBEDS).code == 0
    assert [m["name"] for m in cli("model", "list", "--json").json if m["here"]] == ["auto", "static", FASTEMBEDS]


def test_a_model_is_pulled_used_and_searched_with(cli: Cli, hub: FakeHub) -> None:
    """From a hub to search by meaning.

    Existing memories are embedded again, and the old vectors are used until then.
    """
    added = cli("add", "cat sleeps").out.strip()
    cli("add", "deploys tuesdays")
    assert cli("model", "pull", FASTEMBEDS).code == 0
    assert [m["name"] for m in cli("model", "list", "--json").json if m["here"]] == ["auto", "static", FASTEMBEDS]
    assert cli("model", "use", FASTEMBEDS).out == f"{FASTEMBEDS}\n"
    (during,) = cli("model", "status", "--json").json
    assert FASTEMBEDS in (during["model"], during["next_model"])
    (after,) = cli("model", "status", "--wait", "--json").json
    assert after == {
        "model": FASTEMBEDS,
        "second_model": None,
        "next_model": None,
        "waiting": 0,
        "error": None,
        "suggestion": None,
    }
    found = cli("search", "kitten naps", "--explain", "--json").json
    assert found[0]["memory"]["id"] == added
    assert (found[0]["parts"]["lexical"], found[0]["parts"]["semantic"]) == (0, pytest.approx(WEIGHTS["semantic"]))


def test_a_pull_that_was_killed_goes_on_where_it_was(
    cli: Cli, hub: FakeHub, tmp_path: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    """The next run requests only the rest of the file. Until then, the model is not available."""
    hub.budget, hub.hold = [6_000], True
    process = subprocess.Popen([sys.executable, "-m", "memcrdt", "model", "pull", FASTEMBEDS])
    eventually(lambda: [path for path in tmp_path.glob("models/*/parts/*") if path.stat().st_size == 6_000])
    process.kill()
    process.wait()
    cli("model", "use", FASTEMBEDS).failed(1, f"memcrdt model pull {FASTEMBEDS}")
    assert cli("model", "pull", FASTEMBEDS).code == 0
    assert hub.ranges == [None, "bytes=6000-"]
    assert cli("model", "use", FASTEMBEDS).code == 0


def test_pulling_shows_its_progress_on_a_terminal_only(cli: Cli, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in megabytes, overwritten in place. Without a terminal there is none."""
    assert cli("model", "pull", FASTEMBEDS).err.count("MB") == 0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shutil.rmtree(os.environ["MEMCRDT_MODELS"])
    shown, said, _ = cli("model", "pull", FASTEMBEDS).err.split("\n")
    assert set(shown.split("\r")[1:]) == {"memcrdt: 0.0 of 0.0 MB"}
    assert "is on this machine" in said
