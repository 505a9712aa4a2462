"""The system's processes of living agents: what a tool left behind is found, and ends with its agent."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from madrox_nb import frames, library
from madrox_nb.errors import UnknownAgent
from madrox_nb.harness.rehearsal import Rehearsal
from madrox_nb.notebook import Madrox
from madrox_nb.offspring import LONGEST, offspring


@library.lend
class Leaver(Rehearsal):
    """A rehearsal behind a shell that leaves something behind: the words of its model."""

    name = "leaver"

    def launch(self) -> Any:
        launch = super().launch()
        left = f'{self.brief.model} & exec "$@"'
        return type(launch)(argv=("/bin/sh", "-c", left, "sh", *launch.argv), env=launch.env)


@pytest.fixture
def madrox(tmp_path: Path) -> Iterator[Madrox]:
    with Madrox(home=tmp_path / "home", port=0, harnesses=("rehearsal",), stop_grace=1.0) as madrox:
        yield madrox


def commands(madrox: Madrox, agent: str | None = None) -> dict[str, set[str]]:
    """agent → its commands, by their first word."""
    frame = madrox.processes(agent)
    return {
        name: {Path(shlex.split(line)[0]).name.rstrip("0123456789.") for line in rows["command"]}
        for name, rows in frame.groupby("agent")
    }


def settled(madrox: Madrox) -> set[str]:
    """The lead's commands, once what it left behind has become the sleep that it is to be."""
    end = time.monotonic() + 20
    while "sleep" not in (found := commands(madrox, "lead")["lead"]) and time.monotonic() < end:
        pass
    return found


def test_what_an_agent_left_in_the_background_is_listed_and_ends_with_it(madrox: Madrox) -> None:
    madrox.spawn("lead", harness="leaver", model="sleep 600")
    madrox.spawn("api")
    assert {"python", "sleep"} == settled(madrox)

    frame = madrox.processes()
    assert {"lead": {"python", "sleep"}, "api": {"python"}} == commands(madrox)
    assert {"lead": {"python", "sleep"}} == commands(madrox, "lead")
    own = frame[frame["is_agent"]]
    assert ["lead", "api"] == list(own["agent"])
    assert [madrox.manager.processes[name].pid for name in ("lead", "api")] == list(own.index)
    assert (own["rss_mb"] > 1).all()
    assert (own["started"] <= datetime.now(UTC)).all()

    [left] = frame.index[frame["command"] == "sleep 600"]
    madrox.stop("lead")
    assert not psutil.pid_exists(left)
    assert ["api"] == list(madrox.processes()["agent"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "hides", ["env -i sleep 600", "setsid sleep 600", "setsid env -i sleep 600", "(env -i sleep 600 &)"]
)
def test_who_leaves_its_group_or_clears_its_environment_still_belongs_to_its_agent(
    madrox: Madrox, hides: str
) -> None:
    madrox.spawn("lead", harness="leaver", model=hides)

    assert {"python", "sleep"} == settled(madrox)


def test_an_agent_without_processes_has_an_empty_frame_and_an_unknown_one_is_named(madrox: Madrox) -> None:
    madrox.spawn("lead")
    madrox.stop("lead")

    assert frames.processes([]).equals(madrox.processes("lead"))
    with pytest.raises(UnknownAgent, match="no agent named 'laed'"):
        madrox.processes("laed")


def test_command_lines_are_shown_short_and_without_secrets(madrox: Madrox) -> None:
    madrox.secret("door", "open-sesame")
    madrox.spawn("lead", harness="leaver", model=f"sh -c 'sleep 600; : open-sesame {'x' * 300}'")

    lines = list(madrox.processes()["command"])
    assert [] == [line for line in lines if "sesame" in line or len(line) > LONGEST]
    assert [line for line in lines if "{secret:door}" in line and line.endswith("…")]


def test_processes_of_others_are_nobodys() -> None:
    assert [] == offspring("some-run", {})
    me = offspring("some-run", {"me": os.getpid()})
    assert [(os.getpid(), "me")] == [(p.pid, p.agent) for p in me if p.is_agent]
    assert os.getppid() not in [p.pid for p in me]
