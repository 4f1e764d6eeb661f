"""What the scenarios of the conformance package expect of a server, added to the server of memcrdt.

Most scenarios call tools, resources and prompts by fixed names. They test how a server carries results, questions and
notifications over the wire, and not what it offers.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import wave
import zlib
from collections.abc import Mapping
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)

STEP_S: Final = 0.05
COLOURS: Final = ["red", "green", "blue"]
Asked = Context[Any, Any]


def png() -> bytes:
    """Return an image of one red pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def wav() -> bytes:
    """Return a sound without samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8_000)
    return file.getvalue()


IMAGE: Final = ImageContent(type="image", data=base64.b64encode(png()).decode(), mime_type="image/png")
AUDIO: Final = AudioContent(type="audio", data=base64.b64encode(wav()).decode(), mime_type="audio/wav")


def embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def form(message: str, **properties: Any) -> ElicitRequest:
    """Return the question for the user whose answer has these properties, all required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, max_tokens: int) -> CreateMessageRequest:
    """Return the question for the model of the client."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


NAME: Final = {"name": {"type": "string"}}
ASK_NAME: Final = form("What is your name?", **NAME)


def answers(ctx: Asked, *keys: str) -> list[Any] | None:
    """Return the answers to all of these questions, or None if one is missing."""
    given = ctx.input_responses or {}
    return [given[key] for key in keys] if all(key in given for key in keys) else None


def add_contents(server: MCPServer[Any]) -> None:
    """Add the tools that return each kind of content."""

    @server.tool(description="Return a text")
    def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @server.tool(description="Return an image")
    def test_image_content() -> ImageContent:
        return IMAGE

    @server.tool(description="Return a sound")
    def test_audio_content() -> AudioContent:
        return AUDIO

    @server.tool(description="Return a resource")
    def test_embedded_resource() -> EmbeddedResource:
        return embedded("test://embedded-resource", "This is an embedded resource content.")

    @server.tool(description="Return several contents")
    def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        mixed = embedded(
            "test://mixed-content-resource", json.dumps({"test": "data", "value": 123}), "application/json"
        )
        return [TextContent(type="text", text="Multiple content types test:"), IMAGE, mixed]

    @server.tool(description="Fail")
    def test_error_handling() -> str:
        raise RuntimeError("This tool intentionally returns an error for testing")

    @server.tool(description="Report progress")
    async def test_tool_with_progress(ctx: Asked) -> str:
        for progress in (0, 50, 100):
            await ctx.report_progress(progress, 100)
            await asyncio.sleep(STEP_S)
        return "done"


def add_resources_and_prompts(server: MCPServer[Any]) -> None:
    """Add the resources and prompts."""

    @server.resource("test://static-text", description="A text", mime_type="text/plain")
    def text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", description="An image", mime_type="image/png")
    def binary() -> bytes:
        return png()

    @server.resource("test://watched-resource", description="A text", mime_type="text/plain")
    def watched() -> str:
        return "Watched resource content"

    @server.resource("test://template/{id}/data", description="A template", mime_type="application/json")
    def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.prompt(description="A prompt")
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @server.prompt(description="A prompt with arguments")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(description="A prompt with a resource")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803
        found = embedded(resourceUri, "Embedded resource content for testing.")
        return [UserMessage(content=found), UserMessage(content="Please process the embedded resource above.")]

    @server.prompt(description="A prompt with an image")
    def test_prompt_with_image() -> list[UserMessage]:
        return [UserMessage(content=IMAGE), UserMessage(content="Please analyze the image above.")]

    @server.prompt(description="A prompt that asks the user")
    def test_input_required_result_prompt(ctx: Asked) -> str | InputRequiredResult:
        if (given := answers(ctx, "user_context")) is None:
            question = form("What context should the prompt use?", context={"type": "string"})
            return InputRequiredResult(input_requests={"user_context": question})
        return f"The context is {given[0].content['context']}"


def add_questions(server: MCPServer[Any]) -> None:
    """Add the tools that ask in the result, as since 2026-07-28."""

    def asking(name: str, questions: Mapping[str, Any], state: str | None = None, told: str = "state-ok") -> None:
        """Add a tool that asks these questions once, and then says what it was told."""

        def tool(ctx: Asked) -> str | InputRequiredResult:
            given = answers(ctx, *questions)
            if given is None or ctx.request_state != state or any(not _fits(each) for each in given):
                return InputRequiredResult(input_requests=dict(questions), request_state=state)
            return f"{told} {' '.join(map(_said, given))}!"

        server.add_tool(tool, name=name, description="Ask, and return the answer")

    confirm = form("Please confirm", ok={"type": "boolean"})
    roots, greeting = ListRootsRequest(), sample("Generate a greeting", 50)
    prefix = "test_input_required_result_"
    asking(prefix + "elicitation", {"user_name": ASK_NAME}, told="Hello,")
    asking(prefix + "sampling", {"capital_question": sample("What is the capital of France?", 100)})
    asking(prefix + "list_roots", {"client_roots": roots})
    asking(prefix + "request_state", {"confirm": confirm}, "state")
    asking(prefix + "tampered_state", {"confirm": confirm}, "state")
    all_three = {"user_name": ASK_NAME, "greeting": greeting, "client_roots": roots}
    asking(prefix + "multiple_inputs", all_three, "state")

    @server.tool(name=prefix + "multi_round", description="Ask twice")
    def multi_round(ctx: Asked) -> str | InputRequiredResult:
        if ctx.request_state == "two" and (given := answers(ctx, "step2")):
            return f"The colour is {_said(given[0])}"
        if ctx.request_state == "one" and answers(ctx, "step1"):
            question = form("Step 2: What is your favorite color?", color={"type": "string"})
            return InputRequiredResult(input_requests={"step2": question}, request_state="two")
        question = form("Step 1: What is your name?", **NAME)
        return InputRequiredResult(input_requests={"step1": question}, request_state="one")

    @server.tool(name=prefix + "capabilities", description="Ask only what the client can answer")
    def capabilities(ctx: Asked) -> str | InputRequiredResult:
        can = ctx.client_capabilities
        possible = {
            "user_name": (ASK_NAME, can and can.elicitation),
            "greeting": (greeting, can and can.sampling),
            "client_roots": (roots, can and can.roots),
        }
        questions = {name: question for name, (question, allowed) in possible.items() if allowed is not None}
        return InputRequiredResult(input_requests=questions) if questions else "nothing to ask"

    @server.tool(description="Need a capability")
    def test_missing_capability(ctx: Asked) -> str:
        if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
            required = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs sampling", required)
        return "done"

    @server.tool(description="Ask in the stream")
    def test_streaming_elicitation(ctx: Asked) -> str | InputRequiredResult:
        return InputRequiredResult(input_requests={"user_name": ASK_NAME})

    @server.tool(description="Log if the request allows it")
    async def test_logging_tool(ctx: Asked) -> str:
        await ctx.info("a message")
        return "done"


def add_older_questions(server: MCPServer[Any]) -> None:
    """Add the tools that ask while they run, as until 2025-11-25."""

    @server.tool(description="Ask the model of the client")
    async def test_sampling(ctx: Asked, prompt: str) -> str:
        answer = await ctx.session.create_message(
            sample(prompt, 100).params.messages, max_tokens=100, related_request_id=ctx.request_id
        )
        return f"LLM response: {answer.content.text}"

    async def ask(ctx: Asked, question: ElicitRequest, told: str) -> str:
        answer = await ctx.session.elicit_form(
            question.params.message, question.params.requested_schema, related_request_id=ctx.request_id
        )
        return f"{told}: action={answer.action}, content={json.dumps(answer.content)}"

    @server.tool(description="Ask the user")
    async def test_elicitation(ctx: Asked, message: str) -> str:
        question = form(message, username={"type": "string"}, email={"type": "string"})
        return await ask(ctx, question, "User response")

    @server.tool(description="Ask with defaults")
    async def test_elicitation_sep1034_defaults(ctx: Asked) -> str:
        question = form(
            "Please check these",
            name={"type": "string", "default": "John Doe"},
            age={"type": "integer", "default": 30},
            score={"type": "number", "default": 95.5},
            status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            verified={"type": "boolean", "default": True},
        )
        return await ask(ctx, question, "Elicitation completed")

    @server.tool(description="Ask with choices")
    async def test_elicitation_sep1330_enums(ctx: Asked) -> str:
        titled = [{"const": each, "title": each.title()} for each in COLOURS]
        question = form(
            "Please choose",
            untitledSingle={"type": "string", "enum": COLOURS},
            titledSingle={"type": "string", "oneOf": titled},
            legacyEnum={"type": "string", "enum": COLOURS, "enumNames": [each.title() for each in COLOURS]},
            untitledMulti={"type": "array", "items": {"type": "string", "enum": COLOURS}},
            titledMulti={"type": "array", "items": {"anyOf": titled}},
        )
        return await ask(ctx, question, "Elicitation completed")

    @server.tool(description="Log while running")
    async def test_tool_with_logging(ctx: Asked) -> str:
        for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(message)
            await asyncio.sleep(STEP_S)
        return "done"


def _fits(answer: Any) -> bool:
    """Return whether an answer has what was asked for."""
    return getattr(answer, "action", "accept") == "accept" and getattr(answer, "content", True) is not None


def _said(answer: Any) -> str:
    """Return an answer of any kind as text."""
    if hasattr(answer, "roots"):
        return " ".join(str(root.uri) for root in answer.roots)
    if hasattr(answer, "action"):
        return " ".join(str(value) for value in (answer.content or {}).values())
    return str(answer.content.text)
