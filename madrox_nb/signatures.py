"""One list of arguments, written once: a face that only passes them on has the same signature.

What a person sees when asking for help, what an editor completes and what mypy checks are
then the arguments of the function that answers for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


def takes_what(
    other: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[Concatenate[S, ...], R]], Callable[Concatenate[S, P], R]]:
    """Give a method the arguments of `other`, another method. It returns what it returned before."""

    def signed(method: Callable[Concatenate[S, ...], R]) -> Callable[Concatenate[S, P], R]:
        own, theirs = inspect.signature(method), inspect.signature(other)
        returns = own.return_annotation
        method.__signature__ = theirs.replace(return_annotation=returns)  # type: ignore[attr-defined]  # what `inspect` looks for
        return method

    return signed


def extends(
    other: Callable[..., object], *, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give a function the arguments of `other` in place of its `**more`, before its own by keyword alone.

    Both have the same first one. `without` are those that it answers itself.
    """

    def extended(function: Callable[..., R]) -> Callable[..., R]:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        known = {*without, *(parameter.name for parameter in own)}
        _, *theirs = inspect.signature(other).parameters.values()
        more = [parameter for parameter in theirs if parameter.name not in known]
        signature = inspect.signature(function).replace(
            parameters=sorted([*own, *more], key=lambda each: each.kind)
        )
        function.__signature__ = signature  # type: ignore[attr-defined]  # what `inspect` looks for
        function.__annotations__ |= {parameter.name: parameter.annotation for parameter in more}
        return function

    return extended
