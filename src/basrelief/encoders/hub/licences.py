"""Which licences let anyone use weights for anything, so that nobody needs to be asked."""

from __future__ import annotations

OPEN_LICENCES = frozenset(
    (
        *("mit", "apache-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc", "zlib", "unlicense"),
        *("cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cdla-permissive-2.0"),
    )
)
"""Identifiers, as the hub writes them, of licences that ask for attribution at most."""

NO_LICENCE = "none stated"


def is_open(licence: str) -> bool:
    """Whether a licence allows any use.

    Args:
        licence: An identifier, perhaps with a remark in brackets: `MIT`, `apple-amlr (research use only)`, `none stated`. Anything that is
            not in `OPEN_LICENCES` is taken for restricted.
    """
    return licence.split("(", maxsplit=1)[0].strip().lower() in OPEN_LICENCES
