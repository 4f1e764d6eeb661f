"""A tiny model that embeds a few words, and a hub on the loopback interface that serves it."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = ("[PAD]", "[UNK]", "deploys", "ship", "tuesdays", "cat", "kitten", "sofa", "sleeps", "naps")
SYNONYMS = (("ship", "deploys"), ("kitten", "cat"), ("naps", "sleeps"))
COMMIT = "c0ffee" + 34 * "0"
_LARGE = 10_000  # size from which a file is in Git LFS


def write_tiny_model(folder: Path, dim: int, file: str = "model.onnx") -> Path:
    """Write a model of `dim` dimensions into `folder`, as fastembed takes it. Synonyms have equal vectors."""
    import numpy as np
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.eye(len(WORDS), dim, dtype=np.float32)
    for word, same in SYNONYMS:
        table[WORDS.index(word)] = table[WORDS.index(same)]
    (folder / file).write_bytes(_onnx(table))
    (folder / "config.json").write_text(f'{{"hidden_size": {dim}, "pad_token_id": 0}}')
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512, "pad_token": "[PAD]"}')
    (folder / "special_tokens_map.json").write_text('{"unk_token": "[UNK]", "pad_token": "[PAD]"}')
    return folder


def _onnx(table: NDArray[np.float32]) -> bytes:
    """Return an ONNX model (see onnx.proto) that looks up a row of `table` for every token."""
    node = _field(1, "table") + _field(1, "input_ids") + _field(2, "last_hidden_state") + _field(4, "Gather")
    weights = b"".join(_field(1, size) for size in table.shape) + _field(2, 1) + _field(8, "table")
    graph = _field(1, node) + _field(2, "tiny") + _field(5, weights + _field(9, table.tobytes()))
    graph += b"".join(_field(11, _tensor_type(n, 7, ("batch", "tokens"))) for n in ("input_ids", "attention_mask"))
    graph += _field(12, _tensor_type("last_hidden_state", 1, ("batch", "tokens", "dim")))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


def _tensor_type(name: str, kind: int, dims: tuple[str, ...]) -> bytes:
    shape = b"".join(_field(1, _field(2, dim)) for dim in dims)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def _field(number: int, value: bytes | str | int) -> bytes:
    """Encode one protobuf field: a number as a varint, anything else with its length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@dataclass
class FakeHub:
    """An HTTP server with the repository of one model, like the hub of Hugging Face. A context manager.

    Attributes:
        repository: The name of the repository.
        folder: Its files.
        budget: For each request of the large file, the number of bytes to send before the connection drops. Without a
            number, the whole file is sent.
        hold: Whether a connection without budget stays open until the end instead.
        ranges: The Range headers of the requests for the large file.
        sent: Set when a budget is used up.
    """

    repository: str
    folder: Path
    budget: list[int] = field(default_factory=list)
    hold: bool = False
    ranges: list[str | None] = field(default_factory=list)
    sent: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> FakeHub:
        hub = self
        self._closing = threading.Event()

        class Handler(_Handler):
            fake = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def drop(self) -> None:
        """Handle a connection whose budget is used up."""
        self.sent.set()
        if self.hold:
            self._closing.wait()

    def listing(self) -> dict[str, Any]:
        """Return the answer of /api/models/REPOSITORY/revision/REVISION?blobs=true."""
        siblings = [{"rfilename": entry["path"], "blobId": entry["oid"], **entry} for entry in self.tree()]
        return {"id": self.repository, "sha": COMMIT, "siblings": siblings}

    def tree(self) -> list[dict[str, Any]]:
        """Return the answer of /api/models/REPOSITORY/tree/REVISION."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return [self._entry(path.relative_to(self.folder).as_posix(), path.read_bytes()) for path in files]

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git}
        if len(content) >= _LARGE:
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(content), "pointerSize": 134}
        return entry


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        files = f"/{self.fake.repository}/resolve/{COMMIT}/"
        api = f"/api/models/{self.fake.repository}"
        if path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            self._send(json.dumps(self.fake.listing()).encode(), {"Content-Type": "application/json"})
        elif path == f"{api}/tree/{COMMIT}":
            self._send(json.dumps(self.fake.tree()).encode(), {"Content-Type": "application/json"})
        elif path.startswith(files) and (self.fake.folder / path.removeprefix(files)).is_file():
            self._send_file(path.removeprefix(files))
        else:
            self.send_error(404)

    def _send_file(self, name: str) -> None:
        content = (self.fake.folder / name).read_bytes()
        entry = next(entry for entry in self.fake.tree() if entry["path"] == name)
        large = entry.get("lfs")
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{large["oid"] if large else entry["oid"]}"'}
        wanted = self.headers.get("Range")
        if wanted is None:
            self._send(content, headers, large is not None)
            return
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(content[start:], headers, large is not None, status=206)

    def _send(self, content: bytes, headers: dict[str, str], is_large: bool = False, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if not is_large:
            self.wfile.write(content)
            return
        self.fake.ranges.append(self.headers.get("Range"))
        budget = self.fake.budget.pop(0) if self.fake.budget else len(content)
        self.wfile.write(content[:budget])
        if budget < len(content):
            self.wfile.flush()
            self.fake.drop()
