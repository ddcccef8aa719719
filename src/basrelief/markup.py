"""Text from files and strangers as HTML or Markdown that shows it and means nothing else."""

from __future__ import annotations

import html

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content security policy of a standalone page: no script, no other file, no network."""


def visible(text: object) -> str:
    r"""Show control and direction characters as escapes, so that a name cannot pose as another.

    Args:
        text: Anything; its `str` is taken.

    Returns:
        The text with every character printable, e.g. a right-to-left override as `\u202e`.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in str(text))


def as_text(text: object) -> str:
    """Write text for a place that reads HTML or Markdown: both show it as it is.

    Every character that is neither a letter, a digit nor a space becomes a character reference, which starts no tag, link, picture, list
    or code and ends no attribute.

    Args:
        text: Anything; its `str` is taken, see `visible`.
    """
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in visible(text))


def standalone_page(title: str, style: str, body: str) -> str:
    """Put an HTML page together that needs no other file and may load none.

    Args:
        title: Text of the title.
        style: CSS.
        body: HTML; texts in it are escaped by the caller.
    """
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(visible(title))}</title><style>{style}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'
