"""What the person's verbs give back, and how a cell shows it.

Everything here is a value: it keeps what was true when it was asked for.
"""

from __future__ import annotations

import copy
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, overload

from . import views
from .clients import Client, Clients, Issued
from .errors import TurnFailed
from .events import NAN, TurnEnded
from .folds import Message
from .tickets import Answer
from .tree import Agent, Tree
from .views import Picture

if TYPE_CHECKING:
    import pandas as pd

    from .calls import Result

LONGEST_SHOWN: Final = 20_000
"""Characters of one text that a cell shows; the value holds all of it."""
RED: Final = "color:var(--jp-error-color1,#c62828)"


@dataclass(frozen=True, kw_only=True, repr=False)
class Reply(Answer):
    """What came of a turn: `text`, `ok`, `outcome`, `error`, `replies`, `usage`, `turn`, …

    `text` is all that it answered: what it said with `reply_to_caller` on the way
    (`replies`), then its last words.

    A turn that failed or was interrupted is a reply too; `check` makes it an error.
    """

    @property
    def cost_usd(self) -> float:
        """US dollars for this turn; NaN when nobody knows."""
        return self.usage.known_usd if self.usage.sources else NAN

    @property
    def cost_source(self) -> str:
        """Where the price comes from: `cli`, `user`, `genai-prices`, `rehearsal`, `unknown`."""
        return ", ".join(self.usage.sources) or "unknown"

    def check(self) -> Self:
        """This reply, if its turn ended well. Raises `TurnFailed`."""
        if not self.ok:
            ended = TurnEnded(
                agent=self.agent, turn=self.turn, outcome=self.outcome, text=self.text, error=self.error
            )
            raise TurnFailed(ended)
        return self

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<reply {self.turn} {self.outcome}, {len(self.text):,} characters>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        said = self.text
        if self.ok:
            return as_markdown(shortened(said))
        interrupted = self.outcome == "interrupted"  # somebody's wish, nothing that went wrong
        what = f"{'■' if interrupted else '✕'} {self.turn} {self.outcome}"
        what += f": {views.legible(self.error)}" if self.error else ""
        page = f'<p style="{"" if interrupted else RED}">{escape(what)}</p>'
        rest = f'<pre style="white-space:pre-wrap">{escape(shortened(said))}</pre>' if said else ""
        return {"text/plain": "\n".join((what, shortened(said))).strip(), "text/html": page + rest}


def as_markdown(text: str) -> dict[str, str]:
    """`text` as Markdown for a cell.

    The page shows our HTML: agents wrote the text, and a front end would let what looks
    like HTML in it become part of the page, scripts included. Its lines stay lines.
    """
    import mistune  # 20 ms, and only what is shown needs it

    plugins = ["strikethrough", "table", "url"]
    page = mistune.create_markdown(escape=True, hard_wrap=True, plugins=plugins)(text)
    return {"text/plain": text, "text/markdown": text, "text/html": str(page)}


def shortened(text: str) -> str:
    """`text` as a cell shows it: legible, and cut where the cell would grow too long, saying so."""
    if len(text) <= LONGEST_SHOWN:
        return views.legible(text)
    return (
        f"{views.legible(text[:LONGEST_SHOWN])}\n\n… {len(text) - LONGEST_SHOWN:,} more characters in .text"
    )


class Replies(Mapping[str, Reply]):
    """The last reply of each agent that was waited for, by name. One alone is shown in full."""

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        self._replies = dict(replies)

    def __getitem__(self, name: str) -> Reply:
        return self._replies[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._replies)

    def __len__(self) -> int:
        return len(self._replies)

    def __repr__(self) -> str:
        if not self:
            return "No replies."
        return "\n".join(_first_line(reply) for reply in self.values())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if len(self) == 1:
            return next(iter(self.values()))._repr_mimebundle_()
        return {"text/plain": repr(self)}


def _first_line(reply: Reply) -> str:
    said = " ".join((reply.text if reply.ok else reply.error or reply.text).split())
    line = f"{reply.turn} {reply.outcome}: {said}"
    return line if len(line) <= views.LONGEST else f"{line[: views.LONGEST - 1]}…"


