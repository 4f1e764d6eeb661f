"""The download of a model's files from a hub with Hugging Face's protocol, into the layout of its client's cache.

The client itself is not used: it discards a partial file when the connection breaks (huggingface_hub 1.33), and
fastembed waits 3, 9 and 27 seconds between its attempts. Here a partial file stays, under the digest of the complete
file, and the next pull requests the rest. A file counts once its digest is right, and a model once all its files count.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias

from memcrdt.errors import InputError, ModelMissingError
from memcrdt.model.values import parse_json

Progress: TypeAlias = Callable[[int, int], None]  # called with the bytes that are here, and the total bytes

HUB: Final = "https://huggingface.co"
MAX_LISTING_BYTES: Final = 4 * 1024 * 1024  # of the list of a repository's files: the largest have some hundreds
ANSWER_TIMEOUT_S: Final = 5.0  # for the first answer: without a network, a user should know soon
READ_TIMEOUT_S: Final = 30.0  # for the next bytes of a file
_CHUNK: Final = 256 * 1024
_COMMIT = re.compile("[0-9a-f]{40}")
_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_ADVICE: Final = "try again with a network, or copy the model's folder here and run `memcrdt model use FOLDER`"


class RemoteFile(NamedTuple):
    """A file of a repository. `digest` is the SHA-256 of a large file, or the SHA-1 of a small file's git blob."""

    path: str
    size: int
    digest: str


class ModelRepository:
    """The repository of a model, and its folder in the cache."""

    def __init__(self, name: str, cache: Path) -> None:
        self._name = name
        self._folder = cache / f"models--{name.replace('/', '--')}"

    def is_here(self, paths: Iterable[str]) -> bool:
        """Return whether a revision with all these files is here. Their digests were checked after the download."""
        revision = self._revision()
        return revision is not None and all((self._snapshot(revision) / path).is_file() for path in paths)

    def pull(self, needed: Iterable[str], useful: Iterable[str], progress: Progress) -> None:
        """Download the missing files, of the revision that is here, or of the newest revision if none is here.

        Args:
            needed: Paths of files that the model needs.
            useful: Paths of files that the hub may lack.
            progress: Called with the number of bytes that are here and the total number of bytes.

        Raises:
            ModelMissingError: The hub does not answer, it lacks a needed file, or the disk has no room for the files.
        """
        revision, files = self._listing()
        if lacking := set(needed) - files.keys():
            raise ModelMissingError(f"the hub's {self._name} has no {min(lacking)}; choose another model")
        wanted = [files[path] for path in {*needed, *useful} if path in files]
        wanted.sort()
        try:
            self._get(revision, wanted, progress)
            refs = self._folder / "refs"
            refs.mkdir(exist_ok=True)
            (refs / "main").write_text(revision, "ascii")
        except OSError as exc:
            raise ModelMissingError(f"the files of {self._name} cannot be written to {self._folder}: {exc}") from exc

    def _revision(self) -> str | None:
        try:
            found = (self._folder / "refs" / "main").read_text("ascii").strip()
        except (OSError, ValueError):
            return None
        return found if _COMMIT.fullmatch(found) else None

    def _snapshot(self, revision: str) -> Path:
        return self._folder / "snapshots" / revision

    def _listing(self) -> tuple[str, dict[str, RemoteFile]]:
        """Return the commit and the files, by path, of the revision that is here, or of the newest one."""
        url = f"{endpoint()}/api/models/{self._name}/revision/{self._revision() or 'main'}?blobs=true"
        with _request(url, self._name, ANSWER_TIMEOUT_S) as answer:
            try:
                listing = parse_json(answer.read(MAX_LISTING_BYTES))
                return _commit(listing), {file.path: file for file in map(_remote_file, listing["siblings"])}
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as exc:
                raise ModelMissingError(f"{endpoint()} lists no files of {self._name}: {exc!r}; {_ADVICE}") from exc

    def _get(self, revision: str, wanted: list[RemoteFile], progress: Progress) -> None:
        snapshot, parts = self._snapshot(revision), self._folder / "parts"
        parts.mkdir(parents=True, exist_ok=True)
        lacking = [file for file in wanted if not _is_whole(snapshot / file.path, file)]
        total, done = sum(file.size for file in wanted), sum(file.size for file in set(wanted) - set(lacking))
        self._check_room(parts, lacking)
        for file in lacking:
            part = parts / file.digest
            url = f"{endpoint()}/{self._name}/resolve/{revision}/{file.path}"
            self._get_file(url, part, file, partial(_tell, progress, total, done))
            done += file.size
            (snapshot / file.path).parent.mkdir(parents=True, exist_ok=True)
            part.replace(snapshot / file.path)
        progress(total, total)

    def _check_room(self, parts: Path, lacking: list[RemoteFile]) -> None:
        missing = sum(file.size - _size(parts / file.digest) for file in lacking)
        if missing > (free := shutil.disk_usage(parts).free):
            raise ModelMissingError(
                f"{self._name} needs {missing / 1e6:,.1f} MB more, but {parts.parent} has only {free / 1e6:,.1f} MB"
                " free; make room, or set MEMCRDT_MODELS to another folder"
            )

    def _get_file(self, url: str, part: Path, file: RemoteFile, tell: Callable[[int], None]) -> None:
        """Complete the file `part`. A broken connection is opened again as long as each one delivers bytes."""
        part.touch()
        while (before := _size(part)) < file.size:
            with _request(url, self._name, READ_TIMEOUT_S, start=before) as answer:
                broken = _append(answer, part, file.size, tell)
            if _size(part) <= before:
                raise ModelMissingError(
                    f"the connection broke at {before:,} of {file.size:,} bytes of {file.path} ({broken}); pull"
                    " the model again to continue from there"
                )
        if not _is_whole(part, file):
            part.unlink()
            raise ModelMissingError(f"{file.path} of {self._name} was damaged and has been deleted; pull it again")


