"""Contact sheets: all views of a shape in one image, and the evidence for a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError
from basrelief.render.base import Cameras
from basrelief.render.canvas import ACCENT, MUTED, SECONDARY, TEXT, Canvas
from basrelief.types import Prediction

WIDTH = 1200
MARGIN = 36
GAP = 16
LEFT = 312  # width of the image of the shape
NARROWEST = 140  # width of a view
ROW = 40  # height of a ranked label


@dataclass(frozen=True)
class Tile:
    """The text and bar below a view.

    Attributes:
        camera: Number and angles of the view.
        caption: Its label; may be empty.
        score: Text beside the caption.
        share: Filled fraction of the bar in [0, 1]; None for no bar.
        agrees: Whether to draw the bar in the accent colour.
    """

    camera: str
    caption: str = ""
    score: str = ""
    share: float | None = None
    agrees: bool = True

    @property
    def height(self) -> int:
        """Height below the view, pixels."""
        return 22 + 20 * bool(self.caption) + 10 * (self.share is not None)


def camera_captions(cameras: Cameras) -> list[str]:
    """Describe each view by number, azimuth and elevation in degrees, e.g. `3  az 135 el 20`; from straight above `4  el 90`."""
    angles = zip(cameras.azimuth.round().astype(int), cameras.elevation.round().astype(int), strict=True)
    return [f"{i}  el {el}" if abs(el) == 90 else f"{i}  az {az} el {el}" for i, (az, el) in enumerate(angles)]


def contact_sheet(
    images: Float[Tensor, "views size size *channels"],
    cameras: Cameras,
    *,
    title: str = "",
    captions: Sequence[str] | None = None,
    shares: Sequence[float] | None = None,
) -> Image.Image:
    """Draw all views in a grid, each with its number and camera.

    Args:
        images: V views of a shape, grey or RGB; scaled down if they exceed 1.
        cameras: The V cameras.
        title: Heading; may be empty.
        captions: A line below each view, e.g. its best label.
        shares: Filled fraction of a bar below each view, in [0, 1].

    Returns:
        RGB, 1200 pixels wide.

    Raises:
        ConfigError: If a list has another length than there are views.
    """
    for name, given in (("captions", captions), ("shares", shares)):
        if given is not None and len(given) != len(images):
            raise ConfigError(f"{name} has {len(given)} entries; expected {len(images)}, one for each view. Leave it out for none.")
    names = camera_captions(cameras)
    tiles = [Tile(name, captions[i] if captions else "", share=shares[i] if shares else None) for i, name in enumerate(names)]
    top = MARGIN + (52 if title else 0)
    grid = _Grid.of(tiles, (MARGIN, top))
    canvas = Canvas(WIDTH, grid.bottom + MARGIN)
    canvas.text((MARGIN, MARGIN + 24), title, width=WIDTH - 2 * MARGIN, size=26)
    grid.draw(canvas, images.cpu().numpy())
    return canvas.image


def evidence_sheet(
    prediction: Prediction,
    images: Float[np.ndarray, "views size size *channels"],
    *,
    captions: Sequence[str],
    picture: Float[np.ndarray, "side side 3"] | None = None,
    top: int = 5,
) -> Image.Image:
    """Draw a prediction and its evidence: the shape, the ranked labels, and every view with its own best label.

    A bar is a probability if the method defines one, else the position of a score between the lowest and the highest of all labels; below a
    view, of all labels in all views. Views that agree with the prediction are blue.

    Args:
        prediction: The prediction for one shape.
        images: The V pictures it is based on, grey or RGB; scaled down if they exceed 1.
        captions: A few words on each, e.g. `camera_captions(cameras)`.
        picture: Image of the shape, sRGB in [0, 1], e.g. from `render_thumbnail`, or None.
        top: Number of labels to show.

    Returns:
        RGB, 1200 pixels wide.

    Raises:
        ConfigError: If images, captions and view scores differ in number, or `top` is below 1.
    """
    if np.ndim(images) not in (3, 4) or images.shape[1] != images.shape[2] or len(images) != len(captions):
        raise ConfigError(
            f"images has shape {np.shape(images)}; expected ({len(captions)}, S, S), one for each caption. Pass `DepthViews.image`."
        )
    if len(prediction.view_scores) != len(captions):
        raise ConfigError(
            f"prediction has scores of {len(prediction.view_scores)} views, but there are {len(captions)} captions. Pass its own."
        )
    check_at_least("top", top, 1, "Pass the number of labels to show.")
    head = MARGIN + 60
    grid = _Grid.of(_view_tiles(prediction, captions), (MARGIN + LEFT + 2 * GAP, head))
    ranks = head + (LEFT + GAP if picture is not None else 0)
    rows = min(top, len(prediction.labels))
    canvas = Canvas(WIDTH, max(grid.bottom, ranks + rows * ROW) + MARGIN)
    _draw_heading(canvas, prediction)
    if picture is not None:
        canvas.picture((MARGIN, head), picture, side=LEFT)
    _draw_ranks(canvas, ranks, prediction, rows)
    grid.draw(canvas, np.asarray(images))
    return canvas.image


@dataclass(frozen=True)
class _Grid:
    """Tiles in rows from (left, top) to the right margin."""

    tiles: Sequence[Tile]
    left: int
    top: int
    columns: int
    side: int

    @classmethod
    def of(cls, tiles: Sequence[Tile], at: tuple[int, int]) -> _Grid:
        """Choose the number of columns that leaves the fewest empty places, with tiles no narrower than `NARROWEST`."""
        width = WIDTH - MARGIN - at[0]
        fitting = [n for n in (5, 6, 4, 3) if (width - GAP * (n - 1)) // n >= NARROWEST]
        columns = min(fitting, key=lambda n: -len(tiles) % n)
        return cls(tiles, *at, columns, (width - GAP * (columns - 1)) // columns)

    @property
    def pitch(self) -> int:
        return self.side + self.tiles[0].height + GAP

    @property
    def bottom(self) -> int:
        return self.top + -(-len(self.tiles) // self.columns) * self.pitch - GAP

    def draw(self, canvas: Canvas, images: np.ndarray) -> None:
        """Draw every tile; images that exceed 1, such as PointCLIP's raw depths, are scaled together so that their greys are visible."""
        images = images / max(1.0, float(np.nanmax(images)))
        for i, (image, tile) in enumerate(zip(images, self.tiles, strict=True)):
            row, column = divmod(i, self.columns)
            x, y = self.left + column * (self.side + GAP), self.top + row * self.pitch
            canvas.picture((x, y), image, side=self.side)
            _draw_tile(canvas, (x, y + self.side), self.side, tile)


