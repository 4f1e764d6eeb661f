"""The faces: each makes the calls in its own way and returns outcomes that can be compared."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memcrdt.cli.app import run
from memcrdt.errors import MemcrdtError
from memcrdt.frameworks.recall import Recall
from memcrdt.service.collection import Collection
from memcrdt.service.problems import ConfirmationError, problem_of
from memcrdt.service.service import LIMIT, Saved, Service
from tests.faces.calls import Call, Ids, Outcome

if TYPE_CHECKING:
    import httpx2
    from mcp import Client


UPDATED: Final = "updated memory "


class ServiceFace:
    """The service layer itself, which the others have to agree with."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ids = Ids()

    async def call(self, name: str, given: Mapping[str, Any]) -> Outcome:
        """Make one call."""
        arguments = self._ids.fill(given)
        try:
            return self._done(name, arguments)
        except MemcrdtError as exc:
            return "problem", problem_of(exc).code

    def _done(self, name: str, arguments: dict[str, Any]) -> Outcome:
        match name:
            case "add" | "update" | "link":
                return self._saved([getattr(self._service, name)(**arguments)])
            case "add_many":
                return self._saved(self._service.add_many(arguments["items"]))
            case "search" | "list" | "get":
                found = getattr(self._service, name)(**arguments)
                return "found", [self._ids.number(row.id) for row in found.rows]
            case "history":
                return "history", [(revision.text, revision.head) for revision in self._service.history(**arguments)]
            case "forget":
                return "forgotten", self._forget(**arguments)
        return "sync", [each["name"] for each in self._service.sync_state()["devices"]]

    def _forget(self, *, confirmed: bool = False, **arguments: Any) -> int:
        try:
            return self._service.forget(**arguments).count
        except ConfirmationError as exc:
            if not confirmed:
                raise
            return self._service.forget(**arguments, confirm=exc.confirm).count

    def _saved(self, saved: list[Saved]) -> Outcome:
        return "saved", [(self._ids.number(each.id), each.scope) for each in saved]


class AdapterFace(ServiceFace):
    """An adapter that has some of the calls. The service layer makes the others, and proves nothing by them.

    Attributes:
        fallbacks: The calls that the service layer made.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.fallbacks: list[Call] = []

    async def call(self, name: str, given: Mapping[str, Any]) -> Outcome:
        """Make one call."""
        try:
            outcome = await self._adapted(name, self._ids.fill(given))
        except MemcrdtError as exc:
            return "problem", problem_of(exc).code
        if outcome is None:
            self.fallbacks.append((name, given))
            outcome = await super().call(name, given)
        return outcome

    async def _adapted(self, name: str, arguments: dict[str, Any]) -> Outcome | None:
        """Return the outcome of a call of the adapter, or None if it has no such call."""
        raise NotImplementedError


class RecallFace(AdapterFace):
    """The adapter of agent frameworks, in its awaitable form where it has one."""

    def __init__(self, recall: Recall) -> None:
        super().__init__(recall.service)
        self._recall = recall

    async def _adapted(self, name: str, arguments: dict[str, Any]) -> Outcome | None:
        match name:
            case "add":
                return self._saved([await self._recall.aremember(**arguments)])
            case "add_many":
                return self._saved(await self._recall.aremember_many(arguments["items"]))
            case "search":
                hits = await self._recall.asearch(**arguments)
                return "found", [self._ids.number(hit.memory.id) for hit in hits]
            case "get":
                return "found", [self._ids.number((await self._recall.aget(**arguments)).id)]
        return await self._corrected(name, arguments)

    async def _corrected(self, name: str, arguments: dict[str, Any]) -> Outcome | None:
        """Return the outcome of a call that changes a memory, or None for another call."""
        match name:
            case "update" if arguments.keys() == {"id", "text"}:
                changed = self._recall.manage("update", arguments["text"], arguments["id"]).removeprefix(UPDATED)
                return "saved", [(self._ids.number(changed), self._recall.get(changed).scope)]
            case "forget" if arguments.keys() == {"id"}:
                return "forgotten", int(await self._recall.aforget(**arguments))
        return None


class CollectionFace(AdapterFace):
    """The memories that a program keeps, for the calls that a program makes: it has keys and records, and confirms."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._known = Collection(service, kind=None)

    async def _adapted(self, name: str, arguments: dict[str, Any]) -> Outcome | None:
        return self._read(name, dict(arguments)) or self._changed(name, dict(arguments))

    def _read(self, name: str, arguments: dict[str, Any]) -> Outcome | None:
        """Return the outcome of a call that reads, or None for another call."""
        match name:
            case "search":
                hits = self._known.search(fold=True, **arguments)
                return "found", [self._ids.number(hit.memory.id) for hit in hits]
            case "list":
                limit = arguments.pop("limit", LIMIT)
                found = islice(self._known.iterate(**arguments), limit)
                return "found", [self._ids.number(each.id) for each in found]
            case "history":
                texts = self._known.history(self._service.record(**arguments))
                return "history", [(revision.text, revision.head) for revision in texts]
        return None

    def _changed(self, name: str, arguments: dict[str, Any]) -> Outcome | None:
        """Return the outcome of a call that writes as a program does, or None for another call."""
        match name:
            case "add":
                own = Collection(self._service, kind=arguments.pop("kind", None), scope=arguments.pop("scope"))
                once = {} if "key" in arguments else {"dedupe": True}  # agents get that by default
                return self._put([own.add(**arguments, **once)])
            case "add_many":
                return self._put(self._known.put(arguments["items"], dedupe=True))
            case "update" if self._service.memory.get_many([arguments["id"]]):  # it leaves out what is gone
                changed = arguments.pop("id")
                self._known.update({changed: arguments})
                return self._put([changed])
            case "forget" if "id" in arguments:
                return "forgotten", self._known.forget([arguments.pop("id")], **arguments)
            case "forget" if arguments.pop("confirmed", False):
                return "forgotten", self._known.forget_matching(**arguments).count
        return None

    def _put(self, ids: list[str]) -> Outcome:
        return "saved", [(self._ids.number(each), self._service.record(each).scope) for each in ids]


