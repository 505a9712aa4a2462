"""Terminal. Not drawn yet: the page says in words what will be here."""

from __future__ import annotations

from typing import ClassVar

from . import Data, Part
from .moment import Moment


class Terminal(Part):
    name: ClassVar[str] = "terminal"
    title: ClassVar[str] = "Terminal"
    of_an_agent: ClassVar[bool] = True

    def look(self, moment: Moment, subject: str) -> Data:
        return {}

    def plain(self, moment: Moment, subject: str) -> str:
        return f"{moment.title}: Terminal"
