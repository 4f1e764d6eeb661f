"""`memcrdt serve --http` as a process: one address for REST, MCP and the page, beside the node."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import memcrdt
from memcrdt.server import listening
from memcrdt.server.listening import HEADER_BYTES, HttpServer, ServerOptions
from tests.server.conftest import bearer, serving

PATIENCE_S = 60


async def test_one_address_serves_rest_and_mcp(tmp_path: Path) -> None:
    """What one adds, the other finds, in the spaces of one token. A token that others made is valid at once."""
    with serving(tmp_path) as said, memcrdt.open(tmp_path, embedder=None) as memory:
        headers = bearer(memory.tokens.create("codex"))
        async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http:
            added = await http.post(f"{said['http']}/v1/memories", json={"text": "The harbour is at Kiel"})
            assert added.status_code == 201
            async with Client(streamable_http_client(f"{said['http']}/mcp", http_client=http)) as client:
                result = await client.call_tool("search_memories", {"query": "harbour"})
                assert "Kiel" in result.content[0].text
            assert (await http.get(f"{said['http']}/")).text.startswith("<!doctype html>")


async def test_another_machine_needs_tls_and_its_right_name(tmp_path: Path, certificate: Path) -> None:
    """Without a certificate, only this machine can connect. With one, addresses and given names are accepted."""
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1"):
            with pytest.raises(memcrdt.InputError, match="TLS"):
                async with HttpServer(memory, ServerOptions(address=address)):
                    pass
        options = ServerOptions(address="0.0.0.0:0", certificate=certificate, names=("home.example",))
        headers = bearer(memory.tokens.create("phone"))
        async with HttpServer(memory, options) as server:
            assert server.url.startswith("https://0.0.0.0:")
            url = server.url.replace("0.0.0.0", "127.0.0.1") + "/v1/stats"
            async with httpx2.AsyncClient(verify=False, headers=headers, timeout=PATIENCE_S) as http:
                assert (await http.get(url)).status_code == 200
                for host, status in (("home.example", 200), ("192.0.2.7:1", 200), ("evil.example", 421)):
                    assert (await http.get(url, headers={"Host": host})).status_code == status


@pytest.mark.parametrize(
    "head", [b"no http\r\n\r\n", b"GET / HTTP/1.1\r\nx: ".ljust(HEADER_BYTES + 1, b"a")], ids=["no HTTP", "long"]
)
async def test_what_is_no_request_gets_a_problem(tmp_path: Path, head: bytes) -> None:
    """As every other answer that is no success."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        async with HttpServer(memory, ServerOptions(address="127.0.0.1:0")) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            writer.write(head)
            answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
            writer.close()
    first, _, content = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in first
    assert json.loads(content)["code"] == "malformed"


async def test_one_connection_too_many_gets_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered and closed, and the others are served."""
    monkeypatch.setattr(listening, "CONNECTIONS", 1)
    with memcrdt.open(tmp_path, embedder=None) as memory:
        headers = bearer(memory.tokens.create("codex"))
        async with HttpServer(memory, ServerOptions(address="127.0.0.1:0")) as server:
            clients = [httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE_S) for _ in range(2)]
            assert (await clients[0].get("/v1/stats")).status_code == 200
            refused = await clients[1].get("/v1/stats")
            assert (refused.status_code, refused.json()["code"]) == (503, "busy")
            assert (await clients[0].get("/v1/stats")).status_code == 200
            for client in clients:
                await client.aclose()


async def test_a_port_in_use_and_a_bad_certificate_are_reported(tmp_path: Path) -> None:
    """With the next step."""
    (tmp_path / "cert.pem").write_text("no certificate")
    with memcrdt.open(":memory:", embedder=None) as memory, socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(memcrdt.InputError, match="name another port"):
            async with HttpServer(memory, ServerOptions(address=f"127.0.0.1:{taken.getsockname()[1]}")):
                pass
        with pytest.raises(memcrdt.InputError, match="PEM"):
            async with HttpServer(memory, ServerOptions(certificate=tmp_path / "cert.pem")):
                pass
