"""What comes from one agent's program: the lines of its protocol, or what it wrote to its terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .. import pane
from ..errors import BadInput
from . import Data, Part
from .moment import Moment

SAVED: Final = 24
"""Lines that a saved notebook keeps."""
HEIGHT: Final = (24, 80)
"""Of a terminal whose program only prints, where it is told as text."""


class Terminal(Part):
    name: ClassVar[str] = "terminal"
    title: ClassVar[str] = "Terminal"
    of_an_agent: ClassVar[bool] = True
    keyed: ClassVar[dict[str, str]] = {"blocks": "at"}

    def look(self, moment: Moment, subject: str) -> Data:
        wire = moment.wires(moment.tree[subject].name)
        blocks, begun = wire.tail()
        return {
            "agent": subject,
            "protocol": wire.protocol,
            "size": list(wire.size) if wire.size else None,
            "blocks": blocks,
            "begun": begun,
            "stderr": wire.stderr(blocks[-1]["end"] if blocks else 0),
            "timed": wire.timed,
        }

    def sign(self, moment: Moment, subject: str) -> object:
        return moment.wires(subject).sizes

    def plain(self, moment: Moment, subject: str) -> str:
        wire = moment.wires(moment.tree[subject].name)
        if wire.protocol:
            lines = pane.protocol(wire.log, SAVED)
        else:
            lines = pane.screen(wire.log, SAVED, wire.size or HEIGHT)
        what = "the last lines of its protocol" if wire.protocol else "its terminal"
        return "\n".join([f"{subject}: {what}", *wire.redactor.text("\n".join(lines)).split("\n")]).rstrip()


def _older(moment: Moment, subject: str, given: Mapping[str, Any]) -> Data:
    """The blocks before byte `before` of the wire."""
    before = given.get("before")
    if type(before) is not int or before < 0:
        raise BadInput(f"before={before!r} is no place in a wire")
    return {"blocks": moment.wires(subject).before(before)}


Terminal.asks = {"older": _older}
