"""Escape untrusted text for HTML and Markdown."""

from __future__ import annotations

import base64
import hashlib
import html

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content security policy of a standalone page: no scripts, no other files, no network."""


def visible(text: object) -> str:
    r"""Escape control and direction characters, so that one name cannot be displayed as another.

    Args:
        text: Anything; its `str` is taken.

    Returns:
        The text with every character printable, e.g. a right-to-left override as `\u202e`.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in str(text))


def as_text(text: object) -> str:
    """Escape text for both HTML and Markdown, which then display it unchanged.

    Every character except letters, digits and spaces becomes a character reference, so the text cannot start a tag, link, image, list or
    code block, or end an attribute.

    Args:
        text: Anything; its `str` is taken, see `visible`.
    """
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in visible(text))


def standalone_page(title: str, style: str, body: str, *, script: str = "") -> str:
    """Return an HTML page that needs no other file and is not allowed to load any.

    Args:
        title: Text of the title.
        style: CSS.
        body: HTML; the caller escapes text in it.
        script: JavaScript that runs after the body was read, the only one that the page allows; none when empty.
    """
    policy = f"{POLICY}; script-src '{_hash(script)}'" if script else POLICY
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(visible(title))}</title><style>{style}</style>"
    )
    code = f"<script>{script}</script>\n" if script else ""
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n{code}</body></html>\n'


def data_block(name: str, text: str) -> str:
    """Return JSON as an element that scripts of the page read with `JSON.parse` and browsers do not run.

    Args:
        name: `id` of the element.
        text: JSON; what could end the element is escaped.
    """
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{name}">{safe}</script>'


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"
