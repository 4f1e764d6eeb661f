"""The embedder that ships with the package: it averages word vectors from a table, without a network or a framework.

The table is a model2vec distillation of sentence-transformers/all-MiniLM-L6-v2 (models/static-minilm-256). The vectors
are identical to model2vec's. Its two files are read directly, because importing model2vec takes longer than a search.
"""

from __future__ import annotations

import json
import re
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
_BATCH = 4_096  # texts tokenised at once: limits the memory that a bulk import needs
_KNOWN = 32_768  # words whose tokens are cached: about 5 MB
_WORD = re.compile("[a-z0-9]+|[^a-z0-9 ]")  # splits printable ASCII in lower case as the tokenizer does
_LONG = re.compile("[A-Za-z0-9]{101}")


class _Loaded(NamedTuple):
    tokenizer: Tokenizer
    table: NDArray[np.int8]  # [tokens, DIM]
    unknown: int | None  # the token of words without a vector

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text that have a vector."""
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[token for token in encoding.ids if token != self.unknown] for encoding in encodings]


class StaticEmbedder:
    """An Embedder over the shipped table. A text of 20 words takes about 15 µs. Files are loaded at first use."""

    name = NAME
    dim = DIM
    fast = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._known: dict[str, list[int]] = {}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), 256]; zeros for a text without a known token. Texts are not truncated."""
        import numpy as np

        loaded = self._load()
        vectors = np.zeros((len(texts), DIM), np.float32)
        for start in range(0, len(texts), _BATCH):
            for row, ids in enumerate(self._tokens(loaded, texts[start : start + _BATCH]), start):
                if ids:
                    np.add.reduce(loaded.table.take(ids, axis=0), axis=0, dtype=np.float32, out=vectors[row])
        return normalised(vectors)

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """Return the unit vector, [256], of a query. It equals the vector of the same text."""
        vector: NDArray[np.float32] = self.embed([query])[0]
        return vector

    def _tokens(self, loaded: _Loaded, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text that have a vector.

        The tokens of words in plain texts are cached: a word has the same tokens everywhere, and looking them up takes
        a quarter of the time.
        """
        known = self._known = self._known if len(self._known) < _KNOWN else {}
        words = [_WORD.findall(text.lower()) if _is_plain(text) else None for text in texts]
        new = list({word for found in words for word in found or () if word not in known})
        known.update(zip(new, loaded.tokens(new), strict=True))
        others = iter(loaded.tokens([text for text, found in zip(texts, words, strict=True) if found is None]))
        return [next(others) if found is None else [t for word in found for t in known[word]] for found in words]

    def _load(self) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                folder = resources.files("memcrdt.search") / "models" / NAME
                with resources.as_file(folder) as path:
                    self._loaded = _read(path)
            return self._loaded


def _is_plain(text: str) -> bool:
    """Return whether _WORD splits `text` as the tokenizer does.

    The tokenizer drops control characters, knows words in brackets, and gives up on words of over 100 letters.
    """
    return text.isascii() and text.isprintable() and "[" not in text and not _LONG.search(text)


def _read(folder: Path) -> _Loaded:
    from safetensors.numpy import load_file

    tokenizer = make_tokenizer((folder / "tokenizer.json").read_bytes())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    table = load_file(folder / "model.safetensors")["embeddings"]
    return _Loaded(tokenizer, table, tokenizer.token_to_id("[UNK]"))


def make_tokenizer(described: bytes) -> Tokenizer:
    """Make the same tokenizer as Tokenizer.from_buffer(), in two calls of about 10 ms instead of one of 25 ms.

    Each call keeps all other threads waiting. The second call gives the tokenizer the words that Python has read.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece

    parts = json.loads(described)
    words, model = parts["model"]["vocab"], parts["model"]
    model["vocab"] = {token["content"]: token["id"] for token in parts["added_tokens"]}
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    tokenizer.model = WordPiece(
        vocab=words,
        unk_token=model["unk_token"],
        max_input_chars_per_word=model["max_input_chars_per_word"],
        continuing_subword_prefix=model["continuing_subword_prefix"],
    )
    return tokenizer
