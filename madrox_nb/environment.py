"""What a process is told by its environment: names, secrets, and references to both. Pure.

A value may refer to variables of the kernel's environment, as in Claude's `.mcp.json`:

    ${NAME}            its value; without one, whatever needs it is refused
    ${NAME:-default}   its value, or the default, which may hold a reference itself

What is recorded holds references and `{secret:NAME}` in place of secrets. Read back,
`{secret:NAME}` is a reference like any other: the environment has it again, or is missing it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from .errors import BadInput, Forbidden

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS: Final = "MADROX_"
"""How the names begin by which our own tokens and addresses come to an agent."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^{}]|\$\{[A-Za-z_][A-Za-z0-9_]*\})*))?\}")
_REDACTED = re.compile(r"\{secret:([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_NAMES = re.compile(
    r"API[_-]?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTHORIZATION|COOKIE", re.IGNORECASE
)
_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
_OPAQUE = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_+=.~-]{20,}")
"""Long, of one piece, letters and digits: what keys look like, and paths and words don't."""

_RUNS_CODE = re.compile(
    # what is loaded into, or run by, a program before it does anything itself
    r"LD_.*|DYLD_.*|PATH|.*_OPTIONS|.*OPT|.*_WRAPPER|.*_COMMAND|ENV|BASH_.*|SHELL.*|IFS|PS4|PROMPT_.*"
    r"|PYTHON.*|NODE_.*|NPM_.*|PERL5.*|RUBY.*|LUA_.*|JAVA_.*|_JAVA_.*|GIT_.*|SSH_.*|EDITOR|VISUAL|.*PAGER"
    # where programs look for settings, which say what to run, and whom they trust
    r"|HOME|XDG_.*|TMPDIR|.*_CONFIG.*|.*_HOME|.*_PROXY|.*_BASE_URL|.*_ENDPOINT|SSL_.*|.*_CA_.*|.*_CERT.*"
    # what the CLIs do unasked
    r"|CLAUDE_.*|ANTHROPIC_.*|CODEX_.*|OPENAI_.*|GEMINI_.*|GOOGLE_.*|OPENCODE_.*|GOOSE_.*|MCP_.*|AWS_.*",
    re.IGNORECASE,
)
"""Names that no agent gives to another: they would let it do what it may not."""


def variables(given: Mapping[str, object]) -> dict[str, str]:
    """`given` as names and texts. Raises `BadInput` for what no process can be given, or is ours."""
    if not isinstance(given, Mapping):
        raise BadInput(f"environment_vars is a table of names and values, not {type(given).__name__}")
    found = {}
    for name, value in given.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise BadInput(
                f"environment_vars: {name!r} can't be a name: letters, digits and '_', no digit first"
            )
        if name.upper().startswith(OURS):
            raise BadInput(f"environment_vars: {name} is ours; names that begin with {OURS} can't be given")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise BadInput(f"environment_vars: {name} is a text, not {type(value).__name__}")
        if "\0" in (text := str(value)):
            raise BadInput(f"environment_vars: {name} holds a NUL, which no process can be given")
        found[name] = text
    return found


def check_given_by(agent: str, names: Iterable[str], environ: Mapping[str, str]) -> None:
    """Raises `Forbidden` when an agent that may not do everything gives what changes how programs run."""
    for name in names:
        if _RUNS_CODE.fullmatch(name):
            raise Forbidden(
                f"{agent} can't give {name} to another agent: it decides what programs run or trust. "
                "Leave it out, or ask the person"
            )
        if name in environ:
            raise Forbidden(f"{agent} can't replace {name}: the environment has it already. Leave it out")


def names_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def is_secret(name: str, value: str) -> bool:
    """Whether `value` is to be shown to nobody: by what it is called, or by what it looks like."""
    return bool(names_secret(name) or _WITH_PASSWORD.match(value) or _OPAQUE.fullmatch(value))


def refers(text: str) -> bool:
    return _REFERENCE.search(text) is not None


def kept(name: str, value: str) -> str:
    """`value` as it may be recorded: a secret that is written out becomes `{secret:NAME}`."""
    return value if refers(value) or not is_secret(name, value) else f"{{secret:{name}}}"


def recalled(text: str) -> str:
    """What was recorded, with references where secrets were."""
    return _REDACTED.sub(r"${\1}", text)


def named(text: str) -> list[str]:
    """The variables that `text` can't do without."""
    return [
        name
        for found in _REFERENCE.finditer(text)
        for name in ([found[1]] if found[2] is None else named(found[2]))
    ]


def mentioned(text: str) -> list[str]:
    """All variables that `text` refers to."""
    return [name for found in _REFERENCE.finditer(text) for name in (found[1], *mentioned(found[2] or ""))]


def expanded(text: str, environ: Mapping[str, str], missing: set[str]) -> str:
    """`text` with the values of what it refers to; names without one are added to `missing`."""

    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if environ.get(name):
            return environ[name]
        if default is None:
            missing.add(name)
            return ""
        return expanded(default, environ, missing)

    return _REFERENCE.sub(value, text)


def check_missing(what: str, missing: Iterable[str]) -> None:
    """Raises `BadInput` naming the variables that `what` needs and the environment lacks."""
    if names := sorted(missing):
        listed = ", ".join(names)
        raise BadInput(
            f"{what} needs {listed}, which the environment does not have. Set "
            f"{'it' if len(names) == 1 else 'them'} first (os.environ[{names[0]!r}] = …), "
            "or give environment_vars"
        )
