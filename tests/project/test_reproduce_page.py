"""The page about reproducing the papers has the tables of `basrelief evaluate --table 1 --plan`."""

from __future__ import annotations

from support import load_script


def test_the_page_has_the_tables_of_the_command() -> None:
    tables = load_script("tools/reproduce_tables.py")
    page = tables.PAGE.read_text(encoding="utf-8")
    assert page == tables.with_tables(page), "run python tools/reproduce_tables.py"
    assert page.count("<!-- plan: ") == page.count("<!-- /plan -->") == 6
