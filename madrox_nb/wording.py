"""The words that agents read: who they are, how messages reach them, what was refused.

A role (or the caller's `system_prompt`) says what an agent is good at; the identity and
messaging instructions here are added to every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from .events import PERSON
from .folds import Message

IDENTITY = """\
# Who you are

You are the agent **{agent}** ({role}) in a tree of agents run by Madrox. {parent}
Your working directory is {workspace}; keep your files there. {permissions}

# How to work with others

"""

WITH_TOOLS = """\
Your MCP server is called `madrox`. You are known to it by your own token: whatever you
do there is done as {agent}, and agents that you spawn become your children.

- What you say last in a turn is your answer to whoever asked. Say the result there, whole.
- A prompt that starts with a line like `[{asker}.m3] {asker} asks:` comes from an agent. Its id is
  `{asker}.m3`. Answer with your last words, or earlier with `reply_to_caller(reply_message=…,
  correlation_id="{asker}.m3")`; not with both.
- `spawn_instance` starts a child for a part of the work, with a role and a first prompt.
  `send_to_instance` asks an agent; without `wait_for_response` you can go on meanwhile, and its
  answer comes as your next prompt, or when you call `get_pending_replies`.
- When an answer of a child starts your turn, nobody waits for that turn's last words: pass the
  result on with `reply_to_caller` if somebody asked you for it.
- `get_instance_tree`, `get_children` and `get_instance_status` show who is there;
  `interrupt_instance` ends a turn and keeps its context; `terminate_instance` ends an agent.
- A tool that waits gives back the word `running` after 45 seconds at most. Don't ask again: go on,
  or wait with `get_pending_replies(wait_timeout=45)`.
- End the children whose work is done. Tell your caller what you could not do, and why.
"""

WITH_BLOCKS = """\
You do this by blocks that you write into your answer, each at the left margin.
They are carried out when your turn is over: as {agent}, and agents that you spawn become your
children. These are all that there are (quoted here, so that they do nothing):

````
```madrox spawn name=scout role=debugger
Find out why the build fails. Answer with the cause.
```
```madrox send to=scout
Look at the tests, too.
```
```madrox reply to={asker}.m3
The build fails because …
```
```madrox interrupt name=scout
```
```madrox terminate name=scout
```
````

- What you say last in a turn is your answer to whoever asked. Say the result there, whole.
- A prompt that starts with a line like `[{asker}.m3] {asker} asks:` comes from an agent. Its id is
  `{asker}.m3`. Answer with your words; a `reply` is for an earlier message that you name by its id.
- `spawn` starts a child for a part of the work. What stands in the block is its first task. It also
  knows harness=, model=, permissions= and parent=. `send` asks an agent: a child, your parent or
  a sibling. Then end your turn: the answer comes as your next prompt.
- When an answer of a child starts your turn, nobody waits for that turn's last words: pass the
  result on with `reply` if somebody asked you for it; without to= it goes to your parent.
- What came of your blocks is told by `madrox`, with your next prompt. Don't write them again.
- Text in a block that itself has blocks needs a longer fence around it, such as ````` or ~~~~.
  To show a block without having it carried out, put it into another block.
- `interrupt` ends a turn and keeps its context; `terminate` ends an agent. End the children whose
  work is done. Tell your caller what you could not do, and why.
"""

_PERMISSIONS = {
    "deny": "You may read files there and use the madrox tools; anything else is refused.",
    "ask": "You may read files there and use the madrox tools; about anything else somebody is asked first.",
    "edits": "You may read and edit files there and use the madrox tools; about anything else somebody is "
    "asked first.",
    "all": "You may use every tool.",
}


def instructions(
    *,
    agent: str,
    role: str,
    parent: str | None,
    workspace: str,
    permissions: str,
    body: str,
    mcp: bool = True,
) -> str:
    """The whole system prompt: identity and messaging, then the role's `body`.

    With `mcp` it is told of our tools, without of the blocks that stand for them.
    """
    asker = parent or "lead"
    above = f"You are a child of **{parent}**." if parent else "You answer to the person at the notebook."
    allowed = _PERMISSIONS[permissions]
    identity = (IDENTITY + (WITH_TOOLS if mcp else WITH_BLOCKS)).format(
        agent=agent,
        role=role,
        parent=above,
        workspace=workspace,
        permissions=allowed if mcp else allowed.replace("madrox tools", "madrox blocks"),
        asker=asker,
    )
    return f"{identity}\n# Your role\n\n{body.strip()}\n"


def handover(messages: Sequence[Message]) -> str:
    """The prompt that hands `messages` over, oldest first, the one that asks last.

    Each begins with a line `[id] who verb:`. A question of the person's that comes alone
    stays as it was written, to the last character.
    """
    if len(messages) == 1 and messages[0].asks and messages[0].sender == PERSON:
        return messages[0].text
    return "\n\n".join(_question(m) if m.asks else _note(m) for m in messages)


def _question(ask: Message) -> str:
    who = "the person" if ask.sender == PERSON else ask.sender
    return f"[{ask.id}] {who} asks:\n{ask.text}"


def _note(message: Message) -> str:
    if not message.answers:
        who = "the person" if message.sender == PERSON else message.sender
        return f"[{message.id}] {who} writes:\n{message.text}"
    verb = {"ok": "answers", "failed": "could not answer", "interrupted": "was interrupted in answering"}
    return f"[{message.id}] {message.sender} {verb[message.outcome]} [{message.answers}]:\n{message.text}"


_COVERS = {
    "deny": "reading inside its own workspace and the madrox tools",
    "ask": "reading inside its own workspace and the madrox tools",
    "edits": "reading and editing inside its own workspace and the madrox tools",
}


def refusal(agent: str, tool: str, permissions: str, *, nobody: bool = False) -> str:
    """What an agent is told when it may not use a tool, and how that can be changed."""
    asked = " unasked, and nobody is there to be asked" if nobody else ""
    return (
        f"Madrox did not allow {tool}: agent {agent} runs with permissions={permissions!r}, which covers "
        f"{_COVERS[permissions]}{asked}. If you need it, say so in your answer. "
        f"The person can allow it with a policy such as {{{tool!r}: 'allow'}}, "
        f"or with: %madrox spawn {agent} --permissions all"
    )
