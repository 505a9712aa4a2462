"""What MCP's official conformance suite asks a server for, as a server that our host hosts.

The suite calls tools, resources and prompts by names of its own (`test_…`, `test://…`), each
of which exercises one thing that a host has to let through. None of it is Madrox's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
STEP_SECONDS = 0.05

Context = ServerRequestContext[Any, Any]
Handler = Callable[[Context, types.CallToolRequestParams], Awaitable[Any]]


@dataclass
class Known:
    """Tools by name."""

    tools: dict[str, types.Tool] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)

    def tool(self, description: str, **properties: Any) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            schema = {"type": "object", "properties": properties, "required": [*properties]}
            name = handler.__name__
            self.tools[name] = types.Tool(name=name, description=description, input_schema=schema)
            self.handlers[name] = handler
            return handler

        return register


known = Known()


def said(*content: Any, failed: bool = False) -> types.CallToolResult:
    blocks = [
        types.TextContent(type="text", text=each) if isinstance(each, str) else each for each in content
    ]
    return types.CallToolResult(content=blocks, is_error=failed)


def embedded(uri: str, mime: str, text: str) -> types.EmbeddedResource:
    resource = types.TextResourceContents(uri=uri, mime_type=mime, text=text)
    return types.EmbeddedResource(type="resource", resource=resource)


IMAGE = types.ImageContent(type="image", data=PIXEL, mime_type="image/png")
TEXT = {"type": "string", "description": "A text"}


# tools that answer at once


@known.tool("A text")
async def test_simple_text(ctx: Context, params: types.CallToolRequestParams) -> Any:
    return said("This is a simple text response for testing.")


@known.tool("An image")
async def test_image_content(ctx: Context, params: types.CallToolRequestParams) -> Any:
    return said(IMAGE)


@known.tool("A sound")
async def test_audio_content(ctx: Context, params: types.CallToolRequestParams) -> Any:
    return said(types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav"))


@known.tool("A resource")
async def test_embedded_resource(ctx: Context, params: types.CallToolRequestParams) -> Any:
    return said(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))


@known.tool("All kinds")
async def test_multiple_content_types(ctx: Context, params: types.CallToolRequestParams) -> Any:
    data = json.dumps({"test": "data", "value": 123})
    mixed = embedded("test://mixed-content-resource", "application/json", data)
    return said("Multiple content types test:", IMAGE, mixed)


@known.tool("An error")
async def test_error_handling(ctx: Context, params: types.CallToolRequestParams) -> Any:
    return said("This tool intentionally returns an error for testing", failed=True)


# tools that say something meanwhile, or ask


@known.tool("Log messages")
async def test_tool_with_logging(ctx: Context, params: types.CallToolRequestParams) -> Any:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", text, related_request_id=ctx.request_id)
        await asyncio.sleep(STEP_SECONDS)
    return said("logged")


@known.tool("Progress")
async def test_tool_with_progress(ctx: Context, params: types.CallToolRequestParams) -> Any:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(STEP_SECONDS)
    return said("done")


@known.tool("A question for the client's model", prompt=TEXT)
async def test_sampling(ctx: Context, params: types.CallToolRequestParams) -> Any:
    content = types.TextContent(type="text", text=(params.arguments or {})["prompt"])
    asked = types.SamplingMessage(role="user", content=content)
    answer = await ctx.session.create_message([asked], max_tokens=100, related_request_id=ctx.request_id)
    return said(f"LLM response: {getattr(answer.content, 'text', '')}")


async def elicited(ctx: Context, message: str, schema: dict[str, Any]) -> Any:
    answer = await ctx.session.elicit(message, schema, related_request_id=ctx.request_id)
    return said(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")


@known.tool("A question for the client's user", message=TEXT)
async def test_elicitation(ctx: Context, params: types.CallToolRequestParams) -> Any:
    schema = {
        "type": "object",
        "properties": {"username": TEXT, "email": TEXT},
        "required": ["username", "email"],
    }
    return await elicited(ctx, (params.arguments or {})["message"], schema)


@known.tool("A form with defaults")
async def test_elicitation_sep1034_defaults(ctx: Context, params: types.CallToolRequestParams) -> Any:
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicited(ctx, "Who are you?", {"type": "object", "properties": properties})


@known.tool("A form with choices")
async def test_elicitation_sep1330_enums(ctx: Context, params: types.CallToolRequestParams) -> Any:
    plain = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
    properties = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await elicited(ctx, "Choose", {"type": "object", "properties": properties})


@known.tool("Needs a capability")
async def test_missing_capability(ctx: Context, params: types.CallToolRequestParams) -> Any:
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(-32021, "Missing required client capability: sampling", needed)
    return said("there")


# tools that need input first (2026-07-28)

ASK_NAME = {
    "method": "elicitation/create",
    "params": {
        "message": "What is your name?",
        "requestedSchema": {"type": "object", "properties": {"name": TEXT}, "required": ["name"]},
    },
}
ASK_MODEL = {
    "method": "sampling/createMessage",
    "params": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "What is the capital of France?"}}],
        "maxTokens": 100,
    },
}
ASK_ROOTS: dict[str, Any] = {"method": "roots/list", "params": {}}
NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}


def needed(ctx: Context, state: str | None = None, **requests: Any) -> types.InputRequiredResult:
    """What is asked of the client, as far as it can answer that."""
    can = ctx.session.client_capabilities
    able = {key: asked for key, asked in requests.items() if getattr(can, NEEDS[asked["method"]], None)}
    if not able:
        missing = {"requiredCapabilities": {NEEDS[asked["method"]]: {} for asked in requests.values()}}
        raise MCPError(-32021, "Missing required client capability", missing)
    return types.InputRequiredResult.model_validate({"inputRequests": able, "requestState": state})


def given(params: Any, key: str) -> Any:
    """The client's answer to that request as plain data, or None."""
    answer = (params.input_responses or {}).get(key)
    return answer.model_dump(by_alias=True) if hasattr(answer, "model_dump") else answer


