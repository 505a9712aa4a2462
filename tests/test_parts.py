"""What a page is given to draw: each part as a reading of real folds."""

from datetime import timedelta

import pytest
from worlds import BEGAN, World, born, busy, idle

from madrox_nb.conversation import ITEMS, RESULT, TEXT, Conversation
from madrox_nb.errors import BadInput, UnknownAgent
from madrox_nb.events import (
    AgentSpawned,
    AgentStopped,
    AgentSuspended,
    ApprovalAnswered,
    ApprovalAsked,
    BudgetSet,
    Entry,
    MessagePosted,
    MessageRead,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnSaid,
    UsageReported,
)
from madrox_nb.parts import SHOWS, parts, topics
from madrox_nb.parts.conversation import WHOLE
from madrox_nb.parts.difference import difference
from madrox_nb.parts.rows import SILENT


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.tell(*born("lead"), *born("api", "lead"))
    return made


def look(world, topic):
    name, _, subject = topic.partition(":")
    return parts()[name].look(world.moment(), subject)


def ask(world, what, **given):
    return parts()["conversation"].asks[what](world.moment(), "api", given)


def said(text):
    return TurnSaid(agent="api", turn="api.t1", text=text)


def called(call, tool="Bash", given='{"command": "ls"}'):
    return ToolCalled(agent="api", turn="api.t1", call=call, tool=tool, input=given)


def returned(call, output, ok=True):
    return ToolReturned(agent="api", turn="api.t1", call=call, ok=ok, output=output)


# what travels


def applied(data, change):
    """What the page makes of a change: the reverse of `difference`."""
    made = {**data, **change.get("set", {})}
    for field, text in change.get("add", {}).items():
        made[field] += text
    for field, told in change.get("lists", {}).items():
        key = change["key"][field]
        known = {row[key]: row for row in [*made[field], *told["u"]]}
        made[field] = [known[name] for name in told.get("order", known)]
    return made


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"text": "ab", "n": 1, "rows": [{"id": "x", "v": 1}]}, {}),
        ({"text": "abc", "n": 1, "rows": [{"id": "x", "v": 1}]}, {"add": {"text": "c"}}),
        ({"text": "b", "n": 2, "rows": [{"id": "x", "v": 1}]}, {"set": {"text": "b", "n": 2}}),
        (
            {"text": "ab", "n": 1, "rows": [{"id": "x", "v": 2}]},
            {"lists": {"rows": {"u": [{"id": "x", "v": 2}]}}, "key": {"rows": "id"}},
        ),
        (
            {"text": "ab", "n": 1, "rows": [{"id": "y", "v": 1}]},
            {
                "lists": {"rows": {"u": [{"id": "y", "v": 1}], "gone": ["x"], "order": ["y"]}},
                "key": {"rows": "id"},
            },
        ),
    ],
)
def test_only_what_makes_the_old_the_new_travels(after, told):
    before = {"text": "ab", "n": 1, "rows": [{"id": "x", "v": 1}]}
    change = difference(before, after, {"rows": "id"})

    assert told == change
    assert after == applied(before, change)


# the agents


def test_a_busy_agent_that_says_nothing_for_two_minutes_is_stalled_since_then(world):
    world.tell(busy("api"))
    began = BEGAN + timedelta(seconds=world.seq - 1)
    assert [False, False] == [row["stalled"] for row in look(world, "rows")["rows"]]

    world.seq += int(SILENT)
    rows = look(world, "rows")["rows"]
    assert [False, True] == [row["stalled"] for row in rows]
    assert began.timestamp() == rows[1]["since"]


def test_an_agent_that_is_speaking_is_not_silent(world):
    world.tell(busy("api"))
    world.seq += int(SILENT)
    world.doing.hear(TextDelta(agent="api", turn="api.t1", text="so"))

    assert not look(world, "rows")["rows"][1]["stalled"]


def test_a_limit_stands_with_what_is_used_of_it_and_the_runs_stands_apart(world):
    world.tell(BudgetSet(agent="lead", limit="usd", amount=2.0), BudgetSet(limit="usd", amount=10.0))
    world.tell(busy("api"), UsageReported(agent="api", turn="api.t1", output_tokens=5, cost_usd=1.5))
    data = look(world, "rows")

    assert 10.0 == data["limit_usd"]
    assert [(2.0, 1.5), (None, 0.0)] == [(r["limit_usd"], r["limit_used"]) for r in data["rows"]]


