"""Propose boxes that may hold one thing each; every method is a row of one table."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError, GeometryError, unknown_choice
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.scene import Scene


@dataclass(frozen=True, eq=False)
class Proposals:
    """Boxes that may hold one thing each, best first.

    Attributes:
        boxes: N boxes in the scene frame.
        scores: (N,) float32 in [0, 1]: how sure the method is that a box holds a thing; for ranking.
        method: Name of the method.
        points: For each box the rows of the scene's points that belong to it, or None: all points inside the box.
        class_probs: (N, C) float32, probabilities of the method's own classes, or None.
        class_names: Names of these C classes.
    """

    boxes: Boxes
    scores: Float32[np.ndarray, " boxes"]
    method: str
    points: tuple[Int[np.ndarray, " inside"], ...] | None = None
    class_probs: Float32[np.ndarray, "boxes classes"] | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every field has a row for each box."""
        count = len(self.boxes)
        for name in ("scores", "points", "class_probs"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise GeometryError(f"{name} of proposals has {len(value)} rows, but there are {count} boxes. Pass one for each box.")

    def __len__(self) -> int:
        """Return N."""
        return len(self.boxes)

    def select(self, rows: Int[np.ndarray, " kept"]) -> Proposals:
        """Return some of the proposals, in the given order."""
        return replace(
            self,
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            points=None if self.points is None else tuple(self.points[row] for row in rows),
            class_probs=None if self.class_probs is None else self.class_probs[rows],
        )


Proposer = Callable[..., Proposals]
"""Called with a scene, `seed=` and the options of the method."""

PROPOSERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "segments": ("basrelief.scenes.segments", "propose_segments"),
        "clusters": ("basrelief.scenes.clusters", "propose_clusters"),
        "3detr": ("basrelief.scenes.threedetr.proposer", "propose_3detr"),
        "3detr-m": ("basrelief.scenes.threedetr.proposer", "propose_3detr_m"),
        "boxes": ("basrelief.scenes.given", "propose_boxes"),
    }
)
"""Module and function of each method; imported when it is used."""

_BY_TILE = ("clusters", "3detr", "3detr-m")
"""Methods that see a large scan tile by tile; `segments` has tiles of its own, which are larger."""


def propose(scene: Scene, method: str = "segments", *, limit: int | None = 200, seed: int = 0, **options: Any) -> Proposals:  # noqa: ANN401
    """Propose boxes for a scene.

    Args:
        scene: From `prepare_scene`.
        method: One of `PROPOSERS`.
        limit: Keep this many, those with the highest scores; all when None.
        seed: Of random choices.
        options: Of the method.

    Raises:
        ConfigError: If the method or an option is unknown.
    """
    from basrelief.scenes.tiles import is_large, propose_by_tile

    if method not in PROPOSERS:
        raise ConfigError(unknown_choice("proposals", method, PROPOSERS))
    if limit is not None:
        check_at_least("limit", limit, 1, "Leave it out to keep all proposals.")
    module, function = PROPOSERS[method]
    proposer: Proposer = getattr(importlib.import_module(module), function)
    _check_options(method, proposer, options)
    if method in _BY_TILE and is_large(scene):
        found = propose_by_tile(scene, proposer, seed=seed, **options)
    else:
        found = proposer(scene, seed=seed, **options)
    return found.select(np.argsort(-found.scores, kind="stable")[:limit])


def _check_options(method: str, proposer: Proposer, options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(proposer).parameters.values()
    known = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.name != "seed"]
    for name in options:
        if name not in known:
            what = f"option of the proposals {method!r}"
            raise ConfigError(unknown_choice(what, name, known) if known else f"{method!r} takes no options, but {name!r} was given.")
