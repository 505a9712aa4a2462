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
        method.__signature__ = theirs.replace(return_annotation=returns)  # type: ignore[attr-defined]
        return method

    return signed
