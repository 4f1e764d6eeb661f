"""/v1/memories: the story of a program that keeps a memory, and of two that change it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import memcrdt
from tests.server.conftest import bearer
from tests.server.conftest import rivals as make_rivals

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from memcrdt.testing.memories import Clock
    from tests.conftest import OpenMemory

UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def _add(client: TestClient, text: str = "Deploys go out on Tuesdays", **more: Any) -> Any:
    return client.post("/v1/memories", json={"text": text, **more})


def test_a_memory_is_added_read_changed_and_forgotten(client: TestClient, memory: memcrdt.Memory) -> None:
    """The answers have the address, the version and the whole memory; Python sees the same."""
    added = _add(client, scope="project/acme", tags=["release"], metadata={"year": 2026})
    path = added.headers["location"]
    assert (added.status_code, path) == (201, f"/v1/memories/{added.json()['id']}")
    assert client.get(path).json() == added.json()
    changed = client.patch(path, json={"text": "Deploys go out on Fridays", "add_tags": ["urgent"], "kind": "fact"})
    assert changed.json()["text"] == "Deploys go out on Fridays"
    assert changed.headers["etag"] != added.headers["etag"]
    record = memory.get(added.json()["id"])
    assert (record.text, record.tags, record.kind, record.author) == (
        "Deploys go out on Fridays",
        ("release", "urgent"),
        "fact",
        "agent",
    )
    assert client.patch(path, json={"kind": None}).json()["kind"] is None
    assert [each["text"] for each in client.get(f"{path}/history").json()] == [added.json()["text"], record.text]
    revision = client.get(f"{path}/revisions/{record.revision}").json()
    assert (revision["text"], revision["head"]) == (record.text, True)
    forgotten = client.delete(path)
    assert (forgotten.status_code, forgotten.json()["count"]) == (200, 1)
    assert client.get(path).status_code == 404
    receipts = client.get("/v1/receipts", params={"id": record.id}).json()
    assert receipts == {"forgotten": 1, "status": "done", "devices": []}


def test_the_same_text_and_the_same_key_are_one_memory(client: TestClient) -> None:
    """A known text is answered with 200. A key has an address of its own, and its id follows from it."""
    first, again = _add(client), _add(client)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    place = "/v1/memories/by-key/hosts/staging"
    made = client.put(place, json={"text": "Staging is at port 8443"})
    moved = client.put(place, json={"text": "Staging is at port 9443", "tags": ["network"]})
    assert (made.status_code, moved.status_code) == (201, 200)
    assert client.get(place).json() == client.get(made.headers["location"]).json() == moved.json()
    assert client.put(place, json={"text": "x"}, headers={"If-None-Match": "*"}).status_code == 412
    only = client.put("/v1/memories/by-key/new", json={"text": "Only once"}, headers={"If-None-Match": "*"})
    assert only.status_code == 201


def test_a_condition_without_a_tag_is_not_taken_for_none(client: TestClient) -> None:
    """A client whose variable is empty must not write without its condition."""
    path = _add(client).headers["location"]
    for empty in ("", " "):
        made = client.put("/v1/memories/by-key/a", json={"text": "Only once"}, headers={"If-None-Match": empty})
        assert (made.status_code, client.get("/v1/memories/by-key/a").status_code) == (422, 404)
        assert client.patch(path, json={"text": "Changed"}, headers={"If-Match": empty}).status_code == 412
        assert client.delete(path, headers={"If-Match": empty}).status_code == 412
        assert client.get(path, headers={"If-None-Match": empty}).status_code == 200


def test_without_if_match_changes_merge_and_with_it_a_stale_one_is_refused(client: TestClient) -> None:
    """The refusal has what is there, with its version, so that the change can be made again."""
    added = _add(client)
    path, read = added.headers["location"], added.headers["etag"]
    other = client.patch(path, json={"tags": ["release"]})
    stale = client.patch(path, json={"text": "Deploys go out on Sundays"}, headers={"If-Match": read})
    assert stale.status_code == 412
    assert stale.headers["content-type"] == "application/problem+json"
    assert (stale.json()["code"], stale.json()["memory"]) == ("stale_revision", other.json())
    assert stale.headers["etag"] == other.headers["etag"]
    there = {"If-Match": f'"unknown", {stale.headers["etag"]}'}
    assert client.patch(path, json={"text": "Deploys go out on Sundays"}, headers=there).status_code == 200
    assert client.patch(path, json={"pinned": True}).json()["text"] == "Deploys go out on Sundays"
    assert client.delete(path, headers={"If-Match": read}).status_code == 412
    assert client.delete(path, headers={"If-Match": f"W/{stale.headers['etag']}"}).status_code == 412
    assert client.delete(path, headers={"If-Match": "*"}).json()["count"] == 1


def test_a_client_that_has_the_memory_gets_no_content(client: TestClient) -> None:
    """304, also for a weak tag and `*`. Any change that a reader sees makes another version."""
    added = _add(client)
    path, tag = added.headers["location"], added.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        got = client.get(path, headers={"If-None-Match": known})
        assert (got.status_code, got.content, got.headers["etag"]) == (304, b"", tag)
    seen = {tag}
    for change in ({"text": "new"}, {"tags": ["a"]}, {"pinned": True}, {"metadata": {"a": 1}}, {"scope": "agent/b"}):
        client.patch(path, json=change)
        got = client.get(path, headers={"If-None-Match": tag})
        assert got.status_code == 200
        seen.add(got.headers["etag"])
    assert len(seen) == 6


def test_a_conflict_is_shown_and_settled(client: TestClient, memory: memcrdt.Memory, rivals: str) -> None:
    """By keeping one of the texts. A version from before the settlement is stale."""
    path = f"/v1/memories/{rivals}"
    texts = client.get(f"{path}/conflicts").json()
    assert {each["text"] for each in texts} == {"from A", "from B"}
    tag = client.get(path).headers["etag"]
    assert client.get("/v1/memories", params={"conflicts": "true"}).json()["items"][0]["id"] == rivals
    for wrong, status in (({}, 422), ({"keep": UNKNOWN}, 404), ({"keep": UNKNOWN, "text": "x"}, 422)):
        assert client.post(f"{path}/resolve", json=wrong).status_code == status
    kept = next(each for each in texts if each["text"] == "from A")
    settled = client.post(f"{path}/resolve", json={"keep": kept["revision"]}, headers={"If-Match": tag})
    assert (settled.status_code, settled.json()["text"], settled.json()["conflicted"]) == (200, "from A", False)
    assert memory.conflicts(rivals) == []
    assert client.get(f"{path}/conflicts").json() == []
    assert client.post(f"{path}/resolve", json={"text": "x"}).status_code == 422
    assert client.patch(path, json={"text": "x"}, headers={"If-Match": tag}).status_code == 412


@pytest.fixture(name="rivals")
def _rivals(memory: memcrdt.Memory, open_memory: OpenMemory) -> str:
    """Return the id of a memory that two devices have changed while they were apart."""
    return make_rivals(memory, open_memory("B"), "before", "from A", "from B")


def test_links_lead_to_other_memories(client: TestClient) -> None:
    """They are made, followed and removed."""
    outage, deploy = _add(client, "The outage").json()["id"], _add(client, "The deploy").json()["id"]
    path = f"/v1/memories/{outage}/links"
    linked = client.post(path, json={"rel": "caused by", "to": deploy}).json()
    assert linked["links"] == [{"rel": "caused by", "to": deploy}]
    assert [each["text"] for each in client.get(path).json()] == ["The deploy"]
    assert client.get(path, params={"rel": "see"}).json() == []
    assert client.post(path, json={"rel": "see", "to": UNKNOWN}).status_code == 422
    client.post(path, json={"rel": "see", "to": deploy})
    one_less = client.delete(f"{path}/{deploy}", params={"rel": "caused by"}).json()["links"]
    assert one_less == [{"rel": "see", "to": deploy}]
    assert client.delete(f"{path}/{deploy}").json()["links"] == []
    assert client.delete(f"{path}/{deploy}").status_code == 200


def test_a_list_is_read_page_by_page(client: TestClient) -> None:
    """The header Link leads from page to page, with the filters of the first one."""
    added = client.post("/v1/memories/batch", json={"memories": [{"text": f"{n}", "tags": ["x"]} for n in range(7)]})
    assert [each["known"] for each in added.json()["items"]] == [False] * 7
    _add(client, "another")
    path, texts = "/v1/memories?tags=x&limit=3&order=oldest", []
    while path:
        got = client.get(path)
        texts.append([each["text"] for each in got.json()["items"]])
        path = got.links.get("next", {}).get("url", "")
        assert bool(path) == (got.json()["next"] is not None)
    assert texts == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert client.get("/v1/memories", params={"cursor": "nonsense"}).status_code == 422


def test_memories_are_found_with_the_reasons(client: TestClient, memory: memcrdt.Memory) -> None:
    """Filters narrow a search, and `explain` names the parts of the ranking."""
    _add(client, "Invoices are sent as PDF", scope="project/acme", metadata={"year": 2026})
    _add(client, "Invoices are paid in May", scope="project/other")
    found = client.get("/v1/search", params={"q": "invoices", "explain": True, "metadata": '{"year": 2026}'}).json()
    (hit,) = found["items"]
    assert hit["memory"]["scope"] == "project/acme"
    assert hit["parts"]["lexical"] > 0
    assert [hit["memory"]["text"][start:end] for start, end in hit["marks"]] == ["Invoices"]
    assert len(client.get("/v1/search", params={"q": "invoices"}).json()["items"]) == 2
    assert client.get("/v1/search", params={"q": "invoices", "after": "2999-01-01"}).json() == {"items": []}
    assert client.get("/v1/search", params={"q": "x", "after": "the other day"}).status_code == 422
    assert client.get("/v1/scopes", params={"contains": "proj"}).json() == ["project/acme", "project/other"]
    client.patch(f"/v1/memories/{hit['memory']['id']}", json={"tags": ["money"]})
    assert client.get("/v1/tags", params={"scope": "project/acme"}).json() == {"money": 1}
    assert client.get("/v1/stats").json() == {**memory.stats().to_dict()}


def test_activity_counts_each_memory_at_its_last_change(
    client: TestClient, memory: memcrdt.Memory, tokens: dict[str, str], clock: Clock
) -> None:
    """However many there are. A time of a clock that runs ahead counts as now."""
    old, changed = (memory.add(text) for text in ("The first one", "The second one"))
    memory.add("Another space", space="team")
    clock.advance(hours=2)
    memory.add_many([{"text": f"Line {number} of an import"} for number in range(250)])
    memory.update(changed, pinned=True)
    clock.advance(hours=-1)
    assert client.get("/v1/activity?hours=4").json() == [0, 0, 1, 251]
    clock.advance(hours=2)
    assert client.get("/v1/activity?hours=4").json() == [1, 0, 251, 0]
    assert client.get("/v1/activity?hours=4", headers=bearer(tokens["team"])).json() == [1, 0, 0, 0]
    memory.forget(old)
    assert client.get("/v1/activity?hours=4").json() == [0, 0, 251, 0]
    assert len(client.get("/v1/activity").json()) == 24
    for wrong in (0, -1, 721, "x"):
        assert client.get("/v1/activity", params={"hours": wrong}).status_code == 422


def test_several_memories_are_forgotten_only_after_a_confirmation(client: TestClient) -> None:
    """A dry run counts. The confirmation stands for exactly the memories that were counted."""
    for n in range(3):
        _add(client, f"Draft {n}", tags=["draft"])
    filters = {"filters": {"tags": ["draft"]}}
    assert client.post("/v1/forget", json={**filters, "dry_run": True}).json()["count"] == 3
    asked = client.post("/v1/forget", json=filters)
    assert (asked.status_code, asked.json()["code"], asked.json()["count"]) == (409, "confirmation_required", 3)
    confirm = asked.json()["confirm"]
    _add(client, "Draft 4", tags=["draft"])
    asked = client.post("/v1/forget", json={**filters, "confirm": confirm})
    assert (asked.status_code, asked.json()["count"]) == (409, 4)
    done = client.post("/v1/forget", json={**filters, "confirm": asked.json()["confirm"]})
    assert done.json()["count"] == 4
    for nothing in ({}, {"filters": {}}, {"filters": {"tags": []}}, {"ids": [UNKNOWN], **filters}):
        assert client.post("/v1/forget", json=nothing).status_code == 422
    assert client.post("/v1/forget", json={"ids": [UNKNOWN]}).status_code == 404


def test_a_problem_says_what_happened_and_what_to_do(client: TestClient) -> None:
    """In the form of RFC 9457, with an address that describes its type."""
    secret = "deploy with " + "AKIA" + "Z7Q2M4X3K3T6W5RA"
    for answer, status, code in (
        (client.get(f"/v1/memories/{UNKNOWN}"), 404, "not_found"),
        (_add(client, secret), 422, "secret_refused"),
        (_add(client, "x", scope="acme"), 422, "invalid_input"),
        (_add(client, " "), 422, "invalid_input"),
        (_add(client, "x", colour="red"), 422, "invalid_input"),
        (client.get("/v1/nothing"), 404, "no_such_route"),
        (client.put("/v1/memories", json={}), 405, "method_not_allowed"),
        (client.post("/v1/memories", content=b"{", headers={"Content-Type": "application/json"}), 422, "invalid_input"),
        (client.post("/v1/memories", content=b"text=x"), 415, "wrong_media_type"),
    ):
        said = answer.json()
        assert (answer.status_code, said["status"], said["code"]) == (status, status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert said["detail"]
        assert said["remedy"]
        described = client.get(said["type"]).json()
        assert (described["title"], described["status"]) == (said["title"], status)
        assert described["remedy"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"text": 3}, "body/text: give a text"),
        ({"text": ""}, "body/text: give at least 1 characters"),
        ({"text": " "}, "body/text: give a text that is not blank"),
        ({"text": "x", "colour": "red"}, "body/colour: there is no argument of this name; leave it out"),
        ({"text": "x", "importance": 2}, "body/importance: give at most 1"),
        ({"text": "x", "tags": "ops"}, "body/tags: give a list"),
        ({"text": "x", "superseded_by": "nope"}, "body/superseded_by: "),
        ({}, "body/text: it is missing; give it"),
        ([], "body: give a JSON object"),
    ],
)
def test_an_argument_of_another_type_is_refused_in_plain_words(client: TestClient, body: Any, detail: str) -> None:
    """The words say what to give, and not how the library that checks arguments names it."""
    assert client.post("/v1/memories", json=body).json()["detail"].startswith(detail)


def test_an_address_with_a_wrong_id_says_what_an_id_is(client: TestClient) -> None:
    """And not the pattern that it has to match."""
    said = client.get("/v1/memories/nope").json()
    assert said["detail"] == "path/id: give the id of a memory, which has 26 characters"
    assert client.get("/v1/search").json()["detail"] == "query/q: it is missing; give it"


def test_content_that_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    """By its announced size, and by what arrives without one."""
    json_type = {"Content-Type": "application/json"}
    large = client.post("/v1/memories", content=b"x" * (5 << 20), headers=json_type)
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    pieces = (b"x" * (1 << 20) for _ in range(6))
    streamed = client.post("/v1/memories", content=pieces, headers=json_type)
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")


def test_a_token_opens_its_spaces_and_no_other(client: TestClient, tokens: dict[str, str]) -> None:
    """A memory of another space does not exist for it, by any address; its own go to its space."""
    mine = _add(client).json()
    team = {"headers": bearer(tokens["team"])}
    path = f"/v1/memories/{mine['id']}"
    for method, address, body in (
        ("GET", path, None),
        ("PATCH", path, {"text": "x"}),
        ("DELETE", path, None),
        ("GET", f"{path}/history", None),
        ("GET", f"{path}/conflicts", None),
        ("GET", f"{path}/links", None),
        ("POST", f"{path}/links", {"rel": "see", "to": mine["id"]}),
        ("DELETE", f"{path}/links/{mine['id']}", None),
        ("POST", f"{path}/resolve", {"text": "x"}),
        ("POST", "/v1/forget", {"ids": [mine["id"]]}),
        ("POST", "/v1/memories", {"text": "x", "space": "personal"}),
        ("POST", "/v1/memories", {"text": "x", "id": mine["id"]}),
        ("GET", "/v1/memories?space=personal", None),
    ):
        answer = client.request(method, address, json=body, **team)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, address)
    assert client.get("/v1/memories", **team).json()["items"] == []
    assert client.get("/v1/search?q=deploys", **team).json()["items"] == []
    assert client.get("/v1/stats", **team).json()["memories"] == 0
    assert client.get("/v1/scopes", **team).json() == []
    assert sum(client.get("/v1/activity", **team).json()) == 0
    assert client.post("/v1/memories", json={"text": "plan"}, **team).json()["space"] == "team"
    client.delete(path)
    assert client.get(f"/v1/receipts?id={mine['id']}", **team).status_code == 404


@pytest.mark.parametrize(("who", "refused"), [("reader", {"write", "forget"}), ("writer", {"forget"})])
def test_a_token_does_only_what_it_has_a_right_to(
    client: TestClient, tokens: dict[str, str], who: str, refused: set[str]
) -> None:
    """The refusal names the missing right."""
    ids = [_add(client, f"Note {n}").json()["id"] for n in range(2)]
    path = f"/v1/memories/{ids[0]}"
    for right, method, address, body in (
        ("write", "POST", "/v1/memories", {"text": "x"}),
        ("write", "POST", "/v1/memories/batch", {"memories": [{"text": "x"}]}),
        ("write", "PUT", "/v1/memories/by-key/x", {"text": "x"}),
        ("write", "PATCH", path, {"pinned": True}),
        ("write", "POST", f"{path}/links", {"rel": "see", "to": ids[1]}),
        ("write", "DELETE", f"{path}/links/{ids[1]}", None),
        ("forget", "DELETE", path, None),
        ("forget", "POST", "/v1/forget", {"ids": [ids[1]]}),
    ):
        answer = client.request(method, address, json=body, headers=bearer(tokens[who]))
        assert (answer.status_code == 403) == (right in refused), (method, address, answer.text)
        if right in refused:
            assert (answer.json()["code"], f"'{right}'" in answer.json()["detail"]) == ("read_only", True)