def _view_tiles(prediction: Prediction, names: Sequence[str]) -> list[Tile]:
    scores = prediction.view_scores
    best = scores.max(axis=1)
    shares = _shares(best, scores)
    return [
        Tile(name, label, f"{score:.2f}", float(share), label == prediction.label)
        for name, label, score, share in zip(names, prediction.view_labels, best, shares, strict=True)
    ]


def _shares(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the position of each value between the lowest and the highest of others; 1 if all are equal."""
    low, high = float(among.min()), float(among.max())
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def _draw_tile(canvas: Canvas, at: tuple[int, int], side: int, tile: Tile) -> None:
    x, y = at
    canvas.text((x, y + 18), tile.camera, width=side, size=13, color=MUTED)
    if tile.caption:
        taken = canvas.text((x, y + 37), tile.score, width=side, size=13, color=MUTED, align="right")
        canvas.text((x, y + 37), tile.caption, width=side - taken - 8, size=15, color=TEXT)
    if tile.share is not None:
        canvas.bar((x, y + tile.height - 6), tile.share, width=side, height=4, color=ACCENT if tile.agrees else SECONDARY)


def _draw_heading(canvas: Canvas, prediction: Prediction) -> None:
    taken = canvas.text((MARGIN, MARGIN + 28), prediction.label, width=640, size=34)
    rest = "   ".join(part for part in (PurePath(prediction.source).name, prediction.model) if part)
    width = WIDTH - 2 * MARGIN - taken - 40
    canvas.text((MARGIN + taken + 40, MARGIN + 28), rest, width=width, size=16, color=MUTED, align="right")


def _draw_ranks(canvas: Canvas, top: int, prediction: Prediction, rows: int) -> None:
    known = prediction.probabilities
    shares = _shares(prediction.scores, prediction.scores) if known is None else known
    for i in range(rows):
        y = top + i * ROW
        words = f"{prediction.scores[i]:.3f}" if known is None else f"{known[i]:.1%}"
        taken = canvas.text((MARGIN, y + 20), words, width=LEFT, size=14, color=MUTED, align="right")
        canvas.text((MARGIN, y + 20), prediction.labels[i], width=LEFT - taken - 10, size=17, color=TEXT)
        canvas.bar((MARGIN, y + 28), float(shares[i]), width=LEFT, height=6, color=SECONDARY if i else ACCENT)
