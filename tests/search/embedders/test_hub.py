"""Downloads of a model's files from a hub on the loopback interface."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from memcrdt.errors import InputError, ModelMissingError
from memcrdt.search.embedders.hub import ModelRepository
from memcrdt.testing.models import COMMIT, FakeHub, write_tiny_model

NAME = "somebody/tiny-onnx"
NEEDED = ("model.onnx", "tokenizer.json")
USEFUL = ("config.json", "tokenizer_config.json", "preprocessor_config.json")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeHub(NAME, write_tiny_model(tmp_path / "theirs", dim=384)) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.address)
        yield fake


@pytest.fixture
def repository(tmp_path: Path) -> ModelRepository:
    return ModelRepository(NAME, tmp_path / "cache")


def pulled(repository: ModelRepository) -> list[tuple[int, int]]:
    """Pull the model, and return the calls of the progress callback."""
    told: list[tuple[int, int]] = []
    repository.pull(NEEDED, USEFUL, lambda here, total: told.append((here, total)))
    return told


def snapshot(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models--somebody--tiny-onnx" / "snapshots" / COMMIT


def test_a_pull_gets_all_files_and_reports_progress(hub: FakeHub, repository: ModelRepository, tmp_path: Path) -> None:
    """It gets the needed files and the useful files that the hub has. Progress goes from 0 to all bytes."""
    told = pulled(repository)
    names = {"model.onnx", "tokenizer.json", "config.json", "tokenizer_config.json"}
    assert {path.name: path.read_bytes() for path in snapshot(tmp_path).iterdir()} == {
        name: (hub.folder / name).read_bytes() for name in names
    }
    total = sum((hub.folder / name).stat().st_size for name in names)
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert told == sorted(told)
    assert repository.is_here(NEEDED)


def test_a_pull_resumes_where_the_last_one_stopped(hub: FakeHub, repository: ModelRepository, tmp_path: Path) -> None:
    """Only the rest of the file is requested, and the result equals the file of the hub."""
    hub.budget = [5_000, 0]
    with pytest.raises(ModelMissingError, match=r"broke at 5,000 of .* bytes of model\.onnx .* pull the model again"):
        pulled(repository)
    assert not repository.is_here(NEEDED)
    pulled(repository)
    assert hub.ranges == [None, "bytes=5000-", "bytes=5000-"]
    assert (snapshot(tmp_path) / "model.onnx").read_bytes() == (hub.folder / "model.onnx").read_bytes()


def test_a_broken_connection_is_retried_while_bytes_arrive(hub: FakeHub, repository: ModelRepository) -> None:
    """After two breaks that each delivered some bytes, no second command is needed."""
    hub.budget = [5_000, 3_000]
    pulled(repository)
    assert hub.ranges == [None, "bytes=5000-", "bytes=8000-"]
    assert repository.is_here(NEEDED)


def test_existing_files_are_not_downloaded_again(hub: FakeHub, repository: ModelRepository) -> None:
    """A second pull compares digests and requests no file."""
    pulled(repository)
    hub.ranges.clear()
    pulled(repository)
    assert hub.ranges == []


def test_a_damaged_file_is_replaced_by_the_next_pull(hub: FakeHub, repository: ModelRepository, tmp_path: Path) -> None:
    """Its digest reveals the damage even if its size is right."""
    pulled(repository)
    model = snapshot(tmp_path) / "model.onnx"
    model.write_bytes(bytes(model.stat().st_size))
    pulled(repository)
    assert model.read_bytes() == (hub.folder / "model.onnx").read_bytes()


def test_a_download_with_a_wrong_digest_is_deleted(
    hub: FakeHub, repository: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every later pull would continue from the damaged file."""
    listing = hub.listing()
    monkeypatch.setattr(hub, "listing", lambda: listing)
    content = bytearray((hub.folder / "model.onnx").read_bytes())
    content[0] ^= 1
    (hub.folder / "model.onnx").write_bytes(content)
    with pytest.raises(ModelMissingError, match="damaged"):
        pulled(repository)
    assert not repository.is_here(NEEDED)
    content[0] ^= 1
    (hub.folder / "model.onnx").write_bytes(content)
    pulled(repository)
    assert repository.is_here(NEEDED)


def test_a_full_disk_is_reported_before_the_download(
    hub: FakeHub, repository: ModelRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the size that is needed and the free space."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000))
    with pytest.raises(ModelMissingError, match="make room"):
        pulled(repository)
    assert hub.ranges == []


@pytest.mark.skipif(os.name == "nt", reason="a file as a folder fails in another way there")
def test_a_folder_that_cannot_be_written_is_a_model_missing_error(hub: FakeHub, tmp_path: Path) -> None:
    """The OSError becomes a ModelMissingError."""
    (tmp_path / "file").touch()
    with pytest.raises(ModelMissingError, match="cannot be written"):
        pulled(ModelRepository(NAME, tmp_path / "file"))


def test_a_missing_repository_or_file_is_reported(hub: FakeHub, tmp_path: Path, repository: ModelRepository) -> None:
    """The cases are an unknown repository, and a file that the repository lacks."""
    with pytest.raises(ModelMissingError, match=r"refuses somebody/else .*404"):
        pulled(ModelRepository("somebody/else", tmp_path / "cache"))
    (hub.folder / "tokenizer.json").unlink()
    with pytest.raises(ModelMissingError, match=r"no tokenizer\.json"):
        pulled(repository)


@pytest.mark.parametrize(
    "change",
    [
        lambda listing: listing.pop("sha"),
        lambda listing: listing.update(sha="../../etc"),
        lambda listing: listing["siblings"][0].update(size="many"),
        lambda listing: [file.update(blobId="../x", lfs=None) for file in listing["siblings"]],
        lambda listing: listing.update(siblings=[1]),
        lambda listing: listing.update(siblings=None),
    ],
)
def test_an_invalid_listing_is_refused(
    hub: FakeHub,
    repository: ModelRepository,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[dict[str, object]], object],
) -> None:
    """No name from such a listing is used as a path."""
    listing = hub.listing()
    change(listing)
    monkeypatch.setattr(hub, "listing", lambda: listing)
    with pytest.raises(ModelMissingError, match="lists no files"):
        pulled(repository)


def test_an_unreachable_hub_and_an_invalid_address_are_reported(
    repository: ModelRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes at once and says what to do without a network."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ModelMissingError, match="memcrdt model use FOLDER"):
        pulled(repository)
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(InputError, match="https://"):
        pulled(repository)


def test_hugging_faces_client_can_use_the_hub_of_these_tests(hub: FakeHub, tmp_path: Path) -> None:
    """The client gets the same files, so the fake hub speaks the real protocol."""
    code = "import sys, huggingface_hub as hub; print(hub.snapshot_download(sys.argv[1], cache_dir=sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", code, NAME, str(tmp_path / "other")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
    )
    got = Path(done.stdout.strip())
    assert got.name == COMMIT
    assert (got / "model.onnx").read_bytes() == (hub.folder / "model.onnx").read_bytes()
