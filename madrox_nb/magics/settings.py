"""What is there to be used, who gets in, and the end: `config`, `serve`, `token`, `close`, …"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from IPython.core.error import UsageError

from ..errors import BadInput
from ..grammar import Argument
from .commands import Command, Use, notice

if TYPE_CHECKING:
    from ..notebook import Madrox


def current() -> Madrox | None:
    """The shared madrox, if there is one; loads nothing."""
    notebook = sys.modules.get("madrox_nb.notebook")
    return notebook.current() if notebook is not None else None


def _config(call: Use) -> Any:
    if call.what == "set":
        return _set(call)
    if call.what == "unset":
        return _unset(call)
    if call.key is not None:
        raise UsageError(
            f"%madrox config {call.what} {call.key}: did you mean %madrox config set {call.what} {call.key}?"
        )
    from .. import config
    from ..notebook import listings

    shared = current()  # looking opens nothing
    found = listings.settings(config.load()) if shared is None else shared.config()
    if call.what is None:
        return found
    config.check_known(call.what, "%madrox config")
    return found.loc[[call.what]]


def _set(call: Use) -> None:
    if call.key is None or not call.value:
        raise UsageError("%madrox config set: say which setting and its value: set max_instances 20")
    from .. import config, preferences

    path, name, value = _file(call), call.key, " ".join(call.value)
    preferences.keep(name, value, path)
    source = config.load().sources[name]
    then = _when(name) if source == str(path) else f"But {source} comes before it: %madrox config {name}"
    notice(f"{name} = {value} stands in {path}. {then}")


def _unset(call: Use) -> None:
    if call.key is None or call.value:
        raise UsageError("%madrox config unset: say which setting: unset max_instances")
    from .. import config, preferences

    path, name = _file(call), call.key
    stood = preferences.drop(name, path)
    loaded = config.load()
    now = f"Its value is {config.shown(getattr(loaded.settings, name))!r}, from {loaded.sources[name]}"
    if stood:
        notice(f"{name} is gone from {path}. {now}. {_when(name)}")
    else:
        notice(f"{name} does not stand in {path}. {now}")


def _file(call: Use) -> Path:
    from ..config import config_files

    here, user = config_files(Path.cwd())
    return here if call.here else user


def _when(name: str) -> str:
    """From when on it holds."""
    if current() is None:
        return "It holds from now on"
    at_once = f" At once: %madrox limit {AT_ONCE[name]}." if name in AT_ONCE else ""
    return (
        f"The madrox that is open goes on as it began.{at_once} It holds for the next one: after "
        "%madrox close, or in another kernel"
    )


AT_ONCE: Final = {"max_usd": "--usd N", "max_depth": "--max-depth N", "max_children": "--max-children N"}
"""Settings that a limit of the open run stands for."""


def _presets(call: Use) -> Any:
    from ..notebook import listings

    return listings.presets()


def _doctor(call: Use) -> Any:
    import json

    from ..doctor import examine
    from ..values import Told

    health = examine()
    return Told(health.text(), json.loads(health.json()))


def _roles(call: Use) -> Any:
    from ..notebook import roles

    return roles()


def _token(call: Use) -> Any:
    tokens = call.madrox.tokens
    if call.what == "list":
        return tokens.list()
    if call.name is None:
        raise UsageError(f"%madrox token {call.what} needs the token's NAME")
    if call.what == "revoke":
        gone = tokens.revoke(call.name)
        notice(f"the token {gone.name} ({gone.scope}) speaks for nobody any more")
        return None
    issued = tokens.create(call.name, call.scope)
    if call.to is None:
        return issued
    try:
        where = issued.save(Path(call.to))
    except OSError as exc:
        tokens.revoke(call.name)
        raise BadInput(f"the token can't be written to {call.to}: {exc}. None was made") from exc
    notice(f"the token {call.name} ({call.scope}) stands in {where}, for you alone to read")
    return None


def _close(call: Use) -> None:
    if (shared := current()) is not None:
        shared.close()


COMMANDS: Final = (
    Command("roles", "the roles that spawn knows", _roles, example="%madrox roles"),
    Command(
        "harnesses",
        "one row a harness: is its CLI here, which version, what it can do",
        lambda call: call.madrox.harnesses(),
        example="%madrox harnesses",
    ),
    Command("presets", "MCP servers that an agent can be given by name", _presets, example="%madrox presets"),
    Command(
        "doctor", "what is installed, what is missing and how to get it", _doctor, example="%madrox doctor"
    ),
    Command(
        "config",
        "the settings in force and where each comes from; set KEY VALUE keeps one",
        _config,
        Argument("what", nargs="?", completes="config", help="set or unset; or a setting, to see it alone"),
        Argument("key", nargs="?", completes="setting"),
        Argument("value", nargs="*", completes="value"),
        Argument(
            "--here", action="store_true", help="in madrox.toml beside the notebook, not for all of yours"
        ),
        example="%madrox config set max_instances 20",
    ),
    Command(
        "serve", "let other clients in by MCP", lambda call: call.madrox.serve(), example="%madrox serve"
    ),
    Command(
        "token",
        "let an outside client in with a token of its own, shown once",
        _token,
        Argument("what", choices=("create", "list", "revoke")),
        Argument("name", nargs="?", help="what the client is called"),
        Argument(
            "--scope",
            choices=("read", "operate", "admin"),
            default="read",
            help="look; run agents; everything",
        ),
        Argument("--to", metavar="FILE", help="write it there, for you alone to read, instead of showing it"),
        example="%madrox token create ci --scope read --to ~/.ci-token",
    ),
    Command("close", "end every agent and the run", _close, example="%madrox close"),
)
