"""MCP as our server speaks it: tools, resources and prompts, in the name of whoever was let in.

Who calls is found out at the door (`gate`), before anything here hears of a request. Both
eras of the protocol on one address: the handshake versions up to 2025-11-25 and the
stateless 2026-07-28. Everything here imports mcp when it is called, in a thread.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from . import (
    __version__,
    ready_prompts,
    resources,
    tools,  # noqa: F401 — registers them
)
from .caller import caller
from .calls import TOOLS, Call, Result, Tool, find, in_tools, usable
from .ending import Ending
from .errors import BadInput, MadroxError
from .events import PERSON
from .following import Following
from .greeting import INSTRUCTIONS, NAME

if TYPE_CHECKING:
    from mcp import types
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server as Protocol
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .manager import Manager

T = TypeVar("T")

PATH = "/mcp"
LARGEST_BODY = 40 * 2**20
"""Bytes of a request: the longest prompt, escaped. Only who has a token gets to send them."""
IDLE_SESSION_SECONDS = 24 * 3600
"""Of a handshake session. An agent may work for hours between two calls."""
NOT_A_MESSAGE = "Invalid Request: the body is one JSON-RPC 2.0 message"

log = logging.getLogger(__name__)


def application(manager: Manager, ending: Ending) -> Starlette:
    """Protocol, tools, resources and prompts as an application of one route, for `gate` to stand before.

    When `ending` begins, calls that wait are answered that it does.
    """
    return hosted(_protocol(manager, ending))


def hosted(protocol: Protocol[Any]) -> Starlette:
    """Any MCP server as we host ours, without the door before it."""
    from mcp.server.transport_security import TransportSecuritySettings

    app = protocol.streamable_http_app(
        streamable_http_path=PATH,
        json_response=False,  # else neither progress nor cancellation gets through
        stateless_http=False,  # else a client of 2025 can't cancel
        max_request_body_size=LARGEST_BODY,
        session_idle_timeout=IDLE_SESSION_SECONDS,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # `gate` does it
    )
    app.add_middleware(PlainErrors)
    return app


def _protocol(manager: Manager, ending: Ending) -> Protocol[Any]:
    from mcp import types
    from mcp.server.lowlevel import NotificationOptions
    from mcp.server.lowlevel import Server as Protocol
    from mcp.server.models import InitializationOptions

    class Madrox(Protocol[Any]):
        def create_initialization_options(self, *_: Any, **__: Any) -> InitializationOptions:
            """That the list of resources changes is told to clients of the handshake era too."""
            return super().create_initialization_options(NotificationOptions(resources_changed=True))

        def get_capabilities(self, *given: Any, **named: Any) -> types.ServerCapabilities:
            """Only what we do: mcp says of every list that its changes are told where one's are."""
            found = super().get_capabilities(*given, **named)
            for unchanging in (found.tools, found.prompts):
                if unchanging is not None:
                    unchanging.list_changed = False
            return found

    following = Following(manager)
    calls, reading = Calls(manager, ending), Reading(manager, following, ending)
    protocol = Madrox(
        NAME,
        version=__version__,
        instructions=INSTRUCTIONS,
        lifespan=following.alive,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call_tool,
        get_tool_input_schema=calls.schema,  # else each call lists all tools, to look at one
        on_list_resources=reading.list_resources,
        on_list_resource_templates=reading.list_templates,
        on_read_resource=reading.read,
        on_subscribe_resource=reading.subscribe,
        on_unsubscribe_resource=reading.unsubscribe,
        on_subscriptions_listen=reading.listen,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )
    protocol.add_notification_handler("notifications/initialized", types.NotificationParams, following.joined)
    return protocol


