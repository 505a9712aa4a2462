"""What every recording of two turns says, whichever CLI was recorded."""

from madrox_nb.events import TextDelta, TurnEnded, TurnSaid


def of(items, kind):
    return [item for item in items if isinstance(item, kind)]


def two_turns(items):
    """`one` and `two` were asked, and the second still knew of the first: checks it, and gives its end."""
    first, second = of(items, TurnEnded)

    assert ("lead.t1", "ok", "echo: one | seen=[]", "") == (
        first.turn,
        first.outcome,
        first.text,
        first.error,
    )
    assert 'echo: two | seen=["one"]' == second.text
    assert [first.text, second.text] == [said.text for said in of(items, TurnSaid)]
    assert second.text == "".join(d.text for d in of(items, TextDelta) if d.turn == "lead.t2")
    return second
