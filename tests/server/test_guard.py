"""Every route refuses requests for another host, from another site, or without a token. The walk is over OpenAPI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import memcrdt
from memcrdt.server.guard import is_public
from tests.server.conftest import bearer

if TYPE_CHECKING:
    from starlette.testclient import TestClient

DEVICE = "A" * 52
# What only the right `admin` changes.
ADMIN = (
    "/v1/devices",
    "/v1/pairing",
    "/v1/join",
    "/v1/spaces",
    "/v1/alarms",
)
# What makes such a request valid, so that it is refused for its token and for nothing else.
BODIES = {
    "/v1/spaces/name/members": {"device": DEVICE},
    "/v1/devices": {"device": DEVICE},
    "/v1/pairing": {},
    "/v1/join": {"code": "0-abacus-abdomen"},
}
REFUSED = {
    "rebinding": ({"Host": "evil.example"}, 421),
    "a host twice": ({"Host": "localhost, evil.example"}, 421),
    "another origin": ({"Origin": "https://evil.example"}, 403),
    "the null origin": ({"Origin": "null"}, 403),
    "another port": ({"Origin": "http://localhost:9"}, 403),
    "another scheme": ({"Origin": "https://localhost"}, 403),
    "cross-site": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "same-site": ({"Sec-Fetch-Site": "same-site"}, 403),
    "no token": ({"Authorization": ""}, 401),
    "a wrong token": (bearer("0" * 64), 401),
    "another scheme of authorization": ({"Authorization": "Basic " + "0" * 64}, 401),
    "a token in a cookie": ({"Authorization": "", "Cookie": "token=" + "0" * 64}, 401),
}


def _operations(client: TestClient) -> Iterator[tuple[str, str]]:
    """Yield the method and the address of every operation, and of the MCP server."""
    for path, operations in client.get("/v1/openapi.json").json()["paths"].items():
        for method in operations:
            yield method.upper(), path.replace("{id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV").replace("{", "").replace("}", "")
    yield "POST", "/mcp"
    yield "GET", "/mcp"


@pytest.mark.parametrize("name", REFUSED)
def test_every_route_refuses(client: TestClient, name: str) -> None:
    """Before it reads the request: the body is not even JSON."""
    headers, status = REFUSED[name]
    seen = 0
    for method, path in _operations(client):
        answer = client.request(method, path, headers=headers, content=None if method == "GET" else b"{")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
        seen += 1
    assert seen > 20


def test_no_route_that_changes_devices_takes_the_token_of_an_agent(client: TestClient) -> None:
    """Only a token with the right `admin` pairs, accepts or revokes. Each request would be valid with it."""
    for method, path in _operations(client):
        if method != "GET" and path.startswith(ADMIN):
            answer = client.request(method, path, json=BODIES.get(path))
            assert (answer.status_code, answer.json()["code"]) == (403, "read_only"), (method, path, answer.text)


def test_what_needs_no_token_says_nothing_of_the_memory(client: TestClient, memory: memcrdt.Memory) -> None:
    """The page, the description and the sign of life. A foreign host gets none of them."""
    memory.add("The harbour is at Kiel")
    for path, status in (("/", 200), ("/v1/openapi.json", 200), ("/healthz", 204), ("/v1x", 404)):
        answer = client.get(path, headers={"Authorization": ""}, follow_redirects=False)
        assert (answer.status_code, "Kiel" in answer.text) == (status, False)
        assert client.get(path, headers={"Host": "evil.example"}).status_code == 421
    assert not any(map(is_public, ("/v1", "/v1/stats", "//v1/stats", "/mcp", "/mcp/", "//mcp")))


def test_every_answer_forbids_foreign_scripts_and_frames(client: TestClient) -> None:
    """Also refusals and the page. Nothing inline may run."""
    for path in ("/", "/v1/stats", "/v1/nothing", "/nothing", "/v1/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert not any(name.startswith("access-control-") for name in headers)


@pytest.mark.parametrize("host", ["localhost", "localhost:27390", "127.0.0.1:1", "[::1]:27390", "LOCALHOST"])
def test_this_machine_may_be_named_in_every_way(client: TestClient, host: str) -> None:
    """An address cannot be rebound to another machine, and the port does not matter."""
    origin = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/v1/stats", headers={"Host": host, **origin}).status_code == 200


def test_a_revoked_token_is_refused_from_the_next_request_on(client: TestClient, memory: memcrdt.Memory) -> None:
    """Another token of the same name has another secret."""
    assert client.get("/v1/stats").status_code == 200
    memory.tokens.revoke("agent")
    memory.tokens.create("agent")
    assert client.get("/v1/stats").status_code == 401


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_no_form_of_a_page_is_understood(client: TestClient, kind: str) -> None:
    """A page could send these types of content without asking the server first."""
    answer = client.post("/v1/memories", content=b'{"text": "x"}', headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "wrong_media_type")