def endpoint() -> str:
    """Return the address of the hub: $HF_ENDPOINT, like Hugging Face's client, or the default. Raises InputError."""
    address = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    if not address.startswith(("https://", "http://")):
        raise InputError(f"HF_ENDPOINT is {address!r}; it must start with https:// or http://")
    return address


def _request(url: str, name: str, timeout_s: float, start: int = 0) -> http.client.HTTPResponse:
    """Return the answer of the hub, from byte `start` on. Raises ModelMissingError."""
    headers = {"User-Agent": "memcrdt", **({"Range": f"bytes={start}-"} if start else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - endpoint() checks the scheme
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310 - likewise
            request, timeout=timeout_s, context=_certificates()
        )
    except urllib.error.HTTPError as exc:
        exc.close()
        raise ModelMissingError(
            f"{endpoint()} refuses {name} (status {exc.code} {exc.reason}); try again later, or choose another model"
        ) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise ModelMissingError(f"{endpoint()} does not answer ({exc}), so {name} is not available; {_ADVICE}") from exc
    return answer


@cache
def _certificates() -> ssl.SSLContext:
    """Trust the authorities of the system and of certifi, which fastembed needs: Python on macOS may have none."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _append(answer: http.client.HTTPResponse, part: Path, size: int, tell: Callable[[int], None]) -> str:
    """Append the answer to `part`, up to `size` bytes in all. Return why the answer ended early, or an empty text.

    Another process may write the same part. Both write the same bytes to the same places.
    """
    with part.open("r+b", buffering=0) as file:
        if answer.status == http.client.PARTIAL_CONTENT:
            file.seek(0, os.SEEK_END)
        while (here := file.tell()) < size:
            tell(here)
            try:
                chunk = answer.read1(
                    min(_CHUNK, size - here)
                )  # only bytes that have arrived, so that a break loses none of them
            except (OSError, http.client.HTTPException) as exc:
                return str(exc) or type(exc).__name__
            if not chunk:
                return "it was closed"
            file.write(chunk)
    return ""


def _tell(progress: Progress, total: int, before: int, here: int) -> None:
    progress(before + here, total)


def _commit(listing: Any) -> str:
    commit = str(listing["sha"])
    if not _COMMIT.fullmatch(commit):
        raise ValueError(f"{commit!r} is not a commit")
    return commit


def _remote_file(sibling: Any) -> RemoteFile:
    if not isinstance(sibling, dict):
        raise TypeError(f"{sibling!r} is not a file")
    large = sibling.get("lfs")
    path, size = str(sibling["rfilename"]), int(sibling["size"])
    digest = str(large["sha256"] if large else sibling["blobId"])
    if not _DIGEST.fullmatch(digest) or size < 0:
        raise ValueError(f"{path!r} has the size {size} and the digest {digest!r}")
    return RemoteFile(path, size, digest)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_whole(path: Path, file: RemoteFile) -> bool:
    if _size(path) != file.size or not path.is_file():
        return False
    with path.open("rb") as content:
        return _digest(content, file) == file.digest


def _digest(content: IO[bytes], file: RemoteFile) -> str:
    is_git = len(file.digest) == 40
    # SHA-1 is git's choice. Here it only detects damage; TLS authenticates the hub.
    state = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False) if is_git else hashlib.sha256()
    while chunk := content.read(_CHUNK):
        state.update(chunk)
    return state.hexdigest()
