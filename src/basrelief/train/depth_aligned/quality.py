"""Quality filter of depth-aligned images, future work in OpenDlign (Mao et al. 2024, arXiv:2404.16538, sec. 5).

Two scores of every image, both in [0, 1]:

- *label*: the share of the other labels that CLIP ranks below the image's own; 1 if its own is first.
- *contour*: the probability that image edges are stronger at a contour of the depth map than elsewhere in the shape's bounding box (the
  area under the ROC curve); 0.5 is chance. Of 210 shaded images of 7 classes, the 5th percentile is 0.77 with their own depth maps, and
  the 95th 0.62 with those of other shapes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from torch.nn import functional as F

from basrelief.errors import ConfigError
from basrelief.evaluate import ModelSource
from basrelief.models import Model
from basrelief.output import append_text, to_json, write_picture, write_text
from basrelief.render.canvas import ACCENT, MUTED, Canvas
from basrelief.train.depth_aligned.read import QUALITY, AlignedSet, Thresholds, open_aligned, read_quality
from basrelief.types import Progress

_STEP = 0.08  # of a depth image: a change that is a contour
_DIGITS = 4
_REACH = 4  # pixels that a contour may be off; the 7x7x7 maximum of the depth map alone moves it by 3
_EACH = 12
_SIDE, _GAP, _MARGIN = 136, 12, 36


@dataclass(frozen=True)
class FilterResult:
    """Result of a filter.

    Attributes:
        pictures: Number of images.
        kept: Number of images kept.
        by_label: Number rejected by label; some also by contour.
        by_contour: Number rejected by contour; some also by label.
    """

    pictures: int
    kept: int
    by_label: int
    by_contour: int


def filter_images(
    images: Path, model: ModelSource, *, thresholds: Thresholds | None = None, sheet: Path | None = None, progress: Progress | None = None
) -> FilterResult:
    """Filter a folder of depth-aligned images, see `filter_aligned`, and draw what was kept and rejected.

    Args:
        images: Folder that `open_aligned` reads.
        model: The model that scores labels.
        thresholds: Minimum scores; the defaults when None.
        sheet: Picture to write; None writes none.
        progress: Called after each shape.

    Raises:
        ConfigError: If the shapes have no labels.
        OutputError: If the picture cannot be written.
    """
    found = filter_aligned(open_aligned(images), model.load(), thresholds=thresholds, progress=progress)
    if sheet is not None:
        write_picture(sheet, quality_sheet(open_aligned(images)))
    return found


def filter_aligned(
    aligned: AlignedSet, model: Model, *, thresholds: Thresholds | None = None, progress: Progress | None = None
) -> FilterResult:
    """Score every image and record which to keep; scores of an earlier run with the same model are reused.

    Writes `quality.jsonl` into the folder; `open_aligned` reads it.

    Args:
        aligned: Images of several labels.
        model: Model that scores labels.
        thresholds: Minimum scores; the defaults when None.
        progress: Called after each shape.

    Raises:
        ConfigError: If the shapes have no labels.
    """
    if min(aligned.truth, default=-1) < 0:
        raise ConfigError("Some shapes have no label. Name the files ID+CLASS, or make the images again.")
    thresholds, fingerprint = thresholds or Thresholds(), model.fingerprint[:16]
    header, known = read_quality(aligned.home)
    if header.get("judge") != fingerprint:
        known = {}
    texts = model.embed_text(aligned.labels)
    path = aligned.home / QUALITY
    _rewrite(path, {"judge": fingerprint, **asdict(thresholds)}, known)
    found = []
    for row, key in enumerate(aligned.keys):
        scores = known.get(key)
        if scores is None:
            pictures = aligned.pictures(row)
            seen = model.embed_images(list(pictures))
            own = label_agreement(seen @ texts.T, aligned.truth[row])
            scores = np.stack([own, contour_agreement(aligned.depth(row), pictures)]).astype(np.float64).round(_DIGITS)  # as in the file
            append_text(path, _line(key, scores))
        found.append(scores)
        if progress:
            progress(row + 1, len(aligned))
    label, contour = (np.concatenate([scores[which] for scores in found]) for which in (0, 1))
    good, drawn = label >= thresholds.label, contour >= thresholds.contour
    return FilterResult(len(label), int((good & drawn).sum()), int((~good).sum()), int((~drawn).sum()))


def label_agreement(cosines: Float[torch.Tensor, "views labels"], truth: int) -> Float32[np.ndarray, " views"]:
    """Return the share of the other labels that each view is less similar to than to its own; 1 if there is no other.

    Args:
        cosines: Similarity of images and labels.
        truth: Index of the own label.
    """
    less = (cosines < cosines[:, truth : truth + 1]).sum(dim=1)
    share: np.ndarray = (less / (cosines.shape[1] - 1)).cpu().numpy() if cosines.shape[1] > 1 else np.ones(len(cosines))
    return share.astype(np.float32)


def contour_agreement(
    depth: UInt8[np.ndarray, "views size size"], pictures: UInt8[np.ndarray, "views size size 3"]
) -> Float32[np.ndarray, " views"]:
    """Return the contour score of each image, see the module; 0.5 for a depth map without contours.

    Args:
        depth: Depth images, background 255.
        pictures: Images of the same views and size.
    """
    maps = torch.from_numpy(np.array(depth)).float()[:, None] / 255
    steps = F.max_pool2d(maps, 3, 1, 1) + F.max_pool2d(-maps, 3, 1, 1)
    contour = steps > _STEP
    away = F.max_pool2d(contour.float(), 4 * _REACH + 1, 1, 2 * _REACH)[:, 0] == 0
    edges = _edges(torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 255)
    places = zip(edges, contour[:, 0], away, away & _box(maps[:, 0] < 1), strict=True)
    found = [_chance(edge[mark], edge[inside if inside.any() else far]) for edge, mark, far, inside in places]  # a thin box has no inside
    return np.array(found, dtype=np.float32)


def quality_sheet(aligned: AlignedSet) -> Image.Image:
    """Draw images beside their depth maps: kept ones above, rejected ones below, evenly sampled.

    Raises:
        ConfigError: If the filter has not been run.
    """
    _, scores = read_quality(aligned.home)
    if not scores:
        raise ConfigError(f"{aligned.home.name!r} has no {QUALITY}. Run basrelief train filter first.")
    places = [(row, view) for row, key in enumerate(aligned.keys) if key in scores for view in range(aligned.views)]
    good = {place: bool(aligned.kept(place[0])[place[1]]) for place in places}
    parts = [("kept", [p for p in places if good[p]]), ("rejected", [p for p in places if not good[p]])]
    chosen = [(name, len(part), part[:: max(1, len(part) // _EACH)][:_EACH]) for name, part in parts]
    tall = _SIDE + 46
    page = Canvas(1200, 2 * _MARGIN + sum(44 + -(-len(few) // 4) * tall for _, _, few in chosen))
    top = _MARGIN
    for name, count, few in chosen:
        page.text((_MARGIN, top + 22), f"{name}: {count:,} of {len(places):,}", width=1100, size=22)
        for i, (row, view) in enumerate(few):
            left, down = _MARGIN + i % 4 * (2 * _SIDE + _GAP), top + 44 + i // 4 * tall
            page.picture((left, down), aligned.depth(row)[view] / 255, side=_SIDE)
            page.picture((left + _SIDE - 1, down), aligned.pictures(row)[view] / 255, side=_SIDE)
            label, contour = scores[aligned.keys[row]][:, view]
            words = f"{aligned.labels[aligned.truth[row]]}, view {view}"
            page.text((left, down + _SIDE + 17), words, width=2 * _SIDE, size=14)
            line, colour = f"label {label:.2f}  contour {contour:.2f}", ACCENT if name == "kept" else MUTED
            page.text((left, down + _SIDE + 34), line, width=2 * _SIDE, size=12, color=colour)
        top += 44 + -(-len(few) // 4) * tall
    return page.image


def _edges(pictures: Float[torch.Tensor, "views 3 size size"]) -> Float[torch.Tensor, "views size size"]:
    """Return the largest Sobel gradient within `_REACH` of each pixel."""
    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    padded = F.pad(pictures.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    change = F.conv2d(padded, torch.stack([kernel, kernel.T])[:, None]).square().sum(dim=1).sqrt()
    return F.max_pool2d(change.view_as(pictures).sum(dim=1), 2 * _REACH + 1, 1, _REACH)


def _box(seen: torch.Tensor) -> torch.Tensor:
    """Return the bounding box of each mask, as a mask."""
    rows, columns = seen.any(dim=2), seen.any(dim=1)

    def span(line: torch.Tensor) -> torch.Tensor:
        return (line.cumsum(1) > 0) & (line.flip(1).cumsum(1).flip(1) > 0)

    return span(rows.int())[:, :, None] & span(columns.int())[:, None, :]


def _chance(ones: torch.Tensor, others: torch.Tensor) -> float:
    """Return the probability that a value of `ones` exceeds one of `others`; ties count half."""
    if not len(ones) or not len(others):
        return 0.5
    ordered = others.sort().values
    below = torch.searchsorted(ordered, ones.contiguous()).double()
    up_to = torch.searchsorted(ordered, ones.contiguous(), right=True).double()
    return float(((below + up_to) / 2 / len(others)).mean())


def _line(key: str, scores: np.ndarray) -> str:
    label, contour = scores.tolist()
    return to_json({"id": key, "label": label, "contour": contour}) + "\n"


def _rewrite(path: Path, header: dict[str, object], known: dict[str, np.ndarray]) -> None:
    lines = [to_json(header) + "\n", *(_line(key, scores) for key, scores in known.items())]
    write_text(path, "".join(lines))
