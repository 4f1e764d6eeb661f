"""Access checks of the Yjs listener: addresses, certificates, hosts, tokens, origins and paths."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from memcrdt.errors import InputError, LockedError
from memcrdt.memory.memory import Memory
from memcrdt.net import connection_gate
from memcrdt.node.node import Node
from memcrdt.store.membership.tokens import TokenTable
from memcrdt.yjs import listener as module
from memcrdt.yjs import protocol
from memcrdt.yjs.listener import YjsListener, YjsOptions

SECRET = "the code of the safe is 1234"
ORIGIN = "https://app.example"


@pytest.fixture(name="http")
async def _http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_the_list_of_shards_is_json(memory: Memory, served: Any, http: aiohttp.ClientSession) -> None:
    """With a token in a header or in the query. A browser's WebSocket can only set the query."""
    memory.add(SECRET)
    for options in ({"headers": bearer(served.token)}, {"params": {"token": served.token}}):
        async with http.get(f"{served.spaces}/personal", **options) as response:
            listed = await response.json()
            assert response.headers["Cache-Control"] == "no-store"
        assert (listed["space"], listed["open"], [shard["shard"] for shard in listed["shards"]]) == ("personal", 0, [0])


@pytest.mark.parametrize("path", ["/personal", "/personal/0", "/elsewhere", "", "/personal/0/x"])
@pytest.mark.parametrize(
    "shown",
    [{}, {"params": {"token": "0" * 64}}, {"headers": bearer("0" * 64)}, {"headers": {"Authorization": "Basic Og=="}}],
)
async def test_without_a_valid_token_the_answer_is_401(
    memory: Memory, served: Any, http: aiohttp.ClientSession, path: str, shown: dict[str, Any]
) -> None:
    """The same for every path, with an empty body, so that nothing about the spaces is revealed."""
    memory.add(SECRET)
    async with http.get(f"{served.spaces}{path}", **shown) as response:
        assert (response.status, await response.read()) == (401, b"")


async def test_a_websocket_without_a_valid_token_is_refused(served: Any, http: aiohttp.ClientSession) -> None:
    """It gets the 401 instead of the upgrade."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{served.personal}/0", params={"token": "wrong"})
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/elsewhere", 404),
        ("GET", "/local", 404),
        ("GET", "/local/0", 404),
        ("GET", "/personal/2", 404),
        ("GET", "/personal/-1", 404),
        ("GET", "/personal/99999999999", 404),
        ("GET", "/personal/0/x", 404),
        ("GET", "", 404),
        ("POST", "/personal", 404),
        ("GET", "/personal/0", 426),
    ],
)
async def test_a_token_gives_access_to_its_spaces_only(
    served: Any, http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    """Never to `local`. The path of a shard needs a WebSocket."""
    async with http.request(method, f"{served.spaces}{path}", headers=bearer(served.token)) as response:
        assert (response.status, await response.read()) == (status, b"")


async def test_web_pages_need_an_origin_that_the_token_lists(
    memory: Memory, served: Any, http: aiohttp.ClientSession
) -> None:
    """Any other Origin is refused, "null" included, even with a valid token. A listed origin may read the answer."""
    listing = {"headers": {**bearer(TokenTable(memory.store).create("page", origins=[ORIGIN])), "Origin": ORIGIN}}
    async with http.get(f"{served.spaces}/personal", **listing) as response:
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    async with http.ws_connect(f"{served.personal}/0", **listing) as socket:
        assert isinstance(protocol.read(await socket.receive_bytes()), protocol.Step1)
    for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example"):
        for token in (served.token, listing["headers"]["Authorization"].split()[1]):
            headers = {**bearer(token), "Origin": origin}
            async with http.get(f"{served.spaces}/personal", headers=headers) as response:
                assert (response.status, await response.read()) == (403, b"")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{served.personal}/0", headers=headers)
            assert refused.value.status == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:27381", 200),
        ("[::1]:1", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost@evil.example", 400),
        ("127.0.0.1:27381, evil.example", 400),
        ("[", 400),
        ("", 400),
    ],
)
async def test_without_tls_the_host_header_has_to_name_this_machine(
    served: Any, http: aiohttp.ClientSession, host: str, status: int
) -> None:
    """A browser would send the token to an attacker's name that resolves to 127.0.0.1. A malformed header is a 400."""
    headers = {**bearer(served.token), "Host": host}
    async with http.get(f"{served.spaces}/personal", headers=headers) as response:
        assert response.status == status


async def test_a_preflight_of_a_listed_origin_allows_the_header(
    memory: Memory, served: Any, http: aiohttp.ClientSession
) -> None:
    """Browsers ask without the token before they send a header. Pages of other origins are refused."""
    TokenTable(memory.store).create("page", origins=[ORIGIN])
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for path in ("/personal", "/personal/0"):
        async with http.options(f"{served.spaces}{path}", headers={**asked, "Origin": ORIGIN}) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
            assert response.headers["Access-Control-Allow-Headers"] == "Authorization"
            assert response.headers["Access-Control-Allow-Methods"] == "GET"
    async with http.options(
        f"{served.spaces}/personal", headers={**asked, "Origin": "https://evil.example"}
    ) as response:
        assert (response.status, "Access-Control-Allow-Origin" in response.headers) == (403, False)


async def test_a_page_of_a_listed_origin_can_read_the_status_of_a_refusal(
    memory: Memory, served: Any, http: aiohttp.ClientSession
) -> None:
    """Without the header its script would see a network error instead of the 401 or 404."""
    token = TokenTable(memory.store).create("page", origins=[ORIGIN])
    for path, secret, status in (("/personal", "0" * 64, 401), ("/elsewhere", token, 404)):
        headers = {**bearer(secret), "Origin": ORIGIN}
        async with http.get(f"{served.spaces}{path}", headers=headers) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)


