"""The shipped embedder."""

from __future__ import annotations

import string
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from memcrdt.search.embedders import static
from memcrdt.search.embedders.static import DIM, StaticEmbedder

_shared = StaticEmbedder()
_whole = Tokenizer.from_buffer(
    (resources.files("memcrdt.search") / "models" / static.NAME / "tokenizer.json").read_bytes()
)
_whole.no_truncation()
_whole.no_padding()

# The first four numbers of each vector that model2vec 0.10.0 gives for the same files.
PINNED = {
    "Deploys go out on Tuesdays": [-0.0741345, -0.227699, 0.3018335, -0.1456214],
    "Her naïve café order: 3 espressos!": [0.024265, -0.0873539, 0.043677, 0.053383],
    "我在北京大学学习中文": [0.2051097, 0.1285024, 0.172984, 0.2520625],
    "What did we decide about the database?": [-0.0756319, -0.2836197, 0.1229019, -0.0850859],
}


def test_vectors_equal_those_of_model2vec() -> None:
    """A few sentences have the same vectors as with model2vec 0.10.0 and the same files."""
    vectors = StaticEmbedder().embed(list(PINNED))
    np.testing.assert_allclose(vectors[:, :4], list(PINNED.values()), atol=1e-6)


def test_vectors_have_length_one_and_a_text_without_tokens_has_zeros() -> None:
    """Every vector has length 1, except the vector of an empty text, which is zero."""
    vectors = StaticEmbedder().embed(["release day", "", "x" * 200])
    assert vectors.shape == (3, DIM)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0], atol=1e-6)


def test_the_end_of_a_long_text_counts() -> None:
    """Texts are not truncated: two texts that differ after 2,000 words have different vectors."""
    start = "word " * 2_000
    one, other = StaticEmbedder().embed([start + "apple", start + "quantum"])
    assert not np.allclose(one, other)


plain = st.text(alphabet=st.sampled_from(string.printable), max_size=60)


@given(st.lists(plain | st.text(max_size=30), max_size=8))
def test_cached_words_change_no_vector(texts: list[str]) -> None:
    """The cached tokens of each word equal the tokens that the tokenizer finds in the whole text."""
    loaded = _shared._load()
    assert _shared._tokens(loaded, texts) == loaded.tokens(texts)


@given(
    plain | st.text(max_size=30) | st.lists(st.sampled_from(["[UNK]", "[PAD]", "x" * 101, " ", "wörd"])).map("".join)
)
def test_the_tokenizer_equals_the_one_in_the_file(text: str) -> None:
    """It gets its words in another way, which keeps other threads waiting only half as long."""
    found = (tokenizer.encode(text, add_special_tokens=False) for tokenizer in (_shared._load().tokenizer, _whole))
    ours, theirs = (encoding.ids for encoding in found)
    assert ours == theirs


def test_the_cache_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache has a maximum number of words, and no word as long as a text."""
    monkeypatch.setattr(static, "_KNOWN", 50)
    embedder = StaticEmbedder()
    for n in range(40):
        embedder.embed([f"word{n} and number {n}", "x" * 5_000])
    assert 0 < len(embedder._known) < 60
    assert max(map(len, embedder._known)) < 20


@pytest.mark.parametrize("text", ["[UNK] [CLS] a[SEP]b", "a\x00b\tc\nd", "A_b-c's", "x" * 100, "y" * 101, "Ünï 😀", ""])
def test_odd_texts_have_the_tokens_of_the_tokenizer(text: str) -> None:
    """The texts have special tokens in brackets, control characters, the longest accepted word, and a longer one."""
    loaded = _shared._load()
    assert _shared._tokens(loaded, [text, text]) == loaded.tokens([text, text])


def test_threads_may_embed_at_once() -> None:
    """Threads that fill and read the cache at the same time each get their own vectors."""
    embedder = StaticEmbedder()
    texts = [f"crane {n} lifts box {n * 7} on pier {n * 11}" for n in range(2_000)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda at: embedder.embed(texts[at : at + 10]), range(0, len(texts), 10)))
    np.testing.assert_array_equal(np.concatenate(parts), _shared.embed(texts))
