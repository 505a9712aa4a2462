"""Team files as they are read: what they mean, and what is refused with which words."""

from __future__ import annotations

import pytest

from madrox_nb.conditions import condition
from madrox_nb.errors import BadInput
from madrox_nb.plans import Limits, Team, fill, read

HEAD = "description: Two who work.\n"
MEMBERS = "members:\n  - {name: head, role: architect}\n  - {name: hand, role: general, count: 2}\n"
PHASES = "phases:\n  - {name: plan, who: head, what: 'Plan {task}'}\n"


def team(yaml: str, name: str = "two") -> Team:
    return read(name, f"---\n{yaml}---\n# Two\n", "two.md")


def phases(text: str, *, inputs: str = "") -> Team:
    return team(f"{HEAD}{inputs}{MEMBERS}phases:\n{text}")


# what a file means


def test_a_file_is_read_whole() -> None:
    found = team(
        HEAD + "inputs:\n  language: {description: Which one, default: Python}\n  size: How large it gets\n"
        "members:\n"
        "  - {name: head, role: architect, part: Think, permissions: ask, limits: {usd: 1.5, tokens: 100}}\n"
        "  - {name: hand, role: general, count: 2, harness: codex, model: m-1}\n" + PHASES
    )

    assert ("two", "Two who work.", "# Two", 3) == (found.name, found.description, found.body, found.size)
    assert [("language", "Python"), ("size", None)] == [(each.name, each.default) for each in found.inputs]
    assert ("head", "ask", Limits(1.5, 100)) == (found.lead.name, found.lead.permissions, found.lead.limits)
    assert (("hand-1", "hand-2"), "codex", "m-1") == (
        found.members[1].names,
        found.members[1].harness,
        found.members[1].model,
    )


def test_what_a_text_or_a_condition_names_comes_first_in_whichever_order_it_is_written() -> None:
    found = phases(
        "  - {name: end, who: head, needs: [mend], what: End}\n"
        "  - {name: mend, who: hand, when: test failed, what: Mend}\n"
        "  - {name: test, who: hand, what: 'Test {make.hand} and {plan}'}\n"
        "  - {name: make, who: hand, what: Make}\n"
        "  - {name: plan, who: head, what: Plan}\n"
    )

    assert ["make", "plan", "test", "mend", "end"] == [phase.name for phase in found.phases]
    assert ("make", "plan") == found.phase("test").needs
    assert ((), ("test",)) == (found.phase("mend").needs, found.phase("mend").after)
    assert {"test", "mend", "end"} == found.behind("make")


def test_fields_are_replaced_and_a_result_on_a_line_of_its_own_is_quoted() -> None:
    text = "{task} for {me}\n  {plan.head}\nSee {plan.head}. {{x}} {unknown} {inputs.size}"
    filled = fill(text, {"task": "Go", "me": "hand-1", "size": "5"}, {"plan.head": "/say no\n\nyes"})

    assert "Go for hand-1\n> /say no\n>\n> yes\nSee /say no\n\nyes. {x} {unknown} 5" == filled


def test_inputs_are_given_or_have_a_default_and_others_are_refused() -> None:
    found = phases(
        "  - {name: a, who: head, what: a}\n",
        inputs="inputs:\n  size: How large\n  speed: {description: How fast, default: slow}\n",
    )

    assert {"size": "9", "speed": "slow"} == found.given({"size": "9"})
    with pytest.raises(BadInput, match=r"two has no input 'sice'\. Did you mean 'size'\? Known: size, speed"):
        found.given({"sice": "9"})
    with pytest.raises(BadInput, match=r"two needs to be told size \(How large\)"):
        found.given(None)