async def test_refused_requests_keep_no_client_out(
    served: Any, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of requests with a bad token, with the Host of a web page, or given up."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 3600.0)
    monkeypatch.setattr(connection_gate, "ACCEPT_PAUSE_S", 0.0)
    url = f"{served.spaces}/personal"
    for headers, status in ((bearer("0" * 64), 401), ({**bearer(served.token), "Host": "evil.example"}, 403)):
        for _ in range(module.PENDING_MAX + 1):
            async with http.get(url, headers=headers) as response:
                assert response.status == status
    async with http.get(url, headers=bearer(served.token)) as response:
        assert response.status == 200


async def test_silent_sockets_keep_no_client_out(
    served: Any, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the listener holds, however long they stay."""
    monkeypatch.setattr(connection_gate, "IDENTIFY_S", 3600.0)
    monkeypatch.setattr(connection_gate, "ACCEPT_PAUSE_S", 0.0)
    port = int(served.spaces.split(":")[2].split("/")[0])
    silent = [(await asyncio.open_connection("localhost", port))[1] for _ in range(module.PENDING_MAX + 1)]
    async with http.get(f"{served.spaces}/personal", headers=bearer(served.token)) as response:
        assert response.status == 200
    for writer in silent:
        writer.close()


async def test_other_interfaces_need_a_certificate(memory: Memory) -> None:
    """Without TLS, anyone on the network path could read the token and every memory."""
    for host in ("0.0.0.0", "", "192.0.2.1", "some.example"):
        with pytest.raises(InputError, match="certificate"):
            await YjsListener(memory.store, YjsOptions(host=host, port=0)).start()


async def test_with_a_certificate_tls_is_used_everywhere(
    memory: Memory, http: aiohttp.ClientSession, certificate: Path
) -> None:
    """Clients that trust the user's certificate connect, and the Host header is not checked."""
    token = TokenTable(memory.store).create("browser")
    trusting = ssl.create_default_context(cafile=str(certificate))
    trusting.check_hostname = False
    async with YjsListener(memory.store, YjsOptions(host="", port=0, certificate=certificate)) as listener:
        url = f"{listener.url}/personal"
        headers = {**bearer(token), "Host": "notes.example"}
        async with http.get(url, headers=headers, ssl=trusting) as response:
            assert response.status == 200
        async with http.ws_connect(f"{url}/0", headers=headers, ssl=trusting) as socket:
            assert isinstance(protocol.read(await socket.receive_bytes()), protocol.Step1)
        with pytest.raises(aiohttp.ClientError):
            await http.get(url.replace("https", "http"), headers=headers)


async def test_an_invalid_certificate_is_named(memory: Memory, tmp_path: Path) -> None:
    """A missing file, and a file with other content."""
    other = tmp_path / "notes.txt"
    other.write_text("no PEM")
    for path in (tmp_path / "missing.pem", other):
        with pytest.raises(InputError, match=path.name):
            await YjsListener(memory.store, YjsOptions(port=0, certificate=path)).start()


async def test_a_port_in_use_is_named(memory: Memory, served: Any) -> None:
    """With the option that chooses another port."""
    port = int(served.listener.url.split(":")[2].split("/")[0])
    with pytest.raises(LockedError, match=f"port {port} .*--yjs-port"):
        await YjsListener(memory.store, YjsOptions(port=port)).start()


async def test_a_node_with_yjs_options_accepts_clients(memory: Memory, http: aiohttp.ClientSession) -> None:
    """As long as it runs, in addition to devices. It does not start if the port is in use."""
    token = TokenTable(memory.store).create("browser")
    async with Node(memory, host="127.0.0.1", port=0) as node:
        assert node.yjs_url is None
    async with Node(memory, host="127.0.0.1", port=0, yjs=YjsOptions(port=0)) as node:
        url = f"{node.yjs_url}/personal"
        async with http.get(url, headers=bearer(token)) as response:
            assert response.status == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(url, headers=bearer(token))
    async with YjsListener(memory.store, YjsOptions(port=0)) as listener:
        port = int(listener.url.split(":")[2].split("/")[0])
        with pytest.raises(LockedError):
            await Node(memory, host="127.0.0.1", port=0, yjs=YjsOptions(port=port)).__aenter__()
    assert memory.status().serving is None


async def test_the_number_of_clients_is_limited(
    memory: Memory, served: Any, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each token: a further client is told to retry later, and is accepted once another has left."""
    monkeypatch.setattr(module, "CLIENTS", 1)
    url, options = f"{served.personal}/0", {"headers": bearer(served.token)}
    first = await http.ws_connect(url, **options)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(url, **options)
    assert refused.value.status == 503
    other = TokenTable(memory.store).create("other")
    await (await http.ws_connect(url, headers=bearer(other))).close()
    await first.close()
    async with asyncio.timeout(10):
        while served.listener._clients:  # noqa: ASYNC110  the set has no event
            await asyncio.sleep(0.005)
    await (await http.ws_connect(url, **options)).close()


async def test_stopping_closes_the_connections(memory: Memory, http: aiohttp.ClientSession) -> None:
    """With the code for a server that goes away, after which clients reconnect. Nothing listens any more."""
    token = TokenTable(memory.store).create("browser")
    async with YjsListener(memory.store, YjsOptions(port=0)) as listener:
        url = f"{listener.url}/personal/0"
        socket = await http.ws_connect(url, headers=bearer(token))
        await socket.receive_bytes()
    message = await socket.receive()
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(url)
