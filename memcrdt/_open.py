"""memcrdt.open(): where the parts are put together."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING

from memcrdt import config as configuration
from memcrdt.memory.memory import Memory
from memcrdt.model.checks import check_flag, check_name
from memcrdt.paths import check_path
from memcrdt.search.searcher import Searcher

if TYPE_CHECKING:
    from memcrdt.memory.async_memory import OpeningMemory
    from memcrdt.search.embedders.embedder import Embedder, EmbedFunction

HOME_VARIABLE = "MEMCRDT_HOME"


def open(  # noqa: A001 - the name of the public interface
    home: str | os.PathLike[str] | None = None,
    *,
    embedder: str | Embedder | EmbedFunction | EllipsisType | None = ...,
    device_name: str | None = None,
    read_only: bool = False,
    sync: bool = False,
) -> Memory:
    """Opens the memory of a home, and makes it if it is not there.

    `home` is the folder that holds the store and, beside it, the device's key and config.toml; None takes
    $MEMCRDT_HOME, or else the platform's own data folder. `embedder` is "static" (shipped, no download), None, or
    whatever memcrdt.search takes; without it, and without `device_name`, config.toml decides. `sync` starts the
    network in the background. Raises InputError, StoreError.
    """
    from memcrdt.net.identity import KEY_FILE, Identity, device_id_of
    from memcrdt.node.node import BackgroundNode
    from memcrdt.search import SearchIndex, make_embedder
    from memcrdt.store.file_setup import check_file
    from memcrdt.store.incarnation import StoreOptions
    from memcrdt.store.location import FILE
    from memcrdt.store.store import Store

    read_only, sync = check_flag(read_only, "read_only"), check_flag(sync, "sync")
    folder = home_folder(home)
    config = configuration.load(folder)
    if device_name is not None:
        config = replace(config, device_name=check_name(device_name, "the device's name"))
    index = SearchIndex(make_embedder(config.embedder if isinstance(embedder, EllipsisType) else embedder))
    if not (folder / KEY_FILE).exists():  # none is made for a home that can't be opened
        check_file(folder / FILE)
    device = device_id_of(folder) if read_only else Identity.load_or_create(folder).device_id
    store = Store(folder, device, index, StoreOptions(read_only=read_only))
    searcher = Searcher(store, index)
    memory = Memory(folder, store, BackgroundNode, searcher=searcher, config=config)
    try:
        if not read_only:
            memory.retention.look()
            searcher.start()
        if sync:
            memory.start_sync()
    except BaseException:  # whatever it was: nothing of a failed opening stays open
        memory.close()
        raise
    return memory


def open_async(
    home: str | os.PathLike[str] | None = None,
    *,
    embedder: str | Embedder | EmbedFunction | EllipsisType | None = ...,
    device_name: str | None = None,
    read_only: bool = False,
    sync: bool = False,
) -> OpeningMemory:
    """Open the memory of a home without blocking the event loop.

    Cancelled meanwhile, it leaves nothing open.

    Args:
        home: As for open(), and so are the others.
        embedder: The model to search with.
        device_name: The name of this device.
        read_only: Whether to leave the home as it is.
        sync: Whether to start the network in the background.

    Returns:
        An object that opens the memory when it is awaited or entered, and gives an AsyncMemory. Entered, it closes the
        memory in the end; awaited, it leaves that to the caller.

    Raises:
        InputError, StoreError: As open() does, when it is awaited or entered.

    Example:
        ```python
        async with memcrdt.open_async() as memory:
            await memory.add("The client wants invoices in PDF")

        memory = await memcrdt.open_async()  # in a notebook
        ```
    """
    from memcrdt.memory.async_memory import OpeningMemory

    return OpeningMemory(lambda: open(home, embedder=embedder, device_name=device_name, read_only=read_only, sync=sync))


def home_folder(home: str | os.PathLike[str] | None = None) -> Path:
    """The folder that open() takes for `home`; an empty variable counts as none. Raises InputError for no path."""
    given = os.environ.get(HOME_VARIABLE) or None if home is None else home
    if given is not None:
        return check_path(given, "the home").expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("memcrdt", appauthor=False)
