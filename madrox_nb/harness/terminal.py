"""Any interactive program at a terminal; a profile says what it is like.

The wire is the terminal's own (screen.py): we say what to look for and what to type, it
says what it saw. A turn is

    a program that prints    type, then its prompt, the last that was printed
    one that paints          type, then a sign that it took the text up, then a screen that
                             shows the prompt, no sign of work, and does not change

Nothing else ends one well. A quiet screen is no end: it becomes a notice, or a failure
where neither prompt nor work is to be seen. A program that is gone takes its agent along,
also when somebody else's prompt stands where its own should be: nothing is typed there.

There is no protocol, so there are no figures of usage, no session and no approvals; the
text is what stood between our text and the prompt. Of a program that prints it is told to
watchers while it comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from ..events import (
    AgentReady,
    AgentStopped,
    Notice,
    Outcome,
    TextDelta,
    TurnEnded,
    TurnSaid,
    UsageReported,
)
from . import Brief, Features, Harness, Item, Launch, Tables, Unreadable, Write
from .profile import Profile, filled, profile, typed
from .spoken import HELD, Words, printed, without_echo

Sought = dict[str, dict[str, Any]]
"""What is looked for: name → pattern and its conditions."""

SHELL_STAYS = 0.5
"""Seconds that a shell's prompt has to be the last, so that no answer that quotes one is taken for it."""
PAINTED_STAYS = 0.3
"""The least of what has to stay on a screen: it is not painted at once."""
TAKES_UP = 3.0
"""Seconds without change in which what was typed has to be taken up. Then its key is pressed once more."""
LOOKS = 10
"""Times, each as long as a prompt has to stay, that a screen may look ready without a new answer."""
PERSISTENT = 5
"""Times in a row that a dialog is answered before it counts as one that the answer does not help."""
PASTE = ("\x1b[200~", "\x1b[201~")


