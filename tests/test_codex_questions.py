"""What Codex asks about, and how it hears the answer."""

import pytest
from codex_codec import ask, begin, end, greeted, mid_turn, of, read, refuse, replayed, tell, written

from madrox_nb.events import ToolReturned, TurnEnded
from madrox_nb.harness import Ask, Steered, Withdraw

ANSWERS = (("deny",), ("allow",), ("allow",))


def test_recorded_questions_denied_allowed_and_withdrawn():
    items = replayed("asked", interrupts={"lead.t4"}, answers=ANSWERS)
    touch, listing, patch, last = of(items, Ask)

    assert ("shell", "/bin/bash -lc 'touch made'", None) == (
        touch.tool,
        touch.input["command"],
        touch.touches,
    )
    assert (("/home/lead",), True) == (listing.touches, listing.reads)
    assert ("edit", ("/home/lead/new.txt",), False) == (patch.tool, patch.touches, patch.reads)
    assert [Withdraw(request=last.request)] == of(items, Withdraw)
    assert [False, True, True, False] == [returned.ok for returned in of(items, ToolReturned)]
    assert ["ok", "ok", "ok", "interrupted"] == [ended.outcome for ended in of(items, TurnEnded)]


def test_the_reason_of_a_refusal_reaches_the_model_as_words():
    (ended,) = of(replayed("refused", answers=[("deny", "not in this house")]), TurnEnded)

    assert ended.text.startswith("echo: Your request was refused: not in this house")


def test_yes_and_no_to_a_command():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")
    ask(harness, "x", command="make", cwd="/w")
    (yes,) = harness.answer("7", "allow", "why not")
    why, no = harness.answer("x", "deny", "no make here")

    assert {"id": 7, "result": {"decision": "accept"}} == written(yes)
    assert {"id": "x", "result": {"decision": "decline"}} == written(no)
    assert ("turn/steer", "Your request was refused: no make here") == (
        written(why)["method"],
        written(why)["params"]["input"][0]["text"],
    )


def test_a_refusal_that_could_not_be_explained_is_nobodys_steer():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")
    why, _ = harness.answer("7", "deny", "no make here")

    assert [] == refuse(harness, written(why)["id"], "no active turn")
    assert [] == of(end(harness), Steered)


def test_a_tool_of_another_server_is_asked_about_by_its_name():
    harness = mid_turn()
    meta = {"codex_approval_kind": "mcp_tool_call", "tool_name": "add", "tool_params": {"a": 1}}
    (asked,) = ask(harness, 7, "mcpServer/elicitation/request", serverName="other", mode="form", _meta=meta)
    (yes,) = harness.answer("7", "allow")

    assert ("mcp__other__add", {"a": 1}, None) == (asked.tool, asked.input, asked.touches)
    assert {"id": 7, "result": {"action": "accept", "content": {}}} == written(yes)


def test_no_to_a_tool_of_another_server():
    harness = mid_turn()
    meta = {"codex_approval_kind": "mcp_tool_call", "tool_name": "add"}
    ask(harness, 7, "mcpServer/elicitation/request", serverName="other", mode="form", _meta=meta)

    assert [{"id": 7, "result": {"action": "decline"}}] == [written(w) for w in harness.answer("7", "deny")]


CHANGES = [
    {"path": "/w/a", "kind": {"type": "add"}, "diff": "+x"},
    {"path": "/w/b", "kind": {"type": "update", "move_path": "/etc/b"}, "diff": "@@"},
]


def test_an_edit_touches_all_its_paths_and_where_they_go():
    harness = mid_turn()
    begin(harness, type="fileChange", changes=CHANGES)
    (asked,) = ask(harness, 7, "item/fileChange/requestApproval")

    assert ("/w/a", "/w/b", "/etc/b") == asked.touches
    assert CHANGES == asked.input["changes"]


@pytest.mark.parametrize(("item", "root"), [("another", None), ("i", "/w")])
def test_an_edit_that_is_not_known_or_wants_more_touches_more_than_paths(item, root):
    harness = mid_turn()
    begin(harness, type="fileChange", changes=CHANGES)
    (asked,) = ask(harness, 7, "item/fileChange/requestApproval", itemId=item, grantRoot=root)

    assert asked.touches is None


@pytest.mark.parametrize(
    "more",
    [
        {"networkApprovalContext": {"host": "x", "protocol": "https"}},
        {"additionalPermissions": {"network": {}}},
        {"kind": "writeStdin"},
    ],
)
def test_a_command_that_asks_for_more_than_to_run_is_more_than_reading(more):
    (plain,) = ask(mid_turn(), command="cat a", cwd="/w")
    (asked,) = ask(mid_turn(), command="cat a", cwd="/w", **more)

    assert (("/w/a",), True) == (plain.touches, plain.reads)
    assert (None, False) == (asked.touches, asked.reads)


def test_a_question_withdrawn_by_codex_is_not_answered():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")

    assert [Withdraw(request="7")] == tell(harness, "serverRequest/resolved", requestId=7)
    assert [] == list(harness.answer("7", "allow"))


def test_a_question_that_we_answered_is_not_withdrawn():
    harness = mid_turn()
    ask(harness, 7, command="make", cwd="/w")
    list(harness.answer("7", "allow"))

    assert [] == tell(harness, "serverRequest/resolved", requestId=7)


@pytest.mark.parametrize(
    ("harness", "turn"), [(greeted(), "U"), (mid_turn(), "before")], ids=["no turn", "another turn"]
)
def test_a_question_outside_the_turn_is_denied_without_asking_anyone(harness, turn):
    (item,) = ask(harness, 7, command="make", cwd="/w", turn=turn)

    assert {"id": 7, "result": {"decision": "decline"}} == written(item.line)


@pytest.mark.parametrize(
    "method",
    [
        "item/tool/requestUserInput",
        "item/permissions/requestApproval",
        "item/tool/call",
        "account/chatgptAuthTokens/refresh",
        "mcpServer/elicitation/request",
        "of/tomorrow",
    ],
)
def test_a_request_that_is_not_for_us_is_refused_so_that_nobody_waits(method):
    (item,) = ask(mid_turn(), 7, method, serverName="s", message="your name?")

    assert (7, -32601) == (written(item.line)["id"], written(item.line)["error"]["code"])


@pytest.mark.parametrize(
    "message",
    [
        {"id": 7, "method": "item/commandExecution/requestApproval", "params": {"command": 3, "cwd": []}},
        {"id": 7, "method": "item/fileChange/requestApproval", "params": {"itemId": []}},
        {"id": 7, "method": "mcpServer/elicitation/request", "params": {"_meta": "odd"}},
        {"id": 7, "method": "time/of/day"},
    ],
)
def test_a_request_in_an_unknown_shape_is_refused_too(message):
    (item,) = read(mid_turn(), **message)

    assert (7, -32601) == (written(item.line)["id"], written(item.line)["error"]["code"])
