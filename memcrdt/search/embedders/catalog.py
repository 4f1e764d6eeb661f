"""The catalog of the models that can be used by name, and their download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.model.serialization import Record
from memcrdt.search.embedders import static, transformer
from memcrdt.search.embedders.fastembedder import FOLDER_PREFIX, cache_folder, text_embedding
from memcrdt.search.embedders.hub import ModelRepository, Progress

_TOKENIZER: Final = "tokenizer.json"
_USEFUL: Final = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json")


@dataclass(frozen=True, slots=True)
class KnownModel(Record):
    """A model that can be used by name.

    Attributes:
        name: The name, as open(), `model use` and `model pull` take it.
        dim: The number of dimensions of its vectors.
        size_mb: The size of its download, in MB.
        description: The description by its makers.
        here: Whether it is on this machine.
    """

    name: str
    dim: int
    size_mb: float
    description: str
    here: bool


_SHIPPED: Final = (
    KnownModel(
        "auto", transformer.DIM, 0.0, "Shipped: static at once, all-MiniLM-L6-v2 in the background; English", True
    ),
    KnownModel("static", static.DIM, 0.0, "Shipped: word vectors, averaged; English; needs no download", True),
)


def known_models() -> list[KnownModel]:
    """Return the shipped models, then fastembed's models by name. The import of fastembed takes a second."""
    found = [
        KnownModel(
            name,
            int(model["dim"] or 0),
            1000 * float(model["size_in_GB"] or 0),
            str(model["description"]),
            _repository(model).is_here(_needed(model)),
        )
        for name, model in _descriptions().items()
    ]
    return [*_SHIPPED, *sorted(found, key=lambda model: model.name.lower())]


def pull(name: str, progress: Progress = lambda here, total: None) -> None:
    """Download one of fastembed's models into the cache. A download that was interrupted continues where it stopped.

    Args:
        name: The name of a model in `known_models()`.
        progress: Called with the number of bytes that are here and the total number of bytes.

    Raises:
        InputError: No model has this name.
        ModelMissingError: The hub does not answer within seconds, or the files cannot be written.
    """
    if name in {model.name for model in _SHIPPED}:
        return
    model = _descriptions().get(name)
    if model is None:
        raise InputError(
            f"there is no model {name!r}; `memcrdt model list` shows the names; the folder of a model is accepted too"
        )
    _repository(model).pull(_needed(model), _USEFUL, progress)


def _descriptions() -> dict[str, dict[str, Any]]:
    """Return fastembed's description of each of its models, by name."""
    known = {str(model["model"]): model for model in text_embedding().list_supported_models()}
    return {name: model for name, model in known.items() if not name.startswith(FOLDER_PREFIX)}


def _repository(model: dict[str, Any]) -> ModelRepository:
    return ModelRepository(str(model["sources"]["hf"]), cache_folder())


def _needed(model: dict[str, Any]) -> list[str]:
    return [str(model["model_file"]), *map(str, model["additional_files"]), _TOKENIZER]
