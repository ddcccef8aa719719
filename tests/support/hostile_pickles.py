"""Pickles that execute code where a reader allows it."""

from __future__ import annotations

import os
from pathlib import Path


class MakesFolder:
    """Makes a folder when it is unpickled by Python's own `pickle`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)
