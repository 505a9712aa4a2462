"""Jobs: several agents work on one task. How far each is, who is asked next, and what came of it.

A job is concluded from the ledger: it is `job.started`, its questions are messages that
name it, and their turns say what came of them. Pure: `jobs.py` does the asking.

    sequential   one after the other; each is given what the one before it made of the task
    parallel     all at once, each on its own
    consensus    all at once and each on its own, a vote; then the coordinator weighs them
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from .errors import UnknownJob
from .events import (
    PERSON,
    AgentStopped,
    Entry,
    JobEnded,
    JobMissed,
    JobOutcome,
    JobStarted,
    MessagePosted,
    Outcome,
    RunClosed,
    TurnEnded,
    TurnStarted,
    Way,
)
from .fold import Fold

LONGEST_REPORT: Final = 100_000
"""Characters of a report that is handed to an agent. Status data and transcripts hold everything."""

CUT: Final = "its turn was interrupted"

State = Literal["to come", "queued", "working", "ok", "failed", "interrupted", "stopped"]
"""Of a part: `stopped` when its question was taken back before it became a turn."""
OPEN: Final = frozenset({"queued", "working"})
UNANSWERED: Final = frozenset({"failed", "interrupted", "stopped"})
"""Those of which no answer will come."""


@dataclass(frozen=True, slots=True)
class Part:
    """One agent's part in a job."""

    agent: str
    synthesis: bool = False
    """The coordinator's word on the votes, rather than a participant's answer."""
    state: State = "to come"
    question: str = ""
    """The message that asks for it."""
    turn: str = ""
    said: tuple[str, ...] = ()
    """What it answered with `reply_to_caller` before its turn was over."""
    last: str = ""
    """Its turn's last words."""
    error: str = ""

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def text(self) -> str:
        """Its whole answer."""
        return "\n\n".join(words for words in (*self.said, self.last) if words)


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands."""

    id: str
    caller: str
    """Who wants it, and in whose name everybody is asked."""
    coordinator: str
    way: Way
    task: str
    parts: tuple[Part, ...]
    """The participants in their order; last the synthesis, where somebody is asked for one."""
    seq: int
    """Of the entry that began it."""
    started: datetime
    ended: datetime | None = None
    outcome: JobOutcome | None = None
    error: str = ""

    @property
    def participants(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if not part.synthesis)

    @property
    def synthesis(self) -> Part | None:
        return next((part for part in self.parts if part.synthesis), None)

    @property
    def answered(self) -> tuple[Part, ...]:
        return tuple(part for part in self.participants if part.state == "ok")


class Jobs(Fold):
    """All jobs of a run, by their id."""

    HEARS = frozenset(
        {JobStarted, JobMissed, JobEnded, MessagePosted, TurnStarted, TurnEnded, AgentStopped, RunClosed}
    )

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._asked: dict[str, tuple[str, int]] = {}
        """Question that is open → (job, which of its parts)."""
        self._turns: dict[str, str] = {}
        """Turn → the question that it works on."""

    def __getitem__(self, job: str) -> Job:
        """Raises `UnknownJob`."""
        try:
            return self._jobs[job]
        except KeyError:
            raise UnknownJob(job, self._jobs) from None

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self._jobs.values()))

    def under_way(self) -> list[Job]:
        return [job for job in self if job.ended is None]

    def take(self, entry: Entry) -> None:
        match event := entry.event:
            case JobStarted():
                self._jobs[event.job] = _begun(entry, event)
            case MessagePosted() if self._goes_on(event.job):
                self._queued(event)
            case MessagePosted() if event.answers in self._asked:
                self._replied(event)
            case TurnStarted():
                for question in event.messages:
                    if question in self._asked:
                        self._turns[event.turn] = question
                        self._change(question, state="working", turn=event.turn)
            case TurnEnded() if (question := self._turns.pop(event.turn, "")) in self._asked:
                self._close(question, event.outcome, _why(event), event.text)
            case AgentStopped():
                self._stopped(event)
            case JobMissed() if self._goes_on(event.job):
                self._missed(event)
            case JobEnded() if self._goes_on(event.job):
                self._ended(entry, event.job, event.outcome, event.error)
            case RunClosed():
                for job in self.under_way():
                    self._ended(entry, job.id, "interrupted", f"madrox was closed: {event.reason}")

    def _goes_on(self, job: str) -> bool:
        return job in self._jobs and self._jobs[job].ended is None

    def _queued(self, event: MessagePosted) -> None:
        job = self._jobs[event.job]
        for number, part in enumerate(job.parts):
            if part.agent == event.agent and part.state == "to come":
                self._asked[event.message] = (job.id, number)
                self._change(event.message, state="queued", question=event.message)
                return

    def _replied(self, event: MessagePosted) -> None:
        job, number = self._asked[event.answers]
        if (part := self._jobs[job].parts[number]).agent == event.sender:
            self._change(event.answers, said=(*part.said, event.text))

    def _stopped(self, event: AgentStopped) -> None:
        ended = f"{event.agent} has {'failed' if event.failed else 'stopped'}: {event.reason}"
        for question, (job, number) in tuple(self._asked.items()):
            if self._jobs[job].parts[number].agent == event.agent:
                self._close(question, "failed", ended)
        for known in self.under_way():  # a turn that is cut off by an end says nothing of it
            for number, part in enumerate(known.parts):
                if (part.agent, part.error) == (event.agent, CUT):
                    self._put(known.id, number, replace(part, error=f"{CUT}; {ended}"))

    def _missed(self, event: JobMissed) -> None:
        job = self._jobs[event.job]
        for number, part in enumerate(job.parts):
            if part.agent == event.participant and (part.open or part.state == "to come"):
                self._asked.pop(part.question, None)
                self._put(job.id, number, replace(part, state="failed", error=event.why))
                return

    def _ended(self, entry: Entry, job: str, outcome: JobOutcome, error: str) -> None:
        """Over; what was asked and had no answer by then gets none."""
        state: State = "stopped" if outcome == "stopped" else "interrupted"
        parts = tuple(
            replace(part, state=state, error=error) if part.open else part for part in self._jobs[job].parts
        )
        self._jobs[job] = replace(self._jobs[job], parts=parts, ended=entry.ts, outcome=outcome, error=error)
        self._asked = {question: place for question, place in self._asked.items() if place[0] != job}
        self._turns = {turn: question for turn, question in self._turns.items() if question in self._asked}

    def _close(self, question: str, state: Outcome, error: str, last: str = "") -> None:
        self._change(question, state=state, error=error, last=last)
        del self._asked[question]

    def _change(self, question: str, /, **changed: Any) -> None:
        job, number = self._asked[question]
        self._put(job, number, replace(self._jobs[job].parts[number], **changed))

    def _put(self, job: str, number: int, part: Part) -> None:
        known = self._jobs[job]
        self._jobs[job] = replace(known, parts=(*known.parts[:number], part, *known.parts[number + 1 :]))


def _why(ended: TurnEnded) -> str:
    if ended.outcome == "ok":
        return ""
    return ended.error or (CUT if ended.outcome == "interrupted" else "no reason given")


def _begun(entry: Entry, event: JobStarted) -> Job:
    parts = [Part(agent) for agent in event.participants]
    if event.way == "consensus" and event.coordinator not in (event.agent, PERSON):
        parts.append(Part(event.coordinator, synthesis=True))  # else who wants it weighs the votes itself
    return Job(
        id=event.job,
        caller=event.agent,
        coordinator=event.coordinator,
        way=event.way,
        task=event.text,
        parts=tuple(parts),
        seq=entry.seq,
        started=entry.ts,
    )


# who is asked next


def to_ask(job: Job) -> list[Part]:
    """Whom to ask now. Nobody while an answer is awaited that another question depends on."""
    waiting = [part for part in job.participants if part.state == "to come"]
    if job.way == "sequential":
        return [] if any(part.open for part in job.participants) else waiting[:1]
    if waiting or any(part.open for part in job.participants):
        return waiting
    synthesis = job.synthesis
    return [synthesis] if synthesis and synthesis.state == "to come" and job.answered else []


def question(job: Job, part: Part) -> str:
    """What `part` is asked."""
    if part.synthesis:
        return _SYNTHESIS.format(
            caller=_person(job.caller),
            count=len(job.participants),
            task=_quoted(job.task),
            votes=report(replace(job, way="consensus", parts=job.participants)),
        )
    if job.way == "sequential":
        return _in_a_row(job, part)
    if job.way == "consensus":
        return _VOTE.format(task=job.task, count=len(job.participants))
    return job.task


_VOTE = """\
{task}

