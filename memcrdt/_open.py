"""memcrdt.open(): where the parts are put together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from memcrdt import config as configuration
from memcrdt.config import Config
from memcrdt.errors import InputError
from memcrdt.memory.memory import Memory
from memcrdt.model.checks import check_flag, check_name
from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.paths import check_path
from memcrdt.search.searcher import Searcher

if TYPE_CHECKING:
    from memcrdt.memory.async_memory import OpeningMemory
    from memcrdt.memory.sync import Network
    from memcrdt.search import SearchIndex
    from memcrdt.search.embedders.embedder import Embedder, EmbedFunction
    from memcrdt.store.store import Store

HOME_VARIABLE = "MEMCRDT_HOME"
IN_MEMORY = ":memory:"


def open(  # noqa: A001 - the name of the public interface
    home: str | os.PathLike[str] | None = None,
    *,
    embedder: str | Embedder | EmbedFunction | EllipsisType | None = ...,
    device_name: str | None = None,
    read_only: bool = False,
    sync: bool = False,
) -> Memory:
    """Open the memory of a home, and make it if it is not there.

    Args:
        home: The folder of the store, the device key and config.toml. None takes $MEMCRDT_HOME, or else the
            platform's data folder. ":memory:" opens a new, empty memory that leaves no file and can't sync; each
            call opens another one, and close() frees it.
        embedder: "static" (shipped, no download), None, or anything else that memcrdt.search takes. Without it,
            config.toml decides.
        device_name: The name that other devices see. Without it, config.toml decides.
        read_only: Refuse every write, and create nothing.
        sync: Start the network in the background.

    Raises:
        InputError: An argument is not acceptable, or a memory in memory is to sync or to be read only.
        StoreError: The store can't be opened.
    """
    from memcrdt.memory.offline import Offline
    from memcrdt.net.identity import KEY_FILE, Identity, device_id_of
    from memcrdt.node.node import BackgroundNode
    from memcrdt.search import SearchIndex, make_embedder
    from memcrdt.store.file_setup import check_file
    from memcrdt.store.incarnation import StoreOptions
    from memcrdt.store.location import FILE
    from memcrdt.store.store import Store

    read_only, sync = check_flag(read_only, "read_only"), check_flag(sync, "sync")
    folder = None if _given(home) == IN_MEMORY else home_folder(home)
    config = Config() if folder is None else configuration.load(folder)
    if device_name is not None:
        config = replace(config, device_name=check_name(device_name, "the device's name"))
    index = SearchIndex(make_embedder(config.embedder if isinstance(embedder, EllipsisType) else embedder))
    if folder is None:
        if read_only:
            raise InputError(f"{IN_MEMORY} is a new, empty memory; open it for writing, or name a folder")
        return assembled(None, store_in_memory(index), index, Offline, config, sync=sync)
    if not (folder / KEY_FILE).exists():  # none is made for a home that can't be opened
        check_file(folder / FILE)
    device = device_id_of(folder) if read_only else Identity.load_or_create(folder).device_id
    store = Store(folder, device, index, StoreOptions(read_only=read_only))
    return assembled(folder, store, index, BackgroundNode, config, sync=sync)


def store_in_memory(index: SearchIndex, **options: Any) -> Store:
    """Return a new store in memory, of a device that nobody else is. `options` are those of StoreOptions."""
    from memcrdt.store.incarnation import StoreOptions
    from memcrdt.store.location import MemoryLocation
    from memcrdt.store.store import Store

    device = device_id(secrets.token_bytes(KEY_BYTES))
    return Store(MemoryLocation(), device, index, StoreOptions(**options))


def assembled(
    folder: Path | None,
    store: Store,
    index: SearchIndex,
    network: Callable[[Memory], Network],
    config: Config,
    *,
    sync: bool = False,
) -> Memory:
    """Return the memory over an open store, with its background work running. Closes the store on any error."""
    searcher = Searcher(store, index)
    memory = Memory(folder, store, network, searcher=searcher, config=config)
    try:
        if not store.options.read_only:
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
    """Return the folder that open() takes for `home`. An empty variable counts as none.

    Raises:
        InputError: `home` is no path, or ":memory:".
    """
    given = _given(home)
    if given == IN_MEMORY:
        raise InputError(f"{IN_MEMORY} is no folder; only memcrdt.open() in Python takes it")
    if given is not None:
        return check_path(given, "the home").expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("memcrdt", appauthor=False)


def _given(home: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    return os.environ.get(HOME_VARIABLE) or None if home is None else home
