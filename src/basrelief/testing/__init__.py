"""Shapes made from numbers and public fakes: for tests, the demo, the documentation and the training of `tiny`.

Names are loaded when asked for, so that shapes can be made without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from basrelief.testing.fakes import FakeEncoder
    from basrelief.testing.procedural import CATEGORIES, make_shape

_HOMES = {"CATEGORIES": "procedural", "FakeEncoder": "fakes", "make_shape": "procedural"}

__all__ = ["CATEGORIES", "FakeEncoder", "make_shape"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
