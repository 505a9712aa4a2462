"""A team file: who is in a team, and in which phases they work. Pure; `library` finds the files.

Markdown for people, with YAML between two `---` lines at its beginning:

    description: Builds a small thing and has it reviewed.
    inputs:
      language: {description: In what it is written., default: Python}
    members:
      - {name: lead, role: architect}
      - {name: builder, role: backend_developer, count: 2, limits: {usd: 5, minutes: 60}}
    phases:
      - name: design
        who: lead
        what: |
          Design this in {language}: {task}
        deliverables: [design.md]
      - {name: build, who: builder, what: "Build part {number} of {count} of {design.lead}"}
      - {name: mend, who: builder, when: build contains "BROKEN", what: …}

The first member leads: the others are its children. In a `what`, `{task}`, each input,
`{me}`, `{number}` and `{count}` are replaced, and `{PHASE}` or `{PHASE.MEMBER}` by what was
said there; `{{` is one brace. Phases that a text or a condition names come before it, as
those in `needs` do. What forms a circle, or names what isn't there, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .conditions import Condition, condition
from .errors import BadInput, nearest
from .headed import front_matter

TOP: Final = ("name", "description", "inputs", "members", "phases", "worktree", "version", "tags")
OF_INPUT: Final = ("description", "default")
OF_MEMBER: Final = (
    *("name", "role", "part", "harness", "model", "count", "permissions", "limits", "worktree"),
)
OF_PHASE: Final = ("name", "who", "what", "needs", "deliverables", "when")
OF_LIMITS: Final = ("usd", "tokens", "minutes")
OURS: Final = ("task", "me", "number", "count", "inputs")
"""What no input and no phase can be called: it means something in every text."""
MAY: Final = ("deny", "ask", "edits")
"""`all` is not among them: it is given by a person, by name, to one agent."""
LARGEST: Final = 50
"""Agents of one member."""

_WORD: Final = re.compile(r"[A-Za-z][\w-]*")
_FIELD: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w-]*(?:\.[\w-]+)?)\}")


@dataclass(frozen=True)
class Input:
    """What a person may say besides the task."""

    name: str
    description: str
    default: str | None
    """None where it has to be given."""


@dataclass(frozen=True)
class Limits:
    """What one agent may use; None for no limit of its own."""

    usd: float | None = None
    tokens: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Member:
    """One place in the team, filled by `count` agents."""

    name: str
    role: str
    part: str = ""
    """What it is there for, in words that all members read."""
    harness: str | None = None
    model: str | None = None
    count: int = 1
    permissions: str | None = None
    """What its agents may do at most; never more than they would without it."""
    limits: Limits = Limits()
    worktree: bool = False
    """Each of its agents works in a git worktree, on a branch of its own."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its agents, before any prefix."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{n + 1}" for n in range(self.count))


@dataclass(frozen=True)
class Phase:
    """One piece of work, given to all agents of some members at once."""

    name: str
    who: tuple[str, ...]
    what: str
    needs: tuple[str, ...] = ()
    """Phases whose results it gets: those that are listed, and those that its text names."""
    deliverables: tuple[str, ...] = ()
    """Files and directories that each of its agents leaves in its own directory."""
    when: Condition | None = None

    @property
    def after(self) -> tuple[str, ...]:
        """Phases that are over before it begins."""
        asked = (clause.phase for clause in self.when.clauses) if self.when else ()
        return tuple(dict.fromkeys((*self.needs, *asked)))


@dataclass(frozen=True)
class Team:
    """One team file, read."""

    name: str
    description: str
    inputs: tuple[Input, ...]
    members: tuple[Member, ...]
    phases: tuple[Phase, ...]
    """In an order in which each stands behind those that it comes after."""
    body: str
    """The Markdown, for people."""
    text: str
    """The whole file."""
    path: str

    @property
    def lead(self) -> Member:
        return self.members[0]

    @property
    def size(self) -> int:
        return sum(member.count for member in self.members)

    def limits(self, member: Member) -> dict[str, float]:
        """What one of its agents may use, by the names of `budget.Limits`.

        Limits of the lead hold for all below it, so they are those of the whole team: sums of
        dollars and tokens and the longest time, where every member has such a limit.
        """
        counted = self.members if member is self.lead else (member,)
        found: dict[str, float] = {}
        for name in OF_LIMITS:
            amounts = [getattr(each.limits, name) for each in counted]
            if all(amount is not None for amount in amounts):
                whole = zip(counted, amounts, strict=True)
                alone = amounts[0] if member is not self.lead else sum(m.count * a for m, a in whole)
                found[name] = max(amounts) if name == "minutes" else alone
        return found

    def member(self, name: str) -> Member:
        return next(each for each in self.members if each.name == name)

    def phase(self, name: str) -> Phase:
        """Raises `BadInput` with the nearest one."""
        for each in self.phases:
            if each.name == name:
                return each
        known = [each.name for each in self.phases]
        raise BadInput(f"{self.name} has no phase {name!r}.{nearest(name, known)} Known: {', '.join(known)}")

    def behind(self, name: str) -> set[str]:
        """All phases that come after that one, at however many removes."""
        found = {name}
        for phase in self.phases:
            if found.intersection(phase.after):
                found.add(phase.name)
        return found - {name}

    def given(self, inputs: Mapping[str, str] | None) -> dict[str, str]:
        """A value for each input. Raises `BadInput` for one that is unknown or missing."""
        inputs, known = dict(inputs or {}), [each.name for each in self.inputs]
        for name in inputs:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise BadInput(f"{self.name} has no input {name!r}.{nearest(name, known)} Known: {listed}")
        missing = [
            f"{i.name} ({i.description})" for i in self.inputs if i.default is None and i.name not in inputs
        ]
        if missing:
            raise BadInput(f"{self.name} needs to be told {'; '.join(missing)}. Say --input NAME=VALUE")
        return {each.name: str(inputs.get(each.name, each.default)) for each in self.inputs}