_TOOLS = {
    "add": "add_memory",
    "add_many": "add_memories",
    "search": "search_memories",
    "list": "list_memories",
    "get": "get_memory",
    "update": "update_memory",
    "history": "memory_history",
    "link": "link_memories",
    "forget": "forget_memory",
    "sync_status": "sync_status",
}


class McpFace:
    """The tools of the MCP server, called by a client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids = Ids()

    async def call(self, name: str, given: Mapping[str, Any]) -> Outcome:
        """Make one call."""
        arguments = self._ids.fill(given)
        confirmed = arguments.pop("confirmed", False)
        if name == "add_many":
            arguments = {"memories": arguments["items"]}
        if name == "forget" and "id" not in arguments:
            dry_run = arguments.pop("dry_run", False)
            arguments = {"filters": arguments, "dry_run": dry_run}
        result = await self._client.call_tool(_TOOLS[name], arguments)
        said: dict[str, Any] = result.structured_content or {}
        if confirmed and said.get("code") == "confirmation_required":
            arguments["confirm"] = said["remedy"].split('"')[1]
            result = await self._client.call_tool(_TOOLS[name], arguments)
            said = result.structured_content or {}
        if result.is_error:
            return "problem", said["code"]
        return self._outcome(name, said, result.content[0].text)

    def _outcome(self, name: str, said: dict[str, Any], text: str) -> Outcome:
        match name:
            case "search" | "list" | "get":
                return "found", [self._ids.number(row["id"]) for row in said.get("rows", ())]
            case "history":
                texts = [line.partition(": ")[2] for line in text.splitlines()]
                return "history", [(shown, each["head"]) for shown, each in zip(texts, said["revisions"], strict=True)]
            case "forget":
                return "forgotten", said["count"]
            case "sync_status":
                return "sync", [each["name"] for each in said["devices"]]
        return "saved", [(self._ids.number(each["id"]), each["scope"]) for each in said["memories"]]


class RestFace:
    """The REST interface, called by an HTTP client. It expects a revision by the entity tag that came with it."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._ids = Ids()
        self._tags: dict[tuple[str, str], str] = {}  # by id and revision

    async def call(self, name: str, given: Mapping[str, Any]) -> Outcome:
        """Make one call."""
        arguments = self._ids.fill(given)
        if arguments.pop("tag_match", "any") == "all":
            arguments["all_tags"] = arguments.pop("tags")
        confirmed = arguments.pop("confirmed", False)
        expected = arguments.pop("expected", None)
        method, path, sent = _request(name, arguments)
        if expected is not None:
            sent["headers"] = {"If-Match": self._tags.get((arguments["id"], expected), '"unknown"')}
        answer = await self._http.request(method, path, **sent)
        said = answer.json()
        if "etag" in answer.headers and answer.is_success:
            self._tags[said["id"], said["revision"]] = answer.headers["etag"]
        if confirmed and said.get("code") == "confirmation_required":
            sent["json"]["confirm"] = said["confirm"]
            answer = await self._http.request(method, path, **sent)
            said = answer.json()
        return ("problem", said["code"]) if answer.is_error else self._outcome(name, said)

    def _outcome(self, name: str, said: Any) -> Outcome:
        match name:
            case "search" | "list" | "get":
                found = said.get("items", [said])
                return "found", [self._ids.number(each.get("memory", each)["id"]) for each in found]
            case "history":
                return "history", [(each["text"], each["head"]) for each in said]
            case "forget":
                return "forgotten", said["count"]
            case "sync_status":
                return "sync", [each["name"] for each in said["devices"]]
        saved = said["items"] if name == "add_many" else [said]
        return "saved", [(self._ids.number(each["id"]), each["scope"]) for each in saved]


