"""The up axis of a file whose format does not state one: what its kind and exporter make likely, and what its form says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from basrelief.errors import BasreliefError, GeometryError
from basrelief.geometry import UP_AXES, sample_surface
from basrelief.geometry.up_axis import POINTS, form_evidence
from basrelief.io.formats.mtl import library_names
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import RawShape, Source
from basrelief.types import Mesh

if TYPE_CHECKING:
    from basrelief.io.folder_axis import FolderVote

_HEAD = 4096  # bytes that hold the marks of an exporter
_OTHERS = 0.005  # probability of an axis that is not named
_DEFAULT = 0.93  # of the axis that a program writes unless told otherwise
_FACES, _LEAST_FACES, _LEAST_POINTS = 100_000, 5, 32  # looked at, at most; of a mesh and of a cloud, at least
_TELLS = 0.5  # lead of one axis over the others, in nats, for the form to say something
_NAMES: Mapping[str, str] = {axis: axis.upper() if axis.startswith("-") else f"+{axis.upper()}" for axis in UP_AXES}


@dataclass(frozen=True, eq=False)
class AxisEvidence:
    """What one file says about its up axis.

    Attributes:
        format: File format, e.g. `obj`.
        mark: What its exporter does, in words for the user; empty if the exporter is not known or has no axis of its own.
        prior: (6,) log probability of each of `UP_AXES` by format and exporter.
        form: (6,) log likelihood by the form, up to a constant; None if there is too little to look at.
    """

    format: str
    mark: str
    prior: Float[np.ndarray, " 6"]
    form: Float[np.ndarray, " 6"] | None = None

    @property
    def scores(self) -> Float[np.ndarray, " 6"]:
        """(6,) log probabilities, up to a constant."""
        return self.prior if self.form is None else self.prior + self.form


@dataclass(frozen=True)
class AxisChoice:
    """An up axis with its reason.

    Attributes:
        up: One of `UP_AXES`.
        reason: Why, for the user.
        confidence: Its probability.
    """

    up: str
    reason: str
    confidence: float = 1.0


def stated_axis(source: Source, raw: RawShape) -> AxisChoice | None:
    """Return the axis that a file, its format or the mark of its exporter states; None if none of them does."""
    if raw.up is not None:
        return AxisChoice(raw.up, raw.up_reason)
    exporter = _exporter(source)
    if exporter is not None and exporter["rule"] == "stated":
        return AxisChoice(exporter["up"], f"written by {exporter['name']}, which marks its files as {_NAMES[exporter['up']]} up")
    return None


def read_evidence(source: Source, raw: RawShape) -> AxisEvidence:
    """Collect what a file says about its up axis, without looking at other files."""
    exporter = _exporter(source)
    prior = _prior(source.format, exporter)
    return AxisEvidence(source.format, _mark(exporter), prior, _form(raw, prior))


def choose_axis(evidence: AxisEvidence, vote: FolderVote | None = None) -> AxisChoice:
    """Weigh the evidence of a file, and an undecided vote of its folder."""
    scores = evidence.scores if vote is None else vote.scores + (0 if evidence.form is None else evidence.form)
    best, confidence = best_axis(scores)
    expected = UP_AXES[int(evidence.prior.argmax())]
    known = evidence.mark or f"{_NAMES[expected]} is most common"
    reason = f".{evidence.format} files do not state it; {known}, {_said(evidence.form, best, expected)}"
    return AxisChoice(best, f"{reason} ({_percent(confidence)} sure)", confidence)


def best_axis(scores: Float[np.ndarray, " 6"]) -> tuple[str, float]:
    """Return the axis with the largest log probability, and its probability."""
    chances = np.exp(scores - scores.max())
    best = int(chances.argmax())
    return UP_AXES[best], float(chances[best] / chances.sum())


def has_prior(format: str) -> bool:
    """Return whether files of a format may leave their up axis open."""
    return format in _table()["formats"]


def _said(form: np.ndarray | None, best: str, expected: str) -> str:
    if form is None:
        return "and there is no form to look at"
    order = np.sort(form)
    said = UP_AXES[int(form.argmax())]
    if order[-1] - order[-2] < _TELLS:
        return "and its form does not tell"
    if said == best:
        return "and its form agrees" if best == expected else f"but its form says {_NAMES[best]}"
    return "and its form does not tell clearly"


def _percent(confidence: float) -> str:
    return f"{min(confidence, 0.99):.0%}"


@cache
def _table() -> Mapping[str, Any]:
    text = (resources.files("basrelief.io") / "exporters.json").read_text(encoding="utf-8")
    table: Mapping[str, Any] = json.loads(text)
    return table


def _exporter(source: Source) -> Mapping[str, Any] | None:
    """Return the entry of the exporter whose mark the first bytes of a file, or of its material library, hold."""
    known = [entry for entry in _table()["exporters"] if source.format in entry["formats"]]
    if not known:
        return None
    head = source.head(_HEAD)
    texts = [head, _library_head(source, head)] if source.format == "obj" else [head]
    for text in (raw.replace(b"\r", b"\n").decode("latin-1") for raw in texts):
        for entry in known:
            if re.search(entry["mark"], text, re.MULTILINE | re.IGNORECASE):
                found: Mapping[str, Any] = entry
                return found
    return None


def _library_head(source: Source, head: bytes) -> bytes:
    name = next(library_names(head), "")
    with suppress(BasreliefError, OSError):
        if name:
            with FolderResolver(source.path.parent).open(name) as file:
                return file.read(_HEAD)
    return b""


def _mark(exporter: Mapping[str, Any] | None) -> str:
    if exporter is None or exporter["rule"] == "kept":
        return ""
    by = f"written by {exporter['name']}, which exports"
    return f"{by} {_NAMES[exporter['up']]} up unless told otherwise" if exporter["rule"] == "default" else f"{by} either axis"


def _prior(format: str, exporter: Mapping[str, Any] | None) -> Float[np.ndarray, " 6"]:
    """Return log probabilities: of the format; of an exporter's default; flatter for programs that keep or offer either axis."""
    up = dict(_table()["formats"].get(format, {"up": {"z": 0.98}})["up"])
    rule = exporter["rule"] if exporter else ""
    if exporter and rule == "default":
        other = "y" if exporter["up"] == "z" else "z"
        up = {exporter["up"]: _DEFAULT, other: 1 - _DEFAULT - 4 * _OTHERS}
    chances = np.array([up.get(axis, _OTHERS) for axis in UP_AXES])
    if rule in ("kept", "either"):
        common = [UP_AXES.index(axis) for axis in up]
        chances[common] = np.sqrt(chances[common]) * chances[common].sum() / np.sqrt(chances[common]).sum()
    logs: np.ndarray = np.log(chances / chances.sum())
    return logs