def fill(text: str, plain: Mapping[str, str], results: Mapping[str, str]) -> str:
    """`text` with its fields replaced; a field that is in neither mapping stays.

    A result that has a line to itself is quoted (`> `), so that nobody takes what
    another agent said for an order.
    """
    return "\n".join(_filled(line, plain, results) for line in text.split("\n"))


def _filled(line: str, plain: Mapping[str, str], results: Mapping[str, str]) -> str:
    alone = _FIELD.fullmatch(line.strip())
    if alone is not None and alone[1] in results:
        return quoted(results[alone[1]])

    def value(field: re.Match[str]) -> str:
        name = field[1]
        if name is None:
            return field[0][0]
        return plain.get(name.removeprefix("inputs."), results.get(name, field[0]))

    return _FIELD.sub(value, line)


def quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def fields(text: str) -> list[str]:
    """The fields that a text names."""
    return [match[1] for match in _FIELD.finditer(text) if match[1]]


# reading a file


def read(name: str, text: str, path: str) -> Team:
    """The team in a file's `text`. Raises `BadInput` with the file, the key and the nearest known."""
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    keys, body = front_matter(path, text)
    if not keys:
        raise BadInput(f"{path} is no team: it has to begin with YAML between two lines `---`")
    file = _Table(path, "", keys, TOP)
    inputs = tuple(_inputs(file))
    worktree = file.flag("worktree")
    members = tuple(
        _member(_Table(path, f"members[{n}]", each, OF_MEMBER), worktree)
        for n, each in file.listed("members")
    )
    _distinct(file, "member", (name for each in members for name in {each.name, *each.names}))
    phases = [_phase(_Table(path, f"phases[{n}]", each, OF_PHASE)) for n, each in file.listed("phases")]
    _distinct(file, "phase or input", (*OURS, *(i.name for i in inputs), *(phase.name for phase in phases)))
    linked = [_linked(path, phase, inputs, members, phases) for phase in phases]
    return Team(
        name=name,
        description=file.text("description"),
        inputs=inputs,
        members=members,
        phases=tuple(_ordered(path, linked)),
        body=body.strip().removeprefix("---").strip(),
        text=text,
        path=path,
    )


class _Table:
    """One mapping of the file, and how errors name it."""

    def __init__(self, path: str, where: str, keys: Any, known: Iterable[str]) -> None:
        self.path, self.where, self.known = path, where, tuple(known)
        if not isinstance(keys, dict):
            raise self.wrong("", f"{keys!r} is no table of {', '.join(self.known)}")
        self.keys = keys
        if isinstance(keys.get("name"), str) and where:
            self.where = f"{where} ({keys['name']})"
        for key in keys:
            if key not in self.known:
                raise self.wrong(
                    "", f"no key {key!r}.{nearest(str(key), self.known)} Known: {', '.join(self.known)}"
                )

    def wrong(self, key: str, what: str) -> BadInput:
        place = ".".join(part for part in (self.where, key) if part)
        return BadInput(f"{self.path}: {place + ': ' if place else ''}{what}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.keys.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.wrong(key, "a text is missing" if value is None else f"{value!r} is no text")
        return value.strip()

    def name(self, key: str = "name") -> str:
        value = self.text(key)
        if not _WORD.fullmatch(value):
            raise self.wrong(key, f"{value!r} is no name: a letter, then letters, digits, '_' and '-'")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        value = self.keys.get(key) or ()
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list | tuple) or not all(
            isinstance(word, str) and word.strip() for word in value
        ):
            raise self.wrong(key, f"{value!r} is no list of words")
        return tuple(dict.fromkeys(word.strip() for word in value))

    def number(self, key: str, kind: type[int] | type[float]) -> Any:
        value = self.keys.get(key)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value <= 0
            or kind(value) != value
        ):
            raise self.wrong(key, f"{value!r} is no {'whole number' if kind is int else 'number'} above 0")
        return kind(value)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.keys.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{value!r} is neither true nor false")
        return value

    def listed(self, key: str) -> list[tuple[int, Any]]:
        value = self.keys.get(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, "a list of at least one is missing")
        return list(enumerate(value, 1))


