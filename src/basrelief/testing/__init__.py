"""Fakes for tests: an encoder without weights, miniatures of known ones, and a small CLIP that is trained on the fly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_exports

if TYPE_CHECKING:
    from basrelief.testing.fakes import FakeEncoder
    from basrelief.testing.miniature import miniature
    from basrelief.testing.teacher import teach_pictures

_MODULES = {"FakeEncoder": "fakes", "miniature": "miniature", "teach_pictures": "teacher"}

__all__ = ["FakeEncoder", "miniature", "teach_pictures"]

__getattr__, __dir__ = lazy_exports(__name__, _MODULES, public=__all__)
