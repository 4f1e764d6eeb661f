"""memcrdt.open(), which assembles the parts of a Memory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from memcrdt import config as configuration
from memcrdt.config import Config
from memcrdt.errors import CorruptError, InputError, LockedError, NotFoundError, SchemaError
from memcrdt.memory.memory import Memory
from memcrdt.model.checks import check_flag, check_name, check_port
from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.paths import IN_MEMORY, home_folder, named_home, translated_os_errors
from memcrdt.search.searcher import Searcher

if TYPE_CHECKING:
    from pathlib import Path

    from memcrdt.hub.hub import Hub
    from memcrdt.memory.async_memory import OpeningMemory
    from memcrdt.memory.pairing import PairedDevice, PairOptions, WaitingCode
    from memcrdt.memory.sync import Network
    from memcrdt.search import SearchIndex
    from memcrdt.search.embedders.embedder import Embedder, EmbedFunction
    from memcrdt.store.base import AnyStore
    from memcrdt.store.recovery.doctor import DoctorReport
    from memcrdt.store.store import Store


def open(  # noqa: A001 - the name of the public interface
    home: str | os.PathLike[str] | None = None,
    *,
    embedder: str | Embedder | EmbedFunction | EllipsisType | None = ...,
    device_name: str | None = None,
    read_only: bool = False,
    sync: bool = False,
    port: int | str | None = None,
) -> Memory:
    """Open the memory of a home, and create it if it does not exist. Use it as a context manager.

    Args:
        home: The folder with the store, the device key and config.toml. None takes $MEMCRDT_HOME, or the data folder
            of the platform. ":memory:" opens a new, empty memory that writes no file and cannot sync. Each call opens
            another one, and close() frees it.
        embedder: `"auto"` (the shipped models: a static one at once, and a transformer as soon as it has embedded a
            memory in the background), `"static"` (the static one alone), the name of a model of fastembed, a folder
            with a model, an Embedder, a function from texts to vectors, or None to search by words only. Default: the
            setting of config.toml, which is `"auto"`.
        device_name: The name that other devices see. Default: the setting of config.toml.
        read_only: Whether to refuse every write and create nothing. The home must exist.
        sync: Whether to sync with other devices in the background. The memory opens even if another program has the
            port. Then this device only dials, and Memory.serving() has the reason.
        port: The port to listen at; 0 for any free one, "auto" for 27380, or for another one if that is taken. Default:
            the setting of config.toml, which is "auto".

    Returns:
        The open memory.

    Raises:
        InputError: An argument is invalid, or a memory without a folder should sync or be read-only.
        ModelMissingError: The model is not on this machine.
        StoreError: The store cannot be opened. The subclass gives the reason.

    Example:
        >>> with memcrdt.open() as memory:
        ...     memory.add("Deploys go out on Tuesdays")
    """
    from memcrdt.memory.offline import Offline
    from memcrdt.net.identity import KEY_FILE, Identity, device_id_of
    from memcrdt.node.background import BackgroundNode
    from memcrdt.node.lock import holder
    from memcrdt.search import SearchIndex, make_embedder
    from memcrdt.search.embedders.reranker import Reranker
    from memcrdt.store.file_setup import check_file
    from memcrdt.store.files import FILE
    from memcrdt.store.incarnation import StoreOptions
    from memcrdt.store.store import Store

    read_only, sync = check_flag(read_only, "read_only"), check_flag(sync, "sync")
    folder = None if named_home(home) == IN_MEMORY else home_folder(home)
    config = Config() if folder is None else configuration.load(folder)
    if device_name is not None:
        config = replace(config, device_name=check_name(device_name, "the device's name"))
    if port is not None:
        config = replace(config, port=check_port(port, "the port"))
    spec = config.embedder if isinstance(embedder, EllipsisType) else embedder
    reranker = Reranker(config.reranker) if config.reranker else None
    index = SearchIndex(make_embedder(spec, threads=config.embed_threads), reranker)
    if folder is None:
        if read_only:
            raise InputError(f"{IN_MEMORY} is a new, empty memory; open it for writing, or name a folder")
        return assembled(None, store_in_memory(index), index, Offline, config, sync=sync)
    if read_only:
        check_begun(folder)
    if not (folder / KEY_FILE.name).exists():  # do not create a key for a home that cannot be opened
        check_file(folder / FILE)
        if (server := holder(folder)) is not None:  # its connections prove the former key until it ends
            raise LockedError(
                f"{folder} has no device key any more, but process {server.pid} still syncs with the former one; end"
                " that process first (`memcrdt serve`, or a program that syncs)"
            )
    device = device_id_of(folder) if read_only else Identity.load_or_create(folder).device_id
    store = Store(folder, device, index, StoreOptions(read_only=read_only))
    return assembled(folder, store, index, BackgroundNode, config, sync=sync)


def check_begun(folder: Path) -> None:
    """Raise NotFoundError if a folder is not a home: it has neither a key nor a store."""
    from memcrdt.net.identity import KEY_FILE
    from memcrdt.store.files import FILE

    with translated_os_errors(f"the home {folder} cannot be read", "check its owner and permissions"):
        if not any((folder / file).exists() for file in (KEY_FILE.name, FILE)) and not folder.is_file():
            raise NotFoundError(f"there is no memory in {folder}; `memcrdt add TEXT` begins one, or name another home")


def store_in_memory(index: SearchIndex, **options: Any) -> Store:
    """Return a new store in memory with a random device id. `options` are arguments of StoreOptions."""
    from memcrdt.store.incarnation import StoreOptions
    from memcrdt.store.location import MemoryLocation
    from memcrdt.store.store import Store

    device = device_id(secrets.token_bytes(KEY_BYTES))
    return Store(MemoryLocation(), device, index, StoreOptions(**options))


def memory_of(hub: Hub) -> Memory:
    """Return the memory of a hub, with all that needs no file and no network: a hub's network is memcrdt.hub.node.

    Args:
        hub: The open hub. Closing the memory closes its store.

    Example:
        >>> with Hub.open(address) as hub, memory_of(hub) as memory:  # doctest: +SKIP
        ...     memory.search("when do we ship?", space="acme")
    """
    from memcrdt.memory.offline import Offline

    config = replace(hub.config, budget_mb=0)  # the database is for its administrators to watch
    return assembled(None, hub.store, hub.index, Offline, config)


def assembled(
    folder: Path | None,
    store: AnyStore,
    index: SearchIndex,
    network: Callable[[Memory], Network],
    config: Config,
    *,
    sync: bool = False,
) -> Memory:
    """Return the memory of an open store, and start its background work. An error closes the store."""
    searcher = Searcher(store, index)
    memory = Memory(folder, store, network, pairing=_Pairing, searcher=searcher, config=config)
    try:
        if not store.options.read_only:
            memory.retention.note_time()
            searcher.start()
        if sync:
            memory.start_sync(must_listen=False)
    except BaseException:  # on any failure, leave nothing open
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
    port: int | str | None = None,
) -> OpeningMemory:
    """Open the memory of a home without blocking the event loop. If the task is cancelled, nothing stays open.

    Args:
        home: The folder, as for open().
        embedder: The embedding model, as for open().
        device_name: The name that other devices see.
        read_only: Whether to refuse every write and create nothing.
        sync: Whether to sync with other devices in the background.
        port: The port to listen at, as for open().

    Returns:
        An object to await or to enter, which returns an AsyncMemory. `async with` closes the memory at the end of the
        block. After `await`, the caller closes it.

    Raises:
        InputError, ModelMissingError, StoreError: As for open(), when the object is awaited or entered.

    Example:
        ```python
        async with memcrdt.open_async() as memory:
            await memory.add("The client wants invoices in PDF")

        memory = await memcrdt.open_async()  # in a notebook
        ```
    """
    from memcrdt.memory.async_memory import OpeningMemory

    return OpeningMemory(
        lambda: open(home, embedder=embedder, device_name=device_name, read_only=read_only, sync=sync, port=port)
    )


def doctor(home: str | os.PathLike[str] | None = None, *, repair: bool = False, give_up: bool = False) -> DoctorReport:
    """Check the store of a home, and repair it on request. The store may be too damaged to be opened.

    Args:
        home: The folder, as for open().
        repair: Whether to repair the store. Without it, nothing is changed.
        give_up: Whether to continue without lost rows, instead of waiting for other devices to send them again.

    Returns:
        The problems found, the repairs made, and the problems left.

    Raises:
        NotFoundError: There is no memory in the folder.
        CorruptError, SchemaError: The file is not a store, or no part of it can be saved.

    Example:
        >>> memcrdt.doctor(repair=True).left
        ()
    """
    from memcrdt.store.recovery.doctor import examine_file, repair_file

    folder = home_folder(home)
    check_begun(folder)
    try:
        with open(folder, read_only=not repair) as memory:
            return memory.doctor(repair=repair, give_up=give_up)
    except (CorruptError, SchemaError):
        of_file = repair_file(folder) if repair else examine_file(folder)
        if not of_file.problems:
            raise
    if not repair:
        return of_file
    with open(folder) as memory:
        within = memory.doctor(repair=True, give_up=give_up)
    return replace(within, problems=of_file.problems + within.problems, done=of_file.done + within.done)


class _Pairing:
    """Pairing for one memory. It imports the whole network, so it imports on first use."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def invite(self, options: PairOptions) -> WaitingCode:
        """Return a code to enter as a context."""
        from memcrdt.pairing.pair import invite

        return await invite(self._memory, options)

    async def join(self, code: str, options: PairOptions, *, at: str | None, find_s: float) -> PairedDevice:
        """Pair with the device that shows the code."""
        from memcrdt.pairing.pair import join

        return await join(self._memory, code, options, at=at, find_s=find_s)

    def spell(self, code: str) -> str:
        """Return a typed code in its canonical form."""
        from memcrdt.pairing.codes import parse_code

        return str(parse_code(code))
