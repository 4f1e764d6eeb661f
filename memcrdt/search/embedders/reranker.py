"""A reranker: a cross-encoder reads the query together with each of the best memories, on a deadline.

It is opt-in and not shipped. fastembed runs it: one of its models that is on this machine, or an ONNX model in a
folder.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import EmbedderError, InputError, ModelMissingError
from memcrdt.search.embedders.fastembedder import FOLDER_PREFIX, cache_folder

DEPTH: Final = 30  # memories from the top that are scored: 20 and 40 find as many (docs/benchmarks/reranking.md)
log = logging.getLogger("memcrdt.search")


class Reranker:
    """A cross-encoder, loaded at first use in one or two seconds. Threads may share it.

    Args:
        spec: The name of a reranker of fastembed, or a folder with model.onnx (or onnx/model.onnx) and its tokenizer.

    Attributes:
        error: Why it does not work; None while it does.

    Raises:
        InputError: The folder has no model.
    """

    def __init__(self, spec: str) -> None:
        folder = Path(spec).expanduser()
        self._folder = folder.absolute() if folder.is_dir() else None
        self._file = _model_file(self._folder) if self._folder else None
        self.name = f"{FOLDER_PREFIX}{self._folder}" if self._folder else spec
        self.error: EmbedderError | None = None
        self._lock = threading.Lock()
        self._model: Any = None

    def scores(self, query: str, texts: Sequence[str], limit_ms: int) -> list[float]:
        """Return the logits of the first texts, as many as are scored in time; the higher, the better.

        Loading the model does not count. Every text is a run of its own: so the last one ends soon after the limit, and
        a score does not depend on the other texts. After a failure, `error` has the reason.
        """
        found: list[float] = []
        try:
            model = self._loaded()
            deadline = time.monotonic() + limit_ms / 1000
            for text in texts:
                if time.monotonic() >= deadline:
                    break
                found.append(self._score(model, query, text))
            self.error = None
        except EmbedderError as exc:
            if self.error is None:
                log.warning("%s; until this works again, searches do not rerank", exc)
            self.error = exc
        return found

    def _score(self, model: Any, query: str, text: str) -> float:
        try:
            return float(next(iter(model.rerank(query, [text], batch_size=1))))
        except Exception as exc:  # the errors of ONNX Runtime and fastembed have no other common base
            raise EmbedderError(f"the reranker {self.name} failed on {len(text):,} characters: {exc}") from exc

    def _loaded(self) -> Any:
        with self._lock:
            if self._model is None:
                try:
                    self._model = self._load()
                except Exception as exc:  # likewise
                    raise ModelMissingError(
                        f"the reranker {self.name} is not on this machine ({type(exc).__name__}: {exc}); name another"
                        " one, or a folder, in the setting `reranker`"
                    ) from exc
            return self._model

    def _load(self) -> Any:
        from fastembed.common.model_description import ModelSource
        from fastembed.rerank.cross_encoder import TextCrossEncoder
        from loguru import logger

        logger.disable("fastembed")
        if self._folder is None or self._file is None:
            return TextCrossEncoder(self.name, cache_dir=str(cache_folder()), local_files_only=True)
        known = {str(model["model"]).lower() for model in TextCrossEncoder.list_supported_models()}
        if self.name.lower() not in known:
            TextCrossEncoder.add_custom_model(self.name, ModelSource(hf=self._folder.name), model_file=self._file)
        return TextCrossEncoder(self.name, specific_model_path=str(self._folder))


def _model_file(folder: Path) -> str:
    for name in ("model.onnx", "onnx/model.onnx"):
        if (folder / name).is_file():
            return name
    raise InputError(f"the folder {folder} has no model.onnx; name another folder, or a model, as the reranker")
