"""Files, logs and relatives through real MCP calls: behaviours 6, 11, 15 and 16, and W18, W20, W25.

The numbers are those of the study of the system before this one. Each test goes through
HTTP and through `madrox mcp`, and what it sees is the same.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from doors import Door, opened

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("looking")]

CANARY = "sk-canary-0123456789abcdef"
TOKEN = re.compile(rb"mdx_[A-Za-z0-9_-]{32,}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def doors(home: Path) -> Iterator[dict[str, Door]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_API_KEY", CANARY)
        with opened(home) as doors:
            yield doors


def workspace(door: Door, agent: str) -> Path:
    return Path(door.call("get_instance_status", instance_id=agent).data["workspace"])


def kin(door: Door) -> tuple[str, list[str], str]:
    """A parent, three children and a grandchild below the first."""
    parent = door.spawn("parent")
    children = [door.spawn("child", parent_instance_id=parent) for _ in range(3)]
    return parent, children, door.spawn("grand", parent_instance_id=children[0])


def test_b6_children_and_peers_leave_out_oneself_and_those_that_ended(door: Door) -> None:
    parent, [first, second, third], grand = kin(door)
    door.call("terminate_instance", instance_id=third)
    children = door.call("get_children", parent_id=parent)
    peers = door.call("get_peers", instance_id=first)

    assert [first, second] == [each["name"] for each in children.data["children"]]
    assert [second] == [each["name"] for each in peers.data["peers"]]
    assert third in children.data["ended"]
    assert grand not in children.text + peers.text


def test_b6_the_tree_is_drawn_in_the_form_that_scripts_know(door: Door) -> None:
    parent, [first, second, third], grand = kin(door)
    drawn = door.call("get_instance_tree").text
    form = re.compile(r"^(?:[│ ]{4})*(?:[├└]── )?(\S+) \((\S+)\) \[(\w+)\] \((\w+)\)", re.MULTILINE)
    found = {name: (number, state, kind) for name, number, state, kind in form.findall(drawn)}

    assert {
        name: (name, "idle", "rehearsal") for name in (parent, first, second, third, grand)
    }.items() <= found.items()
    assert [
        f"{parent} ({parent}) [idle] (rehearsal) general",
        f"├── {first} ({first}) [idle] (rehearsal) general",
        f"│   └── {grand} ({grand}) [idle] (rehearsal) general",
        f"├── {second} ({second}) [idle] (rehearsal) general",
        f"└── {third} ({third}) [idle] (rehearsal) general",
    ] == drawn.splitlines()[drawn.splitlines().index(f"{parent} ({parent}) [idle] (rehearsal) general") :][:5]


def test_b11_no_path_and_no_link_leads_out_of_a_workspace(door: Door, tmp_path: Path) -> None:
    bob = door.spawn("bob")
    place = workspace(door, bob)
    (tmp_path / "secret.txt").write_text("outside")
    (place / "link").symlink_to(tmp_path / "secret.txt")
    (place / "dir").symlink_to(tmp_path)
    (place / "a.txt").write_text("inside")
    ways = (
        "../../token",
        "link",
        "dir/secret.txt",
        "/etc/hostname",
        str(tmp_path / "secret.txt"),
        "x/../../..",
    )
    for way in ways:
        said = door.refused("retrieve_instance_file", instance_id=bob, filename=way)
        assert "outside\n" not in said
        assert re.search("lies outside|is a link|leads upwards", said), said
    for to in ("/tmp/stolen", "../stolen", ".git/config"):
        door.refused("retrieve_instance_file", instance_id=bob, filename="a.txt", destination_path=to)

    assert ["a.txt"] == door.call("list_instance_files", instance_id=bob).data["files"]
    assert "inside" == door.call("retrieve_instance_file", instance_id=bob, filename="a.txt").data["content"]


def test_b15_secrets_stand_in_no_log_and_are_told_to_nobody(door: Door) -> None:
    bob = door.spawn("bob", system_prompt=f"The key: {CANARY}")
    door.ask(bob, f"/say {CANARY}", f"/write env KEY={CANARY}")
    told = [
        door.call("get_instance_output", instance_id=bob),
        door.call("get_tmux_pane_content", instance_id=bob),
        door.call("get_live_instance_status", instance_id=bob),
        door.call("get_agent_summary", instance_id=bob),
        door.call("get_audit_logs", instance_id=bob),
        door.call("retrieve_instance_file", instance_id=bob, filename="env"),
        *(
            door.call("get_instance_logs", instance_id=bob, log_type=each, tail=0)
            for each in ("communication", "instance", "tmux_output", "metadata")
        ),
    ]

    assert not [each for each in told if CANARY in each.text + json.dumps(each.data)]
    assert 7 <= sum("{secret:TEST_API_KEY}" in each.text for each in told)


def test_b16_audit_rows_have_their_fields_and_the_newest_come_in_the_order_of_time(door: Door) -> None:
    bob = door.spawn("bob")
    door.ask(bob, "/usage 3 4")
    door.call("terminate_instance", instance_id=bob)
    found = door.call("get_audit_logs", instance_id=bob).data["logs"]
    spawn, exchange, end = (
        next(row for row in found if row["event"] == event)
        for event in ("instance_spawn", "message_exchange", "instance_terminate")
    )
    last = door.call("get_audit_logs", instance_id=bob, limit=1).data["logs"]
    since = door.call("get_audit_logs", instance_id=bob, since=exchange["timestamp"]).data["logs"]

    assert {"timestamp", "event", "instance_id", "details"} <= spawn.keys()
    assert ("rehearsal", "general") == (spawn["details"]["harness"], spawn["details"]["role"])
    assert 7 == exchange["details"]["tokens"] == end["details"]["total_tokens"]
    assert 0 < exchange["details"]["response_time_seconds"] <= end["details"]["uptime_seconds"]
    assert [end] == last
    assert found[found.index(exchange) :] == since
    assert sorted(row["timestamp"] for row in found) == [row["timestamp"] for row in found]


def test_b16_messages_and_answers_pair_by_their_id_which_the_sender_was_told(door: Door) -> None:
    bob = door.spawn("bob")
    sent = door.call("send_to_instance", instance_id=bob, message="/say 4", wait_for_response=True)
    door.ask(bob, "/say 5")
    rows = door.call("get_instance_logs", instance_id=bob, log_type="communication", tail=0).data["logs"]
    pairs: dict[str, list[str]] = {}
    for row in rows:
        pairs.setdefault(row["message_id"], []).append(row["event_type"])

    assert [["message_sent", "message_received"]] * 2 == list(pairs.values())
    assert sent.data["message_id"] == rows[0]["message_id"]
    assert "4" == rows[1]["content"]
    assert (
        rows[2:]
        == door.call("get_instance_logs", instance_id=bob, log_type="communication", tail=2).data["logs"]
    )


def test_w18_tokens_stand_where_their_owner_reads_them_and_nowhere_else(door: Door, home: Path) -> None:
    bob = door.spawn("bob")
    door.ask(bob, "/tree", "/say done")
    door.call("get_tmux_pane_content", instance_id=bob)
    door.until(lambda: list(home.glob(f"runs/*/{bob}/communication.jsonl")))
    holding = {path for path in home.rglob("*") if path.is_file() and TOKEN.search(path.read_bytes())}

    assert {"token", "mcp-token"} == {path.name for path in holding}
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in holding}


def test_w20_times_of_any_zone_and_none_can_be_compared(door: Door) -> None:
    bob = door.spawn("bob")
    door.ask(bob, "/say one")
    now = datetime.now(UTC)
    before, after = now - timedelta(minutes=1), now + timedelta(minutes=1)
    zones = (UTC, timezone(timedelta(hours=9)), timezone(-timedelta(hours=7)))
    for tool in ("get_instance_output", "get_instance_logs", "get_audit_logs"):
        earlier = [
            *(before.astimezone(zone).isoformat() for zone in zones),
            before.replace(tzinfo=None).isoformat(),
            f"{before:%Y-%m-%dT%H:%M:%S}Z",
        ]
        later = [after.astimezone(zone).isoformat() for zone in zones]

        assert [True] * 5 == ["one" in door.call(tool, instance_id=bob, since=each).text for each in earlier]
        assert [False] * 3 == ["one" in door.call(tool, instance_id=bob, since=each).text for each in later]
        assert "is no time. Write it as" in door.refused(tool, instance_id=bob, since="yesterday")


def test_a_file_whose_name_is_no_text_keeps_nobody_from_reading_the_list(door: Door) -> None:
    bob = door.spawn("bob")
    (workspace(door, bob) / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    listed = door.call("list_instance_files", instance_id=bob)

    assert ["caf?.txt"] == listed.data["files"]
    assert "caf?.txt (1 bytes" in listed.text


def test_w25_a_listing_tells_what_an_agent_made_and_a_file_is_copied_only_where_one_said(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = door.spawn("bob")
    place = workspace(door, bob)
    for path in ("node_modules/left/pad.js", ".git/HEAD", ".venv/bin/python", "out/a.txt", "debug.log"):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(path)
    (place / ".gitignore").write_text("*.log\n")
    monkeypatch.chdir(tmp_path)
    listed = door.call("list_instance_files", instance_id=bob)
    for key in ("retrievals", "requests"):
        several = door.call(
            "retrieve_multiple_instance_files", **{key: [{"instance_id": bob, "filename": "out/a.txt"}]}
        )
        assert ["out/a.txt"] == [each["content"] for each in several.data["results"]]
    here = list(tmp_path.iterdir())
    door.call("retrieve_instance_file", instance_id=bob, filename="out/a.txt", destination_path="got.txt")

    assert [".gitignore", "out/a.txt"] == listed.data["files"]
    assert [] == here
    assert "out/a.txt" == (tmp_path / "got.txt").read_text()
