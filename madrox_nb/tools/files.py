"""Tools that list and fetch files of agents: inside their workspaces, and nothing else."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Annotated, Any

from ..calls import Call, Result, find, in_tools, may_act, tool
from ..errors import BadInput, Forbidden, MadroxError
from ..events import PERSON
from ..files import File, Listing, Piece, copied, listed, read
from ..rules import covers
from ..tree import Agent
from .arguments import Who
from .telling import LONGEST_OUTPUT, fitting, iso

LARGEST_PIECE = 4 * 2**20
"""Bytes of a file that one call returns."""
LARGEST_COPY = 256 * 2**20
"""Bytes of a file that is copied."""
MOST_AT_ONCE = 100
"""Agents or files of one call."""

Inner = Annotated[str, "The file, from its workspace on, as list_instance_files names it."]
Into = Annotated[
    str | None,
    "Copy it there instead of returning it: a file or directory in your own workspace. It replaces "
    "a file of that name.",
]
Offset = Annotated[int, "The byte to begin with, to go on after an earlier piece."]
Most = Annotated[int, f"Bytes to return at most, up to {LARGEST_PIECE:,}."]


@tool(read_only=True)
async def list_instance_files(call: Call, instance_id: Who) -> Result:
    """List the files in an agent's workspace: yours, or that of one below you. Costs no turn.

    Left out are links, what a .gitignore excludes, tools' directories (node_modules, .venv,
    .git) and files that other programs carry out. At most 5,000 files are told.
    """
    agent = _readable(call, instance_id)
    listing = await asyncio.to_thread(listed, Path(agent.workspace))
    return Result(_drawn(agent, listing), _data(agent, listing))


@tool(read_only=True)
async def list_multiple_instance_files(
    call: Call, instance_ids: Annotated[list[str], "Whose workspaces."]
) -> Result:
    """List the files of several agents, as list_instance_files does for one. Costs no turn.

    An agent whose files can't be listed is told under its name; the others are there all the same.
    """
    _bounded(instance_ids, "instance_ids")
    results, errors, texts = [], [], []
    for name in instance_ids:
        try:
            told = await list_instance_files(call, name)
        except MadroxError as exc:
            errors.append({"instance_id": name, "error": in_tools(str(exc))})
            texts.append(f"{name}: not listed: {in_tools(str(exc))}")
            continue
        results.append(told.data)
        texts.append(told.text)
    return Result(_joined(texts), {"results": results, "errors": errors})


@tool()
async def retrieve_instance_file(
    call: Call,
    instance_id: Who,
    filename: Inner,
    destination_path: Into = None,
    offset: Offset = 0,
    max_bytes: Most = LONGEST_OUTPUT,
) -> Result:
    """Read a file of an agent, yours or of one below you, or copy it into your own workspace. Costs no turn.

    Text comes back as it is, anything else in base64. Of a large file the first bytes come
    back and where to go on: call it again with that offset. Secrets that are known are
    replaced in text. With destination_path nothing is returned but where the copy is.
    """
    agent = _readable(call, instance_id)
    if destination_path is not None:
        return await _copy(call, agent, filename, destination_path)
    if offset < 0 or not 0 < max_bytes <= LARGEST_PIECE:
        raise BadInput(f"offset counts from 0, and max_bytes is from 1 to {LARGEST_PIECE:,}")
    piece = await asyncio.to_thread(read, Path(agent.workspace), filename, offset=offset, limit=max_bytes)
    return _piece(call, agent, filename, piece)


@tool()
async def retrieve_multiple_instance_files(
    call: Call,
    retrievals: Annotated[
        list[dict[str, Any]] | None,
        'One for each file: {"instance_id": …, "filename": …, "destination_path": …?, "offset": …?}.',
    ] = None,
    requests: Annotated[list[dict[str, Any]] | None, "Another word for retrievals."] = None,
) -> Result:
    """Read or copy several files, as retrieve_instance_file does for one. Costs no turn.

    Of each at most an equal share of 20,000 bytes comes back. A file that can't be had is
    told with its error; the others are there all the same.
    """
    wanted = [*(retrievals or []), *(requests or [])]
    _bounded(wanted, "retrievals")
    results, errors, texts = [], [], []
    for each in wanted:
        name, filename = each.get("instance_id", ""), each.get("filename", "")
        try:
            told = await _one(call, each, LONGEST_OUTPUT // len(wanted))
        except MadroxError as exc:
            errors.append({"instance_id": name, "filename": filename, "error": in_tools(str(exc))})
            texts.append(f"{name}: {filename}: not retrieved: {in_tools(str(exc))}")
            continue
        results.append(told.data)
        texts.append(told.text)
    return Result("\n\n".join(texts), {"results": results, "errors": errors})


async def _one(call: Call, given: dict[str, Any], share: int) -> Result:
    asked = find("retrieve_instance_file").arguments({"max_bytes": share, **given})
    return await retrieve_instance_file(call, **asked)


def _readable(call: Call, name: str) -> Agent:
    """The agent whose files the caller may read: its own, and those of whom it commands.

    Not a sibling's and not its parent's: an agent reads unasked in its own workspace alone.
    """
    return may_act(call.manager.tree, call.caller, name, "read the files of")


async def _copy(call: Call, agent: Agent, filename: str, destination: str) -> Result:
    into = _own_place(call)
    path, size = await asyncio.to_thread(
        copied, Path(agent.workspace), filename, into, destination, largest=LARGEST_COPY
    )
    data = {
        "instance_id": agent.name,
        "filename": filename,
        "destination_path": str(into / path),
        "size": size,
    }
    return Result(f"copied {filename} of {agent.name} to {into / path} ({size:,} bytes)", data)


def _own_place(call: Call) -> Path:
    """Where the caller may have files written. Raises `Forbidden`."""
    if call.caller == PERSON:
        return Path.cwd()
    caller = call.manager.tree[call.caller]
    if not covers(caller.permissions, "edits"):
        raise Forbidden(
            f"{caller.name} runs with permissions={caller.permissions!r} and can't have files written "
            "unasked. Leave destination_path out to read the file"
        )
    return Path(caller.workspace)


def _piece(call: Call, agent: Agent, filename: str, piece: Piece) -> Result:
    """What came of reading: text when it is UTF-8, else base64."""
    facts = {
        "instance_id": agent.name,
        "filename": filename,
        "size": piece.size,
        "offset": piece.offset,
        "modified": iso(piece.modified),
    }
    at_end = piece.offset + len(piece.data) >= piece.size
    words = _words(piece.data, at_end)
    if words is None:
        content, encoding, taken, redacted = (
            base64.b64encode(piece.data).decode(),
            "base64",
            len(piece.data),
            False,
        )
    else:
        redactor = call.manager.redactor
        if not at_end:  # a secret may go on in the next piece: leave its beginning to that
            words = words[: len(words) - redactor.withheld(words)] or words
        content, encoding, taken = redactor.text(words), "utf-8", len(words.encode())
        redacted = content != words
    following = piece.offset + taken
    more = following < piece.size
    head = f"{agent.name}: {filename} ({piece.size:,} bytes{', in base64' if words is None else ''})"
    if more:
        head = f"{head}: bytes {piece.offset:,} to {following:,}; too large: go on with offset={following}"
    data = {
        **facts,
        "content": content,
        "encoding": encoding,
        "redacted": redacted,
        "truncated": more,
        "next_offset": following if more else None,
    }
    return Result(f"[{head}]\n{content}", data)


def _words(data: bytes, at_end: bool) -> str | None:
    """`data` as text; half a character at its end is left to the next piece. None for what is no text."""
    for cut in range(1 if at_end else 4):
        try:
            text = data[: len(data) - cut].decode()
        except UnicodeDecodeError:
            continue
        return None if "\0" in text or (data and not text) else text
    return None


def _drawn(agent: Agent, listing: Listing) -> str:
    lines = [f"{file.path} ({file.size:,} bytes, {iso(file.modified)[:19]}Z)" for file in listing.files]
    shown = lines[: len(lines) - fitting(lines[::-1])[1]]
    left_out = len(lines) - len(shown) + listing.left_out
    head = f"{agent.name}: {len(listing.files)} files in {agent.workspace}"
    notes = [f"[{left_out} more are left out here]"] if left_out else []
    if listing.hidden:
        notes.append(f"[{listing.hidden} are not shown: links, excluded by .gitignore, or tools' own]")
    return "\n".join([head, *shown, *notes])


def _data(agent: Agent, listing: Listing) -> dict[str, Any]:
    return {
        "instance_id": agent.name,
        "workspace": agent.workspace,
        "files": [file.path for file in listing.files],
        "details": [_row(file) for file in listing.files],
        "left_out": listing.left_out,
        "hidden": listing.hidden,
    }


def _row(file: File) -> dict[str, Any]:
    return {"path": file.path, "size": file.size, "modified": iso(file.modified)}


def _joined(texts: list[str]) -> str:
    shown, left_out = fitting(texts[::-1])
    more = [f"[{left_out} more workspaces are left out here: list them one by one]"] if left_out else []
    return "\n\n".join([*shown[::-1], *more])


def _bounded(given: list[Any], name: str) -> None:
    if not given:
        raise BadInput(f"{name} is empty: say which")
    if len(given) > MOST_AT_ONCE:
        raise BadInput(f"{name} holds {len(given)}, and one call takes {MOST_AT_ONCE}")
