"""What a page can look at: one part a file, each a reading of the run's folds.

A *topic* is a part's name and, where it is about one agent, that agent: `rows`,
`conversation:api`. A page says which topics it wants; `LiveView` sends these and nothing
else. A part answers four questions:

    look        what is there to draw, as an object of JSON
    asks        what may be asked once: an older page, a whole text, a diff
    plain       the same as text
    html        the same as HTML without script, class or SVG

A part keeps nothing and does nothing; verbs stand in `verbs`. The page's half of a part
has the same name in `widgets/src/parts.ts`. The protocol is written down in
`docs/widgets.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from typing import Any, ClassVar, Final

from ..errors import BadInput, nearest
from .moment import Moment

Data = Mapping[str, Any]
"""One object of JSON: the fields of a topic. Numbers are finite, times are seconds since 1970."""
Question = Callable[[Moment, str, Mapping[str, Any]], Any]
"""`(moment, subject, given)` → JSON. Raises `MadroxError` with what the page shall say."""


class Part:
    """One topic, or one for each agent. Called on the pump's thread and on others, never on the loop."""

    name: ClassVar[str]
    title: ClassVar[str] = ""
    """How it is called where it stands alone."""
    of_an_agent: ClassVar[bool] = False
    """Its topics name an agent: `name:agent`."""
    whole: ClassVar[bool] = False
    """It shows the whole run, also while a moment of the past is looked at."""
    keyed: ClassVar[Mapping[str, str]] = {}
    """Fields that are lists of objects → the key by which these are told apart.

    Of such a list only the changed objects travel; of any other field that changed, all of it.
    """
    asks: ClassVar[Mapping[str, Question]] = {}

    def look(self, moment: Moment, subject: str) -> Data:
        """Everything there is to draw. Bounded: what has no end is cut, and says how much is left out.

        Raises `UnknownAgent` when there is nobody of that name.
        """
        raise NotImplementedError

    def again(self, moment: Moment, subject: str, before: Data, names: frozenset[str]) -> Data:
        """The same, when it was `before` and something has happened to these agents since.

        A part that is about all of them may look at these alone. What time alone changes is
        found by `look`, every five seconds.
        """
        return self.look(moment, subject)

    def sign(self, moment: Moment, subject: str) -> object:
        """Another one than before when something came of which no event tells; None when events tell all.

        Asked five times a second while somebody looks, so it has to be cheap.
        """
        return None

    def plain(self, moment: Moment, subject: str) -> str:
        """The same for a terminal, a log, and a notebook without its kernel. No clock times."""
        raise NotImplementedError

    def html(self, moment: Moment, subject: str) -> str:
        """The same for pages that keep text/html only. Unless a part does better: its text."""
        return f'<pre style="margin:0;white-space:pre-wrap">{escape(self.plain(moment, subject))}</pre>'


@cache
def parts() -> Mapping[str, Part]:
    """Every part by name."""
    from .approvals import Approvals
    from .conversation import Conversation
    from .costs import Costs
    from .details import Details
    from .forms import Forms
    from .inbox import Inbox
    from .rows import Rows
    from .slider import Slider
    from .team import Team
    from .terminal import Terminal
    from .timeline import Timeline
    from .traffic import Traffic

    made = (
        *(Rows(), Traffic(), Conversation(), Terminal(), Inbox(), Details()),
        *(Timeline(), Costs(), Approvals(), Team(), Forms(), Slider()),
    )
    return {part.name: part for part in made}


SHOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "dashboard": ("rows",),
    "tree": ("rows",),
    "conversation": ("rows", "conversation"),
    "terminal": ("rows", "terminal"),
    "inbox": ("rows", "inbox"),
    "details": ("rows", "details"),
    "timeline": ("rows", "timeline"),
    "costs": ("rows", "costs"),
    "approvals": ("rows", "approvals"),
    "team": ("rows", "team"),
}
"""What a widget may show → the parts that it is given from the start, unasked. The last one is its text."""


def found(topic: str) -> tuple[Part, str]:
    """The part and the agent of a topic that a page named. Raises `BadInput`."""
    name, _, subject = topic.partition(":")
    part = parts().get(name)
    if part is None:
        raise BadInput(f"there is no part {name!r}.{nearest(name, parts())} Known: {', '.join(parts())}")
    if part.of_an_agent != bool(subject):
        raise BadInput(f"{name} is {'about one agent: ' + name + ':NAME' if part.of_an_agent else 'one'}")
    return part, subject


def topics(shows: str, agent: str) -> tuple[str, ...]:
    """The topics that a widget is given from the start. Raises `BadInput` for what can't be shown."""
    if shows not in SHOWS:
        raise BadInput(f"no view {shows!r}.{nearest(shows, SHOWS)} Known: {', '.join(SHOWS)}")
    named = [(name, parts()[name].of_an_agent) for name in SHOWS[shows]]
    if any(of_one for _, of_one in named) and not agent:
        raise BadInput(f"{shows} is about one agent: name it")
    return tuple(f"{name}:{agent}" if of_one else name for name, of_one in named)
