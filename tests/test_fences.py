"""Blocks in an agent's text: which ones are meant, and which are only shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madrox_nb.calls import TOOLS
from madrox_nb.fences import VERBS, Fence, blocks, in_blocks
from madrox_nb.tools.spawning import spawn_instance
from madrox_nb.wording import WITH_BLOCKS, instructions

SPAWN = "```madrox spawn name=scout role=debugger harness=llm\nfirst task…\n\nand more\n```"


def one(text: str) -> Fence:
    [block] = blocks(text)
    return block


# what is meant


def test_a_block_says_a_tool_and_its_arguments() -> None:
    block = one(f"I need help.\n\n{SPAWN}\nSee you.")

    assert ("spawn_instance", "spawn name=scout role=debugger harness=llm", 3, "") == (
        block.tool,
        str(block),
        block.line,
        block.wrong,
    )
    assert {
        "name": "scout",
        "role": "debugger",
        "instance_type": "llm",
        "initial_prompt": "first task…\n\nand more",
    } == block.arguments


def test_blocks_come_in_their_order_and_one_without_a_task_gives_none() -> None:
    found = blocks("```madrox spawn\n```\n~~~madrox send to=a\nx\n~~~\n```madrox reply\ny\n```")

    assert ["spawn", "send", "reply"] == [block.verb for block in found]
    assert {} == found[0].arguments


@pytest.mark.parametrize("fence", ["```", "````", "~~~", "~~~~~~~", "   ```"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_fence_of_markdown_will_do(fence: str, newline: str) -> None:
    text = newline.join(
        (f"{fence} madrox  send\tto=scout ", "hello", f"{fence.strip()}`"[: len(fence.strip())])
    )

    assert ("hello", {"to": "scout"}) == (one(text).text, one(text).keys)


def test_a_longer_fence_may_end_a_block_and_a_shorter_or_other_one_may_not() -> None:
    assert "a\n```\n~~~~\nb" == one("````madrox reply\na\n```\n~~~~\nb\n`````").text


def test_blocks_of_other_languages_belong_to_the_text() -> None:
    code = "Run this:\n```python\nprint(1)\n```\nand tell me."

    assert code == one(f"```madrox send to=a\n{code}\n```").text
    assert code == one(f"````madrox send to=a\n{code}\n````").text


def test_values_may_be_quoted() -> None:
    assert {"to": "my child"} == one('```madrox send to="my child"\nx\n```').keys


# what is only shown


@pytest.mark.parametrize(
    "text",
    [
        f"````\n{SPAWN}\n````",
        f"````markdown\n{SPAWN}\n{SPAWN}\n````",
        f"~~~\n{SPAWN}\n~~~",
        f"```text\n{SPAWN}\n{SPAWN}\n```",
        f"```text\n{SPAWN}\n{SPAWN}",
        "> " + SPAWN.replace("\n", "\n> "),
        "    " + SPAWN.replace("\n", "\n    "),
        "\t" + SPAWN.replace("\n", "\n\t"),
        "- " + SPAWN.replace("\n", "\n  "),
        "Use `madrox spawn name=scout` or ```madrox spawn``` for it.",
        "```madrox-like spawn\n```",
        "```\nmadrox spawn name=a\n```",
        "``madrox spawn\n``",
        "```python madrox spawn\n```",
        f"```text\u2028```\u2028{SPAWN}\u2028```\n```",
        f"```text\x0b```\x0b{SPAWN}\n```",
        "",
    ],
)
def test_what_is_quoted_is_not_meant(text: str) -> None:
    assert [] == blocks(text)


def test_a_block_in_a_block_of_ours_is_a_text_for_somebody_else() -> None:
    block = one(f"````madrox send to=kid\nWrite this:\n{SPAWN}\n````")

    assert ("send", f"Write this:\n{SPAWN}") == (block.verb, block.text)


def test_the_examples_in_the_instructions_do_nothing_and_are_right() -> None:
    assert [] == blocks(WITH_BLOCKS)
    shown = WITH_BLOCKS.split("````\n")[1].format(asker="lead")
    assert list(VERBS) == [block.verb for block in blocks(shown)]
    assert [""] * len(VERBS) == [block.wrong for block in blocks(shown)]


@given(st.text(st.sampled_from("`~ \n\r\tmadrox=spen>'\"\\\u2028"), max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    for block in blocks(text):
        assert block.wrong or block.arguments is not None
        assert str(block)


@given(st.text(st.sampled_from("`~ \nmadrox spawn="), max_size=200))
def test_no_text_gets_out_of_a_fence_that_is_longer_than_all_of_its_own(text: str) -> None:
    quoted = f"{'`' * 201}\n{text}\n{SPAWN}\n{'`' * 201}"

    assert [] == blocks(quoted)
    assert ["spawn"] == [block.verb for block in blocks(f"{quoted}\n{SPAWN}")]


# what is wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```madrox\nx\n```", "it has no verb. Known: spawn, send, reply, interrupt, terminate"),
        ("```madrox sapwn\n```", "'sapwn' is no verb. Did you mean 'spawn'? Known: spawn, "),
        ("```madrox spawn nme=a\n```", "spawn knows no key 'nme'. Did you mean 'name'? It knows: name, role"),
        ("```madrox spawn scout\n```", "'scout' is no key: write key=value. spawn knows: name, role"),
        ("```madrox spawn name=a name=b\n```", "name is given twice"),
        ("```madrox send to='a\nx\n```", "its first line can't be read: No closing quotation"),
        ("```madrox send\nx\n```", "send needs to=…"),
        ("```madrox send to=\nx\n```", "send needs to=…"),
        ("```madrox send to=a\n \n```", "send needs a text"),
        ("```madrox reply\n```", "reply needs a text"),
        ("```madrox terminate name=a\nplease\n```", "terminate takes no text"),
        ("```madrox spawn name=a\nnever closed", "its end is missing"),
        ("````madrox reply\n```\nnever closed\n```", "its end is missing"),
        ("```madrox reply\n```python\nnever closed twice\n```", "its end is missing"),
    ],
)
def test_what_cannot_be_carried_out_says_why(text: str, wrong: str) -> None:
    assert wrong == one(text).wrong[: len(wrong)]


# what stands behind them


def test_every_verb_is_a_tool_that_takes_its_keys() -> None:
    assert spawn_instance is TOOLS["spawn_instance"].function
    for verb in VERBS.values():
        taken = set(TOOLS[verb.tool].parameters)
        assert {*verb.keys.values(), *filter(None, [verb.text])} <= taken


def test_a_block_is_recognized_however_it_is_quoted() -> None:
    block = one(SPAWN)

    for text in (f"Please:\n{SPAWN}\nbye", "> " + SPAWN.replace("\n", "\n>> "), f"  ````\n  {SPAWN}"):
        assert block.stands_in(text)
    assert not block.stands_in(SPAWN.replace("more", "less"))
    assert not block.stands_in("first task…")
    assert not one("```madrox reply\nyes\n```").stands_in("I said:\nyes\nmadrox replied")


def test_the_next_step_is_told_in_blocks() -> None:
    said = "bob has stopped. Spawn it again: %madrox spawn bob --role architect --permissions edits"

    assert said.partition("%")[0] + "madrox spawn name=bob role=architect permissions=edits" == in_blocks(
        said
    )
    assert "or end it: madrox terminate name=bob force=true" == in_blocks(
        "or end it: %madrox stop bob --force"
    )
    assert "sent to bob (a.m1). The answer comes as your next prompt" == in_blocks(
        "sent to bob (a.m1). The answer comes as your next prompt, or call get_pending_replies with a "
        "wait_timeout"
    )


def test_an_agent_without_mcp_is_told_of_blocks_and_of_no_tool() -> None:
    said = {
        "agent": "kid",
        "role": "r",
        "parent": "lead",
        "workspace": "/w",
        "permissions": "edits",
        "body": "b",
    }
    with_blocks, with_tools = instructions(**said, mcp=False), instructions(**said)

    assert [] == [name for name in (*TOOLS, "MCP", "madrox tools") if name in with_blocks]
    assert "```madrox spawn name=scout" in with_blocks
    assert "[lead.m3] lead asks:" in with_blocks
    assert "```madrox" not in with_tools
    assert "spawn_instance" in with_tools
