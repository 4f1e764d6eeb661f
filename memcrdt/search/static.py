"""The embedder that ships with the package: a table of word vectors, averaged. No network, no framework.

The table is a model2vec distillation of sentence-transformers/all-MiniLM-L6-v2 (models/static-minilm-256). Vectors
equal those of model2vec; reading the two files directly spares its import, which takes longer than a search.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memcrdt.search.arrays import normalised

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

NAME = "static-minilm-256"
DIM = 256
_BATCH = 4_096  # texts tokenised at once: bounds what a bulk import holds in memory


class _Loaded(NamedTuple):
    tokenizer: Tokenizer
    table: NDArray[np.int8]  # [tokens, DIM]
    unknown: int | None  # the token that stands for what has no vector


class StaticEmbedder:
    """An Embedder over the shipped table: about 40 µs a text of 20 words. Loads its files at first use."""

    name = NAME
    dim = DIM
    fast = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, [len(texts), 256]; zeros for a text without any known token. Texts are not cut."""
        import numpy as np

        tokenizer, table, unknown = self._load()
        vectors = np.zeros((len(texts), DIM), np.float32)
        for start in range(0, len(texts), _BATCH):
            encodings = tokenizer.encode_batch_fast(list(texts[start : start + _BATCH]), add_special_tokens=False)
            for row, encoding in enumerate(encodings, start):
                ids = [token for token in encoding.ids if token != unknown]
                if ids:
                    vectors[row] = table[ids].sum(axis=0, dtype=np.float32)
        return normalised(vectors)

    def embed_query(self, query: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self.embed([query])[0]
        return vector

    def _load(self) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                folder = resources.files("memcrdt.search") / "models" / NAME
                with resources.as_file(folder) as path:
                    self._loaded = _read(path)
            return self._loaded


def _read(folder: Path) -> _Loaded:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    table = load_file(folder / "model.safetensors")["embeddings"]
    return _Loaded(tokenizer, table, tokenizer.token_to_id("[UNK]"))