class Terminal(Harness):
    """The state of one program at a terminal. `family` makes a class for each profile."""

    name: ClassVar[str] = "terminal"
    features: ClassVar[Features] = Features(multi_turn=True, interrupt=True)
    profile: ClassVar[Profile]

    @classmethod
    def family(cls, tables: Tables) -> Mapping[str, type[Harness]]:
        return {name: cls.like(profile(name, table)) for name, table in tables.get("terminal", {}).items()}

    @classmethod
    def like(cls, profile: Profile) -> type[Terminal]:
        """The harness of the program that `profile` describes."""
        given = {
            "name": profile.name,
            "commands": profile.command,
            "provides": profile.provides,
            "profile": profile,
            "features": Features(multi_turn=True, interrupt=bool(profile.interrupt)),
            "instructed": profile.tells,
            "tested": profile.tested,
            "unguarded": profile.unguarded,
            "__doc__": f"The state of one {profile.name} at a terminal.",
            "__module__": cls.__module__,
        }
        return type(f"{cls.__name__} {profile.name}", (cls,), given)

    def __init__(self, brief: Brief) -> None:
        super().__init__(brief)
        self._state = "starting"
        """`starting`, `idle`, `sent` (typed, and not seen to be taken up), `working`."""
        self._interrupted = self._urged = False
        self._said = ""
        self._missing = self._looks = 0
        self._before: tuple[int, str | None] = 0, None
        """What `_shown` gave at the end of the turn before."""
        self._dialogs: list[str] = []
        """Those answered since something else was seen."""
        self._told_role = False
        self._echo: list[str] = []
        """Lines of our own text that may come back before the answer."""
        self._words: Words | None = None
        """The words of the answer under way; None when they are known at its end alone."""
        self._heard = 0
        """Characters told as printed since the last thing that was seen."""

    # what to run

    def launch(self) -> Launch:
        made, brief = self.profile, self.brief
        argv = [
            *brief.command,
            *self._filled(made.args),
            *self._filled(made.permissions.get(brief.permissions, ())),
        ]
        if brief.model:
            argv += self._filled(made.model)
        if brief.instructions and not isinstance(made.instructions, str):
            argv += self._filled(made.instructions)
        return Launch(
            argv=(*argv, *brief.extra_args),
            env={name: self._fill(value) for name, value in made.env.items()},
            files={name: self._fill(content) for name, content in made.files.items()},
            wire="pty",
            screen=made.size,
        )

    def _filled(self, words: Iterable[str]) -> list[str]:
        return [self._fill(word) for word in words]

    def _fill(self, template: str) -> str:
        brief = self.brief
        return filled(
            template,
            {
                "agent": brief.agent,
                "role": brief.role,
                "workspace": brief.workspace,
                "files": brief.files,
                "instructions": brief.instructions,
                "model": brief.model or "",
            },
        )

    # what to write

    def greet(self) -> Iterable[str]:
        yield _order("look", paints=self.profile.paints, exit=self.profile.exit)
        yield self._expect()

    def prompt(self, turn: str, text: str) -> Iterable[str]:
        made = self.profile
        self.turn, self._state = turn, "sent" if made.paints else "working"
        self._interrupted = self._urged = False
        self._said, self._missing, self._looks = "", 0, 0
        if made.instructions == "first" and not self._told_role:
            text = f"{self.brief.instructions}\n\n{text}" if self.brief.instructions else text
        self._told_role = True
        keys = typed(made, text, re.sub(r"\W", "", turn))
        self._echo = keys.split("\n") if made.echo else []
        self._words, self._heard = Words(made, self._echo) if made.speaks else None, 0
        if made.paste:
            keys = keys.join(PASTE)
        yield _order("type", text=keys, enter=made.enter, pause=made.pause)
        yield self._expect()

    def interrupt(self) -> Iterable[str]:
        if not self.turn or not self.profile.interrupt:
            return
        self._interrupted, self._urged = True, False
        if self._state == "sent":
            self._state = "working"  # also a text that is not taken up is given up by these keys
        yield _order("press", keys=self.profile.interrupt)
        yield self._expect()

    def _expect(self) -> str:
        speaks = bool(self.turn and self._words and not self._words.over)
        return _order("expect", see=dict(self._sought()), quiet=self._quiet(), words=speaks)

    def _sought(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is looked for in this state. Of two at one place the first counts."""
        made = self.profile
        least = PAINTED_STAYS if made.paints else 0.0
        yield from (
            (f"dialog {i}", {"pattern": each.see, "stays": least}) for i, each in enumerate(made.dialogs)
        )
        if self._state == "starting":
            yield "prompt", {"pattern": made.ready or made.prompt, "stays": max(made.stays, least)}
        elif self._state == "sent":
            if made.busy:
                yield "began busy", {"pattern": made.busy}
            if made.began:
                yield "began", {"pattern": made.began, "more": True}
        elif self._state == "working":
            yield "prompt", {"pattern": self._done(), "stays": max(made.stays, least)}
        if made.shell:
            yield "shell", {"pattern": made.shell, "stays": SHELL_STAYS, "always": True}

    def _done(self) -> str:
        made = self.profile
        if not made.paints:
            # prompts for further lines of our text stand in one line; its own comes after an answer
            return made.prompt if made.silent or self._interrupted else rf"(?<=\n)(?:{made.prompt})"
        idle = rf"(?!(?s:.*)(?:{made.busy}))" if made.busy else ""
        return rf"\A{idle}(?=(?s:.*)(?:{made.prompt}))(?s:.)"

    def _quiet(self) -> float:
        return TAKES_UP if self._state == "sent" or self._unheeded else self.profile.quiet

    @property
    def _unheeded(self) -> bool:
        """Whether the key that interrupts was pressed once, and the turn goes on.

        A shell loses a Ctrl-C that comes while it starts a command (bash 5.2: one in twenty of
        those that come right behind a word). A program with a screen of its own loses none,
        and may mean something else by the second.
        """
        return self._interrupted and bool(self.turn) and not self._urged and not self.profile.paints

    # what a line means

    def read(self, line: str) -> Iterable[Item]:
        try:
            fact = json.loads(line)
            return list(self._items(fact))
        except (ValueError, KeyError, TypeError) as exc:
            raise Unreadable(f"not a word of the terminal's: {exc!r}") from exc

    def _items(self, fact: Mapping[str, Any]) -> Iterator[Item]:
        if fact["fact"] == "quiet":
            yield from self._heard_nothing(fact["text"])
            return
        if fact["fact"] == "printed":
            self._heard += len(fact["text"])
            yield from self._spoken(fact["text"])
            return
        what, _, which = fact["name"].partition(" ")
        if what != "dialog":
            self._dialogs.clear()
        if self.profile.paints:
            self._said = fact["before"]
        else:
            self._said += fact["before"]
            self._missing += fact["missing"]
        match what:
            case "dialog":
                yield from self._caught_up(fact["before"], fact["missing"])
                yield from self._asked(which, fact["match"])
            case "began":
                self._state = "working"
                yield Write(line=self._expect())
            case "shell":
                yield self._failed(f"its program is gone: a shell stands there ({fact['match'].strip()!r})")
            case "prompt" if self._state == "starting":
                self._state = "idle"
                yield AgentReady(agent=self.brief.agent, session=self.brief.session, model=self.brief.model)
                yield Write(line=self._expect())
            case "prompt" if self._looks < LOOKS and self._is_early():
                self._looks += 1
                yield Write(line=self._expect())
            case "prompt":
                yield from self._ended(*self._verdict())

    def _asked(self, which: str, seen: str) -> Iterator[Item]:
        self._dialogs.append(which)
        if self._dialogs.count(which) > PERSISTENT:
            yield self._failed(f"it keeps asking {seen.strip()[:80]!r}, whatever it is answered")
            return
        yield Write(line=_order("press", keys=self.profile.dialogs[int(which)].answer))
        yield Write(line=self._expect())

    def _spoken(self, text: str) -> Iterator[Item]:
        """Tell what of `text` is known to be of the answer."""
        if self._words is None or not self.turn:
            return
        if told := self._words.more(text):
            yield TextDelta(agent=self.brief.agent, turn=self.turn, text=told)
        if self._words.over:
            self._words = None
            yield Write(line=self._expect())

    def _caught_up(self, before: str, missing: int) -> Iterator[Item]:
        """Tell what was printed before a dialog and not heard yet, so that its words go on after it."""
        heard, self._heard = self._heard - missing, 0
        if heard < 0 or len(before) - heard > HELD:
            self._words = None
        else:
            yield from self._spoken(before[heard:])

    def _heard_nothing(self, text: str) -> Iterator[Item]:
        """Nothing has changed for a while, and nothing that is expected is to be seen."""
        made, agent = self.profile, self.brief.agent
        if self._state == "sent" and not self._urged:
            self._urged = True
            yield Write(line=_order("press", keys=made.enter))
            yield Write(line=self._expect())
        elif self._state == "sent":
            yield self._failed("it did not take up what was typed")
        elif self._unheeded:
            self._urged = True
            yield Write(line=_order("press", keys=made.interrupt))
            yield Write(line=self._expect())
        elif made.paints and self.turn and not (made.busy and re.search(made.busy, text, re.MULTILINE)):
            yield self._failed(
                f"its screen shows neither prompt nor work and has not changed for {made.quiet:g} s"
            )
        else:
            yield Notice(agent=agent, text=f"nothing new on its terminal for {made.quiet:g} s")

    def _failed(self, reason: str) -> AgentStopped:
        return AgentStopped(agent=self.brief.agent, reason=reason, failed=True)

    # the end of a turn

    def _verdict(self) -> tuple[Outcome, str, str]:
        made = self.profile
        text = None if made.paints and self._shows_nothing_new() else self._answer()
        if self._interrupted:
            return "interrupted", text or "", ""
        if text is None:
            return "failed", "", "its answer was not found on its screen"
        for pattern in made.errors:
            if found := re.search(pattern, text, re.MULTILINE):
                return "failed", text, _line_of(text, found.start())
        if not text and not made.silent:
            return "failed", "", "the program gave an empty answer"
        return "ok", text, ""

    def _ended(self, outcome: Outcome, text: str, error: str) -> Iterator[Item]:
        agent, turn = self.brief.agent, self.turn
        if self._missing:
            text = f"[{self._missing} characters before this are in its wire log alone]\n{text}"
        self.turn, self._state, self._before = "", "idle", self._shown()
        if text:
            yield TurnSaid(agent=agent, turn=turn, text=text)
        yield UsageReported(agent=agent, turn=turn, model=self.brief.model)
        yield TurnEnded(agent=agent, turn=turn, outcome=outcome, text=text, error=error)
        yield Write(line=self._expect())

    def _is_early(self) -> bool:
        """Whether a screen looks ready before it shows what came of the turn: a busy machine paints late."""
        if not self.profile.paints or self._interrupted:
            return False
        return self._shows_nothing_new() or not (self._answer() or self.profile.silent)

    def _shows_nothing_new(self) -> bool:
        (count, text), (count_before, before) = self._shown(), self._before
        if text is None or before is None:
            return text is None
        return text == before if not count else count == count_before and text.startswith(before)

    def _shown(self) -> tuple[int, str | None]:
        """How many answers begin on a screen, and the last one."""
        start = self.profile.answer.start if self.profile.paints else ""
        return len(re.findall(start, self._said, re.MULTILINE)) if start else 0, self._answer()

    def _answer(self) -> str | None:
        """What of what was seen is the answer. None when the screen does not show where it is."""
        cut = self.profile.answer
        text: str | None = printed(self._said)
        if self._echo and text:
            text = without_echo(text, self._echo)
        if cut.start:
            text = _after_last(cut.start, text or "")
        if text is None:
            return None
        if cut.end and (end := re.search(cut.end, text, re.MULTILINE)):
            text = text[: end.start()]
        for pattern in cut.strip:
            text = re.sub(pattern, "", text, flags=re.MULTILINE)
        return text.strip("\n").rstrip()


def _after_last(pattern: str, text: str) -> str | None:
    ends = [found.end() for found in re.finditer(pattern, text, re.MULTILINE)]
    return text[ends[-1] :] if ends else None


def _line_of(text: str, place: int) -> str:
    """The line of `text` that holds `place`."""
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0].strip()


def _order(do: str, **more: object) -> str:
    return json.dumps({"do": do, **more}) + "\n"
