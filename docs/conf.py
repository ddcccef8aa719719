"""Sphinx configuration of the documentation; `make docs` builds it into site/."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

from basrelief import __version__

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

import reference

project = "basrelief"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images/*.py"]
myst_heading_anchors = 4
default_role = "code"
highlight_language = "none"

add_module_names = False
autodoc_member_order = "groupwise"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"basrelief {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Generate pages, point links to repository documents at them, and convert what Sphinx cannot parse."""
    reference.write(Path(__file__).parent / "reference")

    def relink(_: Sphinx, document: str, text: list[str]) -> None:
        text[0] = reference.relink(document, text[0])

    def tables(_: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
        lines[:] = reference.list_tables(lines)

    def signature(
        _: Sphinx, _what: str, _name: str, _obj: object, _options: object, text: str | None, result: str | None
    ) -> tuple[str | None, ...]:
        return (text and text.replace("<factory>", "...")), result

    app.connect("source-read", relink)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", tables)
