"""Leads a team: reads the plan in a prompt and carries it out by the tools, as a model would.

What such a plan looks like stands in `madrox_nb/briefs.py` (`LEADS`): members as lines
`- spawn_instance {json}`, phases under `### name`, each with its members, its condition
and its brief between two fences.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .turn import Turn

ATTEMPTS = 2


class Phase:
    """One piece of the plan."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: list[str] = []
        self.only_if = ""
        self.brief: list[str] = []


def carry_out(turn: Turn, text: str) -> None:
    """Spawn the members, give each phase to its own, and report."""
    members, phases = read(text)
    for given, _ in members:
        result = turn.call("spawn_instance", **given, wait_for_ready=False)
        if not result.ok:
            turn.say(f"{given.get('name')} could not be spawned: {result.text}")
    parts = {str(given.get("name")): part for given, part in members}
    lead = Lead(turn, parts)
    for phase in phases:
        lead.give(phase)
    turn.call("reply_to_caller", reply_message="\n\n".join(lead.report))
    for given, _ in members:
        turn.call("terminate_instance", instance_id=given.get("name"), force=True)
    turn.say(f"The plan is carried out: {len(phases)} phases, {len(members)} members.")


class Lead:
    """What has been said so far, and what is to be reported."""

    def __init__(self, turn: Turn, parts: dict[str, str]) -> None:
        self.turn, self.parts = turn, parts
        self.said: dict[str, str] = {}
        """By phase (`design`), and by phase and member (`design.lead`)."""
        self.states: dict[str, str] = {}
        self.report: list[str] = []

    def give(self, phase: Phase) -> None:
        if phase.only_if and not holds(phase.only_if, self.states, self.said):
            self.states[phase.name] = "skipped"
            self.said[phase.name] = f"(skipped: not the case: {phase.only_if})"
            self.report.append(f"{phase.name}: skipped, not the case: {phase.only_if}")
            return
        self.states[phase.name] = "ok"
        for agent in phase.members:
            ok, answer = self.ask(phase, agent)
            if not ok:
                self.states[phase.name] = "failed"
            self.keep(phase.name, agent, answer)
            self.report.append(f"{phase.name}, {agent}: {answer if ok else f'failed: {answer}'}")

    def ask(self, phase: Phase, agent: str) -> tuple[bool, str]:
        """(whether it went well, its answer or why not); what fails is asked once more."""
        text = self.filled(phase, agent)
        if agent not in self.parts:  # the lead's own
            return True, f"{agent} did {phase.name} itself"
        if part := self.parts[agent]:
            text, self.parts[agent] = f"You are there for this: {part}\n\n{text}", ""
        for _ in range(ATTEMPTS):
            result = self.turn.call(
                "send_to_instance", instance_id=agent, message=text, wait_for_response=True
            )
            if result.ok:
                break
        return result.ok, str(result.structured.get("response", result.text))

    def keep(self, phase: str, agent: str, answer: str) -> None:
        """Under the agent's name, its member's (`hand` for `hand-2`), and the phase's."""
        for key in dict.fromkeys((f"{phase}.{agent}", f"{phase}.{stem(agent)}", phase)):
            before = self.said.get(key)
            self.said[key] = answer if before is None else f"{before}\n\n{answer}"

    def filled(self, phase: Phase, agent: str) -> str:
        """The brief with what others said in place of `{phase.member}`."""
        alike = [name for name in phase.members if stem(name) == stem(agent)]
        own = {"me": agent, "number": str(alike.index(agent) + 1), "count": str(len(alike))}
        known = {**self.said, **own}

        def value(field: re.Match[str]) -> str:
            return known.get(field[1], field[0])

        return re.sub(r"\{([\w.-]+)\}", value, "\n".join(phase.brief))


def stem(agent: str) -> str:
    return re.sub(r"-\d+$", "", agent)


def holds(condition: str, states: dict[str, str], said: dict[str, str]) -> bool:
    """A condition of the plan, such as `review contains "REJECT" and not tests failed`."""
    return any(
        all(_one(clause.strip(), states, said) for clause in re.split(r"\band\b", each))
        for each in re.split(r"\bor\b", condition)
    )


def _one(clause: str, states: dict[str, str], said: dict[str, str]) -> bool:
    match = re.fullmatch(r"(not )?([\w.-]+) (?:contains (?:\"([^\"]*)\"|'([^']*)')|(\w+))", clause)
    if match is None:
        return False
    negated, name, double, single, state = match.groups()
    wanted = double if double is not None else single
    found = wanted in said.get(name, "") if wanted is not None else states.get(stem_of(name)) == state
    return bool(found) != bool(negated)


def stem_of(name: str) -> str:
    """The phase of `phase.member`."""
    return name.partition(".")[0]


def read(text: str) -> tuple[list[tuple[dict[str, Any], str]], list[Phase]]:
    """(members as (arguments of spawn_instance, what they are there for), phases)."""
    members: list[tuple[dict[str, Any], str]] = []
    phases: list[Phase] = []
    fence = ""
    for line in text[text.rindex("\n## Members\n") :].split("\n"):
        if fence:
            if line == fence:
                fence = ""
            else:
                phases[-1].brief.append(line)
        elif line.startswith("- spawn_instance {"):
            members.append((json.loads(line.removeprefix("- spawn_instance ")), ""))
        elif line.startswith("  ") and members and not phases:
            given, part = members[-1]
            members[-1] = given, f"{part} {line.strip()}".strip()
        elif heading := re.fullmatch(r"### (\S+)", line):
            phases.append(Phase(heading[1]))
        elif phases and (opened := re.fullmatch(r"(~{3,})brief", line)):
            fence = opened[1]
        elif phases:
            _about(phases[-1], line)
    return members, phases


def _about(phase: Phase, line: str) -> None:
    if line.startswith("- members: "):
        phase.members = line.removeprefix("- members: ").split(", ")
    elif line.startswith("- only if: "):
        phase.only_if = line.removeprefix("- only if: ")
