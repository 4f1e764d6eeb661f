"""The contract of every Embedder: a test class to inherit from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memcrdt.search.embedders.embedder import Embedder
from memcrdt.testing.memories import temporary

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT = 1e-5  # tolerance for rounding
_ODD = {"empty": "", "blanks": " \n\t", "NUL": "a\0b", "scripts": "שלום \N{FAMILY} e\u0301", "long": "word " * 3_000}


class EmbedderAcceptance:
    """The tests. Inherit from the class, and give it a fixture `embedder`.

    Attributes:
        texts: Texts that the model can tell apart.
    """

    texts: Sequence[str] = ("deploys go out on tuesdays", "the cat sleeps", "invoices are sent as PDF")

    def test_its_name_and_its_size_stay(self, embedder: Embedder) -> None:
        """Vectors are stored under the name. Both are known before the first embedding."""
        name, dim, fast = embedder.name, embedder.dim, embedder.fast
        assert (isinstance(name, str), name.strip()) == (True, name)
        assert name != ""
        assert dim > 0
        assert isinstance(fast, bool)
        assert embedder.embed(self.texts).shape[1] == dim
        assert (embedder.name, embedder.dim, embedder.fast) == (name, dim, fast)

    def test_vectors_have_length_one(self, embedder: Embedder) -> None:
        """The result is float32, with one row per text."""
        vectors = embedder.embed(self.texts)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(self.texts), embedder.dim)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=_EXACT)

    def test_a_text_has_one_vector_whatever_stands_beside_it(self, embedder: Embedder) -> None:
        """The vector is the same alone, in another order, twice, and later."""
        vectors = embedder.embed(self.texts)
        np.testing.assert_allclose(embedder.embed(list(reversed(self.texts))), vectors[::-1], atol=_EXACT)
        np.testing.assert_allclose(embedder.embed([self.texts[0]] * 2), vectors[[0, 0]], atol=_EXACT)
        for text, vector in zip(self.texts, vectors, strict=True):
            np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=_EXACT)

    def test_a_question_is_nearest_to_the_text_that_says_the_same(self, embedder: Embedder) -> None:
        """Query vectors are float32 of unit length, in the same space."""
        vectors = embedder.embed(self.texts)
        for row, text in enumerate(self.texts):
            query = embedder.embed_query(text)
            assert query.dtype == np.float32
            assert query.shape == (embedder.dim,)
            assert np.linalg.norm(query) == pytest.approx(1, abs=_EXACT)
            assert int(np.argmax(vectors @ query)) == row

    @pytest.mark.parametrize("text", _ODD.values(), ids=_ODD)
    def test_any_text_has_a_vector(self, embedder: Embedder, text: str) -> None:
        """The length is 1, or 0 for a text without meaning for the model."""
        for vector in (embedder.embed([self.texts[0], text])[1], embedder.embed_query(text)):
            assert np.isfinite(vector).all()
            assert min(abs(np.linalg.norm(vector) - length) for length in (0, 1)) < _EXACT

    def test_threads_may_use_it_at_once(self, embedder: Embedder) -> None:
        """Also for the first call. Each thread gets the vectors of its own texts."""

        def embed(turn: int) -> NDArray[np.float32]:
            return embedder.embed(self.texts[turn % 2 :])

        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(embed, range(8)))
        vectors = embedder.embed(self.texts)
        for turn, rows in enumerate(found):
            np.testing.assert_allclose(rows, vectors[turn % 2 :], atol=_EXACT)

    def test_a_memory_finds_with_it(self, embedder: Embedder) -> None:
        """A fast embedder is called at the write, a slow one by the background worker."""
        with temporary(embedder=embedder) as memory:
            ids = memory.add_many(self.texts)
            found = memory.search(self.texts[1], limit=1)
            assert [hit.memory.id for hit in found] == [ids[1]]
            assert memory.status().search.model in (None, embedder.name)
            assert memory.status().search.error is None
