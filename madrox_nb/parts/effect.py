"""What a tool would do, from its arguments: the lines that an edit would change, or a command in full.

A file is read only inside its agent's own workspace, where no link leads out, and only while the
request waits: later it would be compared with what it has become. Everything else is told from
the arguments alone. What has no end is cut, and says how much is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final, NamedTuple

from .. import files
from ..errors import BadInput
from ..rules import acted_on

CONTEXT: Final = 3
"""Unchanged lines shown around a change."""
LINES: Final = 400
"""Lines of a difference that are shown."""
WIDTH: Final = 400
"""Characters shown of each of them."""
COMPARED: Final = 1_500
"""Lines on a side that are compared one by one: it takes their product. Longer ones are replaced whole."""
LARGEST: Final = 1_000_000
"""Bytes of a file that are read."""
FILES: Final = 40
"""Files of one edit."""
TEXT: Final = 20_000
"""Characters of a command that are shown."""

Line = tuple[str, int | None, int | None, str]
"""(`" "`, `"+"`, `"-"` or `"@"`; number before; number after; text)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file, before and after. `old` is None where it is not known: then `new` is all there is."""

    path: str
    old: str | None
    new: str
    whole: bool = True
    """Whether these are whole files, so that line numbers mean something."""
    said: str = ""
    """What the difference can't tell."""
    patch: bool = False
    """`new` is a unified diff, made by the tool."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads text files of a workspace; with none, nothing is read. Secrets are replaced."""

    workspace: Path | None
    redacted: Callable[[str], str] = str

    def __call__(self, path: str) -> tuple[str | None, str]:
        """The text of a file, or None and why not. One that is not there is empty."""
        if self.workspace is None:
            return None, ""
        inner = Path(path)
        if inner.is_absolute():
            if not inner.is_relative_to(self.workspace):
                return None, "outside its workspace: what is there is not shown"
            inner = inner.relative_to(self.workspace)
        try:
            piece = files.read(self.workspace, str(inner), limit=LARGEST)
        except BadInput as exc:
            return (None, str(exc)) if (self.workspace / inner).exists() else ("", "a new file")
        if piece.size > LARGEST:
            return None, f"the file has {piece.size:,} bytes: too many to compare"
        try:
            return self.redacted(piece.data.decode()), ""
        except UnicodeDecodeError:
            return None, "what is there is no text"


class Edit(NamedTuple):
    """One replacement in a file."""

    old: str
    new: str
    everywhere: bool = False


def path_of(given: Mapping[str, Any]) -> str:
    """The file that an edit with these arguments would change; empty when it is no edit.

    Arguments that an edit does not have make it another tool's: a difference would not show them. Where
    the CLI tells the difference itself, what else there is stands below that: see `_besides`.
    """
    match given:
        case {"changes": [{"path": str(path), "newText": str()}, *_] as changes}:
            return path if all(isinstance(each, Mapping) and _is_told(each) for each in changes) else ""
        case {"filepath": str(path), "diff": str()}:
            return path
        case {"changes": [{"path": str(path)}, *_] as changes, **rest} if not rest:
            return (
                path if all(isinstance(each, Mapping) and each.keys() <= _PATCH for each in changes) else ""
            )
        case {"file_path": str(path), "content": str(), **rest} if not rest:
            return path
        case {"file_path": str(path), "edits": [_, *_] as edits, **rest} if not rest:
            return path if all(isinstance(each, Mapping) and _is_edit(each) for each in edits) else ""
        case {"file_path": str(path), **rest} if _is_edit(rest):
            return path
        case {"notebook_path": str(path), "new_source": str(), **rest} if rest.keys() <= _CELL:
            return path
    return ""


def paths_of(given: Mapping[str, Any]) -> list[str]:
    """All files that an edit with these arguments would change."""
    first = path_of(given)
    return [str(each["path"]) for each in given.get("changes", ())] or [first] if first else []


def _is_told(given: Mapping[str, Any]) -> bool:
    """One change as the Agent Client Protocol tells it: the text before, null of a new file, and after."""
    match given:
        case {"path": str(), "newText": str()}:
            return isinstance(given.get("oldText") or "", str)
    return False


