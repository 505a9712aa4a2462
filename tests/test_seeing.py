"""What the tools show of agents: now, in short, their files and their logs. Real agents, no HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from stages import Stage, run, stage

from madrox_nb.errors import BadInput, Forbidden, UnknownAgent
from madrox_nb.events import PERSON
from madrox_nb.ledger import utc_now
from madrox_nb.tools import telling

KEY = "sk-canary/0123456789+abcdef"


async def begun(on: Stage, name: str, *lines: str, tool: str = "") -> None:
    """Have an agent at work, and at that tool if one is named."""
    await on.manager.ask(name, "\n".join(lines))
    async with asyncio.timeout(60):
        while not (on.manager.tree[name].turn and (not tool or on.manager.tree[name].tools)):
            await on.manager.mail.change(0.05)


# now


def test_what_an_agent_does_now_is_told_with_its_tools_its_turn_and_its_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob", permissions="ask")
            idle = await on.call(PERSON, "get_live_instance_status", instance_id="bob")
            await on.manager.send("bob", "/say earlier")
            await begun(on, "bob", "find it", "/say looking", "/hang")
            async with asyncio.timeout(60):
                while on.manager.activity["bob"].said != "hanging":
                    await asyncio.sleep(0.01)
            await on.manager.post("bob", "a note")
            began = on.manager.activity["bob"].deed.began
            least = (utc_now() - began).total_seconds()
            live = (await on.call(PERSON, "get_live_instance_status", instance_id="bob")).data
            most = (utc_now() - began).total_seconds()

            assert ("idle", None, None, "") == tuple(
                idle.data[key] for key in ("state", "turn", "execution_time", "last_output")
            )
            assert ("busy", "bob.t2", "you", "hanging", 1) == tuple(
                live[key] for key in ("state", "turn", "asked_by", "last_output", "unread")
            )
            assert live["prompt"].startswith("find it")
            assert least <= live["execution_time"] + 0.001 <= most + 0.002

    run(story())


def test_the_tool_under_way_is_told_with_its_argument_and_counted(tmp_path: Path) -> None:
    from madrox_nb.events import ToolCalled, ToolReturned

    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await begun(on, "bob", "/hang")

            def call(number: int, tool: str, given: dict[str, str]) -> None:
                on.manager.record(
                    ToolCalled(
                        agent="bob", turn="bob.t1", call=f"c{number}", tool=tool, input=json.dumps(given)
                    )
                )

            call(1, "Bash", {"command": "npm test"})
            on.manager.record(ToolReturned(agent="bob", turn="bob.t1", call="c1", ok=True))
            call(2, "Bash", {"command": "npm run build"})
            call(3, "Read", {"file_path": "a.py"})
            live = await on.call(PERSON, "get_live_instance_status", instance_id="bob")

            assert ("Read", "a.py") == (live.data["current_tool"], live.data["current_tool_argument"])
            assert 0 <= live.data["current_tool_seconds"] < 60
            assert (3, {"Bash": 2, "Read": 1}) == (
                live.data["tools_executed"],
                live.data["tools_breakdown"],
            )
            assert "tools_breakdown: Bash 2×, Read 1×" in live.text

    run(story())


def test_what_an_agent_waits_for_is_told_with_its_question_and_its_request(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, attended="yes") as on:
            await on.spawn("lead", permissions="ask")
            await on.spawn("bob", by="lead")
            await begun(on, "bob", "/hang")
            await on.manager.ask("bob", "when you can", sender="lead")
            asking = asyncio.ensure_future(
                on.manager.send("lead", '/approve-needed Bash {"command": "rm -r x"}')
            )
            async with asyncio.timeout(60):
                while on.manager.tree["lead"].state != "waiting":
                    await on.manager.mail.change(0.05)
            live = (await on.call(PERSON, "get_live_instance_status", instance_id="lead")).data
            summary = await on.call(PERSON, "get_agent_summary", instance_id="lead")
            await on.manager.deny("lead.a1")
            await asking

            assert [
                "an answer to lead.a1: may it use Bash rm -r x",
                "bob, which it asked lead.m1",
            ] == live["waits_for"]
            assert "waits for an answer to lead.a1: may it use Bash rm -r x" in summary.text

    run(story())


# in short


def test_a_summary_tells_the_task_what_was_done_and_what_it_cost(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", role="architect")
            await on.spawn("bob", by="lead")
            fresh = await on.call("lead", "get_agent_summary", instance_id="bob")
            await on.manager.send("bob", "build the parser\n/say built\n/usage 100 20")
            await on.manager.send("bob", "/fail no luck")
            first = await on.call("lead", "get_agent_summary", instance_id="bob")
            again = await on.call("lead", "get_agent_summary", instance_id="bob")

            assert "it has not been asked anything yet" in fresh.text
            assert first.data == again.data
            assert [
                "bob (general, rehearsal): idle",
                "task: build the parser /say built /usage 100 20",
                "turns: 1 failed, 1 ok",
                "- bob.t1 ok: built used 100 tokens in, 20 out",
                "- bob.t2 failed: no luck",
                "cost: 120 tokens, $0.0000",
            ] == first.text.splitlines()
            assert ("failed", 120, []) == tuple(first.data[k] for k in ("outcome", "tokens", "files_edited"))
            json.dumps(first.data, allow_nan=False)

    run(story())


def test_all_summaries_are_those_that_the_caller_may_see_in_that_state(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            nobody = await on.call(PERSON, "get_all_agent_summaries")
            await on.spawn("lead", "max")
            await on.spawn("bob", "cy", by="lead")
            await on.spawn("deep", by="max")
            await on.call(PERSON, "terminate_instance", instance_id="cy")
            everybody = await on.call(PERSON, "get_all_agent_summaries")
            near = await on.call("lead", "get_all_agent_summaries", status_filter="idle")

            assert "no agents yet: spawn_instance starts one" == nobody.text
            assert 5 == everybody.data["total"] == everybody.text.count("(general, rehearsal)")
            assert ["lead", "max", "bob"] == [each["instance_id"] for each in near.data["summaries"]]
            with pytest.raises(BadInput, match="Did you mean 'idle'"):
                await on.call(PERSON, "get_all_agent_summaries", status_filter="idel")

    run(story())


def test_transcripts_of_several_agents_come_together_and_a_stranger_spoils_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("ann", "bob")
            for name in ("ann", "bob"):
                await on.manager.send(name, f"/say I am {name}")
            both = await on.call(
                PERSON, "get_multiple_instance_outputs", instance_ids=["ann", "nobody", "bob"]
            )
            last = await on.call(
                PERSON, "get_multiple_instance_outputs", requests=[{"instance_id": "bob", "limit": 1}]
            )

            assert ["ann", "bob"] == [each["instance_id"] for each in both.data["outputs"]]
            assert ["nobody"] == [each["instance_id"] for each in both.data["errors"]]
            assert "nobody: not read: no agent named 'nobody'" in both.text
            assert ["I am bob"] == [row["content"] for row in last.data["outputs"][0]["output"]]
            mixed = [{"limit": 3}, {"instance_id": "bob", "limit": "x"}, {"instance_id": "ann"}]
            some = await on.call(PERSON, "get_multiple_instance_outputs", requests=mixed)
            assert ["", "bob"] == [each["instance_id"] for each in some.data["errors"]]
            assert ["ann"] == [each["instance_id"] for each in some.data["outputs"]]
            with pytest.raises(BadInput):
                await on.call(PERSON, "get_multiple_instance_outputs")

    run(story())


# the wire


def test_the_end_of_a_protocol_is_told_line_by_line_without_secrets(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, {"TEST_API_KEY": KEY}) as on:
            await on.spawn("bob")
            await on.manager.send("bob", f"/say the key is {KEY}")
            whole = await on.call(PERSON, "get_tmux_pane_content", instance_id="bob")
            two = await on.call(PERSON, "get_tmux_pane_content", instance_id="bob", lines=2)
            head, *lines = whole.text.splitlines()

            assert "[the last lines of the protocol of rehearsal]" == head
            assert lines[0].startswith("ready session=")
            assert 'said turn="bob.t1" text="the key is {secret:TEST_API_KEY}"' in lines
            assert lines[-2:] == two.data["content"].splitlines()
            assert KEY not in whole.text + whole.data["content"]

    run(story())


@pytest.mark.slow
def test_the_screen_of_a_program_at_a_terminal_is_told_as_a_person_sees_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("sh", instance_type="shell", permissions="all")
            await on.manager.send("sh", "printf 'red \\033[31mrot\\033[0m\\nnext\\n'")
            seen = await on.call(PERSON, "get_tmux_pane_content", instance_id="sh")

            assert "[the screen of shell, and what has scrolled off]" == seen.text.splitlines()[0]
            assert ["red rot", "next"] == [
                each.split("⟩ ")[-1] for each in seen.data["content"].splitlines()[-3:-1]
            ]
            assert "\x1b" not in seen.text

    run(story())


# files


async def refused(verb: Any, error: type[Exception] = BadInput) -> str:
    with pytest.raises(error) as raised:
        await verb
    return str(raised.value)


def test_files_of_those_below_are_listed_and_read_and_of_nobody_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "max")
            await on.spawn("bob", by="lead")
            await on.manager.send("bob", "/write notes.txt hello")
            listing = await on.call("lead", "list_instance_files", instance_id="bob")
            several = await on.call(PERSON, "list_multiple_instance_files", instance_ids=["bob", "nobody"])
            content = await on.call("lead", "retrieve_instance_file", instance_id="bob", filename="notes.txt")

            assert ["notes.txt"] == listing.data["files"]
            assert (["bob"], ["nobody"]) == tuple(
                [each["instance_id"] for each in several.data[key]] for key in ("results", "errors")
            )
            assert ("hello", "utf-8", False) == tuple(
                content.data[key] for key in ("content", "encoding", "truncated")
            )
            for caller, whose in (("bob", "lead"), ("max", "bob"), ("max", "lead")):
                said = await refused(on.call(caller, "list_instance_files", instance_id=whose), Forbidden)
                assert f"{caller} can't read the files of {whose}" in said

    run(story())


def test_a_large_file_comes_in_pieces_that_make_the_whole_and_binary_ones_in_base64(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            place = Path(on.manager.tree["bob"].workspace)
            text = "wörter für jeden – " * 3000
            (place / "long.txt").write_text(text)
            (place / "image").write_bytes(bytes(range(256)))
            pieces, following = [], 0
            while following is not None:
                told = await on.call(
                    PERSON, "retrieve_instance_file", instance_id="bob", filename="long.txt", offset=following
                )
                pieces.append(told.data["content"])
                following = told.data["next_offset"]
            image = await on.call(PERSON, "retrieve_instance_file", instance_id="bob", filename="image")
            first = await on.call(PERSON, "retrieve_instance_file", instance_id="bob", filename="long.txt")

            assert text == "".join(pieces)
            assert bytes(range(256)) == base64.b64decode(image.data["content"])
            assert f"too large: go on with offset={first.data['next_offset']}" in first.text.splitlines()[0]
            assert len(first.text) < telling.LONGEST_OUTPUT + 200

    run(story())


def test_a_secret_in_a_file_is_replaced_also_where_a_piece_ends_in_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path, {"TEST_API_KEY": KEY}) as on:
            await on.spawn("bob")
            (Path(on.manager.tree["bob"].workspace) / "env").write_text(f"{'x' * 90}{KEY} and more")

            async def read(offset: int) -> dict[str, Any]:
                given = {"instance_id": "bob", "filename": "env", "offset": offset, "max_bytes": 100}
                return dict((await on.call(PERSON, "retrieve_instance_file", **given)).data)

            first = await read(0)
            second = await read(first["next_offset"])

            assert ("x" * 90, 90) == (first["content"], first["next_offset"])
            assert ("{secret:TEST_API_KEY} and more", True) == (second["content"], second["redacted"])

    run(story())


def test_several_files_come_under_either_name_and_one_that_fails_spoils_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            await on.manager.send("bob", "/write a A\n/write b B")
            wanted = [{"instance_id": "bob", "filename": name} for name in ("a", "../x", "b")]
            for key in ("retrievals", "requests"):
                told = await on.call(PERSON, "retrieve_multiple_instance_files", **{key: wanted})

                assert ["A", "B"] == [each["content"] for each in told.data["results"]]
                assert ["../x"] == [each["filename"] for each in told.data["errors"]]
            wrong = [{"instance_id": "bob"}, {"instance_id": "bob", "filename": "a", "dest": "x"}]
            told = await on.call(PERSON, "retrieve_multiple_instance_files", retrievals=wrong)
            assert (2, []) == (len(told.data["errors"]), told.data["results"])
            assert "nothing" not in await refused(on.call(PERSON, "retrieve_multiple_instance_files"))

    run(story())


def test_a_copy_goes_into_the_caller_s_own_workspace_if_it_may_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", permissions="edits")
            await on.spawn("sub", by="lead", permissions="deny")
            await on.spawn("bob", by="sub")
            await on.manager.send("bob", "/write a A")
            own = Path(on.manager.tree["lead"].workspace)
            here = tmp_path / "notebooks"
            here.mkdir()
            monkeypatch.chdir(here)

            async def copy(caller: str, to: str) -> Any:
                given = {"instance_id": "bob", "filename": "a", "destination_path": to}
                return (await on.call(caller, "retrieve_instance_file", **given)).data["destination_path"]

            assert str(own / "got/a") == await copy("lead", "got/")
            assert str(here / "mine") == await copy(PERSON, "mine")
            assert "A" == (own / "got" / "a").read_text() == (here / "mine").read_text()
            assert "can't have files written unasked" in await refused(copy("sub", "a"), Forbidden)
            for caller, to in (
                ("lead", "../bob/x"),
                ("lead", ".mcp.json"),
                (PERSON, "/tmp/x"),
                (PERSON, ".."),
            ):
                await refused(copy(caller, to))
            assert ["mine"] == [path.name for path in here.iterdir()]

    run(story())


# logs


def test_the_logs_of_an_agent_are_read_by_type_and_time_the_newest_of_them(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob")
            for word in ("one", "two"):
                await on.manager.send("bob", f"/say {word}")

            async def read(**given: Any) -> list[Any]:
                return list(
                    (await on.call(PERSON, "get_instance_logs", instance_id="bob", **given)).data["logs"]
                )

            talk = await read(log_type="communication")
            assert ["/say one", "one", "/say two", "two"] == [row["content"] for row in talk]
            assert talk[-1:] == await read(log_type="communication", tail=1)
            assert talk[-2:] == await read(log_type="communication", limit=2, tail=1)
            assert talk == await read(log_type="communication", tail=0)
            assert talk[2:] == await read(log_type="communication", since=talk[2]["timestamp"])
            assert ["agent.spawned", "agent.ready"] == [each.split()[1] for each in (await read())[:2]]
            assert ["bob"] == [each["instance_id"] for each in await read(log_type="metadata")]
            assert '"two"' in (await read(log_type="tmux_output", tail=0))[-3]
            assert "Did you mean 'instance'" in await refused(read(log_type="instanc"))

    run(story())


def test_an_agent_reads_the_trail_of_those_it_may_see_and_of_this_run_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as before:
            await before.spawn("old", "bob")
        async with stage(tmp_path) as on:
            await on.spawn("lead", "max")
            await on.spawn("bob", by="lead")
            await on.spawn("deep", by="max")

            async def names(caller: str, **given: Any) -> list[str]:
                told = await on.call(caller, "get_audit_logs", **given)
                return [row["instance_id"] for row in told.data["logs"]]

            spawned = {"kind": "instance_spawn"}
            assert ["old", "bob", "lead", "max", "bob", "deep"] == await names(PERSON, **spawned)
            assert ["lead", "max", "bob"] == await names("lead", **spawned)
            assert ["lead", "bob"] == await names("bob", **spawned)
            assert ["bob", "deep"] == await names(PERSON, limit=2, **spawned)
            assert ["bob", "bob"] == await names(PERSON, instance_id="bob", **spawned)
            assert ["bob"] == await names("lead", instance_id="bob", **spawned)
            await refused(names("bob", instance_id="deep"), Forbidden)
            await refused(names(PERSON, limit=0))

    run(story())


def test_earlier_runs_are_the_person_s_to_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as before:
            await before.spawn("old")
            await before.manager.send("old", "/say long ago")
            earlier = before.manager.run
        async with stage(tmp_path) as on:
            await on.spawn("lead", "old")
            listed = await on.call(PERSON, "list_logged_instances")
            own = await on.call("lead", "list_logged_instances")

            async def talk(caller: str, **given: Any) -> list[str]:
                told = await on.call(
                    caller, "get_instance_logs", instance_id="old", log_type="communication", **given
                )
                return [row["content"] for row in told.data["logs"]]

            assert [(earlier, "old"), (on.manager.run, "lead"), (on.manager.run, "old")] == [
                (row["run"], row["instance_id"]) for row in listed.data["instances"]
            ]
            assert {on.manager.run} == {row["run"] for row in own.data["instances"]}
            assert ["/say long ago", "long ago"] == await talk(PERSON, run=earlier)
            assert [] == await talk(PERSON)
            await refused(talk("lead", run=earlier), Forbidden)
            await refused(talk(PERSON, run="../../x"))
            await refused(on.call(PERSON, "get_instance_logs", instance_id="odl"), UnknownAgent)

    run(story())


# who is there


def test_children_and_peers_are_those_alive_without_oneself(tmp_path: Path) -> None:
    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("lead", "max")
            await on.spawn("ann", "bob", "cy", by="lead")
            await on.call(PERSON, "terminate_instance", instance_id="cy")
            children = await on.call("lead", "get_children")
            peers = await on.call("ann", "get_peers")
            roots = await on.call(PERSON, "get_peers", instance_id="lead")

            assert (["ann", "bob"], ["cy"]) == (
                [c["name"] for c in children.data["children"]],
                children.data["ended"],
            )
            assert (["bob"], ["cy"]) == ([p["name"] for p in peers.data["peers"]], peers.data["ended"])
            assert "bob (bob) [idle] (rehearsal) general\n(ended: cy)" == peers.text
            assert ["max"] == [p["name"] for p in roots.data["peers"]]
            await refused(on.call(PERSON, "get_peers"))

    run(story())


def test_roles_are_listed_with_what_they_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "mine.md").write_text("---\ndescription: my own\naliases: [own]\n---\nDo it.")
    monkeypatch.chdir(tmp_path)

    async def story() -> None:
        async with stage(tmp_path) as on:
            told = await on.call(PERSON, "list_roles")
            names = {each["name"] for each in told.data["roles"]}

            assert {"general", "architect", "backend_developer", "mine"} <= names
            assert "mine: my own (also: own)" in told.text.splitlines()

    run(story())


# secrets


def planted(home: Path, canaries: tuple[str, ...]) -> dict[str, list[str]]:
    """Where each canary lies in a file below the home; a link counts as what it leads to."""
    found: dict[str, list[str]] = {}
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for canary in canaries:
                if canary.encode() in data:
                    found.setdefault(str(path.relative_to(home)), []).append(canary)
    return found


def test_a_secret_that_comes_in_by_any_door_lies_in_no_file_that_we_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with stage(tmp_path, {"TEST_API_KEY": KEY}) as on:
            await on.spawn(
                "lead",
                system_prompt=f"the key is {KEY}",
                initial_prompt=f"use {KEY}\n/say using {KEY}",
                permissions="ask",
            )
            await on.manager.quiet()
            await on.call("lead", "spawn_instance", name="bob", initial_prompt=f"/fail {KEY} was refused")
            await on.manager.quiet()
            await on.call("lead", "send_to_instance", instance_id="bob", message=f"{KEY}\n/reply {KEY}")
            await on.manager.quiet()
            await on.call("bob", "reply_to_caller", reply_message=f"take {KEY}")
            await on.manager.send("bob", f'/tool nothing {{"key": "{KEY}"}}')
            await on.manager.send("bob", f'/approve-needed Bash {{"command": "echo {KEY}"}}')
            await on.manager.send("bob", f"/crash 3\n{KEY}")
            await on.call(PERSON, "get_instance_logs", instance_id="bob", log_type="communication")

    run(story())
    home = tmp_path / "home"
    found = planted(home, (KEY,))
    raw = {
        path
        for path in found
        if path.endswith(("/wire.log", "/tmux_output.log")) or path.startswith("sessions/")
    }

    assert raw == set(found), "what the agent's own program wrote and keeps is its own"
    assert raw, "a canary was planted, else this test shows nothing"
    assert {0o600} == {stat.S_IMODE((home / path).stat().st_mode) for path in raw}
    assert KEY not in caplog.text


def test_the_logs_of_an_agent_that_works_elsewhere_lie_beside_its_wire(tmp_path: Path) -> None:
    elsewhere = tmp_path / "repo"
    elsewhere.mkdir()

    async def story() -> None:
        async with stage(tmp_path) as on:
            await on.spawn("bob", workspace_dir=str(elsewhere))
            await on.manager.send("bob", "/say here")
            place = on.manager.processes.files("bob")
            told = await on.call(PERSON, "get_instance_logs", instance_id="bob", log_type="metadata")
            seen = await on.call(PERSON, "get_tmux_pane_content", instance_id="bob")

            assert str(place) == told.data["logs"][0]["log_directory"]
            assert 'text="here"' in seen.text
            async with asyncio.timeout(60):
                while not (place / "communication.jsonl").exists():
                    await asyncio.sleep(0.02)
            assert (place / "wire.log").read_bytes() == (place / "tmux_output.log").read_bytes()

    run(story())
