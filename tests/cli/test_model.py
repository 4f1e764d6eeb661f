"""`memcrdt model list`, `use`, `pull` and `status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memcrdt import config

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

STATIC = "static-minilm-256"
FASTEMBEDS = "BAAI/bge-small-en-v1.5"


@pytest.fixture(autouse=True)
def _no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None was ever pulled on this machine, and the hub is a port of it where nobody listens."""
    monkeypatch.setenv("MEMCRDT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_ENDPOINT", "https://127.0.0.1:1")


def test_list_names_the_shipped_model_and_those_of_fastembed(cli: Cli) -> None:
    """And which of them are on this machine."""
    here = {model["name"]: model["here"] for model in cli("model", "list", "--json").json}
    assert here["static"]
    assert not here[FASTEMBEDS]
    assert cli("model", "list").out.startswith("static\there\t0\t256\t")


def test_pull_without_a_network_fails_at_once(cli: Cli) -> None:
    """With the address that does not answer, and what to do instead."""
    cli("model", "pull", FASTEMBEDS).failed(1, "127.0.0.1", "model use FOLDER")


def test_pull_refuses_an_unknown_name(cli: Cli) -> None:
    """Before any network is tried."""
    cli("model", "pull", "nobody/knows-it").failed(2, "model list")


def test_the_shipped_model_need_not_be_pulled(cli: Cli) -> None:
    """It is here already."""
    assert cli("model", "pull", "static").code == 0


def test_use_embeds_what_was_there_before(cli: Cli, home: Path) -> None:
    """A store that was searched by words alone gets vectors, and keeps the choice in its settings."""
    config.change(home, "embedder", "none")
    added = cli("add", "Deploys go out on Tuesdays").out.strip()
    assert cli("model", "status", "--json").json[0]["model"] is None
    ran = cli("model", "use", "static")
    assert (ran.code, ran.out) == (0, f"{STATIC}\n")
    assert config.load(home).embedder == "static"
    (status,) = cli("model", "status", "--wait", "--json").json
    assert (status["model"], status["next_model"], status["waiting"]) == (STATIC, None, 0)
    assert cli("search", "when do we ship software?", "--json").json[0]["memory"]["id"] == added
    assert f"search\t{STATIC}\n" in cli("status").out


def test_a_model_that_is_not_here_changes_nothing(cli: Cli, home: Path) -> None:
    """It is said how to get it; the settings stay as they were."""
    cli("add", "Deploys go out on Tuesdays")
    cli("model", "use", FASTEMBEDS).failed(1, f"memcrdt model pull {FASTEMBEDS}")
    cli("model", "use", "nonsense").failed(2, "nonsense")
    assert cli("model", "status", "--json").json[0]["model"] == STATIC
    assert config.written(home) == {}


def test_waiting_ends_with_the_error_that_stops_it(cli: Cli, home: Path, tmp_path: Path) -> None:
    """A model whose files are gone embeds nothing: exit code 1 instead of waiting for ever."""
    cli("init")
    config.change(home, "embedder", FASTEMBEDS)
    cli("add", "Deploys go out on Tuesdays")
    cli("model", "status", "--wait").failed(1, f"memcrdt model pull {FASTEMBEDS}")
