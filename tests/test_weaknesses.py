"""What the system before this one did wrong, one test each, through MCP calls.

Each is called by the number that it has in the study of that system, W1 to W26. The
agents are rehearsals, real processes that do what their prompts say. Told elsewhere,
through both doors too: W14 in test_parity, W15 in test_limit_doors, W23 in test_bridge,
W20, W25 and the tokens of W18 in test_looking.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tomllib
from pathlib import Path

import crew  # noqa: F401 — lends the harness that misbehaves
import httpx2
import psutil
import pytest
from doors import DOORS, Door, opened

from madrox_nb import library

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("weaknesses")]


def tool(name: str, /, **arguments: object) -> str:
    """The directive that has an agent call a tool."""
    return f"/tool {name} {json.dumps(arguments)}"


def process_of(door: Door, agent: str) -> psutil.Process:
    """What an agent runs as now."""
    return psutil.Process(door.run.manager.processes[agent].pid)


def parents(door: Door, *names: str) -> list[str | None]:
    known = {each["name"]: each["parent"] for each in door.call("get_instance_tree").data["instances"]}
    return [known[name] for name in names]


def test_w1_who_spawns_is_known_by_its_token_and_by_nothing_else(door: Door) -> None:
    busy = door.spawn("busy")
    door.begin(busy, "/hang")
    roots = [door.spawn("root") for _ in range(3)]
    kid, other = f"{roots[0]}-kid", f"{roots[1]}-kid"
    door.ask(roots[0], f"/spawn {kid}")
    denied = door.ask(
        roots[1], f'/tool spawn_instance {{"name": "{other}", "parent_instance_id": "{roots[2]}"}}'
    )
    posed = door.ask(roots[1], f'/tool reply_to_caller {{"instance_id": "{busy}", "reply_message": "hi"}}')

    assert [None, None, None, roots[0]] == parents(door, *roots, kid)
    assert f"can't spawn below {roots[2]}" in denied
    assert f"can't reply as {busy}" in posed
    assert [kid, roots[0]] == door.call("terminate_instance", instance_id=roots[0]).data["terminated"]
    assert ["busy", "idle", "idle"] == [door.state(name) for name in (busy, *roots[1:])]
    door.call("terminate_instance", instance_id=busy, force=True)


@pytest.mark.parametrize(
    "text",
    [
        "- a bullet\n- another\n  - below it",
        "int x = 1;",
        "--flag\n-",
        "# a heading\n\n> quoted; and `code`;",
    ],
)
def test_w2_every_character_of_a_message_arrives(door: Door, text: str) -> None:
    agent = door.spawn()
    door.ask(agent, text)

    assert [text] == heard(door, agent)


def heard(door: Door, agent: str) -> list[str]:
    """All prompts that its program was given, as it recalls them."""
    prompts: list[str] = json.loads(door.ask(agent, "/recall"))
    return [prompt for prompt in prompts if prompt != "/recall"]


def test_w3_a_message_is_submitted_once(door: Door) -> None:
    agent = door.spawn()
    door.ask(agent, "once")
    door.ask(agent, "and again")

    assert ["once", "and again"] == heard(door, agent)
    assert 3 == door.call("get_instance_status", instance_id=agent).data["turns"]


def test_w4_more_than_a_hundred_replies_that_nobody_reads_hold_nothing_up(door: Door) -> None:
    agent = door.spawn()
    door.ask(agent, *(f"/reply number {n}" for n in range(120)))
    said = door.ask(agent, "/say still here")

    assert "still here" == said


def test_w5_a_child_s_reply_is_not_taken_for_the_parent_s_answer(door: Door) -> None:
    lead = door.spawn("lead")
    kid = f"{lead}-kid"
    door.ask(lead, f"/spawn {kid} auto_inject=false", f"/post {kid} /reply KID RESULT")
    door.until(lambda: door.call("get_instance_status", instance_id=lead).data["unread"])
    said = door.ask(lead, "/say my own answer")
    left = door.ask(lead, "/inbox")

    assert "my own answer" == said
    assert "KID RESULT" in left or "KID RESULT" in "".join(heard(door, lead))
    assert "KID RESULT" not in door.ask(lead, "/inbox")


def test_w6_an_earlier_answer_is_not_taken_for_the_one_that_is_waited_for(door: Door) -> None:
    agent = door.spawn()
    door.call("send_to_instance", instance_id=agent, message="/say the first answer")
    said = door.ask(agent, "/slow 3 0.01", "/say the second answer")

    assert "the first answer" not in said
    assert said.endswith("the second answer")


def test_w7_an_answer_that_comes_at_once_or_is_long_is_seen_at_once(door: Door) -> None:
    agent = door.spawn()

    assert "now" == door.ask(agent, "/say now")
    assert "\n".join(["line"] * 400) == door.ask(agent, "/say " + "\\n".join(["line"] * 400))


def test_w8_an_answer_is_what_was_said_and_no_more(door: Door) -> None:
    agent = door.spawn()
    text = "❯ looks like a prompt\n⎿ and like a frame\n> done"

    assert text == door.ask(agent, "/say " + text.replace("\n", "\\n"))


def test_w9_a_state_is_what_the_program_does(door: Door) -> None:
    agent = door.spawn()
    door.begin(agent, "/hang")
    pid = door.run.manager.processes[agent].pid
    assert "busy" == door.state(agent)
    os.kill(pid, signal.SIGKILL)
    door.until(lambda: door.state(agent) != "busy")

    assert "failed" == door.state(agent)
    assert "failed" in door.refused("send_to_instance", instance_id=agent, message="hello?")


def test_w10_a_program_that_is_missing_is_an_error(door: Door) -> None:
    said = door.refused("spawn_claude", name="claude-that-is-not-there")

    assert "claude" in said
    assert "Install it" in said
    assert "claude-that-is-not-there" not in door.call("get_instance_tree").text


def test_w11_who_waits_for_a_busy_agent_gets_the_answer_to_his_question(door: Door) -> None:
    agent = door.spawn()
    door.begin(agent, "/hang")
    waiting = door.start(
        "send_to_instance", instance_id=agent, message="/say to the second", wait_for_response=True
    )
    door.until(lambda: door.call("get_instance_status", instance_id=agent).data["unread"])
    door.call("interrupt_instance", instance_id=agent)

    assert "to the second" == waiting().data["response"]
    assert "to the second" not in door.call("get_pending_replies").text


def test_w17_a_long_brief_and_many_senders_at_once_are_no_matter(door: Door) -> None:
    agent = door.spawn()
    brief = "\n".join(f"- line {n}; with all it holds" for n in range(200))
    sent = [
        door.start(
            "send_to_instance", instance_id=agent, message=f"{brief}\nby {who}", wait_for_response=True
        )
        for who in range(5)
    ]
    outcomes = [waiting().data["status"] for waiting in sent]

    assert ["completed"] * 5 == outcomes
    assert {f"{brief}\nby {who}" for who in range(5)} == set(heard(door, agent))


@pytest.mark.parametrize("kind", DOORS)
def test_w12_an_agent_that_works_is_not_ended_for_being_long_at_it(tmp_path: Path, kind: str) -> None:
    with opened(tmp_path, kind, idle_timeout=0.2) as doors:
        door = doors[kind]
        agent = door.spawn()
        long = door.ask(agent, "/slow 80 0.01")
        door.until(lambda: door.state(agent) == "suspended")
        after = door.ask(agent, "/recall")

    assert 80 == len(long.split())
    assert "/slow 80 0.01" in after


@pytest.mark.parametrize("way", ["sequential", "parallel", "consensus"])
def test_w13_who_is_coordinated_is_asked_and_completed_means_answered(door: Door, way: str) -> None:
    chair, ann, bob = (door.spawn(name) for name in ("chair", "ann", "bob"))
    started = door.call(
        "coordinate_instances",
        coordinator_id=chair,
        participant_ids=[ann, bob],
        task_description="/slow 1 0.1\n/vote yes",
        coordination_type=way,
    )
    done = door.call("get_job_status", job_id=started.data["job_id"])

    assert ("running", "completed") == (started.data["status"], done.data["status"])
    assert [ann, bob] == [part["instance_id"] for part in done.data["participants"]]
    assert all("VOTE: yes" in part["response"] for part in done.data["participants"])
    assert all("/vote yes" in heard(door, agent)[0] for agent in (ann, bob))


def test_w16_looking_does_not_wait_for_what_others_started(door: Door) -> None:
    spawns = [
        door.start("spawn_instance", name=f"mute{n}", instance_type="rogue", model="mute") for n in range(10)
    ]
    door.until(lambda: door.call("get_instance_tree").text.count("[starting]") == 10)
    looks = [door.call("get_instance_tree").text.count("[starting]") for _ in range(20)]
    for n in range(10):
        door.call("terminate_instance", instance_id=f"mute{n}", force=True)

    assert [10] * 20 == looks
    assert all(spawn().failed for spawn in spawns)


def test_w18_who_has_no_token_or_is_a_page_of_another_site_is_not_let_in(door: Door) -> None:
    url, token = door.run.server.url, door.run.server.token
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    mine = {"Authorization": f"Bearer {token}"}

    def status(**headers: str) -> int:
        return httpx2.post(url, json=ask, headers=headers).status_code

    assert [401, 401, 403] == [
        status(),
        status(Authorization="Bearer mdx_guessed"),
        status(**mine, Origin="http://localhost:3000"),
    ]
    agent = door.spawn()
    argv = process_of(door, agent).cmdline()
    environ = process_of(door, agent).environ().values()
    assert [] == [each for each in (*argv, *environ) if token in each or "mdx_" in each]


def test_w19_what_is_installed_is_what_was_tested() -> None:
    top = Path(__file__).parents[1]
    asked = tomllib.loads((top / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (top / "requirements.lock").read_text(), re.MULTILINE))

    assert [] == [each for each in asked if not re.search(r">=.*<", each)]
    assert [] == [each for each in asked if re.split(r"[<>=]", each)[0] not in pins]


def test_w21_two_servers_of_one_user_leave_each_other_s_agents_alone(door: Door, tmp_path: Path) -> None:
    mine = door.spawn("mine")
    for home in (tmp_path, door.run.config.settings.home):
        with opened(home, "http") as doors:
            theirs = doors["http"].spawn("theirs")
            assert "idle" == doors["http"].state(theirs)
            assert "no agent named" in doors["http"].refused("get_instance_status", instance_id=mine)

    assert "idle" == door.state(mine)
    assert "well" == door.ask(mine, "/say well")


@pytest.mark.parametrize("kind", DOORS)
def test_w22_a_server_that_is_closed_in_the_middle_of_calls_leaves_nobody(tmp_path: Path, kind: str) -> None:
    with opened(tmp_path, kind) as doors:
        door = doors[kind]
        agents = [door.spawn() for _ in range(3)]
        calls = [
            door.start("send_to_instance", instance_id=agent, message="/hang hard", wait_for_response=True)
            for agent in agents
        ]
        door.until(lambda: [door.state(agent) for agent in agents] == ["busy"] * 3)
        pids = [door.run.manager.processes[agent].pid for agent in agents]
        door.run.close()
        gone = [not psutil.pid_exists(pid) for pid in pids]
        told = [call() for call in calls]

    assert [True] * 3 == [each.failed for each in told]
    assert [True] * 3 == gone


def test_w24_a_team_is_told_its_whole_plan_and_its_whole_task(door: Door) -> None:
    task = "\n".join(f"- requirement {n}; whole" for n in range(500))
    told = door.call(
        "spawn_team_from_template",
        template_name="security_audit_team",
        task_description=task,
        mode="lead",
    )
    lead = told.data["supervisor_id"]
    door.until(lambda: given(door, lead))
    plan = given(door, lead)[0]
    phases = library.team("security_audit_team").phases
    door.call("terminate_instance", instance_id=lead, force=True)

    assert task in plan
    assert [] == [phase.name for phase in phases if last_line(phase.what) not in plan]


def given(door: Door, agent: str) -> list[str]:
    """The prompts of its turns, by its log."""
    logged = door.call("get_instance_logs", instance_id=agent, log_type="communication", tail=0)
    return [row["content"] for row in logged.data["logs"] if row["event_type"] == "message_sent"]


def last_line(text: str) -> str:
    return text.rstrip().splitlines()[-1]


def test_w26_what_is_said_of_an_agent_is_carried_out_or_refused(door: Door, tmp_path: Path) -> None:
    agent = door.spawn(environment_vars={"LEVEL": 2}, workspace_dir=str(tmp_path / "place"))
    process = process_of(door, agent)
    refused = [
        door.refused("spawn_instance", name="ghost", **{argument: 1})
        for argument in ("temperature", "max_tokens", "use_pty", "priority")
    ]
    mistyped = door.refused("spawn_instance", name="ghost", workspace="place")

    assert ("2", str(tmp_path / "place")) == (process.environ()["LEVEL"], process.cwd())
    assert [] == [why for why in refused if "is not taken here. " not in why], "and why it is not"
    assert "has no argument 'workspace'. Did you mean 'workspace_dir'?" in mistyped
    assert "ghost" not in door.call("get_instance_tree").text