def _request(name: str, given: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return the method, the path, and what is sent for a call."""
    arguments = dict(given)
    memory = f"/v1/memories/{arguments.pop('id')}" if "id" in given else "/v1/memories"
    query = {key: json.dumps(value) if key == "metadata" else value for key, value in arguments.items()}
    if name == "forget" and "id" not in given:
        dry_run = arguments.pop("dry_run", False)
        return "POST", "/v1/forget", {"json": {"filters": arguments, "dry_run": dry_run}}
    if name == "search":
        return "GET", "/v1/search", {"params": {"q": query.pop("query"), **query}}
    method, path, sent = {
        "add": ("POST", memory, {"json": arguments}),
        "add_many": ("POST", "/v1/memories/batch", {"json": {"memories": arguments.get("items")}}),
        "get": ("GET", memory, {}),
        "list": ("GET", memory, {"params": query}),
        "update": ("PATCH", memory, {"json": arguments}),
        "history": ("GET", f"{memory}/history", {}),
        "link": ("POST", f"{memory}/links", {"json": arguments}),
        "forget": ("DELETE", memory, {}),
        "sync_status": ("GET", "/v1/sync", {}),
    }[name]
    return method, path, dict(sent)


class CliFace:
    """The command line with --json."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ids = Ids()

    async def call(self, name: str, given: Mapping[str, Any]) -> Outcome:
        """Make one call."""
        arguments = self._ids.fill(given)
        if name == "add_many":  # the command line adds one memory at a time
            added = [await self.call("add", item) for item in arguments["items"]]
            return "saved", [each for _, saved in added for each in saved]
        code, lines, error = self._run(*_command(name, dict(arguments)))
        return ("problem", error["code"]) if code else self._outcome(name, arguments, lines)

    def _outcome(self, name: str, arguments: Mapping[str, Any], lines: list[Any]) -> Outcome:
        match name:
            case "search":
                return "found", [self._ids.number(each["memory"]["id"]) for each in lines]
            case "list" | "get":
                return "found", [self._ids.number(each["id"]) for each in lines]
            case "history":
                return "history", [(each["text"], each["head"]) for each in lines]
            case "forget":
                return "forgotten", lines[0]["count"]
            case "sync_status":
                return "sync", [each["name"] for each in lines]
        changed = arguments["id"] if name == "link" else lines[0]["id"]
        _, (record,), _ = self._run("get", changed)
        return "saved", [(self._ids.number(changed), record["scope"])]

    def _run(self, *arguments: str) -> tuple[int, list[Any], dict[str, Any]]:
        """Return the exit code, the JSON lines of stdout, and the problem on stderr."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(["--home", str(self._home), "--json", *arguments])
        error = json.loads(err.getvalue().splitlines()[-1]) if code else {}
        return code, [json.loads(line) for line in out.getvalue().splitlines()], error


def _command(name: str, arguments: dict[str, Any]) -> list[str]:
    """Return the command line of a call."""
    if name == "sync_status":
        return ["peers"]
    positional = [arguments.pop(each) for each in ("id", "rel", "to", "query", "text") if each in arguments]
    if arguments.get("scope") == "all":
        del arguments["scope"]
    if arguments.pop("tag_match", None) == "all":
        arguments["all_tag"] = arguments.pop("tags")
    options = {"tags": "tag", "confirmed": "yes", "pinned": "pin"}
    if name == "add":
        arguments["dedupe"] = "key" not in arguments  # agents get that by default
    return [name, *_options({options.get(each, each): value for each, value in arguments.items()}), "--", *positional]


def _options(arguments: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        for each in value if isinstance(value, list) else [value]:
            if each is True:
                words.append(flag)
            elif each is not False:
                words += [flag, json.dumps(each) if isinstance(each, dict) else str(each)]
    return words


Face = ServiceFace | RecallFace | McpFace | CliFace
