"""Embedders by name, folder and function."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from memcrdt.errors import EmbedderError, InputError, ModelMissingError
from memcrdt.search.embedders.embedder import make_embedder


def lengths(texts: list[str]) -> list[list[float]]:
    return [[len(text), 1.0] for text in texts]


def test_none_is_no_embedder() -> None:
    """None and "none" mean that only full text is searched."""
    assert make_embedder(None) is None
    assert make_embedder("none") is None


def test_a_function_is_an_embedder_with_its_own_name() -> None:
    """Rows of any length become unit vectors, and the name is that of the function."""
    embedder = make_embedder(lengths)
    assert embedder is not None
    assert embedder.name.endswith(".lengths")
    np.testing.assert_allclose(np.linalg.norm(embedder.embed(["one", "three"]), axis=1), 1, atol=1e-6)
    assert embedder.embed_query("one").shape == (2,)
    assert not embedder.fast


@pytest.mark.parametrize("given", [[[1.0]], [[1.0], [float("nan")]], ["a", "b"], 5, [[1.0], [1.0, 2.0]]])
def test_a_function_with_an_invalid_result_is_an_error(given: object) -> None:
    """Too few rows, other types, NaN and ragged rows raise an EmbedderError that names the function."""
    embedder = make_embedder(lambda texts: given)
    assert embedder is not None
    with pytest.raises(EmbedderError, match="function:"):
        embedder.embed(["one", "two"])


def test_a_function_that_raises_is_an_embedder_error() -> None:
    """Any exception of a user's function becomes an EmbedderError with the exception as its cause."""
    embedder = make_embedder(lambda texts: 1 / 0)
    assert embedder is not None
    with pytest.raises(EmbedderError, match="division") as caught:
        embedder.embed(["text"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("spec", ["nonsense", "", "folder:/nowhere", 5, "a/b/c"])
def test_an_unknown_embedder_is_refused(spec: object) -> None:
    """An unknown name, a missing folder and a number raise InputError at once."""
    with pytest.raises(InputError):
        make_embedder(spec)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """A folder is accepted only if it has a model and its tokenizer."""
    with pytest.raises(InputError, match=r"model\.onnx"):
        make_embedder(str(tmp_path))


def test_a_model_in_a_folder_embeds(tiny_model: Path) -> None:
    """An ONNX model made here returns the mean of its words' rows, in the order of the texts."""
    embedder = make_embedder(str(tiny_model))
    assert embedder is not None
    vectors = embedder.embed(["cat", "deploys tuesdays", "kitten"])
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    np.testing.assert_allclose(vectors[0] @ vectors[1], 0, atol=1e-6)
    assert embedder.dim == 16


def test_the_name_of_a_folder_makes_the_same_embedder_until_its_model_changes(tiny_model: Path) -> None:
    """A store keeps the name, which leads back to the folder. Another model in the folder has another name."""
    first = make_embedder(str(tiny_model))
    assert first is not None
    again = make_embedder(first.name)
    assert again is not None
    assert again.name == first.name
    (tiny_model / "model.onnx").write_bytes((tiny_model / "model.onnx").read_bytes() + b"\x00\x00")
    other = make_embedder(str(tiny_model))
    assert other is not None
    assert other.name != first.name


def test_the_error_for_a_missing_model_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded without the user's command."""
    monkeypatch.setenv("MEMCRDT_MODELS", str(tmp_path))
    embedder = make_embedder("BAAI/bge-small-en-v1.5")
    assert embedder is not None
    with pytest.raises(ModelMissingError, match="memcrdt model pull BAAI/bge-small"):
        embedder.embed(["text"])


@pytest.mark.skipif("MEMCRDT_TEST_MODEL" not in os.environ, reason="MEMCRDT_TEST_MODEL names no folder of a model")
def test_a_real_model_finds_by_meaning() -> None:
    """The transformer in the folder that the environment names gives similar vectors to similar meanings."""
    embedder = make_embedder(os.environ["MEMCRDT_TEST_MODEL"])
    assert embedder is not None
    one, other, third = embedder.embed(["the kitten naps", "a cat is asleep", "release on Tuesday"])
    assert one @ other > one @ third
