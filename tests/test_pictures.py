"""What is drawn of each frame, and that pandas' plotting backends draw it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from books import Book
from test_frames import STORY

from madrox_nb.errors import BadInput, NoBackend
from madrox_nb.events import (
    AgentReady,
    AgentSpawned,
    ApprovalAnswered,
    ApprovalAsked,
    BudgetSet,
    Event,
    ToolCalled,
    ToolReturned,
    UsageReported,
)
from madrox_nb.frames import Frames
from madrox_nb.frames.pictures import SUBJECTS, picture

mpl.use("agg")  # no window

MORE: tuple[Event, ...] = (
    BudgetSet(agent="lead", limit="usd", amount=5.0),
    BudgetSet(limit="tokens", amount=900),
    ToolCalled(agent="lead", turn="lead.t2", call="c1", tool="Bash"),
    ToolReturned(agent="lead", turn="lead.t2", call="c1", ok=True),
    ToolCalled(agent="lead", turn="lead.t2", call="c2", tool="Bash"),
    ToolReturned(agent="lead", turn="lead.t2", call="c2", ok=False),
    ToolCalled(agent="lead", turn="lead.t2", call="c3", tool="Read"),
    ApprovalAsked(agent="lead", turn="lead.t2", approval="lead.a1", tool="Bash"),
    ApprovalAnswered(agent="lead", approval="lead.a1", decision="deny", by="you"),
    UsageReported(agent="lead", turn="lead.t2", input_tokens=3, cost_usd=0.25, cost_source="cli"),
)


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    book = Book(tmp_path)
    book.write(*STORY, *MORE)
    return book.frames


def bars(frame: pd.DataFrame, **chosen: str) -> dict[str, dict[str, float]]:
    """Row → part → how much, the longest first; parts of nothing are left out."""
    found = picture(frame, **chosen).data
    return {
        str(name): {str(part): float(amount) for part, amount in row.items() if amount}
        for name, row in found.iloc[::-1].iterrows()
    }


# what is drawn


def test_costs_are_bars_that_say_what_is_unknown_and_where_a_limit_is(frames: Frames) -> None:
    assert ["lead (≥) (limit $5.00)", "api (unknown)"] == list(bars(frames.costs()))
    assert {"own": 0.75} == bars(frames.costs())["lead (≥) (limit $5.00)"]
    assert {"lead": {"own": 10.0, "below": 110.0}, "api": {"own": 110.0}} == bars(
        frames.costs(), value="tokens"
    )
    assert {"architect": {"own": 10.0}, "general": {"own": 110.0}} == dict(
        sorted(bars(frames.costs(), by="role", value="tokens").items())
    )
    assert ["unknown", "opus"] == list(bars(frames.costs(), by="model", value="tokens"))


def test_costs_over_time_add_up_by_subtree_beside_their_limits(frames: Frames) -> None:
    drawn = picture(frames.costs(over_time=True))
    last = drawn.data.iloc[-1]

    assert {
        "lead (≥, some unknown)": 0.75,
        "api (≥, some unknown)": 0.0,
        "limit of lead: $5.00": 5.0,
    } == dict(last)
    assert {"limit of lead: $5.00": "--"} == drawn.looks["style"]
    tokens = picture(frames.costs(over_time=True), value="tokens").data
    assert [120.0, 110.0, 120.0, 900.0] == [
        tokens.iloc[-1][name] for name in ("lead", "api", "(run)", "limit of (run): 900 tokens")
    ]
    assert [0.0, 110.0, 110.0, 117.0, 117.0, 120.0] == list(tokens["lead"])  # in steps


@pytest.mark.parametrize(
    ("by", "sums"),
    [
        ("agent", {"api": 110.0, "lead": 10.0}),
        ("role", {"general": 110.0, "architect": 10.0}),
        ("harness", {"rehearsal": 110.0, "claude": 10.0}),
        ("model", {"x": 110.0, "opus": 10.0}),
    ],
)
def test_costs_over_time_add_up_by(frames: Frames, by: str, sums: dict[str, float]) -> None:
    drawn = picture(frames.costs(over_time=True), by, "tokens").data

    assert sums == dict(drawn.iloc[-1])
    assert by == drawn.columns.name


def test_turns_are_a_timeline_with_a_row_for_each_agent(frames: Frames) -> None:
    drawn = picture(frames.turns()).data
    start = drawn.index[0]

    assert ["lead", "api"] == list(drawn.columns)
    seconds = {
        agent: sorted({round((at - start).total_seconds()) for at in drawn.index[drawn[agent].notna()]})
        for agent in drawn
    }
    assert {"lead": [0, 2, 4, 6, 7], "api": [2, 4]} == seconds
    assert {1.0, 2.0} == set(drawn.stack().dropna())


def test_tools_are_counted_by_how_they_ended_or_measured(frames: Frames) -> None:
    assert {"Bash": {"ok": 1.0, "failed": 1.0}, "Read": {"not returned": 1.0}} == bars(frames.tools())
    assert {"seconds": 2.0} == bars(frames.tools(), value="duration_s")["Bash"]
    assert ["lead"] == list(bars(frames.tools(), by="agent"))


def test_messages_requests_agents_and_events_are_counted(frames: Frames) -> None:
    assert {"api": {"lead": 1.0}} == bars(frames.messages())
    assert {"lead": {"api": 1.0}} == bars(frames.messages(), by="sender")
    assert {"Bash": {"deny": 1.0}} == bars(frames.approvals())
    assert {"lead": {"turns": 2.0}, "api": {"turns": 1.0}} == bars(frames.agents())
    assert {"events": 3.0} == bars(frames.audit())["turn.started"]


def test_what_was_filtered_is_drawn_as_it_is(frames: Frames) -> None:
    assert ["api"] == list(picture(frames.turns().query("agent == 'api'")).data.columns)


def test_agents_of_several_runs_have_a_bar_each_though_their_names_are_the_same(frames: Frames) -> None:
    both = pd.concat([frames.costs(), frames.costs()], keys=["r1", "r2"], names=["run"])

    assert [10.0, 10.0, 110.0, 110.0] == sorted(picture(both, value="tokens").data["own"])
    assert ["api", "lead"] == sorted(picture(both, by="agent", value="tokens").data.index)


@pytest.mark.parametrize(
    ("name", "chosen", "said"),
    [
        ("turns", {"by": "agnet"}, "turns has no by='agnet'. Did you mean 'agent'? Known: agent, sender"),
        ("turns", {"value": "cost"}, "turns has no value='cost'. Known: none"),
        ("costs", {"value": "token"}, "costs has no value='token'. Did you mean 'tokens'?"),
        (
            "limits",
            {},
            "none that can be drawn. Those of madrox can, filtered or not: costs over time, costs",
        ),
    ],
)
def test_what_cannot_be_drawn_says_what_can(
    frames: Frames, name: str, chosen: dict[str, str], said: str
) -> None:
    with pytest.raises(BadInput) as refused:
        picture(getattr(frames, name)(), **chosen)
    assert said in str(refused.value)


def test_a_frame_without_rows_or_without_the_column_says_so(frames: Frames) -> None:
    with pytest.raises(BadInput, match="there is nothing to draw yet: turns is empty"):
        picture(Frames(list).turns())
    with pytest.raises(BadInput, match="costs was left without the column 'role'"):
        picture(frames.costs().drop(columns="role"), by="role")


# by whom it is drawn


def everything(frames: Frames) -> list[pd.DataFrame]:
    names = ("agents", "turns", "messages", "tools", "approvals", "costs", "audit")
    return [frames.costs(over_time=True), *(getattr(frames, name)() for name in names)]


def test_matplotlib_draws_every_frame(frames: Frames) -> None:
    from matplotlib import pyplot as plt

    assert len(SUBJECTS) == len(everything(frames))
    for frame in everything(frames):
        axes = frame.madrox.plot(figsize=(6, 3))
        axes.figure.canvas.draw()
        assert axes.get_title()
        assert axes.lines or axes.patches
    timeline = frames.turns().madrox.plot()
    assert ["lead", "api"] == [label.get_text() for label in timeline.get_yticklabels()]
    plt.close("all")


def test_moments_of_one_second_have_marks_of_their_own(frames: Frames) -> None:
    from matplotlib import pyplot as plt

    turns = frames.turns()
    turns["started"] = turns["started"].iloc[0] + pd.to_timedelta(range(len(turns)), unit="s") * 0.3
    axes = turns.assign(duration_s=0.4).madrox.plot()
    axes.figure.canvas.draw()
    marks = [label.get_text() for label in axes.get_xticklabels()]
    plt.close("all")

    assert len(marks) > 2
    assert len(set(marks)) == len(marks)


def test_plotly_draws_every_frame(frames: Frames) -> None:
    for frame in everything(frames):
        figure = frame.madrox.plot(backend="plotly")
        assert figure.data
        assert figure.layout.title.text


def test_a_backend_that_is_not_installed_is_an_error_that_says_what_to_install(frames: Frames) -> None:
    with pytest.raises(NoBackend, match=r"plotting backend 'absent' is not installed.*madrox_nb\[plot\]"):
        frames.turns().madrox.plot(backend="absent")


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.write(AgentSpawned(agent="a", harness="x", role="y"), AgentReady(agent="a"))
    program = f"""
import sys
sys.modules["matplotlib"] = None  # as if it were not installed
from pathlib import Path
from madrox_nb.frames import Frames
from madrox_nb.errors import NoBackend
try:
    Frames(lambda: [Path({str(book.paths[0])!r})]).agents().madrox.plot()
except NoBackend as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "'matplotlib' is not installed" in said
    assert 'pip install "madrox_nb[plot]"' in said


def test_options_of_the_backend_are_passed_on_and_come_before_ours(frames: Frames) -> None:
    assert "mine" == frames.turns().madrox.plot(title="mine").get_title()
