"""Templates: texts with `{}` that turn a label into a prompt; one named set for each method."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from basrelief.datasets.photo_templates import depth_templates, photo_templates
from basrelief.datasets.ulip_templates import ulip_templates
from basrelief.errors import ConfigError, unknown_choice

_SETS: Mapping[str, Callable[[], tuple[str, ...]]] = {
    "clip": photo_templates,
    "clip2point": lambda: ("image of a {}",),
    "label": lambda: ("{}",),
    "name": lambda: ("a {}",),
    "opendlign": depth_templates,
    "opendlign-scanobjectnn": lambda: depth_templates(slip=True),
    "pointclip": lambda: ("point cloud depth map of a {}.",),
    "pointclip-fewshot": lambda: ("point cloud of a big {}.",),
    "rendering": lambda: (
        "a 3D model of a {}.",
        "a rendering of a {}.",
        "a picture of a {} in front of a white background.",
        "a photo of a {}.",
    ),
    "ulip": ulip_templates,
}


def list_templates() -> tuple[str, ...]:
    """List the names of the template sets, alphabetically."""
    return tuple(_SETS)


def templates(name: str) -> tuple[str, ...]:
    """Look up a set of templates.

    | name                     | templates | whose                                                               |
    |--------------------------|-----------|---------------------------------------------------------------------|
    | `clip`                   | 80        | CLIP's photo templates (arXiv:2103.00020); OpenDlign uses them too  |
    | `clip2point`             | 1         | CLIP2Point (arXiv:2210.01055)                                       |
    | `label`                  | 1         | `{}`, the label alone: for embeddings that were exported by label    |
    | `name`                   | 1         | `a {}`, what the embedded model reads                               |
    | `opendlign`              | 80        | OpenDlign (arXiv:2404.16538); two `{}` in each                      |
    | `opendlign-scanobjectnn` | 80        | the same but for `, 3D` at the end of one, as published             |
    | `pointclip`              | 1         | PointCLIP, zero-shot (arXiv:2112.02413)                             |
    | `pointclip-fewshot`      | 1         | PointCLIP, few-shot                                                 |
    | `rendering`              | 4         | ours, for shaded colour images                                      |
    | `ulip`                   | 64        | ULIP (arXiv:2212.05171); OpenShape, TAMM, ULIP-2 and Uni3D use them |

    Args:
        name: One of `list_templates()`.

    Returns:
        The templates in the published order.

    Raises:
        ConfigError: If there is no set of that name.
    """
    if name not in _SETS:
        raise ConfigError(unknown_choice("template set", name, _SETS))
    return _SETS[name]()


def fill_template(template: str, label: str) -> str:
    """Put a label into every `{}` of a template.

    Underscores of the label become spaces, as PointCLIP does. CLIP2Point kept the one in ModelNet10's `night_stand`;
    here it goes, too.

    Args:
        template: A text with at least one `{}`.
        label: The class name; may hold braces itself.

    Raises:
        ConfigError: If the template has no `{}`.
    """
    if "{}" not in template:
        raise ConfigError(f"Template {template!r} has no {{}}. Put {{}} where the label goes.")
    return template.replace("{}", label.replace("_", " "))
