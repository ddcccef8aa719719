"""What a training run writes while it runs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


class Log:
    """JSON lines in a file, also on the screen when asked."""

    def __init__(self, path: Path, *, echo: bool = False) -> None:
        self._path, self._echo, self._start = path, echo, time.monotonic()

    def write(self, **record: float | str) -> None:
        """Add one record, with the seconds since the start."""
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in record.items()}
        line = json.dumps({"seconds": round(time.monotonic() - self._start, 1), **rounded})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._echo:
            sys.stderr.write(line + "\n")
