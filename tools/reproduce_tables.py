"""Write the tables of docs/research/reproduce.md from the plan that `basrelief evaluate --table 1 --plan` prints; `--check` only compares.

python tools/reproduce_tables.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from basrelief.evaluate.plan import plan_table
from basrelief.evaluate.plan_sections import Section, plan_sections

PAGE = Path(__file__).parent.parent / "docs" / "research" / "reproduce.md"
_PLACE = re.compile(r"(<!-- plan: (?P<name>\w+) -->\n).*?(<!-- /plan -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Return a page with its tables written again."""
    plan = plan_table("1")
    blocks = {section.name: _table(section) for section in plan_sections(plan)} | {"estimate": f"{plan.estimate}\n"}
    return _PLACE.sub(lambda found: f"{found[1]}{blocks[found['name']]}{found[3]}", page)


def _table(section: Section) -> str:
    """Give a section as a Markdown table."""
    rows = [[_cell(text, typed=column in section.typed) for column, text in enumerate(row)] for row in section.rows]
    lines = [section.columns, ["---"] * len(section.columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str, *, typed: bool) -> str:
    return f"`{text}`" if typed else text.replace("|", r"\|")


def main() -> int:
    """Write or compare."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = with_tables(page)
    if "--check" in sys.argv:
        return int(page != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
