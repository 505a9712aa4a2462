"""Reads the wire on one thread and works the turns on the main one.

So an interrupt or an answer is heard at any moment, and the end of stdin (the manager
is gone) ends the process at once, whatever it was doing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from functools import partial
from queue import SimpleQueue

TYPE_CHECKING = False  # typing's own costs 4 ms at each start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from . import VERSION
    from .turn import Agent, Turn

    Todo = SimpleQueue[Callable[[], None]]
else:  # started by its path: find the siblings without importing madrox_nb
    sys.path.append(__file__.rsplit(os.sep, 2)[0])
    from rehearse import VERSION
    from rehearse.turn import Agent, Turn


def main() -> int:
    if sys.argv[1:] == ["--version"]:
        os.write(1, f"rehearsal {VERSION}\n".encode())
        return 0
    todo: Todo = SimpleQueue()
    agent = Agent(tell)
    threading.Thread(target=listen, args=(agent, todo), daemon=True).start()
    try:
        while True:
            todo.get()()
    except BrokenPipeError:
        return 0  # nobody reads any more
    except KeyboardInterrupt:
        return 130


def tell(kind: str, **fields: object) -> None:
    """Write one line. Half a surrogate pair, which UTF-8 cannot hold, becomes `?`."""
    line = json.dumps({"type": kind, **fields}, ensure_ascii=False) + "\n"
    rest = memoryview(line.encode("utf-8", "replace"))
    while rest:
        rest = rest[os.write(1, rest) :]


def listen(agent: Agent, todo: Todo) -> None:
    """Hear the manager out. The end of stdin ends the process."""
    turn = Turn(agent, "", "")
    for line in sys.stdin.buffer:
        message = understand(line)
        match message.get("type"):
            case "hello":
                todo.put(partial(greet, agent, message))
            case "prompt":
                turn = Turn(agent, str(message.get("turn", "")), str(message.get("text", "")))
                todo.put(turn.run)
            case "steer":
                turn.steer(str(message.get("steer", "")), str(message.get("text", "")))
            case "interrupt":
                turn.interrupt()
            case "answer":
                turn.answers.put(message)
    if not agent.stubborn:
        os._exit(0)


def understand(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict):
        return message
    sys.stderr.write(f"rehearsal: not a message: {line[:200]!r}\n")
    return {}


def greet(agent: Agent, hello: dict[str, Any]) -> None:
    agent.name = str(hello.get("agent") or agent.name)
    agent.role = str(hello.get("role") or agent.role)
    agent.workspace = str(hello.get("workspace") or "")
    session = str(hello.get("session") or f"rehearsal-{agent.name}")
    try:
        agent.keep(str(hello.get("sessions") or ""), session, str(hello.get("resume") or ""))
    except (OSError, ValueError) as exc:
        tell("refused", why=f"cannot go on with session {hello.get('resume')}: {exc}")
        return
    tell("ready", session=session, version=VERSION)


if __name__ == "__main__":
    # Not by the interpreter's own end: it would wait for the thread that reads stdin.
    os._exit(main())
