"""What tools that do one thing to several agents share: each item succeeds or fails by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

from ..calls import Result, in_tools
from ..errors import BadInput, MadroxError


async def tried(name: str, doing: Coroutine[Any, Any, Result]) -> dict[str, Any]:
    """What came of one item, with its `text`; a refusal or failure is an `error` beside `status: error`."""
    try:
        result = await doing
    except MadroxError as exc:
        error = in_tools(str(exc))
        return {
            "instance_id": name,
            "status": "error",
            "error": error,
            "error_type": type(exc).__name__,
            "text": error,
        }
    return {"instance_id": name, **result.data, "text": result.text}


async def each(items: Iterable[tuple[str, Coroutine[Any, Any, Result]]]) -> list[dict[str, Any]]:
    """Carry them out side by side; what came of them, in their order."""
    return await asyncio.gather(*(tried(name, doing) for name, doing in items))


def gathered(done: str, found: Sequence[Mapping[str, Any]]) -> Result:
    """One result of all items: `done` says of how many it is true."""
    failed = [item["instance_id"] for item in found if item["status"] == "error"]
    head = f"{done} {len(found) - len(failed)} of {len(found)}"
    if failed:
        head += f"; not {', '.join(failed)}"
    lines = [f"{item['instance_id']}: {item['text']}" for item in found]
    results = [{name: value for name, value in item.items() if name != "text"} for item in found]
    return Result("\n".join([head, *lines]), {"results": results, "errors": failed, "total": len(found)})


def names_once(names: Sequence[str]) -> list[str]:
    """`names` in their order, each once. Raises `BadInput` for none at all."""
    if not names:
        raise BadInput("instance_ids is empty: name at least one agent, as in get_instance_tree")
    return list(dict.fromkeys(names))
