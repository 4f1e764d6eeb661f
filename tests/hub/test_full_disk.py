"""A hub whose database is on a disk that becomes full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from memcrdt import Memory
from memcrdt._open import memory_of
from memcrdt.errors import DiskFullError
from memcrdt.hub.hub import Hub, HubAddress
from tests.postgres import Server, running_server, user_of_servers

pytestmark = pytest.mark.xdist_group("postgres")

_ALONE = ["unshare", "--mount"]  # the mounts of the process are its own, and end with it
_FILL = "INSERT INTO filler SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 2000)"


def _on_small_disk(server: Server) -> str:
    """Return the address of a database on a file system of 40 MB."""
    folder = server.folder / "small"
    folder.mkdir()
    owner = user_of_servers()["user"]
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=40m,mode=700,uid={owner}", "none", folder], check=True)
    server.run(f"CREATE TABLESPACE small LOCATION '{folder}'")
    server.run("CREATE DATABASE small OWNER hub TABLESPACE small")
    server.run("CREATE TABLE filler(content text)", "small")
    server.run("ALTER TABLE filler ALTER content SET STORAGE EXTERNAL", "small")
    return server.dsn("small")


def _add_for_ever(memory: Memory, kept: list[str]) -> None:
    while True:
        kept.append(memory.add(f"note {len(kept)} " + "harbour " * 2_000))


def write_until_it_is_full(folder: Path) -> None:
    with running_server() as server:
        address = HubAddress(folder, _on_small_disk(server))
        with Hub.open(address) as hub, memory_of(hub) as memory:
            kept = [memory.add("lantern")]
            with suppress(psycopg.errors.DiskFull):
                while True:
                    server.run(_FILL, "small")
            with pytest.raises(DiskFullError, match="the disk of PostgreSQL is full; make room on it"):
                _add_for_ever(memory, kept)
            assert {each.id for each in memory.list(limit=1_000)} == set(kept)
            assert memory.search("lantern")[0].memory.id == kept[0]
            with pytest.raises(DiskFullError):
                memory.add("another one " + "harbour " * 2_000)
            server.run("DROP TABLE filler", "small")
            kept.append(memory.add("there is room again"))
        with Hub.open(address) as hub, memory_of(hub) as memory:
            assert {each.id for each in memory.list(limit=1_000)} == set(kept)
            assert memory.search("room again")[0].memory.id == kept[-1]


def test_what_was_added_before_the_disk_was_full_stays_and_what_fails_says_so(tmp_path: Path) -> None:
    """Reading goes on, and adding does once there is room, without a restart."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs Linux, root and unshare, to mount a small file system")
    if subprocess.run([*_ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the system does not allow private mounts")
    code = "import pathlib, runpy, sys; runpy.run_path(sys.argv[1])[sys.argv[2]](pathlib.Path(sys.argv[3]))"
    command = [sys.executable, "-c", code, __file__, write_until_it_is_full.__name__, str(tmp_path)]
    done = subprocess.run([*_ALONE, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
