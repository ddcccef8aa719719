"""Write the table of limits in SECURITY.md from the record that holds them; `--check` only compares.

python tools/limits_table.py [--check]
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path

from basrelief.limits import Limits

_PAGE = Path(__file__).parent.parent / "SECURITY.md"
_PLACE = re.compile(r"(<!-- limits -->\n).*?(<!-- /limits -->)", re.DOTALL)
_BINARY = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def limits_table() -> str:
    """Give the limits with defaults and meanings as a Markdown table."""
    described = dict(
        re.findall(r"^ {8}(\w+): (.+?)(?=^ {8}\w+:|\Z)", (Limits.__doc__ or "").partition("Attributes:")[2], re.MULTILINE | re.DOTALL)
    )
    rows = [f"| `{field.name}` | {_shown(field.name)} | {' '.join(described[field.name].split())} |" for field in fields(Limits)]
    return "\n".join(["| limit | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _shown(name: str) -> str:
    """Give a default as a person would write it."""
    value = getattr(Limits, name)
    if "bytes" in name:
        return next((f"{value / size:g} {unit}" for size, unit in _BINARY if value >= size), str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def main() -> int:
    """Write or compare."""
    page = _PAGE.read_text(encoding="utf-8")
    wanted = _PLACE.sub(lambda found: found[1] + limits_table() + found[2], page)
    if "--check" in sys.argv:
        return int(page != wanted)
    _PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