class Letters(Sequence[Message]):
    """Messages taken out of the person's inbox, oldest first."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._messages = tuple(messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __repr__(self) -> str:
        return f"<{len(self)} message{'' if len(self) == 1 else 's'}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if not self:
            return {"text/plain": "No messages."}
        heads = [(f"{m.sender} answers [{m.answers}]" if m.answers else m.sender) for m in self]
        plain = "\n\n".join(f"[{m.id}] {head}:\n{m.text}" for head, m in zip(heads, self, strict=True))
        marked = "\n\n".join(f"**{head}** `{m.id}`\n\n{m.text}" for head, m in zip(heads, self, strict=True))
        return {**as_markdown(shortened(marked)), "text/plain": shortened(plain)}


class Snapshot:
    """The tree as it was when it was asked for. Items are agents, by name."""

    def __init__(self, tree: Tree, picture: Picture) -> None:
        self._tree = copy.copy(tree)
        for name, value in vars(tree).items():
            setattr(self._tree, name, copy.copy(value))
        self.picture = picture

    def __getitem__(self, name: str) -> Agent:
        """The agent of that name. Raises `UnknownAgent` with the nearest known name."""
        return self._tree[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tree

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._tree)

    def __len__(self) -> int:
        return len(self._tree)

    def __eq__(self, other: object) -> bool:
        """Equal to a snapshot, or a tree, in which the same has happened to everyone."""
        return self._tree == (other._tree if isinstance(other, Snapshot) else other)

    def children(self, name: str | None = None) -> list[Agent]:
        """The direct children of `name`; the roots without one."""
        return self._tree.children(name)

    def alive(self) -> list[Agent]:
        return self._tree.alive()

    def __str__(self) -> str:
        return views.plain(self.picture)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return views.html(self.picture)


@dataclass(frozen=True, repr=False)
class Told:
    """What a tool has told: `text` for a person, `data` for a program."""

    text: str
    data: Mapping[str, Any]

    @classmethod
    def of(cls, result: Result) -> Self:
        return cls(result.text, result.data)

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": shortened(self.text)}


class ClientTokens:
    """The tokens that outside clients were given: `create`, `revoke`, `list`.

    Unlike your own token, which may do everything, each has a scope: `read` looks,
    `operate` runs agents within what is allowed already, `admin` does all that you may.
    They hold for every kernel of this home, until they are revoked.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def create(self, name: str, scope: str = "read") -> Issued:
        """A new token, shown once. Raises `BadInput` for a name that is taken, or an unknown scope."""
        return self._clients.create(name, scope)

    def revoke(self, name: str) -> Client:
        """From now on it speaks for nobody. Raises `UnknownToken`."""
        return self._clients.revoke(name)

    def list(self) -> pd.DataFrame:
        """One row a token: its name, scope, and when it was made."""
        from .frames import texts

        return texts(map(vars, self._clients), "name", "scope", "created")

    def __repr__(self) -> str:
        return f"<tokens: {', '.join(f'{each.name} ({each.scope})' for each in self._clients) or 'none'}>"


@dataclass(frozen=True)
class Serving:
    """Where the MCP server listens, and how other clients get in.

    The token is kept in a file that only you can read. It is shown nowhere: the lines to
    paste read that file.
    """

    url: str
    token: str = field(repr=False)
    token_file: Path
    notice: str = ""
    public_url: str = ""
    """Where others than this machine's users reach it, when that is another address."""

    @property
    def claude_code(self) -> str:
        """The line that makes the tools known to Claude Code."""
        header = f'--header "Authorization: Bearer {self._secret}"'
        return f"claude mcp add --transport http madrox {self.url} {header}"

    @property
    def claude_desktop(self) -> str:
        """What goes into Claude Desktop's configuration: it starts `madrox mcp`, which finds this server."""
        command, *args = self._bridge
        server = {"command": command, "args": args, "env": {"MADROX_HOME": str(self.token_file.parent)}}
        return json.dumps({"mcpServers": {"madrox": server}})

    @property
    def codex(self) -> str:
        """The line that makes the tools known to Codex, by `madrox mcp` too."""
        home = shlex.quote(f"MADROX_HOME={self.token_file.parent}")
        return f"codex mcp add madrox --env {home} -- {shlex.join(self._bridge)}"

    @property
    def _bridge(self) -> tuple[str, ...]:
        """In full, because programs with windows are started with hardly any PATH."""
        return (sys.executable, "-m", "madrox_nb.cli", "mcp")

    @property
    def _secret(self) -> str:
        return f"$(cat {shlex.quote(str(self.token_file))})"

    def __str__(self) -> str:
        lines = [
            f"The MCP server listens at {self.url}" + (f" ({self.notice})" if self.notice else ""),
            *([f"Others reach it at {self.public_url}"] if self.public_url else []),
            "",
            "Claude Code, in a terminal of this machine:",
            f"  {self.claude_code}",
            "Codex, in a terminal of this machine:",
            f"  {self.codex}",
            "Claude Desktop, in claude_desktop_config.json:",
            f"  {self.claude_desktop}",
        ]
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self)}