class Calls:
    """`tools/list` and `tools/call`, answered by `tools/`."""

    def __init__(self, manager: Manager, ending: Ending) -> None:
        self._manager, self._ending = manager, ending
        self._listed = {tool.name: _listed(tool) for tool in TOOLS.values()}

    async def list_tools(
        self, ctx: ServerRequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        from mcp import types

        return types.ListToolsResult(
            tools=[self._listed[tool.name] for tool in usable(caller().name, caller().scope)]
        )

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """What that tool takes; None for one that nobody knows."""
        return self._listed[name].input_schema if name in self._listed else None

    async def call_tool(
        self, ctx: ServerRequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """Carry a tool out in the name of whose token the request bears."""

        call = _call(self._manager, ctx)
        try:
            result = await self._ending.unless(find(params.name).call(call, params.arguments or {}))
        except MadroxError as exc:
            return _content(in_tools(str(exc)), failed=True)
        except Exception:  # a bug of ours: its place is the log, not the model's context
            log.exception("%s failed when %s called it", params.name, call.caller)
            text = f"internal error in {params.name}: it is not your fault; see madrox.log. Go on without it"
            return _content(text, failed=True)
        return _returned(result, call.caller)


class Reading:
    """`resources/…` and `subscriptions/listen`, answered by `resources` and `following`."""

    def __init__(self, manager: Manager, following: Following, ending: Ending) -> None:
        self._manager, self._following, self._ending = manager, following, ending

    async def list_resources(
        self, ctx: ServerRequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        from mcp import types

        found = resources.listed(self._manager.tree, caller().name)
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=each.uri, name=each.name, description=each.description, mime_type=each.mime
                )
                for each in found
            ]
        )

    async def list_templates(
        self, ctx: ServerRequestContext, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        from mcp import types

        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=each.uri, name=each.name, description=each.description, mime_type=each.mime
                )
                for each in resources.TEMPLATES
            ]
        )

    async def read(
        self, ctx: ServerRequestContext, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        from mcp import types

        uri = str(params.uri)
        mime, text = await _told(resources.read(_call(self._manager, ctx), uri), uri=uri)
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type=mime, text=text)]
        )

    async def subscribe(
        self, ctx: ServerRequestContext, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        from mcp import types

        await _told(self._following.subscribe(ctx, caller().name, params), uri=str(params.uri))
        return types.EmptyResult()

    async def unsubscribe(
        self, ctx: ServerRequestContext, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        from mcp import types

        await self._following.unsubscribe(ctx, params)
        return types.EmptyResult()

    async def listen(
        self, ctx: ServerRequestContext, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        listening = self._following.listen(ctx, caller().name, params)
        return await _told(self._ending.unless(listening))


async def list_prompts(
    ctx: ServerRequestContext, params: types.PaginatedRequestParams | None
) -> types.ListPromptsResult:
    """`prompts/list`: they are the same for everybody."""
    from mcp import types

    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=each.name,
                description=each.description,
                arguments=[types.PromptArgument(**vars(argument)) for argument in each.arguments],
            )
            for each in ready_prompts.ready().values()
        ]
    )


async def get_prompt(
    ctx: ServerRequestContext, params: types.GetPromptRequestParams
) -> types.GetPromptResult:
    from mcp import types

    async def filled_in() -> tuple[str, str]:
        prompt = ready_prompts.find(params.name)
        return prompt.description, prompt.filled_in(params.arguments or {})

    description, text = await _told(filled_in())
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.GetPromptResult(description=description, messages=[message])


async def _told(work: Awaitable[T], **data: str) -> T:
    """What `work` comes to; our errors as the protocol's, whose text a person or a model reads."""
    from mcp.shared.exceptions import MCPError
    from mcp.types import INTERNAL_ERROR, INVALID_PARAMS

    try:
        return await work
    except MadroxError as exc:
        code = INVALID_PARAMS if isinstance(exc, BadInput) else INTERNAL_ERROR
        raise MCPError(code, in_tools(str(exc)), data or None) from exc
    except Exception as exc:  # a bug of ours: its place is the log
        log.exception("%s could not be answered", data or "a request")
        raise MCPError(INTERNAL_ERROR, "internal error: it is not your fault; see madrox.log") from exc


class PlainErrors:
    """Says that a body is no message without listing what mcp's models expected (upstream's 400)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def tidied(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 400:
                held.append(message)
            elif held:
                await self._send_tidied(held.pop(), message, send)
            else:
                await send(message)

        await self._app(scope, receive, tidied if scope["type"] == "http" else send)

    async def _send_tidied(self, start: Message, body: Message, send: Send) -> None:
        said = body.get("body", b"")
        if b'"message":"Validation error: ' in said:
            answer = json.loads(said)
            answer["error"] |= {"code": -32600, "message": NOT_A_MESSAGE}
            said = json.dumps(answer).encode()
            headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
            start = {**start, "headers": [*headers, (b"content-length", str(len(said)).encode())]}
        await send(start)
        await send({**body, "body": said})


def _call(manager: Manager, ctx: ServerRequestContext) -> Call:
    """This request as the tools know it."""

    async def progress(seconds: float, text: str) -> None:
        await ctx.session.report_progress(seconds, None, text)

    holder = caller()
    return Call(manager, holder.name, progress, holder.scope, holder.client)


def _listed(tool: Tool) -> types.Tool:
    from mcp import types

    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.schema(),
        annotations=types.ToolAnnotations(read_only_hint=tool.read_only, destructive_hint=tool.destructive),
    )


def _returned(result: Result, name: str) -> types.CallToolResult:
    """Structured content goes to the person's programs alone.

    Claude and Codex show a model the structured content *instead of* the text, and an
    agent's token means that a model reads.
    """
    answer = _content(result.text)
    if name == PERSON:
        data = {"text": result.text, **result.data}
        try:
            orjson.dumps(data)
        except TypeError:
            data = _whole(data)
        answer.structured_content = data
    return answer


def _content(text: str, *, failed: bool = False) -> types.CallToolResult:
    from mcp import types

    return types.CallToolResult(content=[types.TextContent(type="text", text=_whole(text))], is_error=failed)


def _whole(value: Any) -> Any:
    """`value` with `?` for halves of characters, for one of which many clients refuse the whole message."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list | tuple) else value