def test_a_limit_that_is_nearly_used_is_told_of_whom_it_stands_on_and_not_as_what_those_below_do(world):
    world.tell(BudgetSet(agent="lead", limit="tokens", amount=100.0))
    world.tell(
        busy("api"), UsageReported(agent="api", turn="api.t1", output_tokens=84, cost_usd=0.0), idle("api")
    )
    told = [(row["nearly"], row["now"], row["held"]) for row in look(world, "rows")["rows"]]
    assert [("84 % of 100 tokens", "", False), ("", "", False)] == told

    world.tell(
        busy("api"), UsageReported(agent="api", turn="api.t1", output_tokens=16, cost_usd=0.0), idle("api")
    )
    lead, api = look(world, "rows")["rows"]
    assert ("100 % of 100 tokens", "limit reached: 100 of 100 tokens", True) == (
        lead["nearly"],
        lead["now"],
        lead["held"],
    )
    assert ("", "limit reached: 100 of 100 tokens (lead)", True) == (api["nearly"], api["now"], api["held"])


def test_why_an_agent_failed_is_told_in_full_and_in_a_few_words(world):
    why = "python3 exited on its own with code 1. Its last words: no such module"
    world.tell(AgentStopped(agent="api", reason=why, failed=True))
    api = look(world, "rows")["rows"][1]

    assert (why, "exit code 1") == (api["reason"], api["short"])


def test_the_run_has_a_time_from_its_first_agent_on(world, tmp_path):
    assert BEGAN.timestamp() == look(world, "rows")["opened"]


# conversations


def test_a_conversation_holds_what_was_asked_said_done_and_sent(world):
    world.tell(busy("api"), said("I look."), called("c1"), returned("c1", "a.py\nb.py"))
    world.tell(MessagePosted(agent="lead", message="api.m1", sender="api", text="done"))
    world.tell(TurnEnded(agent="api", turn="api.t1", outcome="failed", error="overloaded"))
    items = look(world, "conversation:api")["items"]

    assert ["prompt", "said", "call", "message", "note"] == [item["kind"] for item in items]
    assert ("you", "go") == (items[0]["who"], items[0]["text"])
    assert ("Bash", "ls", True, "a.py\nb.py") == tuple(
        items[2][key] for key in ("tool", "argument", "ok", "output")
    )
    assert ("lead", "done") == (items[3]["to"], items[3]["text"])
    assert ("overloaded", True) == (items[4]["text"], items[4]["bad"])


def test_a_call_under_way_has_no_end_and_only_itself_travels_when_it_gets_one(world):
    world.tell(busy("api"), said("x"), called("c1"))
    before = look(world, "conversation:api")
    assert None is before["items"][-1]["ok"]

    world.tell(returned("c1", "no", ok=False))
    change = difference(before, look(world, "conversation:api"), {"items": "id"})
    assert [("call", False)] == [(i["kind"], i["ok"]) for i in change["lists"]["items"]["u"]]


def test_what_is_being_said_streams_and_becomes_an_item_when_it_is_whole(world):
    world.tell(busy("api"))
    for piece in ("One ", "test"):
        world.doing.hear(TextDelta(agent="api", turn="api.t1", text=piece))
    assert "One test" == look(world, "conversation:api")["speaking"]

    world.tell(said("One test fails."))
    data = look(world, "conversation:api")
    assert ("", "One test fails.") == (data["speaking"], data["items"][-1]["text"])


def test_what_others_say_and_do_is_not_in_it(world):
    world.tell(busy("lead"), TurnSaid(agent="lead", turn="lead.t1", text="api, are you there?"))

    assert [] == look(world, "conversation:api")["items"]


def test_a_denial_is_a_note_with_who_and_why(world):
    world.tell(busy("api"), ApprovalAsked(agent="api", turn="api.t1", approval="api.a1", tool="Bash"))
    world.tell(ApprovalAnswered(agent="api", approval="api.a1", decision="deny", by="you", why="no"))

    assert "api.a1 was denied by you: no" == look(world, "conversation:api")["items"][-1]["text"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("suspended", "suspended"),
        ("suspended by lead", "suspended by lead"),
        ("suspended: idle for 5 min", "idle for 5 min"),
    ],
)
def test_a_suspension_is_a_note_that_says_the_word_once(world, said, reason):
    world.tell(AgentSuspended(agent="api", reason=reason))

    assert said == look(world, "conversation:api")["items"][-1]["text"]


