"""The person's face: the manager's verbs, from a cell.

    m = Madrox()                          m = AsyncMadrox()
    lead = m.spawn("lead")                lead = await m.spawn("lead")
    lead.send("What would you do?")       await lead.send("What would you do?")

Both faces stand on a `Run` and only translate. The first one of a process is shared:
`Madrox()`, `AsyncMadrox()` and the magics mean it as long as it is open. With arguments
a further one gets a run of its own.
"""

from ..values import Reply
from .agents import AgentHandle, AsyncAgentHandle
from .awaited import AsyncMadrox
from .blocking import Madrox, current
from .listings import roles, teams
from .questions import AsyncPending, Pending

__all__ = [
    "AgentHandle",
    "AsyncAgentHandle",
    "AsyncMadrox",
    "AsyncPending",
    "Madrox",
    "Pending",
    "Reply",
    "current",
    "roles",
    "teams",
]
