"""What the tools' arguments are and say: each text is read by the model that fills it in."""

from __future__ import annotations

from typing import Annotated

from .waiting import LONGEST_WAIT

Who = Annotated[str, "Name of the agent, as in get_instance_tree."]
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
