"""A client of our MCP server that does as little as it can: caller.py URL TOOL COUNT CLIENTS [JSON]

The token comes in its environment. Each of CLIENTS threads keeps one connection and calls
the tool COUNT times; prints the milliseconds of every call, as one JSON list.
"""

import http.client
import json
import os
import sys
import threading
import time
from urllib.parse import urlsplit

PREFIX = "io.modelcontextprotocol/"
VERSION = "2026-07-28"


def main(url: str, tool: str, count: str, clients: str, arguments: str = "{}") -> None:
    where = urlsplit(url)
    meta = {f"{PREFIX}protocolVersion": VERSION, f"{PREFIX}clientCapabilities": {}}
    params = {"name": tool, "arguments": json.loads(arguments), "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = {
        "Authorization": f"Bearer {os.environ['TOKEN']}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    took: list[float] = []
    wrong: list[str] = []

    def calling() -> None:
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=120)
        for _ in range(int(count)):
            began = time.perf_counter()
            connection.request("POST", where.path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
            took.append((time.perf_counter() - began) * 1000)
            if answer.status != 200 or b'"isError":true' in said:
                wrong.append(said.decode(errors="replace")[:300])

    threads = [threading.Thread(target=calling) for _ in range(int(clients))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if wrong:
        sys.exit(f"{len(wrong)} calls failed, such as {wrong[0]}")
    print(json.dumps(took))


if __name__ == "__main__":
    main(*sys.argv[1:])