@known.tool("Asks for a name")
async def test_input_required_result_elicitation(ctx: Context, params: types.CallToolRequestParams) -> Any:
    answer = given(params, "user_name")
    if not isinstance(answer, dict) or "name" not in (answer.get("content") or {}):
        return needed(ctx, user_name=ASK_NAME)
    return said(f"Hello, {answer['content']['name']}!")


@known.tool("Asks the model")
async def test_input_required_result_sampling(ctx: Context, params: types.CallToolRequestParams) -> Any:
    answer = given(params, "capital_question")
    return said(json.dumps(answer)) if answer else needed(ctx, capital_question=ASK_MODEL)


@known.tool("Asks for the roots")
async def test_input_required_result_list_roots(ctx: Context, params: types.CallToolRequestParams) -> Any:
    answer = given(params, "client_roots")
    return said(json.dumps(answer, default=str)) if answer else needed(ctx, client_roots=ASK_ROOTS)


@known.tool("Keeps a state with the client")
async def test_input_required_result_request_state(ctx: Context, params: types.CallToolRequestParams) -> Any:
    if given(params, "confirm") and params.request_state == "mine":
        return said("state-ok")
    return needed(ctx, "mine", confirm=ASK_NAME)


@known.tool("Notices a state that was changed")
async def test_input_required_result_tampered_state(ctx: Context, params: types.CallToolRequestParams) -> Any:
    return await test_input_required_result_request_state(ctx, params)


@known.tool("Asks three things")
async def test_input_required_result_multiple_inputs(
    ctx: Context, params: types.CallToolRequestParams
) -> Any:
    asked = {"user_name": ASK_NAME, "greeting": ASK_MODEL, "client_roots": ASK_ROOTS}
    if all(given(params, key) for key in asked) and params.request_state == "three":
        return said("all there")
    return needed(ctx, "three", **asked)


@known.tool("Asks twice")
async def test_input_required_result_multi_round(ctx: Context, params: types.CallToolRequestParams) -> Any:
    if params.request_state == "second" and given(params, "step2"):
        return said("both steps done")
    if params.request_state == "first" and given(params, "step1"):
        return needed(ctx, "second", step2=ASK_NAME)
    return needed(ctx, "first", step1=ASK_NAME)


@known.tool("Asks what the client can answer")
async def test_input_required_result_capabilities(ctx: Context, params: types.CallToolRequestParams) -> Any:
    return needed(ctx, user_name=ASK_NAME, greeting=ASK_MODEL, client_roots=ASK_ROOTS)


async def list_tools(ctx: Context, params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[*known.tools.values()])


async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> Any:
    handler = known.handlers.get(params.name)
    if handler is None:
        return said(f"no tool {params.name}", failed=True)
    return await handler(ctx, params)


# resources and prompts

STATIC = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", PIXEL),
    "test://watched-resource": ("text/plain", "Watched."),
}


async def list_resources(ctx: Context, params: Any) -> types.ListResourcesResult:
    found = [
        types.Resource(uri=uri, name=uri.rpartition("/")[2], description=uri, mime_type=mime)
        for uri, (mime, _) in STATIC.items()
    ]
    return types.ListResourcesResult(resources=found)


async def list_templates(ctx: Context, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", description="Data by id"
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> Any:
    uri = str(params.uri)
    if uri == "test://static-binary":
        blob = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)
        return types.ReadResourceResult(contents=[blob])
    if uri in STATIC:
        mime, text = STATIC[uri]
    elif uri.startswith("test://template/") and uri.endswith("/data"):
        id_ = uri.split("/")[3]
        mime = "application/json"
        text = json.dumps({"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"})
    else:
        raise MCPError(-32602, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=mime, text=text)])


async def nothing(ctx: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def list_prompts(ctx: Context, params: Any) -> types.ListPromptsResult:
    found = [
        types.Prompt(
            name=name,
            description=name.replace("_", " "),
            arguments=[
                types.PromptArgument(name=each, description=each, required=True) for each in arguments
            ],
        )
        for name, arguments in PROMPTS.items()
    ]
    return types.ListPromptsResult(prompts=found)


async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> Any:
    arguments = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            content: list[Any] = ["This is a simple prompt for testing."]
        case "test_prompt_with_arguments":
            content = [f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'"]
        case "test_prompt_with_embedded_resource":
            text = "Embedded resource content for testing."
            resource = embedded(arguments["resourceUri"], "text/plain", text)
            content = [resource, "Please process the embedded resource above."]
        case "test_prompt_with_image":
            content = [IMAGE, "Please analyze the image above."]
        case "test_input_required_result_prompt":
            if not given(params, "user_context"):
                return needed(ctx, user_context=ASK_NAME)
            content = ["With context"]
        case _:
            raise MCPError(-32602, f"no prompt {params.name}")
    messages = [types.PromptMessage(role="user", content=block) for block in said(*content).content]
    return types.GetPromptResult(messages=messages)


async def complete(ctx: Context, params: Any) -> types.CompleteResult:
    return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


def everything() -> Server[Any]:
    """A server of its own each time: an application runs once."""
    server = Server(
        "everything",
        version="1",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing,
        on_subscriptions_listen=ListenHandler(InMemorySubscriptionBus()),
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=nothing,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=None))
    return server
