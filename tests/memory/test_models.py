"""The embedding models of a memory, from Python."""

from __future__ import annotations

import time
from pathlib import Path

import memcrdt
from memcrdt import AsyncMemory, Models, config


def test_a_model_is_used_and_waited_for(tmp_path: Path, tiny_model: Path) -> None:
    """config.toml names the model, and nothing waits at the end."""
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        memory.add("Deploys go out on Tuesdays")
        name = memory.models.use(str(tiny_model))
        done = memory.models.wait(timeout=60)
        assert (done.model, done.next_model, done.waiting) == (name, None, 0)
        assert memory.models.status() == done
        assert config.written(memory.home or Path())["embedder"] == name


def test_waiting_ends_with_its_time(tmp_path: Path, tiny_model: Path) -> None:
    """The status reports the backlog."""
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        memory.add_many(f"text {n}" for n in range(50))
        memory.models.use(str(tiny_model))
        left = memory.models.wait(timeout=0)
        assert left.model == memory.models.wait().model or left.next_model is not None


async def test_models_are_listed_without_a_memory_and_awaitable_with_one(tmp_path: Path) -> None:
    """The shipped models are first, and always available."""
    assert [(model.name, model.here) for model in Models.list()[:2]] == [("auto", True), ("static", True)]
    Models.pull("static")
    async with memcrdt.open_async(tmp_path / "home", embedder=None) as memory:
        assert isinstance(memory, AsyncMemory)
        assert (await memory.models.list())[0].name == "auto"
        assert (await memory.models.wait()).waiting == 0
        assert (await memory.wait_indexed(timeout=60)).waiting == 0
        assert await memory.models.load() is False


def test_a_change_of_the_model_ends_the_error_of_the_former_one(tmp_path: Path) -> None:
    """Here a model that only another process had."""
    with memcrdt.open(tmp_path / "home", embedder=lambda texts: [[1.0, len(text)] for text in texts]) as other:
        other.add("Deploys go out on Tuesdays")
    with memcrdt.open(tmp_path / "home") as memory:
        memory.add("Invoices are sent as PDF")
        deadline = time.monotonic() + 20
        while memory.models.status().error is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "not known to this process" in str(memory.models.status().error)
        memory.models.use("static")
        assert memory.models.wait(timeout=60).waiting == 0
