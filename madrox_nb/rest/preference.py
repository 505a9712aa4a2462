"""How long a client is willing to wait, as it says by `Prefer: wait=SECONDS` (RFC 7240).

Without it a call waits as long as an MCP client would (`tools.waiting.LONGEST_WAIT`); a
command line, which has no patience of its own that could end, says that it has more.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 86_400.0
"""Seconds."""

_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)


def wait_of(prefer: str) -> float | None:
    """The seconds in a `Prefer` header; None when it says nothing of waiting that could be understood."""
    found = _WAIT.search(prefer)
    return min(float(found[1]), LONGEST) if found else None
