"""The transformer that ships with the package, and the embedder `auto`, in which it works beside the static model.

ONNX Runtime and tokenizers run it directly: importing fastembed would take a second more. Each text is a run of its
own. In a batch, the scale of the int8 arithmetic is common to all texts, so a text would have another vector in another
batch, and replicas would disagree. On a processor a batch would save a sixth of the time at best.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from memcrdt.errors import EmbedderError
from memcrdt.search.arrays import unit_rows
from memcrdt.search.embedders.background import lower_priority
from memcrdt.search.embedders.static import StaticEmbedder, make_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME: Final = "all-MiniLM-L6-v2-int8"
DIM: Final = 384
TOKENS: Final = 512  # a passage of English has about 200; the model has no places for more than 512
LOAD_AFTER_S: Final = 1.0  # a program that ends after one search should not have to wait for a model


class AutoEmbedder(StaticEmbedder):
    """The static model, and the shipped transformer as the second model of the store.

    Args:
        threads: The number of threads that embed memories with the transformer.
    """

    def __init__(self, threads: int = 1) -> None:
        super().__init__()
        self.second = TransformerEmbedder(threads)


class TransformerEmbedder:
    """An Embedder over the shipped transformer. A text of 20 words takes about 4 ms on one core.

    Args:
        threads: The number of threads that embed texts. They have a low priority. A query is embedded by its caller.
    """

    name = NAME
    dim = DIM
    fast = False

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._ending = threading.Event()  # nothing is loaded later any more
        self._loaded: _Transformer | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._loading: threading.Thread | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded is not None

    def load(self) -> None:
        """Load the model now. It takes about 0.3 s. Raises EmbedderError."""
        self._load()

    def load_soon(self) -> None:
        """Load the model in a thread, after a moment."""
        with self._lock:
            if self._loaded is None and self._loading is None and not self._closed.is_set():
                self._loading = threading.Thread(target=self._load_later, name="memcrdt-model", daemon=True)
                self._loading.start()
                atexit.register(self._end_loading)  # a thread that Python kills while it loads a model ends in abort()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), 384]. The vector of a text does not depend on the others.

        Raises:
            EmbedderError: The model cannot be loaded, or it was closed.
        """
        loaded = self._load()
        with self._lock:
            if self._closed.is_set():
                raise EmbedderError(f"the model {self.name} was closed")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, "memcrdt-embedding", lower_priority)
            try:
                running = self._pool.map(loaded.embed, texts)
            except RuntimeError:  # Python is ending, and has ended all pools: the caller does the rest itself
                running = map(loaded.embed, texts)
        return unit_rows(list(running), len(texts), self.name) if texts else _no_rows()

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """Return the unit vector, [384], of a query. Raises EmbedderError."""
        vector: NDArray[np.float32] = unit_rows([self._load().embed(query)], 1, self.name)[0]
        return vector

    def close(self) -> None:
        """End the threads, and free the model if no other embedder of this process has it."""
        self._closed.set()
        with self._lock:
            pool, self._pool, self._loaded = self._pool, None, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._end_loading()

    def _end_loading(self) -> None:
        """Load no model later, or wait until it is loaded."""
        self._ending.set()
        with self._lock:
            loading, self._loading = self._loading, None
        if loading is not None:
            loading.join()
            atexit.unregister(self._end_loading)

    def _load(self) -> _Transformer:
        loaded = self._loaded
        if loaded is None:
            loaded = _shared_transformer()
            with self._lock:
                if not self._closed.is_set():
                    self._loaded = loaded
        return loaded

    def _load_later(self) -> None:
        if not self._ending.wait(LOAD_AFTER_S):
            with suppress(EmbedderError):  # the worker has the same problem, and reports it
                self._load()


class _Transformer:
    """The model and its tokenizer. Threads may share it."""

    def __init__(self) -> None:
        try:
            import onnxruntime

            folder = resources.files("memcrdt.search") / "models" / NAME
            self._tokenizer = make_tokenizer((folder / "tokenizer.json").read_bytes())
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(TOKENS)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.enable_cpu_mem_arena = False  # it never gives back what the longest text needed
            options.log_severity_level = 3
            with resources.as_file(folder / "model.onnx") as path:
                self._session: Any = onnxruntime.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"]
                )
        except Exception as exc:  # the errors of ONNX Runtime have no other common base
            raise EmbedderError(
                f"the model {NAME} cannot be loaded ({exc}); install memcrdt again, or search without it:"
                " `memcrdt model use static`"
            ) from exc

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the vector, [384], of a text, of any length. Raises EmbedderError."""
        import numpy as np

        tokens = np.array([self._tokenizer.encode(text).ids], np.int64)
        given = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
        try:
            states = self._session.run(None, given)[0]
        except Exception as exc:  # likewise
            raise EmbedderError(f"the model {NAME} failed on a text of {len(text):,} characters: {exc}") from exc
        vector: NDArray[np.float32] = states[0].mean(axis=0)
        return vector


_last: weakref.ref[_Transformer] | None = None
_last_lock = threading.Lock()


def _shared_transformer() -> _Transformer:
    """Return the model that other embedders of this process use, or load it. Raises EmbedderError."""
    global _last  # noqa: PLW0603 - one model for all memories of a process
    with _last_lock:
        loaded = _last() if _last is not None else None
        if loaded is None:
            loaded = _Transformer()
            _last = weakref.ref(loaded)
        return loaded


def _no_rows() -> NDArray[np.float32]:
    import numpy as np

    return np.empty((0, DIM), np.float32)
