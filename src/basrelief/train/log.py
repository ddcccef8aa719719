"""What a training run writes while it runs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from basrelief.output import append_text, to_json, write_text


class Log:
    """JSON lines in a file, also on the screen when asked."""

    def __init__(self, path: Path, *, echo: bool = False) -> None:
        self._path, self._echo, self._start = path, echo, time.monotonic()

    def write(self, **record: float | str) -> None:
        """Add one record, with the seconds since the start; a number that is not finite becomes null.

        Raises:
            OutputError: If it cannot be written.
        """
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in record.items()}
        line = to_json({"seconds": round(time.monotonic() - self._start, 1), **rounded})
        append_text(self._path, line + "\n")
        if self._echo:
            sys.stderr.write(line + "\n")

    def rewind(self, step: int) -> None:
        """Drop the records after a step, which a resumed run writes again; its seconds go on from those of the last one kept.

        Raises:
            OutputError: If the file cannot be written.
        """
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        kept = [record for record in map(_record, lines) if record is not None and record["step"] <= step]
        if len(kept) < len(lines):
            write_text(self._path, "".join(to_json(record) + "\n" for record in kept))
        self._start = time.monotonic() - float(kept[-1].get("seconds", 0.0) if kept else 0.0)


def _record(line: str) -> dict[str, float] | None:
    """A line of the log; one that was cut off by a kill is none."""
    try:
        record = json.loads(line)
        return record if float(record["step"]) >= 0 and float(record.get("seconds", 0)) >= 0 else None
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return None
