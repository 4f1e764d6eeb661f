"""Embedders through fastembed: any of its models that is on this machine, or an ONNX model in a folder.

Nothing here uses the network. A model that is not on this machine raises ModelMissingError; `memcrdt model pull`
downloads it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memcrdt.errors import EmbedderError, InputError, ModelMissingError
from memcrdt.model.values import parse_json
from memcrdt.search.arrays import unit_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHE_VARIABLE = "MEMCRDT_MODELS"
FOLDER_PREFIX = "folder:"
BATCH = 32  # texts per run, of about equal length: padding costs more than calls
_SAMPLE_BYTES = 65_536
_CONFIG_BYTES = 1 << 20


def cache_folder() -> Path:
    """Return the folder of pulled models: $MEMCRDT_MODELS, or one in the platform's cache folder."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("memcrdt", appauthor=False) / "models"


def text_embedding() -> Any:
    """Return fastembed's TextEmbedding. The import takes a second."""
    from fastembed import TextEmbedding
    from loguru import logger

    logger.disable("fastembed")  # by default it writes long messages to stderr; our errors have the same in one line
    return TextEmbedding


class FastEmbedder:
    """An Embedder over one of fastembed's models. The model is loaded at first use, in about a second."""

    fast = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._model: Any = None

    @property
    def dim(self) -> int:
        """The number of dimensions of a vector. Raises EmbedderError."""
        return int(self._loaded().embedding_size)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, [len(texts), dim]. Raises EmbedderError."""
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        vectors = self._run("passage_embed", [texts[n] for n in order])
        rows: list[Any] = [None] * len(texts)
        for n, vector in zip(order, vectors, strict=True):
            rows[n] = vector
        return unit_rows(rows, len(texts), self.name)

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """Return the unit vector, [dim], of a query, as the model embeds queries. Raises EmbedderError."""
        vector: NDArray[np.float32] = unit_rows(self._run("query_embed", [query]), 1, self.name)[0]
        return vector

    def _run(self, method: str, texts: list[str]) -> list[Any]:
        model = self._loaded()
        try:
            return list(getattr(model, method)(texts, batch_size=BATCH))
        except Exception as exc:  # the errors of ONNX Runtime and fastembed have no other common base
            raise EmbedderError(f"the model {self.name} failed on a batch of {len(texts)}: {exc}") from exc

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                try:
                    self._model = self._load()
                except EmbedderError:
                    raise
                except Exception as exc:  # likewise; and a folder may contain anything
                    raise ModelMissingError(
                        f"the model {self.name} is not on this machine ({type(exc).__name__}); get it with"
                        f" `memcrdt model pull {self.name}`, or switch back with `memcrdt model use static`"
                    ) from exc
            return self._model

    def _load(self) -> Any:
        return text_embedding()(self.name, cache_dir=str(cache_folder()), local_files_only=True)


class FolderEmbedder(FastEmbedder):
    """An Embedder over an ONNX model in a folder: model.onnx or onnx/model.onnx, and tokenizer.json.

    Its name has the folder and a digest of the model, so another model in the same folder is another embedder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        files = [name for name in ("model.onnx", "onnx/model.onnx") if (self._folder / name).is_file()]
        if not files or not (self._folder / "tokenizer.json").is_file():
            raise InputError(f"the folder {self._folder} has no model.onnx with a tokenizer.json; give another folder")
        self._file = files[0]
        super().__init__(f"{FOLDER_PREFIX}{self._folder}#{_digest(self._folder / self._file)}")

    def _load(self) -> Any:
        from fastembed.common.model_description import ModelSource, PoolingType

        embedding = text_embedding()
        known = {str(model["model"]) for model in embedding.list_supported_models()}
        if self.name.lower() not in {name.lower() for name in known}:
            embedding.add_custom_model(
                self.name,
                pooling=PoolingType.CLS if self._pools_first() else PoolingType.MEAN,
                normalization=True,
                sources=ModelSource(hf=self._folder.name),
                dim=self._read("config.json").get("hidden_size", 0),
                model_file=self._file,
            )
        return embedding(self.name, specific_model_path=str(self._folder))

    def _pools_first(self) -> bool:
        return bool(self._read("1_Pooling/config.json").get("pooling_mode_cls_token", False))

    def _read(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        if not path.is_file():
            return {}
        try:
            with path.open("rb") as file:
                found = parse_json(file.read(_CONFIG_BYTES))
        except ValueError as exc:
            raise EmbedderError(f"{path} is not JSON ({exc}); pull the model again, or name another folder") from exc
        return found if isinstance(found, dict) else {}


def _digest(path: Path) -> str:
    """Return a digest of the size and three samples: models have hundreds of megabytes and differ everywhere."""
    size = path.stat().st_size
    digest = hashlib.blake2b(size.to_bytes(8, "big"), digest_size=6)
    with path.open("rb") as file:
        for start in (0, size // 2, max(size - _SAMPLE_BYTES, 0)):
            file.seek(start)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
