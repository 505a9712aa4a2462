"""The rules of a harness that a disturbed replay shows: strangers, garbage, disorder, damage, sudden ends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from .events import UsageReported
from .harness import Harness, Item, Unreadable, Withdraw, Write
from .replays import Broken, Player, Story, Told, nothing_but_unreadable

KINDS: Final = ("type", "method", "kind", "event", "subtype", "sessionUpdate")
"""Where a message of a JSON protocol says what it is."""
NO_KIND: Final = "madrox/no-such-kind"

GARBAGE: Final = (
    "",
    " ",
    "garbage",
    "{",
    '{"type": "result"',
    "\x00\x07\x1b[2J",
    "\ufffd\ud800",
    "[" * 100_000,
    "9" * 5000,
)
"""Lines that are no JSON, or none that can be read."""
NOT_OBJECTS: Final = ("null", "true", "42", '"text"', "[]", '["type"]')
WRONG: Final[tuple[Any, ...]] = (None, -1, "x", [None], {"type": "text"})
"""What takes the place of each value of a message, one after the other."""
DEEPEST: Final = 5
"""Levels of a message that are disturbed."""


def check_strangers(cls: type[Harness], story: Story, told: Told) -> None:
    """Messages of a later version, and garbage, in between: they give nothing and change nothing."""
    player, expected, given = Player(cls, story), list[Item](), list[Item]()
    for (number, items), text, message in zip(told, story.lines, story.messages, strict=True):
        if message is not None and (stranger := _stranger(message)) is not None:
            given += _passed_over(player, stranger, number)
        if all(story.messages):
            _check_lines(player.codec, GARBAGE[number % len(GARBAGE) :][:1] + NOT_OBJECTS[:1], number, True)
        given += player.try_read(text, number)
        expected += items
        if repr(expected) != repr(given):
            new = [item for item in given[len(expected) - len(items) :] if item not in items]
            raise Broken(
                "what can't be read changes nothing",
                f"after unknown messages and garbage {new or 'less'} instead of {items}",
                number,
            )


def _stranger(message: Mapping[str, Any]) -> str | None:
    """`message` as one of a kind that nobody knows yet."""
    for name in KINDS[:4]:
        if isinstance(message.get(name), str):
            return json.dumps({**message, name: NO_KIND})
    if "id" in message and ("result" in message or "error" in message):
        return json.dumps({**message, "id": 987_654_321})
    return None


def _passed_over(player: Player, stranger: str, number: int) -> list[Item]:
    """What an unknown message gave. It may be refused, and it may bring to light what we did before it."""
    rule = "unknown messages give nothing"
    try:
        items = list(player.codec.read(stranger))
    except Exception as exc:
        raise Broken(rule, f"{exc!r} on {stranger[:200]}", number) from exc
    if more := [item for item in items if not isinstance(item, Write | Withdraw)]:
        raise Broken(rule, f"{more} out of {stranger[:200]}", number)
    return [item for item in items if isinstance(item, Withdraw)]


def check_garbage(cls: type[Harness], story: Story) -> None:
    """Lines of no protocol at all."""
    _check_lines(Player(cls, story).codec, GARBAGE, 0, False)


def _check_lines(codec: Harness, lines: Iterable[str], number: int, must: bool) -> None:
    """Lines outside the protocol raise `Unreadable`, or (unless they `must`) mean something; no more."""
    for line in lines:
        try:
            items = list(codec.read(line))
        except Unreadable:
            continue
        except Exception as exc:
            raise Broken("garbage raises Unreadable", f"{exc!r} on {line[:80]!r}", number) from exc
        if must:
            raise Broken("garbage raises Unreadable", f"{line[:80]!r} gave {items}", number)


def check_quiet_interrupts(cls: type[Harness], story: Story, told: Told) -> None:
    """An interrupt between turns comes too late, and that is all.

    Where the codec writes a line for it, the recorded CLI did not answer that line, so
    only that nothing is raised can be seen.
    """
    player = Player(cls, story, interrupts_between=True)
    for (number, items), text in zip(told, story.lines, strict=True):
        with nothing_but_unreadable(number, "after an interrupt between turns"):
            again = player.try_read(text, number)
        if not player.idle_writes and repr(items) != repr(again):
            raise Broken("an interrupt between turns is harmless", f"{again} instead of {items}", number)


def check_disorder(cls: type[Harness], story: Story) -> None:
    """Lines twice, backwards, and before they were asked for."""
    twice, backwards, asleep = Player(cls, story), Player(cls, story), cls(story.brief)
    numbered = list(enumerate(story.lines, 1))
    for line, text in numbered:
        for _ in range(2):
            _survives(twice, text, line, "read twice")
    for line, text in reversed(numbered):
        _survives(backwards, text, line, "read backwards")
    for line, text in numbered:
        with nothing_but_unreadable(line, "on a line read before greet()"), suppress(Unreadable):
            list(asleep.read(text))


def check_damage(cls: type[Harness], story: Story) -> None:
    """Each kind of message with each of its fields missing, or holding something else."""
    player, known = Player(cls, story), set[str]()
    for number, (text, message) in enumerate(zip(story.lines, story.messages, strict=True), 1):
        if message is not None and (shape := _shape(message)) not in known:
            known.add(shape)
            for damaged in _damaged(message):
                _survives(player, json.dumps(damaged), number, "damaged")
                if not player.codec.turn and player.ready:
                    player.begin(False, number)
        _survives(player, text, number, "read after damaged ones")
    _check_lines(player.codec, (*GARBAGE, *NOT_OBJECTS), len(story.lines), False)


def _survives(player: Player, text: str, line: int, how: str) -> None:
    with nothing_but_unreadable(line, f"on a line {how}: {text[:200]}"), suppress(Unreadable):
        player.read(text, line)


def _shape(message: Mapping[str, Any], depth: int = 0) -> str:
    """What tells kinds of messages apart: their fields, and what they say they are."""
    parts = []
    for name, value in sorted(message.items()):
        inner = _shape(value, depth + 1) if isinstance(value, dict) and depth < 2 else ""
        parts.append(f"{name}={value if name in KINDS else inner}")
    return "{" + ",".join(parts) + "}"


def _damaged(message: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    for name, value in message.items():
        rest = {key: each for key, each in message.items() if key != name}
        yield rest
        yield from ({**message, name: wrong} for wrong in WRONG)
        if isinstance(value, dict) and depth < DEEPEST:
            yield from ({**message, name: inner} for inner in _damaged(value, depth + 1))
        elif isinstance(value, list) and value and isinstance(value[0], dict) and depth < DEEPEST:
            yield from ({**message, name: [inner, *value[1:]]} for inner in _damaged(value[0], depth + 1))


def check_lost(cls: type[Harness], story: Story) -> None:
    """At whatever line the CLI goes away: what is known then is usage of the turn under way."""
    rule = "lost tells the usage of the turn under way"
    player = Player(cls, story)
    for number, text in enumerate(story.lines, 1):
        player.try_read(text, number)
        try:
            events = list(player.codec.lost())
        except Exception as exc:
            raise Broken(rule, f"{exc!r}", number) from exc
        for event in events:
            if not isinstance(event, UsageReported) or event.turn != player.codec.turn or not event.turn:
                raise Broken(rule, f"{player.codec.turn or 'no turn'} is under way: {event}", number)
