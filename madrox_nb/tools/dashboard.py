"""The tool that says where a person looks."""

from __future__ import annotations

import asyncio
from typing import Final

from ..calls import Call, Result, tool
from ..dashboard import page

NO_PAGE: Final = """\
These agents run without a notebook, or without one whose page is known here. `madrox tree` in a
terminal of this machine prints them. For the next run, `madrox lab` opens JupyterLab, where
`%madrox tree` in a cell is live."""


@tool(read_only=True)
async def get_dashboard_url(call: Call) -> Result:
    """Say where the person can watch all agents live, to pass that on. Free and immediate.

    Returns the address of the notebook that runs them, when a Jupyter server runs it, and
    else what to type where. Opening the page asks for Jupyter's own login, if it has one.
    """
    url = await asyncio.to_thread(page)
    if url:
        how = "There, `%madrox tree` in a cell is the live tree; `madrox tree` in a terminal prints it"
        return Result(f"{url}\n{how}", {"url": url, "how": how})
    return Result(NO_PAGE, {"url": None, "how": NO_PAGE})
