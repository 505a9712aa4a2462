"""What a terminal program is like: a profile, which is data and comes from a TOML table.

The smallest one that works:

    command = "mytool"
    prompt = "^> "

`Profile.of` reads a table; each field here is a key there. Patterns are regular
expressions with `^` and `$` for each line. In `args`, `env`, `files`, `model` and the like
these stand for what they say: {agent} {role} {workspace} {files} {instructions} {model};
in `submit` and `multi_line`:

    {text}   what is to be sent, without control characters
    {json}   the same as one JSON (and Python) string, quotes included
    {shell}  the same as one word of a POSIX shell's, in its $'…' quotes
    {tag}    a word that is no line of the text
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import nearest

SHELL = r"^(?:[\w.-]*sh-\d[\d.]*|(?:\([\w.-]+\) )?\[?[\w.-]+@[\w.-]+[^\n]{0,200}?) ?[$#%] $"
"""The prompt of a shell where the program should be: `bash-5.2$ `, `ann@host:~$ `."""

Keys = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Dialog:
    """A question of the program's own, and the keys that answer it."""

    see: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where on a screen the answer stands, and what of it is no answer."""

    start: str = ""
    """It begins after the last match of this; empty: at the top."""
    end: str = ""
    """It ends before the first match of this after that; empty: at the bottom."""
    strip: Keys = ()
    """Matches of these are taken out."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How a program is started, spoken to, and understood."""

    name: str
    command: Keys
    """Names of the executable; the first on PATH is it."""
    prompt: str
    """It is ready for the next text. On a stream that has to be the last it printed."""
    args: Keys = ()
    provides: str = ""
    """How a person gets the program, one command."""
    tested: Keys = ()
    """Its versions that this profile was tried with."""
    harmless: bool = False
    """It has no tools: all that it does is speak."""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Name in the agent's private directory, {files}, → content."""
    model: Keys = ()
    """Arguments that say which model, when one is named: `["-m", "{model}"]`."""
    instructions: str | Keys = "none"
    """How the role is told: arguments with {instructions}, or `first` (with the first text), or `none`."""
    permissions: Mapping[str, Keys] = field(default_factory=dict)
    """Further arguments, for `deny`, `ask`, `edits` and `all`."""
    paints: bool = False
    """It paints a screen instead of printing lines."""
    size: tuple[int, int] = (24, 1000)
    """Rows and columns. A printing program should never have to wrap a line."""
    ready: str = ""
    """It has started; empty: when the prompt is there."""
    busy: str = ""
    """It works. Needed where the prompt can be seen meanwhile."""
    began: str = ""
    """Is on the screen once more for each text that was taken up. `busy` may be gone before it is seen."""
    shell: str = SHELL
    """The program is gone, and somebody else's prompt is there. Empty: never."""
    errors: Keys = ()
    """An answer with one of these in it is a failure."""
    dialogs: tuple[Dialog, ...] = ()
    submit: str = "{text}"
    multi_line: str = ""
    """The same for a text of several lines. Without it and `paste` they are joined to one."""
    replace: Mapping[str, str] = field(default_factory=dict)
    """Pattern of what can't be typed → what is typed instead."""
    paste: bool = False
    """Say that it is pasted (bracketed paste), so that line ends in it send nothing."""
    enter: str = "\n"
    """The keys that send it."""
    pause: float = 0.0
    """Seconds between the text's having been read and `enter`."""
    echo: bool = False
    """It prints what is typed. Lines before the answer that are lines of the text are no answer."""
    answer: Cut = field(default_factory=Cut)
    silent: bool = False
    """An empty answer is an answer."""
    stays: float = 0.05
    """Seconds that a prompt has to stay the last."""
    quiet: float = 0.0
    """Seconds without a change that are worth a notice; on a screen without prompt and work, its end."""
    interrupt: str = "\x03"
    """The keys that end a turn and keep what was said before. Empty: it knows none."""
    exit: str = ""
    """The keys that end the program."""

    @property
    def unguarded(self) -> bool:
        """Whether it does what it is told, and nothing holds it to an agent's permissions."""
        return not (self.harmless or self.permissions)

    @property
    def tells(self) -> bool:
        """Whether the program is told the instructions: a shell or a database is not."""
        filled = (*self.args, *self.env.values(), *self.files.values())
        return self.instructions != "none" or any("{instructions}" in each for each in filled)

    @property
    def speaks(self) -> bool:
        """Whether it is known of a line, as soon as it is printed, that it is one of the answer."""
        own = self.answer.start or self.answer.end or "\n" in self.prompt or r"\n" in self.prompt
        return not self.paints and not own

    @property
    def takes_lines(self) -> bool:
        """Whether a text of several lines can be sent as it is."""
        return bool(self.paste or self.multi_line or "{text}" not in self.submit)


def profile(name: str, table: Mapping[str, Any], place: str = "") -> Profile:
    """The profile of a table. Raises `ValueError`, which names the key, its place and what was meant."""
    where = f"profile {name!r} ({place or f'profiles/{name}.toml, or [terminal.{name}]'})"
    _known(Profile, table, where)  # first: a key that is misspelt is missing, too
    for key in ("command", "prompt"):
        if not table.get(key):
            raise ValueError(f"{where} has no {key!r}; it is needed")
    values = _values(Profile, table, where)
    made = Profile(name=name, **values)
    _check(made, where)
    return made


