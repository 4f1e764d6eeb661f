"""Tests of paths that callers give, and of the folder of a home."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import InputError
from memcrdt.paths import HOME_VARIABLE, home_folder, make_private, read_at_most


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_missing_parents_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Otherwise other users could replace the home in a parent that all may write."""
    before = os.umask(umask)
    try:
        memcrdt.open(tmp_path / "a" / "b" / "home", embedder=None).close()
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "home"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 3


def test_an_existing_folder_stays_as_it_is(tmp_path: Path) -> None:
    """Its mode is the user's choice. A file in the way is an error."""
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert os.name == "nt" or stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_private(tmp_path / "file")


@pytest.mark.skipif(os.name == "nt", reason="the users of Windows always have a folder")
@pytest.mark.parametrize("given", [None, "~/memories"])
def test_a_user_without_a_home_folder_is_told_to_name_one(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that are in no list and have no $HOME."""
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_DATA_HOME", HOME_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"no home folder.*in full"):
        home_folder(given)


@pytest.mark.parametrize(("most", "expected"), [(3, b"abc"), (6, b"abcdef"), (1 << 30, b"abcdef")])
def test_at_most_so_many_bytes_of_a_file_are_read(tmp_path: Path, most: int, expected: bytes) -> None:
    """Without room for all that may be read: 16 MiB for a short note were most of the time that it took."""
    asked: list[int] = []

    class Reader(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size or 0)
            return super().read(size)

    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with Reader(io.FileIO(path)) as file:
        assert read_at_most(file, most) == expected
    assert sum(asked) <= 7


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        size = os.fstat(file.fileno())
        path.write_bytes(b"abcdef")
        monkeypatch.setattr(os, "fstat", lambda _: size)
        assert read_at_most(file, 100) == b"abcdef"
        file.seek(0)
        assert read_at_most(file, 5) == b"abcde"
