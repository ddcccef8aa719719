"""Array dimensions and types, checked while the tests run."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import typer
from beartype import BeartypeConf, FrozenDict, beartype

_OVERRIDES = FrozenDict({typer.Context: object})  # typer hands in the base class of its own
_CHECKED = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=_OVERRIDES))  # an int will do for a float, as mypy has it


def check_types(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check what a function accepted and what it returned; jaxtyping hands in a stub with the function's signature.

    jaxtyping checks arguments twice: before the call, and once more with the result, which is the stub that has one
    more parameter, `ret...`. Only the second is used: a function that refuses a wrong argument with an error of its own
    is right, one that takes it is not. Records with a `__post_init__` convert and check their fields themselves. While torch traces, sizes
    are not numbers, and nothing is checked.
    """
    names = inspect.signature(function).parameters
    if not any(name.startswith("ret") for name in names):
        return _accept
    compared = _CHECKED(function)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        torch = sys.modules.get("torch")
        return None if torch is not None and torch.jit.is_tracing() else compared(*args, **kwargs)

    if function.__name__ != "__init__":
        return checked

    @functools.wraps(function)
    def unless_self_checking(*args: Any, **kwargs: Any) -> Any:
        return None if hasattr(args[0], "__post_init__") else checked(*args, **kwargs)

    return unless_self_checking


def _accept(*_: object, **__: object) -> None:
    """Take anything."""
