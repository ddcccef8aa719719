"""Log of a training run."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from basrelief.output import append_text, to_json, write_text


class Log:
    """Writes JSON lines to a file and, optionally, to stderr."""

    def __init__(self, path: Path, *, echo: bool = False) -> None:
        self._path, self._echo, self._start = path, echo, time.monotonic()

    def write(self, **record: float | str) -> None:
        """Append a record, with the seconds since the start; numbers that are not finite become null.

        Raises:
            OutputError: If it cannot be written.
        """
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in record.items()}
        line = to_json({"seconds": round(time.monotonic() - self._start, 1), **rounded})
        append_text(self._path, line + "\n")
        if self._echo:
            sys.stderr.write(line + "\n")

    def rewind(self, step: int) -> None:
        """Drop the records after a step, as a resumed run writes them again; its seconds continue from the last record kept.

        Raises:
            OutputError: If the file cannot be written.
        """
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        kept = [record for record in map(_parse, lines) if record is not None and record["step"] <= step]
        if len(kept) < len(lines):
            write_text(self._path, "".join(to_json(record) + "\n" for record in kept))
        self._start = time.monotonic() - float(kept[-1].get("seconds", 0.0) if kept else 0.0)


def _parse(line: str) -> dict[str, float] | None:
    """Parse a line of the log; None if it was truncated by a kill."""
    try:
        record = json.loads(line)
        return record if float(record["step"]) >= 0 and float(record.get("seconds", 0)) >= 0 else None
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return None
