"""Results of attacks: one outcome per try, one table row per attack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

FAILURES = ("crash", "hang", "memory", "traceback", "harm")
"""Columns that must be zero: the process died, took too long, took too much memory, raised something other than a basrelief
error, or did harm (read, wrote, lost or showed what it must not)."""

FINE = ("read", "refused")
"""Acceptable outcomes: the file was read, or refused with a clear error."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one try.

    Attributes:
        name: Name of the file or request, the same in a later run with the same seed.
        kind: One of `FINE` or `FAILURES`.
        seconds: Wall time.
        megabytes: Peak memory above that of the process before.
        message: Error, or what went wrong.
    """

    name: str
    kind: str
    seconds: float = 0.0
    megabytes: float = 0.0
    message: str = ""


@dataclass
class Row:
    """All tries of one attack.

    Attributes:
        name: Name of the attack.
        outcomes: Outcomes of its tries.
    """

    name: str
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failures(self) -> list[Outcome]:
        """Unacceptable outcomes."""
        return [one for one in self.outcomes if one.kind not in FINE]

    def cells(self) -> list[str]:
        """Return the row as text: name, tries, read, refused, the failures, slowest, largest."""
        counts = Counter(one.kind for one in self.outcomes)
        slowest = max((one.seconds for one in self.outcomes), default=0.0)
        largest = max((one.megabytes for one in self.outcomes), default=0.0)
        numbers = [len(self.outcomes), *(counts[kind] for kind in (*FINE, *FAILURES))]
        return [self.name, *(f"{number:,}" for number in numbers), f"{slowest:.1f} s", f"{largest:,.0f} MB"]


def table(rows: Iterable[Row]) -> str:
    """Format rows as a table with a line of totals."""
    shown = list(rows)
    total = Row("all", [one for row in shown for one in row.outcomes])
    lines = [["attack", "tries", *FINE, *FAILURES, "slowest", "largest"], *(row.cells() for row in (*shown, total))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )
