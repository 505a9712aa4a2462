"""The magic itself, and how a shell gets it."""

from __future__ import annotations

import re
from tokenize import DEDENT, INDENT, TokenInfo
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import HelpEnd, TokenTransformBase
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)

from ..errors import MadroxError
from .commands import HelpShown
from .completion import MATCHER, complete
from .line import read
from .table import COMMANDS, overview

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@magics_class
class MadroxMagics(Magics):
    """`%madrox` and `%%madrox`."""

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def madrox(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        shell = self.shell
        assert shell is not None
        try:
            line = _meant(line)
            call = read(line, cell, {**shell.user_ns, **(local_ns or {})})
            value = call.command.carry_out(call)
        except HelpShown:
            return None
        except (MadroxError, TimeoutError) as exc:
            raise _plain(exc) from None
        if call.out is not None:
            shell.user_ns[call.out] = value
        return None if call.silent or call.out is not None else value

    madrox.__doc__ = overview()


def _meant(line: str) -> str:
    """A bare `%madrox`, whatever its comment, is the dashboard where one can be drawn, else the help."""
    if line.strip() in ("-h", "--help"):
        return "help"
    if line.strip() and not line.lstrip().startswith("#"):
        return line
    from ..display import kernel

    return "help" if kernel() is None else "view"


def _plain(error: Exception) -> Exception:
    """`error`, shown in a cell by its words alone: they say what to do, our frames do not."""
    lines = f"{type(error).__name__}: {error}".splitlines()
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]  # what IPython asks an error for
    return error


class Question(TokenTransformBase):
    """`%madrox send lead Why?` asks lead. IPython would look up help for `Why` (ipython#14258)."""

    priority = HelpEnd.priority - 1
    _speaking = "|".join(each.name for each in COMMANDS.values() if each.says)
    _asks = re.compile(rf"(\s*(?:[\w.,\[\]'\" ]+=\s*)?)%madrox\s+((?:{_speaking})\s+\S+\s+\S.*\?)\s*")

    @classmethod
    def find(cls, tokens_by_line: list[list[TokenInfo]]) -> Question | None:
        for tokens in tokens_by_line:
            first = next((each for each in tokens if each.type not in (INDENT, DEDENT)), None)
            if first is not None and cls._asks.fullmatch(first.line):
                return cls(first.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        match = self._asks.fullmatch(lines[self.start_line])
        assert match is not None
        call = f"{match[1]}get_ipython().run_line_magic('madrox', {match[2]!r})\n"
        return [*lines[: self.start_line], call, *lines[self.start_line + 1 :]]


def load(shell: InteractiveShell) -> None:
    """Register the magic, its completion and its questions. Twice is as good as once."""
    unload(shell)
    shell.register_magics(MadroxMagics)
    shell.input_transformer_manager.token_transformers.append(Question)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.insert(0, complete)


def unload(shell: InteractiveShell) -> None:
    """Take them away. Agents go on; a later `load` finds them again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("madrox", None)
    transformers = shell.input_transformer_manager.token_transformers
    transformers[:] = [each for each in transformers if each.__name__ != Question.__name__]
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [each for each in matchers if getattr(each, "matcher_identifier", "") != MATCHER]
