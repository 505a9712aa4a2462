"""Tools in the person's name, as Python calls them: no call ends after 45 seconds by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from . import tools  # noqa: F401 — registers them
from .calls import Call, Result, find, in_tools
from .errors import MadroxError
from .events import PERSON
from .tools.waiting import patience

if TYPE_CHECKING:
    from .manager import Manager

A_DAY: Final = 86_400.0
"""Seconds that Python waits for an answer: in effect, until it is there."""


async def carried_out(tool: str, manager: Manager, given: Mapping[str, Any]) -> Result:
    """Call a tool in the person's name, on the manager's loop. Raises what the tool raises."""
    patience.set(A_DAY)
    try:
        return await find(tool).call(Call(manager, PERSON, _unheard), given)
    except MadroxError as exc:
        exc.args = (in_tools(str(exc)), *exc.args[1:])
        raise


async def _unheard(seconds: float, text: str) -> None:
    """Who awaits in Python hears of no progress: `%madrox tree` shows it."""