def test_a_name_that_is_spawned_again_begins_afresh(world):
    world.tell(busy("api"), idle("api"), AgentStopped(agent="api", reason="done"))
    world.tell(*born("api", "lead"))

    assert [] == look(world, "conversation:api")["items"]


def test_ten_megabytes_in_one_message_are_cut_and_come_in_pages(world):
    text = "é" * 5_000_000 + "end"
    world.tell(busy("api"), said(text), called("c1"), returned("c1", "o" * 10_000))
    items = look(world, "conversation:api")["items"]
    assert (TEXT, 5_000_003 - TEXT) == (len(items[1]["text"]), items[1]["text_more"])
    assert (RESULT, 10_000 - RESULT) == (len(items[2]["output"]), items[2]["output_more"])

    page = ask(world, "text", id=items[1]["id"], field="text", start=TEXT)
    assert (WHOLE, 5_000_003 - TEXT - WHOLE) == (len(page["text"]), page["more"])
    last = ask(world, "text", id=items[1]["id"], field="text", start=5_000_000)
    assert {"text": "end", "more": 0} == last
    assert 6_000 == len(ask(world, "text", id=items[2]["id"], field="output", start=RESULT)["text"])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"id": "e0", "field": "harness", "start": -1}, "start=-1 is no place"),
        ({"id": "seven", "field": "text", "start": 0}, "'seven' is no item"),
        ({"id": "e0", "field": "text", "start": 0}, "no 'text' in entry 0 of api"),
    ],
)
def test_a_text_that_there_is_not_is_refused(world, given, why):
    with pytest.raises(BadInput, match=why):
        ask(world, "text", **given)


def test_the_newest_items_are_kept_and_those_before_come_in_pages(world):
    world.tell(busy("api"), *(said(f"line {n}") for n in range(ITEMS + 150)))
    data = look(world, "conversation:api")
    assert (ITEMS, 151) == (len(data["items"]), data["above"])
    assert "line 150" == data["items"][0]["text"]

    page = ask(world, "older", before=data["items"][0]["id"])
    assert ("line 149", 51) == (page["items"][-1]["text"], page["above"])
    first = ask(world, "older", before=page["items"][0]["id"])
    assert (["go", "line 0"], 0) == ([i["text"] for i in first["items"][:2]], first["above"])


def test_only_what_is_new_is_read_when_it_is_looked_at_again(world):
    world.tell(busy("api"))
    look(world, "conversation:api")
    whole = world.file.read_bytes()
    world.file.write_bytes(b"\0" * len(whole))  # what was read once is not read again
    world.tell(said("more"))

    assert ["prompt", "said"] == [i["kind"] for i in look(world, "conversation:api")["items"]]


def test_a_line_that_is_still_being_written_waits(world):
    world.tell(busy("api"))
    line = Entry(world.seq, BEGAN, said("half")).to_line()
    with world.file.open("ab") as file:
        file.write(line[:20])
    assert 1 == len(look(world, "conversation:api")["items"])
    with world.file.open("ab") as file:
        file.write(line[20:])

    assert "half" == look(world, "conversation:api")["items"][-1]["text"]


def test_read_at_once_or_bit_by_bit_a_conversation_is_the_same(world):
    world.tell(busy("api"))
    look(world, "conversation:api")
    world.tell(said("x"), called("c1"))
    look(world, "conversation:api")
    world.tell(returned("c1", "y"), idle("api"))
    live = world.conversations("api")

    lines = world.file.read_bytes().splitlines()
    assert Conversation.replay(map(Entry.from_line, lines), "api") == live


# inbox, details, traffic


def test_an_inbox_shows_the_newest_first_and_what_is_unread(world):
    world.tell(MessagePosted(agent="api", message="lead.m1", sender="lead", text="one"))
    world.tell(MessageRead(agent="api", message="lead.m1"))
    world.tell(MessagePosted(agent="api", message="you.m1", sender="you", text="two", asks=True))
    messages = look(world, "inbox:api")["messages"]

    assert [("you.m1", False, True), ("lead.m1", True, False)] == [
        (m["id"], m["read"], m["asks"]) for m in messages
    ]


def test_details_tell_what_stands_behind_an_agent(world):
    world.tell(BudgetSet(agent="lead", limit="usd", amount=2.0), busy("api"), called("c1"))
    facts = dict(look(world, "details:api")["facts"])

    assert "edits: edits in its own workspace; asks about everything else" == facts["Permissions"]
    assert "none of its own; $0.00 of $2.00 (lead)" == facts["Limits"]
    assert "1 under way" == facts["Turns"]
    assert "Bash 1" == facts["Tools"]


