"""`m.turns().madrox.plot()`: the picture that fits one of our frames, in one line.

It is drawn by pandas' own `plot`, so whatever plotting backend is chosen draws it.
"""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from ..errors import NoBackend
from .pictures import Picture, picture

_UNDERSTOOD: Final = {
    "matplotlib": ("title", "ylabel", "stacked", "legend", "style", "yticks", "linewidth"),
    "hvplot": ("title", "ylabel", "stacked", "legend"),
}
"""What backends make of a picture's looks; any other is told its title."""

_UNDER_A_SECOND: Final = 0.5 / 86_400
"""In days, as matplotlib counts: between its steps of milliseconds and of seconds."""


@pd.api.extensions.register_dataframe_accessor("madrox")
class Plots:
    """What the frames of madrox can do besides what every frame can."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def plot(self, by: str | None = None, value: str | None = None, **options: Any) -> Any:
        """Draw the frame: bars, lines, or turns as a timeline.

        `by` and `value` say what is compared and by what measure (docs/frames.md lists them);
        other options go to the plotting backend, `backend="plotly"` among them. Returns what
        that returns. Raises `BadInput` for what can't be drawn, and `NoBackend` when nothing is
        installed that draws.
        """
        drawn = picture(self._frame, by, value)
        backend = str(options.get("backend") or pd.get_option("plotting.backend"))
        looks = {"title": drawn.title, **drawn.looks}
        understood = _UNDERSTOOD.get(backend, ("title",))
        given = {name: look for name, look in looks.items() if name in understood} | options
        try:
            axes = drawn.data.plot(kind=drawn.kind, **given)
        except ImportError as exc:
            raise NoBackend(backend, exc) from exc
        except ValueError as exc:
            if "plotting backend" in str(exc):
                raise NoBackend(backend, exc) from exc
            raise
        _name_rows(axes, drawn)
        _tell_moments_apart(axes)
        return axes


def _name_rows(axes: Any, drawn: Picture) -> None:
    """A timeline of matplotlib's says at each row whose it is."""
    if "yticks" in drawn.looks and hasattr(axes, "set_yticklabels"):
        axes.set_yticklabels(drawn.data.columns)
        axes.get_legend().remove()


def _tell_moments_apart(axes: Any) -> None:
    """Marks less than a second apart say tenths: pandas' own would name one second twice."""
    if not hasattr(axes, "xaxis"):
        return
    formatter = axes.xaxis.get_major_formatter()
    if hasattr(formatter, "scaled"):
        formatter.scaled[_UNDER_A_SECOND] = lambda day, _: f"{_at(day):%H:%M:%S.%f}"[:-5]


def _at(day: float) -> pd.Timestamp:
    """The moment at a place of matplotlib's axis, which counts days."""
    return pd.Timestamp(day, unit="D").round("ms")
