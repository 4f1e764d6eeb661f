"""The models one may embed with: which there are, getting one, and changing to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memcrdt.errors import InputError
from memcrdt.search.embedders import static
from memcrdt.search.embedders.embedder import make_embedder
from memcrdt.search.embedders.fastembedder import FOLDER_PREFIX, cache_folder, text_embedding
from memcrdt.search.embedders.hub import Progress, Repository
from memcrdt.search.index import registry

if TYPE_CHECKING:
    from memcrdt.search.index.index import SearchIndex
    from memcrdt.store.store import Store

_SHIPPED: Final = "static"
_TOKENIZER: Final = "tokenizer.json"
_USEFUL: Final = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json")


class KnownModel(NamedTuple):
    """A model that can be named. `size_mb` is that of its download, `here` whether it is on this machine."""

    name: str
    dim: int
    size_mb: float
    description: str
    here: bool


def known_models() -> list[KnownModel]:
    """The shipped model, then fastembed's by name. Takes a second: it imports fastembed."""
    shipped = KnownModel(_SHIPPED, static.DIM, 0.0, "Shipped: word vectors, averaged; English; needs no download", True)
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
    return [shipped, *sorted(found, key=lambda model: model.name.lower())]


def pull(name: str, progress: Progress = lambda here, total: None) -> None:
    """Downloads a model of fastembed's into the cache; what was got before a break need not be got again.

    Raises InputError for an unknown name, and ModelMissingError: soon when the hub does not answer.
    """
    if name == _SHIPPED:
        return
    model = _descriptions().get(name)
    if model is None:
        raise InputError(
            f"there is no model {name!r}; `memcrdt model list` names them, or give a folder to `model use`"
        )
    _repository(model).pull(_needed(model), _USEFUL, progress)


def use(store: Store, index: SearchIndex, spec: str) -> str:
    """Makes `spec` the model of the store; the worker embeds with it and then switches. Returns the model's name.

    The model is loaded once before anything changes. Raises InputError, ModelMissingError, StoreError.
    """
    embedder = make_embedder(spec)
    if embedder is None:
        raise InputError(
            "there is no model to use in 'none'; to search by words alone, write embedder = \"none\" into config.toml, "
            "or open the memory with embedder=None"
        )
    embedder.embed_query("a first question")
    with store.writing() as db:
        registry.use(db, embedder.name)
    index.on_waiting()
    return embedder.name


def _descriptions() -> dict[str, dict[str, Any]]:
    """What fastembed knows of each of its models, by name."""
    known = {str(model["model"]): model for model in text_embedding().list_supported_models()}
    return {name: model for name, model in known.items() if not name.startswith(FOLDER_PREFIX)}


def _repository(model: dict[str, Any]) -> Repository:
    return Repository(str(model["sources"]["hf"]), cache_folder())


def _needed(model: dict[str, Any]) -> list[str]:
    return [str(model["model_file"]), *map(str, model["additional_files"]), _TOKENIZER]
