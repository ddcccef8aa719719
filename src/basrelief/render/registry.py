"""The named depth projections."""

from __future__ import annotations

import dataclasses
from typing import Any

from basrelief.errors import ConfigError, unknown_choice
from basrelief.render.base import Projection
from basrelief.render.clip2point import DiscProjection
from basrelief.render.opendlign import OpenDlignProjection
from basrelief.render.opendlign_paper import OpenDlignPaperProjection
from basrelief.render.pointclip import PointClipProjection
from basrelief.render.pointclip_v2 import PointClipV2Projection

PROJECTIONS: dict[str, Projection] = {
    projection.name: projection
    for projection in (
        PointClipProjection(),
        PointClipProjection("pointclip-fewshot", views=10, size=224, distance=1.4),
        PointClipV2Projection(),
        OpenDlignProjection(),
        OpenDlignPaperProjection(),
        DiscProjection("clip2point", rig="clip2point10"),
        DiscProjection("clip2point-zeroshot", rig="clip2point6"),
        DiscProjection("discs", rig="turntable10", size=112, radius=0.04),
    )
}


def get_projection(name: str, /, **options: Any) -> Projection:  # noqa: ANN401
    """Return a named projection, with some of its options changed.

    Args:
        name: Key in `PROJECTIONS`.
        options: Fields of that projection's class, e.g. `size=112` or `radius=0.03`.

    Raises:
        ConfigError: If there is no such projection or option, or a value is out of range.
    """
    if name not in PROJECTIONS:
        raise ConfigError(unknown_choice("projection", name, PROJECTIONS))
    return with_options(PROJECTIONS[name], **options)


def with_options(projection: Projection, /, **options: Any) -> Projection:  # noqa: ANN401
    """Return a copy of a projection with some of its options changed.

    Args:
        projection: Any projection; all are frozen dataclasses.
        options: Fields of its class.

    Raises:
        ConfigError: If there is no such option, or a value is out of range.
    """
    record: Any = projection
    names = [f.name for f in dataclasses.fields(record) if f.init and f.name != "name"]
    for option in options:
        if option not in names:
            raise ConfigError(unknown_choice("option", option, names, where=f" of projection {projection.name}"))
    changed: Projection = dataclasses.replace(record, **options)
    return changed
