"""Any sequence of tool calls, by any callers, does what a small pure model of tree and inboxes says.

Hypothesis chooses who calls what; real rehearsal agents answer. Every question carries a
word of its own, so that somebody else's answer would be seen. MADROX_STORM=200 tries 200
sequences of another choice each time instead of a few that are always the same.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stages import Stage, stage

from madrox_nb.calls import Result
from madrox_nb.errors import AgentGone, BadInput, Forbidden, MadroxError, UnknownAgent
from madrox_nb.events import PERSON
from madrox_nb.folds import Inboxes
from madrox_nb.steps import Jobs
from madrox_nb.tree import Tree

T = TypeVar("T")
NAMES = ("ann", "bob", "cy", "dan", "eve")
EXAMPLES = int(os.environ.get("MADROX_STORM", "0"))

FAMILY = {"ann": PERSON, "bob": "ann", "cy": "ann", "dan": PERSON, "eve": "bob"}
"""Who is there at first, and whose child."""

caller = st.integers(0, len(NAMES))
"""Which of those who are awake."""
name = st.sampled_from((*NAMES, "zed"))
names = st.lists(name, min_size=1, max_size=3, unique=True)
VERBS = (
    *("spawn_again", "terminate", "suspend", "resume") * 2,
    *("send", "send_to_several", "broadcast", "coordinate") * 3,
    *("reply", "take") * 4,
)
way = st.sampled_from(["sequential", "parallel", "consensus"])


class Model:
    """What should be true. Nothing here knows the code that it is held against."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}
        """Everybody who was ever spawned; children of the person have it as theirs."""
        self.dead: set[str] = set()
        self.asleep: set[str] = set()
        self.inbox: dict[str, list[str]] = {PERSON: []}

    def awake(self, who: str) -> bool:
        return who == PERSON or (who in self.parent and who not in self.dead | self.asleep)

    def above(self, who: str) -> list[str]:
        return [] if who == PERSON else [self.parent[who], *self.above(self.parent[who])]

    def below(self, who: str) -> list[str]:
        return [each for each in self.parent if who in self.above(each)]

    def owns(self, who: str, whom: str) -> bool:
        return who == whom or who in self.above(whom)

    def near(self, who: str, whom: str) -> bool:
        return self.owns(who, whom) or self.parent[who] in (whom, self.parent[whom])

    def asking(self, who: str, whom: str) -> type[MadroxError] | None:
        """What asking ends with: None is an answer."""
        if whom not in self.parent:
            return UnknownAgent
        if who == whom:
            return BadInput
        if not self.near(who, whom):
            return Forbidden
        return AgentGone if whom in self.dead else None

    def acting(self, who: str, whom: str) -> type[MadroxError] | None:
        if whom not in self.parent:
            return UnknownAgent
        return None if self.owns(who, whom) else Forbidden

    def waking(self, who: str, whom: str) -> type[MadroxError] | None:
        if whom not in self.parent:
            return BadInput
        orphan = whom in self.dead and self.parent[whom] in self.dead
        return self.acting(who, whom) or (BadInput if orphan else None)


