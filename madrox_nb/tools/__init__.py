"""The agents' face: one short function per tool, which MCP, REST and Python only translate.

A function here gets a `Call` (whose call it is, and the manager) and returns a `Result`.
Its docstring and the texts beside its parameters are read by models: they say when to
use it, how long it waits, and what comes back. Importing this package registers them all.
"""

from . import (
    approvals,
    choosing,
    coordination,
    dashboard,
    files,
    messages,
    money,
    records,
    seeing,
    spawning,
    steering,
    summaries,
    teams,
)

__all__ = [
    "approvals",
    "choosing",
    "coordination",
    "dashboard",
    "files",
    "messages",
    "money",
    "records",
    "seeing",
    "spawning",
    "steering",
    "summaries",
    "teams",
]
