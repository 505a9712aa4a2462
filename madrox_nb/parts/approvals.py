"""Approvals. Not drawn yet: the page says in words what will be here."""

from __future__ import annotations

from typing import ClassVar

from . import Data, Part
from .moment import Moment


class Approvals(Part):
    name: ClassVar[str] = "approvals"
    title: ClassVar[str] = "Approvals"

    def look(self, moment: Moment, subject: str) -> Data:
        return {}

    def plain(self, moment: Moment, subject: str) -> str:
        return f"{moment.title}: Approvals"