class Callers(RuleBasedStateMachine):
    """The tools in the hands of everybody at once, one call after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.words = Model(), (f"word-{n}" for n in count(1))
        self._home = tempfile.TemporaryDirectory()
        self._loop = asyncio.new_event_loop()
        self._stage = stage(Path(self._home.name))
        self.on: Stage = self._run(self._stage.__aenter__())

    def teardown(self) -> None:
        self._run(self._stage.__aexit__(None, None, None))
        self._loop.close()
        self._home.cleanup()

    def _run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(doing, 60))

    def call(self, who: str, tool: str, **given: Any) -> Result:
        """Carry it out, and wait until nobody has anything left to do."""

        async def quietly() -> Result:
            try:
                return await self.on.call(who, tool, **given)
            finally:
                assert await self.on.manager.quiet((), 60)

        return self._run(quietly())

    def _who(self, nth: int) -> str:
        """One of those who can call a tool now."""
        awake = [PERSON, *(each for each in NAMES if self.model.awake(each))]
        return awake[nth % len(awake)]

    @contextmanager
    def ends(self, expected: type[MadroxError] | None) -> Iterator[None]:
        """What is inside is refused as the model says, or is not."""
        if expected is None:
            yield
            return
        with pytest.raises(expected):
            yield

    @rule(verb=st.sampled_from(VERBS), nth=caller, whom=name, several=names, how=way, waits=st.booleans())
    def act(self, verb: str, nth: int, whom: str, several: list[str], how: str, waits: bool) -> None:
        """One call. (Verbs that were rules of their own would be left out of most sequences.)"""
        given = {"nth": nth, "whom": whom, "several": several, "how": how, "waits": waits}
        takes = inspect.signature(getattr(self, verb)).parameters
        getattr(self, verb)(**{key: value for key, value in given.items() if key in takes})

    # who is there

    @initialize()
    def spawn(self) -> None:
        for new, who in FAMILY.items():
            self.call(who, "spawn_instance", name=new, auto_inject=False)
            self.model.parent[new], self.model.inbox[new] = who, []

    def spawn_again(self, whom: str) -> None:
        model = self.model
        if whom not in model.dead:
            return
        gone = BadInput if model.parent[whom] in model.dead else None
        with self.ends(gone):
            self.call(
                PERSON,
                "spawn_instance",
                name=whom,
                parent_instance_id=model.parent[whom],
                auto_inject=False,
            )
            model.dead.discard(whom)
            model.inbox[whom] = []

    def terminate(self, nth: int, whom: str) -> None:
        model = self.model
        who = self._who(nth)
        with self.ends(model.acting(who, whom)):
            ended = self.call(who, "terminate_instance", instance_id=whom).data["terminated"]
            family = {whom, *model.below(whom)}
            assert family - model.dead == set(ended)
            model.dead |= family
            model.asleep -= family

    def suspend(self, nth: int, whom: str) -> None:
        model = self.model
        who = self._who(nth)
        refused = model.acting(who, whom) or (AgentGone if whom in model.dead else None)
        with self.ends(refused):
            self.call(who, "suspend_instance", instance_id=whom)
            model.asleep.add(whom)

    def resume(self, nth: int, whom: str) -> None:
        model = self.model
        who = self._who(nth)
        with self.ends(model.waking(who, whom)):
            self.call(who, "resume_instance", instance_id=whom)
            if whom in model.dead:
                model.inbox[whom] = []
            model.dead.discard(whom)
            model.asleep.discard(whom)

    # words

    def send(self, nth: int, whom: str, waits: bool) -> None:
        who = self._who(nth)
        word = next(self.words)
        with self.ends(self.model.asking(who, whom)):
            done = self.call(
                who, "send_to_instance", instance_id=whom, message=f"/say {word}", wait_for_response=waits
            )
            self._answered(who, whom, word, done.data.get("response") if waits else None)

    def _answered(self, who: str, whom: str, word: str, direct: str | None) -> None:
        """The answer was given at once, or lies in the inbox of who asked."""
        self.model.asleep.discard(whom)
        if direct is None:
            self.model.inbox[who].append(word)
        else:
            assert word == direct

    def send_to_several(self, nth: int, several: list[str], waits: bool) -> None:
        who = self._who(nth)
        letters = [{"instance_id": each, "message": f"/say {next(self.words)}"} for each in several]
        done = self.call(who, "send_to_multiple_instances", messages=letters, wait_for_responses=waits)
        late = []
        for letter, item in zip(letters, done.data["results"], strict=True):
            refused = self.model.asking(who, letter["instance_id"])
            assert (refused.__name__ if refused else None) == item.get("error_type")
            if refused is None:
                word = letter["message"].removeprefix("/say ")
                self.model.asleep.discard(letter["instance_id"])
                late += [] if waits else [word]
                assert not waits or word == item["response"]
        self._in_any_order(who, late)

    def _in_any_order(self, who: str, words: list[str]) -> None:
        """Those who work side by side answer in the order in which they are done."""
        lie = [message.text for message in self.on.manager.inboxes.unread(who)]
        came = [word for word in lie if word in words]
        assert sorted(words) == sorted(came)
        self.model.inbox[who] += came

    def broadcast(self, nth: int, waits: bool) -> None:
        model, word = self.model, next(self.words)
        who = self._who(nth)
        done = self.call(who, "broadcast_to_children", message=f"/say {word}", wait_for_responses=waits)
        children = [each for each, parent in model.parent.items() if parent == who and each not in model.dead]
        assert children == [item["instance_id"] for item in done.data["results"]]
        model.asleep -= set(children)
        if waits:
            assert [word] * len(children) == [item["response"] for item in done.data["results"]]
        else:
            model.inbox[who] += [word] * len(children)

    def reply(self, nth: int) -> None:
        model, word = self.model, next(self.words)
        who = self._who(nth)
        if who == PERSON:
            return
        self.call(who, "reply_to_caller", reply_message=word)  # nobody has asked: it goes to the parent
        model.inbox[model.parent[who]].append(word)

    def take(self, nth: int) -> None:
        who = self._who(nth)
        replies = self.call(who, "get_pending_replies").data["replies"]
        expected, self.model.inbox[who] = self.model.inbox[who], []
        assert expected == [reply["text"].partition("\n")[0] for reply in replies]

    def coordinate(self, nth: int, several: list[str], how: str, waits: bool) -> None:
        model, word = self.model, next(self.words)
        who = self._who(nth)
        refused = next(
            (r for r in (model.asking(who, each) for each in several) if r not in (None, AgentGone)), None
        )
        with self.ends(refused):
            done = self.call(
                who,
                "coordinate_instances",
                participant_ids=several,
                task_description=f"/say {word}",
                coordination_type=how,
                wait_for_completion=waits,
            ).data
            gone = [each for each in several if each in model.dead]
            model.asleep -= set(several)
            if waits:
                assert [("" if each in gone else word) for each in several] == [
                    part["response"] for part in done["participants"]
                ]
                assert gone == done["progress"]["failed"]
                assert ("failed" if set(gone) == set(several) else "completed") == done["status"]
            elif who == PERSON:  # an agent has been woken by the report, and so has read it
                answered = len(several) - len(gone)
                told = f"Job {done['job_id']} ({how}): {answered} of {len(several)} have answered"
                model.inbox[who].append(told + (f", {', '.join(gone)} could not" if gone else ""))

    # what is true after every call

    @invariant()
    def states_and_inboxes_are_what_the_model_says(self) -> None:
        model, manager = self.model, self.on.manager
        expected = {
            each: "stopped" if each in model.dead else "suspended" if each in model.asleep else "idle"
            for each in model.parent
        }
        assert expected == {agent.name: agent.state for agent in manager.tree}
        for who, texts in model.inbox.items():
            if who not in model.dead:
                lie = [message.text.partition("\n")[0] for message in manager.inboxes.unread(who)]
                assert texts == lie, who

    @invariant()
    def what_lives_is_what_the_ledger_replays(self) -> None:
        entries, manager = list(self.on.manager.ledger), self.on.manager
        assert Tree.replay(entries) == manager.tree
        assert Inboxes.replay(entries) == manager.inboxes
        assert Jobs.replay(entries) == manager.jobs


TestCallers = Callers.TestCase
TestCallers.settings = settings(
    max_examples=EXAMPLES or 6,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=not EXAMPLES,
    phases=[Phase.generate, *([Phase.shrink] if EXAMPLES else [])],  # shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)
