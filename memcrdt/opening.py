"""memcrdt.open(): where the parts are put together."""

from __future__ import annotations

import os
from pathlib import Path

from memcrdt.errors import InputError
from memcrdt.memory import Memory

HOME_VARIABLE = "MEMCRDT_HOME"


def open(  # noqa: A001 - the name of the public interface
    home: str | os.PathLike[str] | None = None,
    *,
    embedder: object = "static",
    read_only: bool = False,
    sync: bool = False,
) -> Memory:
    """Opens the memory of a home, and makes it if it is not there.

    `home` is the folder that holds the store and, beside it, the device's key; None takes $MEMCRDT_HOME, or else the
    platform's own data folder. `embedder` is "static" (shipped, no download), None, or whatever memcrdt.search
    takes. `sync` starts the network in the background. Raises InputError, StoreError.
    """
    from memcrdt.net.identity import Identity, device_id_of
    from memcrdt.node import BackgroundNode
    from memcrdt.search import SearchIndex
    from memcrdt.search.embedder import make_embedder
    from memcrdt.store.store import Store, StoreOptions

    folder = home_folder(home)
    index = SearchIndex(make_embedder(embedder))
    options = StoreOptions(read_only=read_only)
    device = device_id_of(folder) if read_only else Identity.load_or_create(folder).device_id
    memory = Memory(folder, Store(folder, device, index, options), BackgroundNode)
    if sync:
        memory.start_sync()
    return memory


def home_folder(home: str | os.PathLike[str] | None = None) -> Path:
    """The folder that open() takes for `home`. Raises InputError for an empty one."""
    given = os.environ.get(HOME_VARIABLE) if home is None else os.fspath(home)
    if given is not None:
        if not given.strip():
            raise InputError("the home is empty; name a folder, or leave it out")
        return Path(given).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("memcrdt", appauthor=False)
