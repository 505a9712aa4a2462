"""Commands for the places where agents run: a server, JupyterLab, the tour; and what is installed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .speech import described, say

if TYPE_CHECKING:
    from .speech import Commands

# serve


SERVE: Final = """\
Run a madrox without a notebook, in the foreground, until Ctrl-C (or SIGTERM, or a closed
terminal): every agent ends then, within seconds. The lines to paste into Claude Code, Codex and
Claude Desktop are printed, and the other commands (madrox spawn, send, tree, …) find it.

Nobody can answer here what agents ask, so what they may not do unasked is refused:
see MADROX_PERMISSIONS and [policy] in docs/agents.md. A port that is taken is an error.
"""


def _serve(commands: Commands) -> None:
    parser = described(commands, "serve", "run a madrox without a notebook", SERVE)
    parser.add_argument("--host", help="address to listen at (ORCHESTRATOR_HOST, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="its port; 0: any free one (ORCHESTRATOR_PORT, 8001)")
    parser.add_argument("--home", type=Path, metavar="DIR", help="where everything is kept (MADROX_HOME)")
    parser.add_argument("--json", action="store_true", help="say where it listens for programs: one line")
    parser.set_defaults(carry_out=_carry_serve)


def _carry_serve(asked: argparse.Namespace) -> int:
    from .serving import serve

    return serve(host=asked.host, port=asked.port, home=asked.home, as_json=asked.json)


# mcp


MCP: Final = """\
Serve MCP over stdin and stdout, for clients that start their servers themselves: put
{"command": "madrox", "args": ["mcp"]} into their configuration.

It serves the agents of a running notebook (of MADROX_HOME, else the nearest to the working
directory, else the newest). Where none runs it has agents of its own, which end with it.
"""


def _mcp(commands: Commands) -> None:
    parser = described(commands, "mcp", "serve MCP over stdio, for Claude Desktop and others", MCP)
    parser.set_defaults(carry_out=_carry_mcp)


def _carry_mcp(asked: argparse.Namespace) -> int:
    from ..stdio import main

    return main()


# lab


LAB: Final = """\
Open JupyterLab on the first notebook. Notebooks that are not here are copied out of the
package into ./notebooks; one that is here is left as it is. What follows -- goes to JupyterLab:
madrox lab -- --no-browser --port 8899
"""


def _lab(commands: Commands) -> None:
    parser = described(commands, "lab", "open JupyterLab on the first notebook", LAB)
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="of JupyterLab")
    parser.set_defaults(carry_out=_carry_lab)


def _carry_lab(asked: argparse.Namespace) -> int:
    from .lab import open_lab

    return open_lab(Path.cwd(), asked.options)


# demo


def _demo(commands: Commands) -> None:
    parser = described(commands, "demo", "a family of rehearsal agents, their tree and costs; no key needed")
    parser.set_defaults(carry_out=_carry_demo)


def _carry_demo(asked: argparse.Namespace) -> None:
    from ..demo import main

    main()


# doctor


DOCTOR: Final = """\
Say what is there of each agent CLI, and whether Madrox can work here. No agent is started
and no file of Madrox's written; each CLI is asked for its version (10 s at most, all at
once), at which some write into their own directories.

exit status:
  0   an agent that is spawned without --harness is one with a model behind it
      (or a rehearsal, if MADROX_HARNESSES names that)
  1   it would be a rehearsal, or could not be started: no CLI of MADROX_HARNESSES works
  2   Madrox can't work here: the settings can't be read, or the home can't be used
"""


def _doctor(commands: Commands) -> None:
    parser = described(commands, "doctor", "what is installed, what is missing and how to get it", DOCTOR)
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.set_defaults(carry_out=_carry_doctor)


def _carry_doctor(asked: argparse.Namespace) -> int:
    from ..doctor import examine

    health = examine()
    say(health.json() if asked.json else health.text())
    return health.status


COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (_serve, _mcp, _lab, _demo, _doctor)