def _form(raw: RawShape, prior: np.ndarray) -> Float[np.ndarray, " 6"] | None:
    """Return what the form of a shape says, from a bounded number of its faces or points."""
    if raw.faces is None:
        points = raw.points[:: max(1, len(raw.points) // (8 * POINTS))]
        points = points[_finite(points)].astype(np.float64)
        if len(points) < _LEAST_POINTS:
            return None
        low, high = points.min(axis=0), points.max(axis=0)
        points = np.random.default_rng(0).permutation(points)[:POINTS]
    else:
        faces = raw.faces[:: max(1, len(raw.faces) // _FACES)]
        if len(faces) < _LEAST_FACES or faces.min(initial=0) < 0 or faces.max(initial=0) >= len(raw.points):
            return None
        corners = raw.points[faces].astype(np.float64)
        corners = corners[_finite(corners.reshape(-1, 3)).reshape(-1, 3).all(axis=1)].reshape(-1, 3)
        if not len(corners):
            return None
        low, high = corners.min(axis=0), corners.max(axis=0)
        size = max(float((high - low).max()), 1e-300)
        mesh = Mesh(((corners - low) / size).astype(np.float32), np.arange(len(corners)).reshape(-1, 3))
        try:
            points = sample_surface(mesh, POINTS).points
        except GeometryError:  # no face has an area
            return None
    return form_evidence(points, low, high, prior=prior) if (high > low).sum() > 1 else None


def _finite(points: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((np.abs(points.astype(np.float64)) < 1e18).all(axis=1))