def test_details_are_looked_at_again_when_a_limit_of_somebody_above_changes(world):
    details = parts()["details"]
    world.tell(BudgetSet(agent="lead", limit="turns", amount=2.0))
    before = details.sign(world.moment(), "api")
    world.seq += 50  # time alone is nothing new

    assert before == details.sign(world.moment(), "api")
    world.tell(BudgetSet(agent="lead", limit="turns", amount=9.0))
    assert before != details.sign(world.moment(), "api")


def test_traffic_is_the_last_messages_and_who_sent_them(world):
    for n in range(50):
        world.tell(MessagePosted(agent="lead", message=f"api.m{n}", sender="api", text="hi"))
    told = look(world, "traffic")["messages"]

    assert ("api.m49", "api", "lead") == tuple(told[-1].values())
    assert 40 == len(told)


# saved


@pytest.mark.parametrize("name", sorted(set(SHOWS) - {"dashboard"}))
def test_every_part_says_the_same_as_text_without_times(world, tmp_path, name):
    world.tell(busy("api"), said("<b>hi</b>\x1b[31m"), called("c1"))
    part = parts()[SHOWS[name][-1]]
    subject = "api" if part.of_an_agent else ""
    first = part.plain(world.moment(), subject)

    world.seq += 50  # a later look at the same run
    assert first == part.plain(world.moment(), subject)
    assert "\x1b" not in first
    assert "<b>hi" not in part.html(world.moment(), subject)


def test_every_part_of_an_agent_refuses_one_that_there_is_not(world):
    for part in parts().values():
        if part.of_an_agent and part.look(world.moment(), "api"):
            with pytest.raises(UnknownAgent):
                part.look(world.moment(), "nobody")


def test_every_view_begins_with_the_agents():
    for shows in SHOWS:
        assert "rows" == topics(shows, "api")[0]


def test_a_spawned_name_that_holds_quotes_is_read_from_the_ledger_too(world):
    name = 'we"ird'
    world.tell(AgentSpawned(agent=name, harness="claude", role="general"))
    world.tell(busy(name))

    assert 1 == len(look(world, f"conversation:{name}")["items"])


def again(world, before, *events):
    """What the agents look like after these, looked at as after a small change."""
    world.tell(*events)
    names = frozenset(name for event in events for name in (event.agent, getattr(event, "sender", "")))
    return parts()["rows"].again(world.moment(), "", before, names)


@pytest.mark.parametrize(
    "events",
    [
        (busy("api"),),
        (busy("api"), TurnEnded(agent="api", turn="api.t1", outcome="ok")),
        (MessagePosted(agent="api", message="lead.m1", sender="lead", text="hi"),),
        (busy("api"), UsageReported(agent="api", turn="api.t1", output_tokens=5, cost_usd=1.5)),
        (UsageReported(agent="api", turn="api.t1", cost_usd=1.5),),
        (UsageReported(agent="api", turn="api.t1", output_tokens=5),),
        (BudgetSet(agent="lead", limit="usd", amount=2.0),),
        born("new", "api"),
        (AgentStopped(agent="api", reason="done"), *born("api")),
        (AgentStopped(agent="lead", reason="x"), AgentStopped(agent="api", reason="y")),
    ],
    ids=["busy", "ended", "message", "usage", "money alone", "unpriced", "limit", "born", "moved", "stopped"],
)
def test_looking_again_at_those_who_changed_gives_what_looking_at_all_does(world, events):
    seen = again(world, look(world, "rows"), *events)

    assert look(world, "rows") == seen


def test_looking_again_leaves_the_others_the_very_same(world):
    before = look(world, "rows")
    after = again(world, before, busy("api"))

    assert [True, False] == [one is other for one, other in zip(before["rows"], after["rows"], strict=True)]


def test_what_an_agent_spends_shows_above_it_and_leaves_the_others_the_very_same(world):
    world.tell(*born("ui", "lead"), *born("checks", "api"))
    before = look(world, "rows")
    after = again(world, before, UsageReported(agent="checks", turn="checks.t1", cost_usd=1.5))

    same = {one["name"]: one is other for one, other in zip(before["rows"], after["rows"], strict=True)}
    assert {"lead": False, "api": False, "checks": False, "ui": True} == same