def _known(cls: type, table: Mapping[str, Any], where: str) -> dict[str, str]:
    """The types of the keys that `cls` knows. Raises `ValueError` for others."""
    known = {f.name: str(f.type) for f in fields(cls) if f.name != "name"}
    for key in table:
        if key not in known:
            raise ValueError(
                f"{where}: there is no key {key!r}.{nearest(key, known)} Known: {', '.join(known)}"
            )
    return known


def _values(cls: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = _known(cls, table, where)
    return {key: _value(known[key], value, f"{where}: {key}") for key, value in table.items()}


def _value(wanted: str, value: Any, where: str) -> Any:
    read = READERS[wanted]
    try:
        return read(value, where)
    except (TypeError, AttributeError):
        raise ValueError(f"{where} is {value!r} and should be {MEANT[wanted]}") from None


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any, where: str) -> Keys:
    return (value,) if isinstance(value, str) else tuple(_text(each, where) for each in value)


def _text_or_texts(value: Any, where: str) -> str | Keys:
    if isinstance(value, str) and value not in ("none", "first"):
        raise TypeError
    return value if isinstance(value, str) else _texts(value, where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise TypeError
    return float(value)


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _size(value: Any, where: str) -> tuple[int, int]:
    rows, columns = (int(_number(each, where)) for each in value)
    if not (0 < rows < 2000 and 0 < columns < 30000):
        raise TypeError
    return rows, columns


def _table(value: Any, where: str) -> dict[str, str]:
    return {_text(key, where): _text(each, where) for key, each in value.items()}


def _permissions(value: Any, where: str) -> dict[str, Keys]:
    if set(value) - {"deny", "ask", "edits", "all"}:
        raise TypeError
    return {key: _texts(each, where) for key, each in value.items()}


def _dialogs(value: Any, where: str) -> tuple[Dialog, ...]:
    return tuple(Dialog(**_values(Dialog, each, where)) for each in value)


def _cut(value: Any, where: str) -> Cut:
    return Cut(**_values(Cut, dict(value), where))


READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "str": _text,
    "Keys": _texts,
    "str | Keys": _text_or_texts,
    "float": _number,
    "bool": _flag,
    "tuple[int, int]": _size,
    "Mapping[str, str]": _table,
    "Mapping[str, Keys]": _permissions,
    "tuple[Dialog, ...]": _dialogs,
    "Cut": _cut,
}
MEANT: Mapping[str, str] = {
    "str": "a text",
    "Keys": "a text, or a list of texts",
    "str | Keys": '"none", "first", or a list of arguments',
    "float": "a number, not negative",
    "bool": "true or false",
    "tuple[int, int]": "[rows, columns]",
    "Mapping[str, str]": "a table of texts",
    "Mapping[str, Keys]": "a table of lists under deny, ask, edits and all",
    "tuple[Dialog, ...]": "a list of {see, answer}",
    "Cut": "a table with start, end and strip",
}


def _check(made: Profile, where: str) -> None:
    patterns = {
        **{key: getattr(made, key) for key in ("prompt", "ready", "busy", "began", "shell")},
        **{f"errors[{i}]": each for i, each in enumerate(made.errors)},
        **{f"dialogs[{i}].see": each.see for i, each in enumerate(made.dialogs)},
        "answer.start": made.answer.start,
        "answer.end": made.answer.end,
        **{f"answer.strip[{i}]": each for i, each in enumerate(made.answer.strip)},
    }
    for key, pattern in patterns.items():
        try:
            empty = re.compile(pattern, re.MULTILINE).match("")
        except re.error as exc:
            raise ValueError(f"{where}: {key} is no regular expression: {exc}") from None
        if pattern and empty:
            raise ValueError(f"{where}: {key} matches nothing at all, so it would match everywhere")
    for key in ("submit", "multi_line"):
        template = getattr(made, key)
        if template and not re.search(r"\{(text|json|shell)\}", template):
            raise ValueError(f"{where}: {key} has neither {{text}} nor {{json}} nor {{shell}} in it")
    if made.paints and not (made.busy or made.began):
        raise ValueError(
            f"{where}: a program that paints needs 'busy' or 'began', or no turn can be seen to begin"
        )


# what is typed

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Keys, to a terminal: none of them comes out of a text."""


def filled(template: str, values: Mapping[str, str]) -> str:
    """`template` with what its {words} stand for. Other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


def typed(profile: Profile, text: str, tag: str) -> str:
    """What to type, without the keys that send it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").encode(errors="replace").decode()
    plain = CONTROL.sub("", text)
    for odd, instead in profile.replace.items():
        plain = re.sub(odd, instead.replace("\\", r"\\"), plain, flags=re.MULTILINE)
    if not profile.paste:
        plain = plain.expandtabs(4)
    several = "\n" in plain
    if several and not profile.takes_lines:
        plain = " ".join(plain.splitlines())
    template = profile.multi_line if several and profile.multi_line else profile.submit
    while tag in plain:
        tag += "x"
    return filled(template, {"text": plain, "json": json.dumps(text), "shell": quoted(text), "tag": tag})


def quoted(text: str) -> str:
    """One word of bash's, in $'…' quotes: ASCII without a line end, whatever it holds."""
    return "$'" + "".join(_quoted(c) for c in text.replace("\0", "")) + "'"


def _quoted(c: str) -> str:
    if c in "\\'":
        return "\\" + c
    if c == "\n":
        return "\\n"
    if " " <= c <= "~":
        return c
    return "".join(f"\\{byte:03o}" for byte in c.encode(errors="replace"))