def _besides(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a difference that the CLI tells itself does not show."""
    match given:
        case {"changes": [{"newText": str()}, *_] as changes, **rest}:
            shown = [each["path"] for each in changes]
            return {name: value for name, value in rest.items() if (name, value) != ("paths", shown)}
        case {"filepath": str(path), "diff": str(), **rest}:
            shown = [path]
            return {name: value for name, value in rest.items() if (name, value) != ("paths", shown)}
    return {}


_PATCH: Final = frozenset({"path", "kind", "diff"})
_CELL: Final = frozenset({"cell_id", "cell_number", "cell_type", "edit_mode"})


def _is_edit(given: Mapping[str, Any]) -> bool:
    match given:
        case {"old_string": str(), "new_string": str(), **rest}:
            return not rest or list(rest) == ["replace_all"]
    return False


def effect(given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """What there is to see before one says yes."""
    if path_of(given):
        changes = list(_changes(given, reader))
        return {**differences(changes), **_rest(_besides(given))}
    text = acted_on({"command": given["command"]}) if "command" in given else ""
    rest = {name: value for name, value in given.items() if not (text and name == "command")}
    return {
        "kind": "run" if text else "use",
        "text": text[:TEXT],
        "text_more": max(0, len(text) - TEXT),
        **_rest(rest),
    }


def _rest(rest: Mapping[str, Any]) -> dict[str, Any]:
    told = json.dumps(rest, ensure_ascii=False, indent=2) if rest else ""
    return {"rest": told[:TEXT], "rest_more": max(0, len(told) - TEXT)}


# what would change


def _changes(given: Mapping[str, Any], reader: Reader) -> Iterator[Change]:
    match given:
        case {"changes": [{"newText": str()}, *_] as changes}:
            for each in changes:
                yield _told_by_cli(each, reader)
        case {"filepath": str(path), "diff": str(patch)}:
            yield Change(path, None, patch, whole=False, patch=True)
        case {"changes": [*changes]}:
            for each in changes:
                yield _patched(each)
        case {"file_path": str(path), "content": str(content)}:
            old, why = reader(path)
            yield Change(path, old, content, said=why)
        case {"file_path": str(path), "edits": [*edits]}:
            yield _edited(path, [_edit(each) for each in edits], reader)
        case {"file_path": str(path)}:
            yield _edited(path, [_edit(given)], reader)
        case {"notebook_path": str(path), "new_source": str(new)}:
            where = given.get("cell_id") or given.get("cell_number") or ""
            mode = given.get("edit_mode") or "replace"
            yield Change(path, None, new, whole=False, said=f"{mode} cell {where}".strip())


def _edit(given: Mapping[str, Any]) -> Edit:
    return Edit(given["old_string"], given["new_string"], bool(given.get("replace_all")))


def _edited(path: str, edits: Sequence[Edit], reader: Reader) -> Change:
    """The file with these replacements; where it can't be read, or they don't fit it, they alone."""
    before, why = reader(path)
    if before is not None:
        after = _replaced(before, edits)
        if after is not None:
            return Change(path, before, after)
        why = "the text to be replaced is not in the file: the edit would fail"
    old, new = "\n".join(edit.old for edit in edits), "\n".join(edit.new for edit in edits)
    return Change(path, old, new, whole=False, said=why)


def _replaced(text: str, edits: Sequence[Edit]) -> str | None:
    """`text` after all of them; None when one does not fit. An empty `old` makes a new file."""
    for old, new, everywhere in edits:
        if old not in text or (text and not old):
            return None
        text = text.replace(old, new, -1 if everywhere else 1)
    return text


def _told_by_cli(given: Mapping[str, Any], reader: Reader) -> Change:
    """Before and after, of the whole file or of a piece of it: some CLIs tell this, some that."""
    path, old, new = given["path"], given.get("oldText") or "", given["newText"]
    before, why = reader(path)
    if before is None:
        return Change(path, old, new, whole=False, said=why)
    if before == old:
        return Change(path, old, new, said=why)
    if (after := _replaced(before, [Edit(old, new)])) is not None:
        return Change(path, before, after)
    return Change(path, old, new, whole=False, said="what the file holds now is something else")


def _patched(given: Mapping[str, Any]) -> Change:
    """One of Codex's changes: its `diff` is a patch for a file that is there, and else the file's text."""
    kind = given.get("kind")
    name, moved = (kind.get("type"), kind.get("move_path")) if isinstance(kind, Mapping) else (kind, None)
    path, text = str(given.get("path", "")), str(given.get("diff") or "")
    said = f"becomes {moved}" if moved else ""
    if name == "delete":
        return Change(path, text, "", said="the file is deleted")
    if name == "add":
        return Change(path, None, text, said=said or "a new file")
    return Change(path, None, text, whole=False, said=said, patch=True)


# the difference


def _drawn(change: Change) -> dict[str, Any]:
    made = _of_patch(change.new) if change.patch else difference(change.old or "", change.new)
    lines = list(made)
    shown = [_told(line, change.whole) for line in lines[:LINES]]
    return {
        "path": change.path,
        "said": change.said,
        "added": sum(line[0] == "+" for line in lines),
        "removed": sum(line[0] == "-" for line in lines),
        "lines": shown,
        "more": max(0, len(lines) - LINES),
    }


def differences(changes: Sequence[Change]) -> dict[str, Any]:
    """These changes as an edit is told."""
    drawn = [_drawn(change) for change in changes[:FILES]]
    return {"kind": "edit", "files": drawn, "files_more": max(0, len(changes) - FILES)}


def patched(patch: str) -> Iterator[Change]:
    """The files of a patch that git made without prefixes."""
    for piece in re.split(r"^diff --git ", patch, flags=re.MULTILINE)[1:]:
        head, _, body = piece.partition("\n@@")
        names = re.findall(r"^(?:---|\+\+\+) (.+?)\t?$", head, re.MULTILINE)
        both = head.partition("\n")[0]  # `a a`: all there is of a file that is empty, or no text
        path = next((name for name in reversed(names) if name != "/dev/null"), both[: len(both) // 2])
        said = [words for sign, words in _HEADS.items() if re.search(sign, head, re.MULTILINE)]
        yield Change(path, None, f"@@{body}" if body else "", said=", ".join(said), patch=True, whole=False)


_HEADS: Final = {
    r"^new file": "a new file",
    r"^deleted file": "the file is deleted",
    r"^Binary files": "what is there is no text",
}


def _told(line: Line, numbered: bool) -> list[Any]:
    sign, before, after, text = line
    cut = text if len(text) <= WIDTH else f"{text[:WIDTH]} … {len(text) - WIDTH:,} more characters"
    return [sign, before if numbered else None, after if numbered else None, cut]


def difference(old: str, new: str) -> Iterator[Line]:
    """The lines that differ, with `CONTEXT` around them; `@` stands where lines are left out.

    Lines of a long change are not compared one by one: see `COMPARED`.
    """
    before, after = _lines(old), _lines(new)
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    lead, trail = min(head, CONTEXT), min(tail, CONTEXT)
    first = head - lead
    one, other = before[first : len(before) - tail + trail], after[first : len(after) - tail + trail]
    last = 0
    for group in _groups(one, other, lead, trail):
        if group[0][1] + first > last:
            yield ("@", None, None, "")
        for tag, i1, i2, j1, j2 in group:
            last = i2 + first
            if tag == "equal":
                pairs = zip(range(i1, i2), range(j1, j2), strict=True)
                yield from ((" ", i + first + 1, j + first + 1, one[i]) for i, j in pairs)
            else:
                yield from (("-", i + first + 1, None, one[i]) for i in range(i1, i2))
                yield from (("+", None, j + first + 1, other[j]) for j in range(j1, j2))


Step = tuple[str, int, int, int, int]


def _groups(one: list[str], other: list[str], lead: int, trail: int) -> Iterable[Sequence[Step]]:
    """What differs, in pieces; the first `lead` and the last `trail` lines are the same."""
    if max(len(one), len(other)) <= COMPARED:
        return SequenceMatcher(None, one, other, autojunk=False).get_grouped_opcodes(CONTEXT)
    ends = (len(one) - trail, len(other) - trail)
    whole = [("equal", 0, lead, 0, lead), ("replace", lead, ends[0], lead, ends[1])]
    return [[*whole, ("equal", ends[0], len(one), ends[1], len(other))]]


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _common(one: list[str], other: list[str]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _of_patch(patch: str) -> Iterator[Line]:
    """The lines of a unified diff, without its heads: in a piece, `--- x` is the line `-- x` that goes."""
    inside = "\n@@" not in f"\n{patch}"
    for line in patch.splitlines():
        if line.startswith("@@"):
            inside = True
            yield ("@", None, None, line.rpartition("@@")[2].strip())
        elif not inside or line[:1] == "\\":
            continue
        elif line[:1] in ("+", "-"):
            yield (line[0], None, None, line[1:])
        elif line[:1] in (" ", ""):
            yield (" ", None, None, line[1:])
        else:  # the head of another file
            inside = False
