"""Commands for the places where agents run: a server, JupyterLab, the tour; and what is installed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import BadInput
from .speech import described, remark, say, say_json

if TYPE_CHECKING:
    from .speech import Commands

# serve


SERVE: Final = """\
Run a madrox without a notebook, in the foreground, until Ctrl-C (or SIGTERM, or a closed
terminal): every agent ends then, within seconds. The lines to paste into Claude Code, Codex and
Claude Desktop are printed, and the other commands (madrox spawn, send, tree, …) find it.

Nobody can answer here what agents ask, so what they may not do unasked is refused:
see MADROX_PERMISSIONS and [policy] in docs/agents.md. With MADROX_ATTENDED=yes it waits for
madrox approve and madrox deny in another terminal. A port that is taken is an error.
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


# token


LETTING_IN: Final = """\
Let an outside client in with a token of its own, shown once: read looks, operate runs agents
within what is allowed, admin does everything that you may. It holds for every madrox of
that home, at once, until it is revoked.
"""


def _token(commands: Commands) -> None:
    parser = described(commands, "token", "let an outside client in with a token of its own", LETTING_IN)
    parser.add_argument("what", choices=("create", "list", "revoke"))
    parser.add_argument("name", nargs="?", help="what the client is called")
    parser.add_argument(
        "--scope", choices=("read", "operate", "admin"), default="read", help="what it is good for (read)"
    )
    parser.add_argument("--home", type=Path, metavar="DIR", help="of which madrox (MADROX_HOME)")
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.set_defaults(carry_out=_carry_token)


def _carry_token(asked: argparse.Namespace) -> None:
    from ..clients import Clients

    clients = Clients(_home_meant(asked.home))
    if asked.what == "list":
        known = [vars(each) for each in clients]
        lines = (f"{each['name']} ({each['scope']}), made {each['created']}" for each in known)
        return say_json({"tokens": known}) if asked.json else say("\n".join(lines) or "no tokens")
    if asked.name is None:
        raise BadInput(f"madrox token {asked.what} needs the token's NAME")
    if asked.what == "revoke":
        gone = clients.revoke(asked.name)
        text = f"the token {gone.name} ({gone.scope}) speaks for nobody any more"
        return say_json({"text": text, **vars(gone)}) if asked.json else say(text)
    issued = clients.create(asked.name, asked.scope)
    if asked.json:
        return say_json({"token": issued.token, **vars(issued.client)})
    say(issued.token)  # alone, so that > writes it into a file
    return remark(f"\n{issued.remark}")


def _home_meant(given: Path | None) -> Path:
    """The one that is named, else that of the madrox which the other commands reach, else the settings'."""
    from .. import config
    from ..runtime import find

    named = given or os.environ.get("MADROX_HOME")
    running = None if named else find(strict=True, lasting=True)
    return Path(running.home) if running else config.load({"home": given}).settings.home


COMMANDS: Final[tuple[Callable[[Commands], None], ...]] = (_serve, _mcp, _lab, _demo, _doctor, _token)