def _inputs(file: _Table) -> Iterator[Input]:
    found = file.keys.get("inputs") or {}
    if not isinstance(found, dict):
        raise file.wrong("inputs", "a table of inputs by name is expected")
    for name, about in found.items():
        named = _Table(file.path, "inputs", {"name": name}, ("name",)).name()
        about = {"description": about} if isinstance(about, str) else about
        table = _Table(file.path, f"inputs.{named}", about, OF_INPUT)
        default = table.text("default", "") if "default" in table.keys else None
        yield Input(named, table.text("description"), default)


def _member(table: _Table, worktree: bool) -> Member:
    """`worktree`: what the file says for all."""
    may = table.text("permissions", "") or None
    if may is not None and may not in MAY:
        why = "is given by a person, to one agent." if may == "all" else f"is not known.{nearest(may, MAY)}"
        raise table.wrong("permissions", f"{may!r} {why} Known: {', '.join(MAY)}")
    count = table.number("count", int) or 1
    if count > LARGEST:
        raise table.wrong("count", f"{count} is more than {LARGEST}")
    limits = _Table(table.path, f"{table.where}.limits", table.keys.get("limits") or {}, OF_LIMITS)
    return Member(
        name=table.name(),
        role=table.text("role"),
        part=table.text("part", ""),
        harness=table.text("harness", "") or None,
        model=table.text("model", "") or None,
        count=count,
        permissions=may,
        limits=Limits(
            limits.number("usd", float), limits.number("tokens", int), limits.number("minutes", float)
        ),
        worktree=table.flag("worktree", worktree),
    )


def _phase(table: _Table) -> Phase:
    when = table.keys.get("when")
    try:
        read = None if when is None else condition(when)
    except BadInput as exc:
        raise table.wrong("when", str(exc)) from None
    who = table.words("who")
    if not who:
        raise table.wrong("who", "a member, or a list of them, is missing")
    deliverables = table.words("deliverables")
    for file in deliverables:
        if file.startswith(("/", "~")) or ".." in file.split("/"):
            raise table.wrong("deliverables", f"{file!r} would lie outside of the agent's directory")
    return Phase(table.name(), who, table.text("what"), table.words("needs"), deliverables, read)


def _linked(
    path: str, phase: Phase, inputs: tuple[Input, ...], members: tuple[Member, ...], phases: list[Phase]
) -> Phase:
    """`phase` with what its text names among its needs. Raises for what isn't there."""
    where = f"{path}: phases ({phase.name})"
    by_name = {each.name: each for each in phases}
    names = {member.name: member.names for member in members}
    for each in phase.who:
        _known(f"{where}.who", "member", each, names)
    for each in phase.needs:
        _known(f"{where}.needs", "phase", each, by_name)
    plain = {*OURS, *(each.name for each in inputs), *(f"inputs.{each.name}" for each in inputs)}
    named = []
    for field in fields(phase.what):
        if field in plain:
            continue
        of, _, agent = field.partition(".")
        if of not in by_name:
            _known(f"{where}.what", "field", field, (*sorted(plain), *by_name))
        _speaks(f"{where}.what: {{{field}}}", by_name, names, of, agent)
        named.append(of)
    for clause in phase.when.clauses if phase.when else ():
        _known(f"{where}.when", "phase", clause.phase, by_name)
        _speaks(f"{where}.when", by_name, names, clause.phase, clause.agent)
    needs = tuple(dict.fromkeys((*phase.needs, *named)))
    return Phase(phase.name, phase.who, phase.what, needs, phase.deliverables, phase.when)


def _known(where: str, what: str, name: str, known: Iterable[str]) -> None:
    listed = list(known)
    if name not in listed:
        raise BadInput(f"{where}: no {what} {name!r}.{nearest(name, listed)} Known: {', '.join(listed)}")


def _speaks(
    where: str, phases: Mapping[str, Phase], names: Mapping[str, tuple[str, ...]], phase: str, agent: str
) -> None:
    """Raises when nobody called `agent` works in `phase`."""
    if agent and phase in phases:
        who = phases[phase].who
        _known(
            where, f"member of {phase}", agent, [*who, *(n for m in who for n in names.get(m, ()) if n != m)]
        )


def _distinct(file: _Table, what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise file.wrong("", f"{name!r} is the name of more than one {what}, or has a meaning of its own")
        seen.add(name)


def _ordered(path: str, phases: list[Phase]) -> Iterator[Phase]:
    """Each behind those that it comes after, else as they are written. Raises for a circle."""
    left, done = list(phases), set[str]()
    while left:
        free = next((phase for phase in left if done.issuperset(phase.after)), None)
        if free is None:
            raise BadInput(f"{path}: these phases wait for one another: {', '.join(p.name for p in left)}")
        left.remove(free)
        done.add(free.name)
        yield free
