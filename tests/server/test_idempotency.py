"""`Idempotency-Key`: a request that is sent again is not done again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import memcrdt
from memcrdt.server.callers import STATE, Caller
from memcrdt.server.idempotency import KEPT_S, Idempotency
from memcrdt.service.access import Access
from tests.server.conftest import bearer

if TYPE_CHECKING:
    import pytest
    from starlette.testclient import TestClient


def test_a_repeated_request_gets_the_first_answer(client: TestClient, memory: memcrdt.Memory) -> None:
    """Even if the memory was forgotten meanwhile: it does not come back. Another token's key is another key."""
    key = {"Idempotency-Key": "order-1"}
    first = client.post("/v1/memories", json={"text": "Once"}, headers=key)
    memory.forget(first.json()["id"])
    again = client.post("/v1/memories", json={"text": "Once"}, headers=key)
    assert (again.status_code, again.json(), again.headers["etag"]) == (201, first.json(), first.headers["etag"])
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert "content-security-policy" in again.headers
    assert memory.count() == 0
    reused = client.post("/v1/memories", json={"text": "Twice"}, headers=key)
    assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")


def test_the_key_belongs_to_the_token(client: TestClient, memory: memcrdt.Memory, tokens: dict[str, str]) -> None:
    """Nobody gets the answer of another token."""
    key = {"Idempotency-Key": "order-1"}
    client.post("/v1/memories", json={"text": "Once"}, headers=key)
    other = client.post("/v1/memories", json={"text": "Once"}, headers={**key, **bearer(tokens["team"])})
    assert (other.status_code, other.json()["space"]) == (201, "team")
    assert memory.count() == 2


def test_a_refused_request_may_be_sent_again(client: TestClient) -> None:
    """Only what was done is kept. A key that is too long is refused."""
    key = {"Idempotency-Key": "order-2"}
    assert client.post("/v1/memories", json={"text": " "}, headers=key).status_code == 422
    assert client.post("/v1/memories", json={"text": "Once"}, headers=key).status_code == 201
    long = {"Idempotency-Key": "x" * 300}
    assert client.post("/v1/memories", json={"text": "Once"}, headers=long).status_code == 400


async def test_a_request_that_still_runs_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is told to wait. Old answers go, and of too many the oldest."""
    monkeypatch.setattr("memcrdt.server.idempotency.ANSWERS", 50)
    may_answer = asyncio.Event()
    now = 0.0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    idempotency = Idempotency(app, lambda: now)

    async def ask(key: str) -> tuple[int, bool]:
        sent: list[Any] = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/memories",
            "query_string": b"",
            "headers": [(b"idempotency-key", key.encode())],
            "state": {STATE: Caller("agent", Access())},
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            sent.append(message)

        await idempotency(scope, receive, send)
        return sent[0]["status"], (b"idempotency-replayed", b"true") in sent[0]["headers"]

    first = asyncio.create_task(ask("a"))
    await asyncio.sleep(0)
    assert await ask("a") == (409, False)
    may_answer.set()
    assert (await first, await ask("a")) == ((200, False), (200, True))
    now = KEPT_S
    assert await ask("a") == (200, False)
    for number in range(51):
        await ask(f"other {number}")
    assert await ask("a") == (200, False)
    assert await ask("other 50") == (200, True)
