"""What the tools' arguments are and say: each text is read by the model that fills it in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from .waiting import LONGEST_WAIT

Who = Annotated[str, "Name of the agent, as in get_instance_tree."]
RunName = Annotated[
    str | None, "Of an earlier run, as list_logged_instances names it. Only the person may look there."
]
Root = Annotated[str | None, "Only this agent and all below it."]
Name = Annotated[str | None, "What to call it; without one it is numbered: lead.2 is a child of lead."]
RoleName = Annotated[
    str, "What it is good at: general, architect, backend_developer, code_reviewer, debugger, …"
]
Prompt = Annotated[str | None, "Replaces the role's instructions. How to message others is always added."]
Model = Annotated[str | None, "Model id, passed to the CLI as it stands. Without one, the CLI's default."]
Parent = Annotated[str | None, "Whose child it becomes: yours, unless you name an agent below you."]
Ready = Annotated[bool, "Wait until its CLI is ready, a few seconds. false returns at once."]
First = Annotated[str | None, "Its first task. It starts on it as soon as it is ready."]
AwaitFirst = Annotated[bool, "Wait for the answer to initial_prompt."]
Seconds = Annotated[float, f"How long to wait for the answer. One call waits {LONGEST_WAIT:.0f} s at most."]
Inject = Annotated[
    bool, "Its answers start your next turn by themselves. false: they wait for get_pending_replies."
]
May = Annotated[
    str | None,
    "What it may do unasked: deny, ask, edits (files in its own directory), all. What you have at most, "
    "and by default.",
]
HarnessName = Annotated[
    str | None, "Which CLI: claude, codex, gemini, rehearsal, … Without one, the configured default."
]
Options = Annotated[
    dict[str, str] | None, "Settings of that CLI alone, such as sandbox_mode of codex. Seldom needed."
]
MaxTokens = Annotated[
    int | None, "Tokens that it and all below it may use, input and output. Then it is stopped softly."
]
MaxCost = Annotated[
    float | None,
    "The same in US dollars. What nobody has a price for does not count: limit the tokens as well.",
]
MaxMinutes = Annotated[float | None, "Minutes from now after which it is stopped softly, busy or not."]
Servers = Annotated[
    dict[str, Any] | list[str] | str | None,
    "MCP servers that it gets besides madrox: names of list_mcp_presets, or (if you have permissions='all') "
    'an object such as {"web": {"command": "npx", "args": ["-y", "@playwright/mcp"]}}. '
    "It is asked about each use of their tools.",
]
Variables = Annotated[
    dict[str, str | int | float] | None,
    "Added to the environment of its process. Secrets are not shown anywhere; ${NAME} stands for a variable "
    "that is set already.",
]
Directory = Annotated[
    str | None,
    "Where it works, instead of an empty directory of its own: one inside your own workspace. "
    "No two agents can have the same.",
]
InWorktree = Annotated[
    bool,
    "Give it a git worktree of the repository in which you work, on a new branch madrox/NAME: what it "
    "changes disturbs nobody. It is removed at its end, unless something is not committed or not merged.",
]
Repository = Annotated[
    str | None, "Directory of another repository for use_worktree. The person's, or permissions='all'."
]
Bypass = Annotated[bool, "The same as permissions='all', if you have that yourself."]
Sandbox = Annotated[
    Literal["read-only", "workspace-write", "danger-full-access"] | None,
    "What its commands reach, as far as permissions go. Seldom needed.",
]
Profile = Annotated[
    str | None, "A profile of Codex's own configuration: NAME.config.toml beside config.toml."
]
Specs = Annotated[
    list[dict[str, Any]],
    "One object for each agent, with any argument of spawn_instance, such as "
    '{"name": "worker-1", "role": "debugger", "initial_prompt": "…"}. '
    "`type` or `instance_type` says which CLI.",
]
