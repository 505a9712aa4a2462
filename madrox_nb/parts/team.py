"""Team run. Not drawn yet: the page says in words what will be here."""

from __future__ import annotations

from typing import ClassVar

from . import Data, Part
from .moment import Moment


class Team(Part):
    name: ClassVar[str] = "team"
    title: ClassVar[str] = "Team run"

    def look(self, moment: Moment, subject: str) -> Data:
        return {}

    def plain(self, moment: Moment, subject: str) -> str:
        return f"{moment.title}: Team run"
