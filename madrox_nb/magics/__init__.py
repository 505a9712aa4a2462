"""`%madrox` and `%%madrox`: the person's verbs as words of a cell.

Every subcommand is a verb or a view of `notebook.Madrox` and returns what that returns.
This package loads next to nothing; the rest comes with the first verb.

In lines and cell bodies `{name}`, `{name.attribute}`, `{name[key]}`, with `!r` or a
format after it, are replaced when `name` is one of your variables and the rest can be
had from it. All else stays as it is written: JSON, `{k: v for k in …}`, `$name`,
`{{name}}`. `--raw` replaces nothing. In options `${NAME}` means the environment.
"""

from .completion import candidates, complete
from .extension import MadroxMagics, load, unload
from .line import interpolated, read
from .table import COMMANDS, overview

__all__ = [
    "COMMANDS",
    "MadroxMagics",
    "candidates",
    "complete",
    "interpolated",
    "load",
    "overview",
    "read",
    "unload",
]
