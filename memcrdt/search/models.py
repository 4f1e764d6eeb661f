"""The models one may embed with: which there are, getting one, changing to one, and how far that is."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, NamedTuple

from memcrdt.errors import EmbedderError, InputError, MemcrdtError, ModelMissingError
from memcrdt.search import registry, static
from memcrdt.search.embedder import make_embedder
from memcrdt.search.fastembedder import FOLDER_PREFIX, cache_folder, text_embedding

if TYPE_CHECKING:
    from memcrdt.search.index import SearchIndex
    from memcrdt.search.worker import Worker
    from memcrdt.store.store import Store

PROBE_TIMEOUT_S = 5.0  # for the first byte of the hub; fastembed by itself would wait and retry for 40 s
_HUB = "https://huggingface.co"


class KnownModel(NamedTuple):
    """A model that can be named. `size_mb` is that of its download, `here` whether it is on this machine."""

    name: str
    dim: int
    size_mb: float
    description: str
    here: bool


class ModelStatus(NamedTuple):
    """What a store is searched with. While `next` is set, its vectors are being made and `current` answers.

    `waiting` memories of `total` have yet to be embedded; `error` says why that does not go on, or why queries
    are answered by full text alone.
    """

    current: str | None
    next: str | None
    waiting: int
    total: int
    error: str | None


def known_models() -> list[KnownModel]:
    """The shipped model, then fastembed's by name. Takes a second: it imports fastembed."""
    shipped = KnownModel("static", static.DIM, 0.0, "Shipped: word vectors, averaged; English; needs no download", True)
    found = [
        KnownModel(
            str(model["model"]),
            int(model["dim"] or 0),
            1000 * float(model["size_in_GB"] or 0),
            str(model["description"]),
            _is_here(str(model["model"]), str(model["sources"].get("hf") or "")),
        )
        for model in text_embedding().list_supported_models()
        if not str(model["model"]).startswith(FOLDER_PREFIX)
    ]
    return [shipped, *sorted(found, key=lambda model: model.name.lower())]


def pull(name: str) -> None:
    """Downloads a model of fastembed's into the cache; its client prints progress on stderr, and resumes.

    Raises InputError for an unknown name, and ModelMissingError at once when the hub does not answer.
    """
    if name not in {model.name for model in known_models()}:
        raise InputError(
            f"there is no model {name!r}; `memcrdt model list` names them, or give a folder to `model use`"
        )
    if name == "static":
        return
    _check_hub(name)
    try:
        text_embedding()(name, cache_dir=str(cache_folder()))
    except Exception as exc:  # the hub client, the file system and onnxruntime raise classes of their own
        raise ModelMissingError(f"the model {name} could not be got: {exc}; run the command again to resume") from exc


def use(store: Store, index: SearchIndex, spec: str) -> str:
    """Makes `spec` the model of the store; the worker embeds with it and then switches. Returns the model's name.

    The model is loaded once before anything changes. Raises InputError, ModelMissingError, StoreError.
    """
    embedder = make_embedder(spec)
    if embedder is None:
        raise InputError("there is no model to use in 'none'; open the memory with embedder=None to search by words")
    embedder.embed_query("a first question")
    with store.writing() as db:
        registry.use(db, embedder.name)
    index.on_waiting()
    return embedder.name


def status(store: Store, index: SearchIndex, worker: Worker | None = None) -> ModelStatus:
    """The models of the store, and how much waits."""
    with store.reading() as db:
        models = registry.in_use(db)
        waiting = int(db.execute("SELECT count(*) FROM waiting").get)
        total = int(db.execute("SELECT count(*) FROM memories").get)
    errors: list[MemcrdtError | EmbedderError | None] = [worker.error if worker else None, index.error]
    current, following = models.get("current"), models.get("next")
    return ModelStatus(
        current.name if current else None,
        following.name if following else None,
        waiting,
        total,
        next((str(error) for error in errors if error), None),
    )


def _is_here(name: str, source: str) -> bool:
    folder = cache_folder()
    return any((folder / f"models--{repository.replace('/', '--')}").is_dir() for repository in (source, name))


def _check_hub(name: str) -> None:
    address = os.environ.get("HF_ENDPOINT", _HUB)
    if not address.startswith("https://"):
        raise InputError(f"HF_ENDPOINT is {address!r}; it must start with https://")
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S):  # noqa: S310 - likewise
            return
    except urllib.error.HTTPError:
        return  # it answered: the network is there
    except OSError as exc:
        raise ModelMissingError(
            f"{address} does not answer ({exc}), so {name} can't be got; try again with a network, or copy the model's"
            " folder here and run `memcrdt model use FOLDER`"
        ) from exc
