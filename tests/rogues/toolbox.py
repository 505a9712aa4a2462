"""An MCP server at its pipes, of the standard library alone: it says what it was given, never in words.

digest(name)    the beginning of the SHA-256 of that variable of its environment; `unset`
where()         the directory in which it runs
wait()          answers never
"""

import hashlib
import json
import os
import sys

TOOLS = [
    {
        "name": "digest",
        "description": "What a variable holds, as the beginning of its SHA-256.",
        "inputSchema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
    {"name": "where", "description": "Where it runs.", "inputSchema": {"type": "object", "properties": {}}},
    {"name": "wait", "description": "Answers never.", "inputSchema": {"type": "object", "properties": {}}},
]


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16]


def carried_out(tool: str, arguments: dict[str, str]) -> str | None:
    if tool == "digest":
        value = os.environ.get(arguments["name"])
        return "unset" if value is None else digest(value)
    return os.getcwd() if tool == "where" else None  # noqa: PTH109 - a text is what is wanted


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        method, params = asked["method"], asked.get("params") or {}
        result: dict[str, object] = {}
        if method == "initialize":
            about = {"name": "toolbox", "version": "1"}
            result = {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": about,
            }
        elif method == "tools/list":
            result = {"tools": TOOLS}
        elif method == "tools/call":
            text = carried_out(params["name"], params.get("arguments") or {})
            if text is None:
                continue
            result = {"content": [{"type": "text", "text": text}]}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
