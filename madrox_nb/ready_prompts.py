"""Prompts that are ready for a client to offer its user: the roles, and whatever else is in `SOURCES`.

A source is a function that says what there is now, so that edited files count at once.
Another kind of prompt (a team, say) is one more function, registered with `source`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from . import library
from .errors import BadInput, nearest
from .plans import Team
from .roles import Role


@dataclass(frozen=True)
class Argument:
    """Something that a prompt is filled in with. Always a text, as the protocol has it."""

    name: str
    description: str
    required: bool = False


@dataclass(frozen=True)
class ReadyPrompt:
    """A prompt with places to fill in."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    text: Callable[[Mapping[str, str]], str]
    """What the model is told, from the arguments; the required ones are there."""

    def filled_in(self, given: Mapping[str, str]) -> str:
        """Raises `BadInput` for an argument that it does not take, or lacks."""
        known = {each.name: each for each in self.arguments}
        for name in given:
            if name not in known:
                takes = ", ".join(known) or "nothing"
                raise BadInput(
                    f"{self.name} has no argument {name!r}.{nearest(name, known)} It takes: {takes}"
                )
        for name, argument in known.items():
            if argument.required and not given.get(name, "").strip():
                raise BadInput(f"{self.name} needs {name}: {argument.description}")
        return self.text(given)


Source = Callable[[], Iterable[ReadyPrompt]]
SOURCES: Final[list[Source]] = []


def source(function: Source) -> Source:
    """Register a function that says which prompts there are now."""
    SOURCES.append(function)
    return function


def ready() -> dict[str, ReadyPrompt]:
    """All of them by name; of two with the same one the first counts."""
    found: dict[str, ReadyPrompt] = {}
    for each in SOURCES:
        for prompt in each():
            found.setdefault(prompt.name, prompt)
    return found


def find(name: str) -> ReadyPrompt:
    """Raises `BadInput` with the nearest one."""
    known = ready()
    if name not in known:
        raise BadInput(f"there is no prompt {name!r}.{nearest(name, known)} Known: {', '.join(known)}")
    return known[name]


TASK: Final = Argument("task", "What is to be done, complete. Without one, the role waits for it.")


@source
def _roles() -> Iterable[ReadyPrompt]:
    for role in library.roles():
        yield ReadyPrompt(f"role_{role.name}", role.description, (TASK,), _as_role(role))


def _as_role(role: Role) -> Callable[[Mapping[str, str]], str]:
    def text(given: Mapping[str, str]) -> str:
        task = given.get("task", "").strip()
        return f"{role.body.strip()}\n\n# Your task\n\n{task}" if task else role.body.strip()

    return text


@source
def _teams() -> Iterable[ReadyPrompt]:
    for team in library.teams():
        needed = Argument("task", "What the team is to do, complete.", required=True)
        inputs = (Argument(each.name, each.description, each.default is None) for each in team.inputs)
        yield ReadyPrompt(f"team_{team.name}", team.description, (needed, *inputs), _as_team(team))


def _as_team(team: Team) -> Callable[[Mapping[str, str]], str]:
    """The words that let a client's model start that team, and what is in it."""

    def text(given: Mapping[str, str]) -> str:
        inputs = {name: value for name, value in given.items() if name != "task" and value.strip()}
        call = {"template_name": team.name, "task_description": given["task"], "inputs": inputs}
        arguments = json.dumps({key: value for key, value in call.items() if value}, ensure_ascii=False)
        return (
            f"Start the team {team.name} with the tool spawn_team_from_template and exactly these "
            f"arguments:\n\n{arguments}\n\nThen follow it with get_team_status (wait=true) until it is over, "
            "retry what failed once with retry_team, and report what came of it, what failed and what it "
            f"cost.\n\n{team.body}"
        )

    return text
