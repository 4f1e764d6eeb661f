"""Metrics, health, readiness and structured logs of `memcrdt serve` and `memcrdt relay`, in their own processes."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memcrdt.errors import InputError, LockedError, StoreError
from memcrdt.model.ports import DEFAULT_METRICS_PORT
from memcrdt.service import monitoring
from memcrdt.service.monitoring import Monitor

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Server

parser = pytest.importorskip("prometheus_client.parser", reason="needs memcrdt[metrics]")
ANYWHERE = "127.0.0.1:0"


def get(url: str, **headers: str) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def metrics(url: str) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels."""
    status, text = get(f"{url}/metrics")
    assert status == 200, text
    families = parser.text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@contextmanager
def _relay(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "memcrdt", "relay", "--host", "127.0.0.1", "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


def test_a_serving_home_shows_its_state_in_numbers(
    cli: Cli, tmp_path: Path, serve: Callable[[Path], Server], eventually: Callable[[Callable[[], object]], None]
) -> None:
    """Sizes, spaces, devices, how far they are behind, and alarms; no text of a memory."""
    homes = laptop, desktop = tmp_path / "laptop", tmp_path / "desktop"
    here, there = (cli("init", "--home", str(home), "--json").json[0]["device"] for home in homes)
    cli("add", "The code word is swordfish", "--home", str(laptop))
    cli("accept", there, "--name", "desk", "--home", str(laptop))
    said = serve(laptop, "--metrics", ANYWHERE).says()
    url, labels = said["metrics"], (there, "desk")
    found = metrics(url)
    assert found["memcrdt_memories", "personal"] == 1
    assert (found["memcrdt_devices", "accepted"], found["memcrdt_device_connected", *labels]) == (1, 0)
    assert found["memcrdt_device_behind_changes", *labels] == 1
    assert found["memcrdt_store_bytes",] > 0
    assert found["memcrdt_log_rows_total",] >= 1
    assert found["memcrdt_alarms",] == 0
    assert found["memcrdt_listening",] == 1
    assert "swordfish" not in get(f"{url}/metrics")[1]
    cli("accept", here, "--at", f"127.0.0.1:{said['port']}", "--home", str(desktop))
    serve(desktop).says()
    eventually(lambda: metrics(url)["memcrdt_device_connected", *labels] == 1)
    eventually(lambda: metrics(url)["memcrdt_device_behind_changes", *labels] == 0)
    assert get(f"{url}/health") == (200, '{"alive": true}')
    assert get(f"{url}/ready") == (200, '{"ready": true, "problems": []}')


def test_a_relay_counts_what_it_passes_on(
    cli: Cli, tmp_path: Path, serve: Callable[[Path], Server], eventually: Callable[[Callable[[], object]], None]
) -> None:
    """Connections, pairs and bytes; it names no device."""
    with _relay("--metrics", ANYWHERE) as (_, said):
        at = f"127.0.0.1:{said['port']}"
        assert metrics(said["metrics"])["memcrdt_relay_waiting",] == 0
        homes = laptop, desktop = tmp_path / "laptop", tmp_path / "desktop"
        here, there = (cli("init", "--home", str(home), "--json").json[0]["device"] for home in homes)
        for home, other in ((laptop, there), (desktop, here)):
            cli("relays", "add", at, "--home", str(home))
            cli("accept", other, "--home", str(home))
            serve(home).says()
        eventually(lambda: metrics(said["metrics"])["memcrdt_relay_joined_pairs",] == 1)
        eventually(lambda: metrics(said["metrics"])["memcrdt_relay_passed_bytes_total",] > 1_000)
        found = metrics(said["metrics"])
        assert found["memcrdt_relay_opened_connections_total",] >= found["memcrdt_relay_connections",] >= 2
        assert found["memcrdt_relay_pairs_total",] >= 1
        text = get(f"{said['metrics']}/metrics")[1]
        assert here not in text
        assert there not in text
        assert get(f"{said['metrics']}/ready")[0] == 200


def test_logs_are_lines_of_json_on_request(
    cli: Cli, tmp_path: Path, serve: Callable[[Path], Server], eventually: Callable[[Callable[[], object]], None]
) -> None:
    """On stderr, and in the file, where the time is a field and not before the line."""
    home, file = tmp_path / "home", tmp_path / "serve.log"
    cli("init", "--home", str(home))
    server = serve(home, "--log-format", "json")
    server.says()
    line = json.loads(server.process.stderr.readline())
    assert line.keys() == {"at", "level", "logger", "message"}
    assert (line["level"], line["logger"]) == ("info", "memcrdt.cli")
    assert "no device is accepted yet" in line["message"]
    server.process.terminate()
    server.process.wait(30)
    serve(home, "--log-format", "json", "--log", str(file))
    eventually(lambda: file.exists() and len(file.read_text().splitlines()) >= 2)
    assert all(isinstance(json.loads(each), dict) for each in file.read_text().splitlines())


def test_a_wrong_address_for_metrics_is_refused(cli: Cli) -> None:
    """Before anything is served."""
    cli("relay", "--port", "0", "--metrics", "no host").failed(2, "HOST:PORT")
    cli("relay", "--port", "0", "--log-format", "xml").failed(2, "xml")


class _Process:
    """What a monitor asks."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.error: Exception | None = None

    async def collect(self) -> list[Any]:
        if self.error is not None:
            raise self.error
        return []

    async def check(self) -> list[str]:
        await self.collect()
        return self.problems


async def test_readiness_has_the_problems() -> None:
    """A store that cannot be read is one. The process is alive all the same."""
    import asyncio

    process = _Process()
    async with Monitor(ANYWHERE, process.collect, process.check) as monitor:

        async def answer(path: str, **headers: str) -> tuple[int, str]:
            return await asyncio.to_thread(get, f"{monitor.url}{path}", **headers)

        process.problems = ["port 27380 is in use"]
        assert await answer("/ready") == (503, '{"ready": false, "problems": ["port 27380 is in use"]}')
        process.error = StoreError("the disk is full")
        assert await answer("/ready") == (503, '{"ready": false, "problems": ["the disk is full"]}')
        assert await answer("/metrics") == (503, "the disk is full\n")
        assert (await answer("/health"))[0] == 200
        assert (await answer("/elsewhere"))[0] == 404


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "evil.example:1"}]
)
async def test_web_pages_get_nothing(headers: dict[str, str]) -> None:
    """Neither with an Origin, nor under a name that somebody gave to 127.0.0.1."""
    import asyncio

    process = _Process()
    async with Monitor(ANYWHERE, process.collect, process.check) as monitor:
        assert (await asyncio.to_thread(get, f"{monitor.url}/metrics", **headers))[0] == 403
        for host in ("localhost:27393", "127.0.0.1", "[::1]:5"):
            assert (await asyncio.to_thread(get, f"{monitor.url}/metrics", Host=host))[0] == 200


async def test_addresses_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that another program has is an error."""
    process = _Process()
    for text, shown in (
        ("", f"127.0.0.1:{DEFAULT_METRICS_PORT}"),
        ("0.0.0.0", f"0.0.0.0:{DEFAULT_METRICS_PORT}"),
        (":5", "127.0.0.1:5"),
    ):
        assert str(Monitor(text, process.collect, process.check)._address) == shown
    async with Monitor(ANYWHERE, process.collect, process.check) as monitor:
        taken = monitor.url.removeprefix("http://")
        with pytest.raises(LockedError, match="name another address"):
            async with Monitor(taken, process.collect, process.check):
                pass
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(InputError, match=r"memcrdt\[metrics\]"):
        monitoring.needed_package()
