"""What `memcrdt hub check` finds out about the database of a hub, without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from memcrdt.errors import MemcrdtError
from memcrdt.hub import migrations
from memcrdt.hub.connection import PostgresConnection, configure, translated
from memcrdt.memory.devices import Device, device_of
from memcrdt.model.device_ids import shown
from memcrdt.model.serialization import Record
from memcrdt.net.handshake import now_ms
from memcrdt.net.identity import KeyFile, device_id_of
from memcrdt.store import alarms, log, meta
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.overview import peer_states
from memcrdt.store.sql import SqlConnection

# Another name than that of a home's key: the two never become one device.
KEY_FILE: Final = KeyFile(
    "hub.key",
    "copy it from a machine that runs the hub, or from a backup. If no copy is left, move it away, and take the hub"
    " over with a new key: memcrdt hub --take-over",
)
NAME: Final = "hub name"  # in the database, because all processes sign the same name
CONNECT_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class HubCheck(Record):
    """The state of a hub, as far as its database and its key show it.

    Attributes:
        server: The version of PostgreSQL.
        schema_version: The version of the tables; 0 without tables.
        newest_version: The version that this memcrdt needs.
        device: The id of the hub; None if the database has no hub.
        name: The name that other devices see.
        key: `here` if the folder has the key of the hub, otherwise `missing` or `another`.
        log_rows: The number of rows written to the log.
        to_fold: The number of shards that wait to be rewritten without forgotten memories.
        devices: The accepted devices, with what each has yet to confirm, and the last sync.
        alarms: The alarms of the store.
        problems: Why the hub cannot do its work, with the next step.
    """

    server: str
    schema_version: int
    newest_version: int
    device: str | None
    name: str
    key: str
    log_rows: int
    to_fold: int
    devices: tuple[Device, ...]
    alarms: tuple[StoreAlarm, ...]
    problems: tuple[str, ...]


def check(folder: Path, dsn: str) -> HubCheck:
    """Look at the database of a hub and at its key, and change nothing.

    Args:
        folder: The folder with the key.
        dsn: The address of the database.

    Returns:
        What was found.

    Raises:
        StoreError: The database does not answer.
    """
    with _looking(dsn) as db:
        version, newest = _version(db), max(migrations.scripts())
        problems = list(_problems_of_server(db))
        if 0 < version < newest:
            problems.append(
                f"the tables have version {version}, and this memcrdt needs {newest}; start `memcrdt hub`, which"
                " migrates them"
            )
        elif version > newest:
            problems.append(f"a newer memcrdt wrote the tables (version {version}, known: {newest}); upgrade memcrdt")
        is_readable = version == newest
        device = _device(db)
        key, problem = _key(folder, device)
        return HubCheck(
            server=str(db.execute("SHOW server_version").get),
            schema_version=version,
            newest_version=newest,
            device=device,
            name=str(meta.read(db, NAME) or "") if device else "",
            key=key,
            log_rows=log.head(db) if is_readable else 0,
            to_fold=len(log.shard_numbers(db, "to_scrub > 0")) if is_readable else 0,
            devices=_devices(db, device or "") if is_readable else (),
            alarms=tuple(alarms.raised(db)) if is_readable else (),
            problems=(*problems, *problem),
        )


def hub_device(dsn: str) -> str | None:
    """Return the id of the hub that a database belongs to; None for a database without a hub.

    Raises:
        StoreError: The database does not answer.
    """
    with _looking(dsn) as db:
        return _device(db)


@contextmanager
def _looking(dsn: str) -> Iterator[PostgresConnection]:
    """Lend a connection in a transaction that can only read. A setting would outlive it on a pooler's connection."""
    with translated("looking at the hub"), psycopg.connect(dsn, connect_timeout=CONNECT_S) as raw:
        configure(raw)
        db = PostgresConnection(raw)
        db.execute("BEGIN")
        yield db


def _problems_of_server(db: PostgresConnection) -> Iterator[str]:
    try:
        migrations.check_server(db.raw)
    except MemcrdtError as exc:
        yield str(exc)
    if db.execute("SELECT pg_is_in_recovery()").get:
        yield "this server is a standby, which takes no writes; give the address of the primary"


def _version(db: SqlConnection) -> int:
    if db.execute("SELECT to_regclass('schema_version') IS NULL").get:
        return 0
    return int(db.execute("SELECT coalesce(max(version), 0) FROM schema_version").get)


def _device(db: SqlConnection) -> str | None:
    if db.execute("SELECT to_regclass('meta') IS NULL").get:
        return None
    found = meta.read(db, "device")
    return None if found is None else str(found)


def _key(folder: Path, device: str | None) -> tuple[str, Sequence[str]]:
    """Return whether the folder has the key of the hub, and the problem with it."""
    path = folder / KEY_FILE.name
    if not path.exists():
        missing = f"{folder} has no {KEY_FILE.name}; copy it from a machine that runs the hub {shown(device or '')}"
        return "missing", [missing] if device else []
    try:
        own = device_id_of(folder, KEY_FILE)
    except MemcrdtError as exc:
        return "another", [str(exc)]
    if device in (None, own):
        return "here", []
    return "another", [
        f"{path} is the key of {shown(own)}, and the database belongs to the hub"
        f" {shown(device)}; copy the file from a machine that runs this hub, or name another database"
    ]


class _Look:
    """The database as a store that can be read."""

    def __init__(self, db: PostgresConnection, device: str) -> None:
        self.device = device
        self._db = db

    def now_ms(self) -> int:
        """Return the time in ms since 1970."""
        return now_ms()

    @contextmanager
    def reading(self) -> Iterator[PostgresConnection]:
        """Lend the connection."""
        yield self._db


def _devices(db: PostgresConnection, device: str) -> tuple[Device, ...]:
    return tuple(device_of(each) for each in peer_states(_Look(db, device)) if each.peer.state == "accepted")
