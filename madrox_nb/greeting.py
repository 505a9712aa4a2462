"""How Madrox introduces itself to an MCP client, in both eras of the protocol.

`protocol` says it over HTTP; `bridge` says the same at once, before it has found who will
serve. The versions and shapes are those of the MCP specification, 2025-11-25 and 2026-07-28.
"""

from __future__ import annotations

from typing import Any, Final

from . import __version__

NAME: Final = "madrox"
INSTRUCTIONS: Final = """\
Madrox runs a tree of agents, each a CLI of its own. You are known by your token.
Start one with spawn_instance, give it work with send_to_instance, take answers with
get_pending_replies, look around with get_instance_tree."""

HANDSHAKES: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions that begin with `initialize`. To who asks for another one, the last is offered."""
STATELESS: Final = ("2026-07-28",)
"""Versions in which each request says its own."""
META: Final = "io.modelcontextprotocol/"
"""What the protocol's own keys in `_meta` begin with."""


CAPABILITIES: Final[dict[str, Any]] = {
    "prompts": {"listChanged": False},
    "resources": {"listChanged": True, "subscribe": True},
    "tools": {"listChanged": False},
}


def initialized(asked: object) -> dict[str, Any]:
    """The result of `initialize` for a client that asked for this version."""
    return {
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "protocolVersion": asked if asked in HANDSHAKES else HANDSHAKES[-1],
        "serverInfo": {"name": NAME, "version": __version__},
    }


def discovered() -> dict[str, Any]:
    """The result of `server/discover`."""
    return {
        "cacheScope": "private",
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "resultType": "complete",
        "supportedVersions": list(STATELESS),
        "ttlMs": 0,
        "_meta": {f"{META}serverInfo": {"name": NAME, "version": __version__}},
    }
