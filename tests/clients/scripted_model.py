"""A model on this machine that follows a script, in the protocols of three vendors and in Chat Completions.

To a prompt that begins with STORE it answers with a call of the tool `add_memory`, and then in words. To any other
prompt it answers with what it finds in the request: what the client and its hooks have told it. Chat Completions is for
clients without hooks: there it calls `search_memories` first.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

STORE = "Remember how we deploy the billing service"
FACT = "The billing service is deployed with make ship, never on Fridays."
STORED = "Stored: the billing service is deployed with make ship, never on Fridays."
KNOWN, UNKNOWN = "With make ship, and never on Fridays.", "I do not know."

MOST_CALLS = 4
# What Gemini CLI asks before a prompt, without a stream: how difficult it is.
EASY = json.dumps({"complexity_reasoning": "", "complexity_score": 1, "reasoning": "", "model_choice": "flash"})

Call = tuple[str, dict[str, Any]]


def decide(prompt: str, tools: list[str], calls: int, *, searches: bool = False) -> Call | str:
    """Return a call of a tool, or an answer in words.

    Args:
        prompt: The request as text.
        tools: The names of the tools on offer.
        calls: The number of calls that were made before.
        searches: Whether to call `search_memories` before an answer.
    """
    if STORE in prompt and calls < MOST_CALLS:
        add = next((name for name in tools if name.endswith("add_memory")), None)
        if FACT not in prompt and add is not None:
            return add, {"text": FACT, "kind": "procedure"}
        if add is None and calls == 0 and "WaitForMcpServers" in tools:  # of Claude Code, which starts them meanwhile
            return "WaitForMcpServers", {}
    if STORE in prompt:
        return STORED if FACT in prompt else UNKNOWN
    search = next((name for name in tools if name.endswith("search_memories")), None)
    if searches and search is not None and calls == 0:
        return search, {"query": "deploy the billing service"}
    return KNOWN if FACT in prompt else UNKNOWN


class _Handler(BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.requests.append(json.dumps(body))
        if "/messages" in self.path:
            self._send(_anthropic(body), stream=bool(body.get("stream")))
        elif "/chat/completions" in self.path:
            self._send(_chat(body), stream=bool(body.get("stream")))
        elif "/responses" in self.path:
            self._send(_openai(body), stream=True)
        else:
            is_stream = "stream" in self.path
            self._send(_gemini(body, decided=None if is_stream else EASY), stream=is_stream)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the requests are kept."""

    def _send(self, events: list[dict[str, Any]], *, stream: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.end_headers()
        if not stream:
            self.wfile.write(json.dumps(events[-1]).encode())
            return
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    """Serve the model. Lends its URL, and the list of the requests that it got."""
    _Handler.requests.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", _Handler.requests
        finally:
            server.shutdown()
            thread.join()


def _anthropic(body: dict[str, Any]) -> list[dict[str, Any]]:
    said = json.dumps(body.get("messages"))
    calls = said.count('"tool_result"')
    answer = decide(said, [tool.get("name", "") for tool in body.get("tools", [])], calls)
    is_call = not isinstance(answer, str)
    block = {"type": "tool_use", "id": f"toolu_{calls}", "name": answer[0], "input": {}} if is_call else _TEXT_BLOCK
    delta = (
        {"type": "input_json_delta", "partial_json": json.dumps(answer[1])}
        if is_call
        else {"type": "text_delta", "text": answer}
    )
    message = {"id": "m", "type": "message", "role": "assistant", "model": "script", "usage": _USAGE}
    stop = {"stop_reason": "tool_use" if is_call else "end_turn", "stop_sequence": None}
    return [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": _USAGE},
        {"type": "message_stop"},
    ]


def _openai(body: dict[str, Any]) -> list[dict[str, Any]]:
    said, names, spaces = json.dumps(body.get("input")), [], {}
    for tool in body.get("tools", []):
        for each in tool.get("tools", [tool]):
            names.append(each.get("name") or "")
            spaces[names[-1]] = tool.get("name") if tool.get("type") == "namespace" else None
    answer = decide(said, names, said.count('"function_call_output"'))
    if isinstance(answer, str):
        content = [{"type": "output_text", "text": answer}]
        item: dict[str, Any] = {"type": "message", "role": "assistant", "id": "m", "content": content}
    else:
        item = {
            "type": "function_call",
            "id": "f",
            "call_id": "c",
            "name": answer[0],
            "arguments": json.dumps(answer[1]),
        }
        if spaces[answer[0]]:
            item["namespace"] = spaces[answer[0]]
    usage = {**_USAGE, "total_tokens": 2, "input_tokens_details": None, "output_tokens_details": None}
    return [
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "r", "usage": usage}},
    ]


def _chat(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages", [])
    calls = sum(message.get("role") == "tool" for message in messages)
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    answer = decide(json.dumps(messages), names, calls, searches=True)
    delta: dict[str, Any] = {"role": "assistant"}
    if isinstance(answer, str):
        delta["content"] = answer
    else:
        function = {"name": answer[0], "arguments": json.dumps(answer[1])}
        delta["tool_calls"] = [{"index": 0, "id": f"call_{calls}", "type": "function", "function": function}]
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "script"}
    reason = "tool_calls" if "tool_calls" in delta else "stop"
    return [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
    ]


def _gemini(body: dict[str, Any], decided: str | None) -> list[dict[str, Any]]:
    said = json.dumps(body.get("contents"))
    declared = [each for tool in body.get("tools", []) for each in tool.get("functionDeclarations", [])]
    answer = decided or decide(said, [each["name"] for each in declared], said.count('"functionResponse"'))
    part = {"text": answer} if isinstance(answer, str) else {"functionCall": {"name": answer[0], "args": answer[1]}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    return [{"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 2}}]


_TEXT_BLOCK = {"type": "text", "text": ""}
_USAGE = {"input_tokens": 1, "output_tokens": 1}
