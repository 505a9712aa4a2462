"""What every reading of the ledger has in common. Pure.

A fold hears some kinds of events and keeps nothing that the ledger doesn't hold: made by
`replay` or kept up entry by entry, it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Self

from .events import KINDS, Entry, Event, Unknown

Kinds = frozenset[type[Event]]
Hear = Callable[[Entry], None]


class Fold:
    """A reading that is kept up entry by entry; a subclass says what it hears, and takes it in."""

    HEARS: ClassVar[Kinds]
    """Kinds that change something here; the others are passed over."""

    @classmethod
    def replay(cls, entries: Iterable[Entry]) -> Self:
        """The reading of `entries`, oldest first."""
        fold = cls()
        for entry in entries:
            fold.apply(entry)
        return fold

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(self) == vars(other)

    def apply(self, entry: Entry) -> None:
        """Fold the next entry in."""
        if type(entry.event) in self.HEARS:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        """Fold in an entry of a kind that this hears."""
        raise NotImplementedError


def by_kind(*hearers: tuple[Kinds, Hear]) -> Mapping[type[Event], tuple[Hear, ...]]:
    """Kind → who hears it, in their order: so that an entry costs only those whom it concerns."""
    return {
        kind: tuple(hear for kinds, hear in hearers if kind in kinds) for kind in (*KINDS.values(), Unknown)
    }
