"""Copies of folds, so that one can go on while the other stays as it was.

What is replaced and never changed (texts, numbers, named tuples, frozen dataclasses) is shared;
what is changed in place (dicts, lists, deques, the folds themselves) is copied all the way
down. `copy.deepcopy` would copy the events' values too, which is nearly all there is.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Copier = Callable[[Any], Any]

_COPIERS: dict[type, Copier | None] = {}


def copied(value: T) -> T:
    """The same, sharing nothing with `value` that can be changed in place."""
    how = _how(type(value))
    return value if how is None else how(value)


def _how(kind: type) -> Copier | None:
    """How values of that kind are copied; None when they are shared."""
    if kind not in _COPIERS:
        _COPIERS[kind] = _found(kind)
    return _COPIERS[kind]


def _found(kind: type) -> Copier | None:
    if issubclass(kind, tuple):
        return _tuple if kind is tuple else None
    if issubclass(kind, dict):
        return _dict
    if issubclass(kind, list | deque):
        return _row
    if issubclass(kind, set):
        return copy.copy
    if is_dataclass(kind):
        names = tuple(each.name for each in fields(kind))
        return None if kind.__dataclass_params__.frozen else _with(names)  # type: ignore[attr-defined]  # `is_dataclass` says less
    if slots := getattr(kind, "__slots__", ()):
        return _with(tuple(slots))
    return _object if kind.__module__.startswith(__name__.partition(".")[0]) else None


def _tuple(value: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map(copied, value))


def _dict(value: dict[Any, Any]) -> dict[Any, Any]:
    made = copy.copy(value)  # a Counter stays one
    if not _all_shared(value.values()):
        for key, each in value.items():
            made[key] = copied(each)
    return made


def _row(value: Any) -> Any:
    made = copy.copy(value)  # a deque keeps its bound
    if not _all_shared(value):
        for at, each in enumerate(value):
            made[at] = copied(each)
    return made


def _all_shared(values: Iterable[Any]) -> bool:
    """Mostly so, also where there are many (all messages of a run): no look at each of them in Python."""
    return all(_how(kind) is None for kind in set(map(type, values)))


def _with(names: tuple[str, ...]) -> Copier:
    def made(value: Any) -> Any:
        other = copy.copy(value)
        for name in names:
            setattr(other, name, copied(getattr(value, name)))
        return other

    return made


def _object(value: Any) -> Any:
    other = copy.copy(value)
    for name, each in vars(value).items():
        setattr(other, name, copied(each))
    return other