# what is refused


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("", r"two.md is no team: it has to begin with YAML"),
        ("- a\n", r"two.md is no team"),
        ("description: x\nmember: []\n", r"two.md: no key 'member'. Did you mean 'members'\? Known: name"),
        (HEAD, r"two.md: members: a list of at least one is missing"),
        (HEAD + MEMBERS, r"two.md: phases: a list of at least one is missing"),
        (HEAD.replace("Two who work.", "''") + MEMBERS + PHASES, r"two.md: description: '' is no text"),
        (
            HEAD + "members:\n  - {name: head, rol: architect}\n" + PHASES,
            r"two.md: members\[1\] \(head\): no key 'rol'. Did you mean 'role'\?",
        ),
        (HEAD + "members:\n  - {name: head}\n" + PHASES, r"members\[1\] \(head\).role: a text is missing"),
        (HEAD + "members:\n  - {name: h, role: r, worktree: 1}\n" + PHASES, r"1 is neither true nor false"),
        (HEAD + "members: [head]\n" + PHASES, r"members\[1\]: 'head' is no table of name, role"),
        (HEAD + "members:\n  - {name: h/x, role: r}\n" + PHASES, r"name: 'h/x' is no name"),
        (HEAD + "members:\n  - {name: h, role: r, count: 0}\n" + PHASES, r"count: 0 is no whole number"),
        (HEAD + "members:\n  - {name: h, role: r, count: 1000}\n" + PHASES, r"count: 1000 is more than 50"),
        (
            HEAD + "members:\n  - {name: h, role: r, permissions: all}\n" + PHASES,
            r"permissions: 'all' is given by a person, to one agent\. Known: deny, ask, edits",
        ),
        (
            HEAD + "members:\n  - {name: h, role: r, limits: {usd: free}}\n" + PHASES,
            r"members\[1\] \(h\).limits.usd|usd: 'free' is no number above 0",
        ),
        (
            HEAD + "members:\n  - {name: h-1, role: r}\n  - {name: h, role: r, count: 2}\n" + PHASES,
            r"'h-1' is the name of more than one member",
        ),
        (HEAD + "inputs: {task: mine}\n" + MEMBERS + PHASES, r"'task' is the name of more than one phase or"),
        (HEAD + "inputs: [task]\n" + MEMBERS + PHASES, r"inputs: a table of inputs by name is expected"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_naming_file_key_and_the_nearest(yaml: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        team(yaml)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: a, who: hend, what: a}", r"phases \(a\).who: no member 'hend'. Did you mean 'head'\?"),
        ("{name: a, what: a}", r"phases\[1\] \(a\).who: a member, or a list of them, is missing"),
        ("{name: a, who: head}", r"phases\[1\] \(a\).what: a text is missing"),
        ("{name: a, who: head, what: a, needs: b}", r"phases \(a\).needs: no phase 'b'"),
        ("{name: a, who: head, what: 'say {taks}'}", r"phases \(a\).what: no field 'taks'. Did you mean"),
        ("{name: a, who: head, what: 'say {inputs.x}'}", r"phases \(a\).what: no field 'inputs.x'"),
        ("{name: a, who: head, what: 'say {task.x}'}", r"phases \(a\).what: no field 'task.x'"),
        ("{name: a, who: head, what: 'say {a}'}", r"these phases wait for one another: a"),
        ("{name: a, who: head, what: a, deliverables: ../x}", r"'../x' would lie outside of the agent's dir"),
        ("{name: a, who: head, what: a, deliverables: /etc/x}", r"'/etc/x' would lie outside"),
        ("{name: a, who: head, what: a, when: b failed}", r"phases \(a\).when: no phase 'b'"),
        ("{name: a, who: head, what: a, when: b is failed}", r"a\).when: the condition 'b is failed'"),
    ],
)  # fmt: skip
def test_a_phase_that_is_wrong_is_refused_too(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        phases(f"  - {text}\n")


def test_who_speaks_is_a_member_of_that_phase() -> None:
    with pytest.raises(BadInput, match=r"\{a.hand\}: no member of a 'hand'\..* Known: head"):
        phases("  - {name: a, who: head, what: a}\n  - {name: b, who: head, what: 'x {a.hand}'}\n")


def test_a_circle_is_refused() -> None:
    with pytest.raises(BadInput, match=r"two.md: these phases wait for one another: a, b"):
        phases("  - {name: a, who: head, needs: b, what: a}\n  - {name: b, who: head, when: a ok, what: b}\n")


# conditions


SAID = {"review": ("ok", 'I say "REJECT"'), "tests": ("failed", "3 of 4"), "mend": ("skipped", "(skipped)")}


def known(phase: str, agent: str) -> tuple[str, str]:
    return ("ok", f"{agent} of {phase}") if agent else SAID[phase]


@pytest.mark.parametrize(
    ("written", "holds"),
    [
        ('review contains "REJECT"', True),
        ('review contains "reject"', False),
        ("review contains 'say \"REJECT\"'", True),
        ('not review contains "REJECT"', False),
        ('review.lead contains "lead of review"', True),
        ("tests failed", True),
        ("tests ok", False),
        ("mend skipped", True),
        ("tests ok or mend skipped", True),
        ("tests ok and mend skipped or review ok", True),
        ("tests failed and not review ok", False),
        ("not tests ok and not mend ok", True),
    ],
)
def test_a_condition_holds_or_not(written: str, holds: bool) -> None:
    assert holds is condition(written).holds(known)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "'' is no condition"),
        ("True", "one of contains, ok, failed, skipped should stand where the end is"),
        ("review faild", "should stand where faild is. Did you mean 'failed'?"),
        ("review contains REJECT", 'a text in quotes, such as "REJECT" should stand where REJECT is'),
        ('review contains ""', "a text that is not empty"),
        ('review contains "A" "B"', "'and' or 'or' should stand where \"B\" is"),
        ("review ok and", "a phase, such as review or review.lead should stand where the end is"),
        ("__import__('os').system('x')", "should stand where"),
        ("(review ok)", "a phase, such as review or review.lead should stand where ( is"),
    ],
)
def test_a_condition_outside_the_grammar_is_refused_where_it_leaves_it(written: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        condition(written)

    assert said in str(refused.value)