You are one of {count} agents who are asked this, each on its own. Begin your answer with one line
VOTE: and your choice in a few words. Then give your reasons, and what would change your mind."""

_SYNTHESIS = """\
{count} agents have each been asked this on their own, by order of {caller}:

{task}

{votes}

Weigh these votes. Say what is agreed, and what follows from it. Then say what each dissenting vote
holds against it, and why that weighs or does not: no dissent may get lost. Your answer is the result."""


def _in_a_row(job: Job, part: Part) -> str:
    row = job.participants
    number = row.index(part)
    text, before = job.task, [each for each in row[:number] if each.state == "ok"]
    for each in row[:number]:
        if each.state != "ok":
            text += f"\n\n{each.agent} was asked before you and could not answer: {each.error}"
    if before:
        text += f"\n\nWhat {before[-1].agent} made of it, on which you build:\n\n{_framed(before[-1])}"
    if len(row) > 1:
        last = number + 1 == len(row)
        goes = "is the result" if last else f"goes on to {row[number + 1].agent}"
        text += f"\n\nYou are number {number + 1} of {len(row)} in a row. Your answer {goes}: make it whole."
    return text


def _framed(part: Part, longest: int = LONGEST_REPORT) -> str:
    return f'<answer of="{part.agent}">\n{_cut(part, longest)}\n</answer>'


def _cut(part: Part, longest: int) -> str:
    text, half = part.text or "(no word)", longest // 2
    if len(text) <= longest:
        return text
    missing = (
        f"{len(text) - 2 * half:,} characters are left out here; get_instance_output {part.agent} has them"
    )
    return f"{text[:half]}\n[… {missing} …]\n{text[-half:]}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def _person(name: str) -> str:
    return "the person" if name == PERSON else name


# what came of it


_CHOICE = re.compile(r"^[\s>*_#`-]*vote[*_`]*\s*:[*_`]*\s*(.+)$", re.IGNORECASE | re.MULTILINE)


def choice(text: str) -> str:
    """The choice that an answer states in its first line `VOTE: …`, bare of marks; empty for none."""
    found = _CHOICE.search(text)
    return found[1].strip(" \t\r*_`\"'“”.!") if found else ""


def tally(job: Job) -> list[tuple[str, list[str]]]:
    """(choice, who voted for it), most votes first and else as they came; without a choice under ``""``.

    Choices that differ only in their case or spacing are one.
    """
    votes: dict[str, tuple[str, list[str]]] = {}
    for part in job.answered:
        said = choice(part.text)
        votes.setdefault(" ".join(said.casefold().split()), (said, []))[1].append(part.agent)
    return sorted(votes.values(), key=lambda vote: (not vote[0], -len(vote[1])))


def dissent(job: Job) -> tuple[Part, ...]:
    """Those whose vote is not the one that leads; everybody when two lead, for then none does."""
    counted = [vote for vote in tally(job) if vote[0]]
    tied = len(counted) > 1 and len(counted[0][1]) == len(counted[1][1])
    leading = [] if tied or not counted else counted[0][1]
    return tuple(part for part in job.answered if part.agent not in leading)


def result(job: Job) -> str:
    """What the job is for, in one text; empty as long as there is none."""
    if job.way == "consensus":
        if job.synthesis and job.synthesis.state == "ok":
            return job.synthesis.text
        return tally_line(job) if job.ended else ""
    if job.way == "sequential":
        return job.answered[-1].text if job.ended and job.answered else ""
    return "\n\n".join(_framed(part) for part in job.answered) if job.ended else ""


def tally_line(job: Job) -> str:
    """`yes 2 (ann, bob); no 1 (cy)`, and who stated no choice or gave no answer."""
    counted = [
        f"{said} {len(who)} ({', '.join(who)})" if said else f"no choice stated by {', '.join(who)}"
        for said, who in tally(job)
    ]
    silent = [part.agent for part in job.participants if part.state != "ok"]
    return "; ".join(counted + ([f"no answer of {', '.join(silent)}"] if silent else [])) or "no votes"


def report(job: Job) -> str:
    """Everything that was said, for a reader: who failed and why, every answer, dissent by name."""
    share = LONGEST_REPORT // max(1, len(job.parts))
    lines = [f"Job {job.id} ({job.way}): {progress(job)}"]
    if job.error:
        lines.append(f"It ended early: {job.error}")
    lines += [f"{part.agent} could not answer: {part.error}" for part in job.parts if part.error]
    if job.way == "consensus":
        lines.append(f"Votes: {tally_line(job)}")
        differ = {part.agent for part in dissent(job)}
        for title, parts in (
            ("", [part for part in job.answered if part.agent not in differ]),
            ("Dissent, as it was said:", [part for part in job.answered if part.agent in differ]),
        ):
            lines += [title] * bool(title and parts) + [_framed(part, share) for part in parts]
    else:
        lines += [_framed(part, share) for part in job.answered]
    if job.synthesis and job.synthesis.state == "ok":
        lines.append(f"Synthesis of {job.coordinator}:\n{_cut(job.synthesis, share)}")
    return "\n\n".join(lines)


def progress(job: Job) -> str:
    """`2 of 3 have answered, cy works`, or how it ended."""
    parts = job.participants
    told = f"{len(job.answered)} of {len(parts)} have answered"
    if failed := [part.agent for part in parts if part.state in UNANSWERED]:
        told += f", {', '.join(failed)} could not"
    if working := [part.agent for part in job.parts if part.open]:
        told += f", {', '.join(working)} at work"
    return told
