"""Tools that say what an agent can be started with."""

from __future__ import annotations

import asyncio

from ..calls import Call, Result, tool
from ..inventory import inventory
from ..presets import Preset, presets


@tool(read_only=True)
async def list_harnesses(call: Call) -> Result:
    """The agent CLIs that spawn_instance can start: which are installed, and what each can do.

    Asks each CLI for its version the first time, which takes a few seconds.
    """
    harnesses = call.manager.harnesses
    found = [each.row() for each in await asyncio.to_thread(inventory, harnesses, call.manager.environ)]
    default = await asyncio.to_thread(harnesses.choose, call.manager.settings.harnesses)
    here = [row for row in found if row["installed"]]
    lines = [f"{row['harness']} {row['version'] or ''}".rstrip() + _remark(row["note"]) for row in here]
    lines += [
        f"not installed: {', '.join(row['harness'] for row in found if not row['installed']) or 'none'}"
    ]
    lines += [f"without instance_type: {default}"]
    return Result("\n".join(lines), {"harnesses": found, "default": default})


@tool(read_only=True)
async def list_mcp_presets(call: Call) -> Result:
    """MCP servers that an agent can be given by name, as mcp_servers: what for, and what each needs.

    Free. Those of `.mcp.json` in the working directory are among them. A variable that is
    missing has to be set by the person before the agent is spawned.
    """
    found = await asyncio.to_thread(presets)
    environ = call.manager.environ
    rows = [
        {
            "name": preset.name,
            "about": preset.about,
            "kind": preset.server.transport,
            "by": preset.by,
            "needs": preset.needs,
            "variables": list(preset.variables),
            "missing": list(preset.missing(environ)),
            "instead_of": preset.instead_of,
            "source": preset.source,
        }
        for preset in found.values()
    ]
    lines = [_line(preset, preset.missing(environ)) for preset in found.values()]
    return Result("\n".join(lines), {"presets": rows})


def _line(preset: Preset, missing: tuple[str, ...]) -> str:
    about = preset.about or f"from {preset.source}"
    needs = f"; needs {preset.needs}" if preset.needs else ""
    return f"{preset.name}: {about}{needs}" + (f"; MISSING: {', '.join(missing)}" if missing else "")


def _remark(note: str | None) -> str:
    return f" ({note})" if note else ""
