"""A role: what an agent is good at, as a file of Markdown says it. Pure; `library` finds the files.

Ours (`prompts/*.md`) say name, description and aliases. The agents of Claude Code
(`.claude/agents/*.md`, https://code.claude.com/docs/en/sub-agents) say more; what means
something here only ever takes away: `tools`, `disallowedTools` and `permissionMode` say
what the role's agents may do at most, whoever spawns them. `model` counts for Claude Code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import nearest
from .harness import Permissions
from .headed import front_matter
from .rules import LADDER

CLAUDES: Final = frozenset(
    {
        *("name", "description", "tools", "disallowedTools", "model", "permissionMode", "maxTurns", "skills"),
        *("mcpServers", "hooks", "memory", "background", "effort", "isolation", "color", "initialPrompt"),
    }
)
"""Keys that Claude Code knows."""
OTHERS: Final = frozenset(
    {
        *("provider", "role", "allowedTools", "capabilities", "tags", "codexProfile", "codexConfig"),
        *("claudeConfig", "provider_init_timeout", "aliases", "version"),
    }
)
"""Keys that others write into such files. They mean nothing here, and nobody has misspelt them."""

MODES: Final[Mapping[str, Permissions]] = {
    "plan": "deny",
    "dontAsk": "deny",
    "default": "ask",
    "acceptEdits": "edits",
    "bypassPermissions": "all",
}
"""Claude Code's modes, and what here allows no more."""
EDITING: Final = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
READING: Final = frozenset({"Read", "Grep", "Glob", "LS", "NotebookRead", "TodoWrite", "TodoRead"})


@dataclass(frozen=True)
class Role:
    """One file, read."""

    name: str
    description: str
    aliases: tuple[str, ...]
    body: str
    path: Path
    model: str | None = None
    """For Claude Code, whose models it names."""
    permissions: Permissions | None = None
    """What its agents may do at most; None where the file says nothing of it."""
    rest: Mapping[str, Any] = field(default_factory=dict)
    """What else stands at its beginning, as it stands there."""

    @property
    def origin(self) -> str:
        """The directory that it comes from."""
        return str(self.path.parent)


def role_of_ours(path: Path, text: str) -> tuple[Role, list[str]]:
    """(role, nothing to warn of). Raises `BadInput`."""
    head, body = front_matter(path, text)
    return Role(
        name=str(head.get("name") or path.stem),
        description=str(head.get("description") or ""),
        aliases=_words(head.get("aliases")),
        body=body.strip(),
        path=path,
    ), []


def role_of_claude(path: Path, text: str) -> tuple[Role, list[str]]:
    """(role, what a person should mend in its file). Raises `BadInput` for a beginning that is no YAML.

    Claude Code passes over a misspelt key in silence, and the agent may do what it should not.
    """
    head, body = front_matter(path, text)
    warnings = []
    for key in head:
        if key not in CLAUDES | OTHERS and (hint := nearest(str(key), CLAUDES)):
            warnings.append(f"{path}: the key {key!r} means nothing.{hint}")
    mode = head.get("permissionMode")
    if mode is not None and mode not in MODES:
        known = ", ".join(MODES)
        warnings.append(f"{path}: permissionMode {mode!r} is not known, so it is {LADDER[0]}. Known: {known}")
    model = head.get("model")
    return Role(
        name=str(head.get("name") or path.stem),
        description=str(head.get("description") or ""),
        aliases=_words(head.get("aliases")),
        body=body.strip(),
        path=path,
        model=str(model) if model and model != "inherit" else None,
        permissions=_least(_by_tools(head), None if mode is None else MODES.get(str(mode), LADDER[0])),
        rest={
            str(key): value for key, value in head.items() if key not in ("name", "description", "aliases")
        },
    ), warnings


def lesser(one: Permissions, other: Permissions | None) -> Permissions:
    """The lower one on the ladder."""
    return _least(one, other) or one


def _least(*each: Permissions | None) -> Permissions | None:
    return min(filter(None, each), key=LADDER.index, default=None)


def _by_tools(head: Mapping[str, Any]) -> Permissions | None:
    """What a list of tools leaves of what an agent may do."""
    tools = frozenset(_tools(head.get("tools")))
    without = frozenset(_tools(head.get("disallowedTools")))
    if "tools" in head and tools and "*" not in tools and all(_reads(tool) for tool in tools - without):
        return "deny"
    edits = (
        EDITING - without if "tools" not in head or not tools or "*" in tools else (EDITING & tools) - without
    )
    return None if edits & {"Edit", "Write"} else "ask"


def _reads(tool: str) -> bool:
    return tool in READING or tool.startswith("mcp__madrox")


def _tools(value: Any) -> Iterable[str]:
    """`Read, Agent(worker, researcher), Bash(git *)` without what stands in parentheses."""
    listed = value if isinstance(value, list) else re.sub(r"\([^)]*\)", "", value).split(",") if value else ()
    return (re.sub(r"\(.*", "", str(tool)).strip() for tool in listed if str(tool).strip())


def _words(value: Any) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split() if isinstance(value, str) else map(str, value or ()))
