"""Detailed prompts for a second stage: what a thing is for and what one sees of it, in sentences of our own.

MV-CLIP (arXiv:2311.18402) refines its answers with descriptions of function; its texts were not found.
`function_prompts.json` has ours for the labels of ModelNet40, ScanObjectNN and ShapeNet55; other labels get general sentences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from basrelief.datasets.prompts import fill_template

FUNCTION = "function"
"""Name of these prompts in a recipe."""

_GENERAL = ("one {} with all its parts.", "one {} in its usual form.", "the thing called {}.")
_DESCRIBED = ("{}: {description}.", "a 3D model of one {}, {description}.")


def function_prompts(label: str) -> tuple[str, ...]:
    """Return the detailed prompts of a label, with what it is for where that is known; case and underscores do not matter.

    Example:
        >>> from basrelief.datasets.function_prompts import function_prompts
        >>> function_prompts("airplane")[0]
        'airplane: a vehicle with two wings and a tail that flies.'
    """
    description = descriptions().get(label.replace("_", " ").lower().strip(), "")
    if not description:
        return tuple(fill_template(template, label) for template in _GENERAL)
    return tuple(fill_template(template.replace("{description}", description), label) for template in _DESCRIBED)


@cache
def descriptions() -> Mapping[str, str]:
    """Return what things are for, by label."""
    found: dict[str, str] = json.loads((files("basrelief.datasets") / "function_prompts.json").read_text(encoding="utf-8"))
    return found
