"""Shapes made from numbers and public fakes: for tests, the demo, the documentation and the training of `tiny`.

Names are loaded when asked for, so that shapes can be made without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_names

if TYPE_CHECKING:
    from basrelief.testing.fakes import FakeEncoder
    from basrelief.testing.library import write_library
    from basrelief.testing.procedural import CATEGORIES, make_shape
    from basrelief.testing.teacher import teach_pictures

_HOMES = {
    "CATEGORIES": "procedural",
    "FakeEncoder": "fakes",
    "make_shape": "procedural",
    "teach_pictures": "teacher",
    "write_library": "library",
}

__all__ = ["CATEGORIES", "FakeEncoder", "make_shape", "teach_pictures", "write_library"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, public=__all__)
