"""Contrast of clouds with images and text, as OpenShape (arXiv:2305.10764), ULIP, TAMM (arXiv:2402.18490) and Uni3D train it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.train.contrast import symmetric_cross_entropy


class Targets(NamedTuple):
    """What clouds are contrasted with.

    Attributes:
        images: Features of K images of each shape.
        has_images: Whether a shape has images.
        text: Features of a text of each shape.
        has_text: Whether a shape has a text.
    """

    images: Float[Tensor, "batch images dim"]
    has_images: Bool[Tensor, " batch"]
    text: Float[Tensor, "batch dim"]
    has_text: Bool[Tensor, " batch"]


class PointLosses(NamedTuple):
    """Losses of a step, and the shares of shapes whose own image and text are the nearest."""

    total: Float[Tensor, ""]
    image: Float[Tensor, ""]
    text: Float[Tensor, ""]
    image_right: Float[Tensor, ""]
    text_right: Float[Tensor, ""]
    logit_scale: Float[Tensor, ""]


class Contrast(NamedTuple):
    """Weights of the loss, and how false negatives are treated; see `PointSettings`."""

    image_weight: float = 1.0
    text_weight: float = 1.0
    neighbours: int = 1
    margin: float = 0.1
    mask: str = "zero"

    def losses(self, points: Float[Tensor, "batch views dim"], targets: Targets, *, logit_scale: Float[Tensor, ""]) -> PointLosses:
        """Compute the losses of a batch.

        Both terms are symmetric InfoNCE; the image term is a sum over the images of a shape. A shape without images or text is left out of
        that term, as a row and as a negative; OpenShape's code fails on such a shape if it masks false negatives.

        Args:
            points: Features of clouds; with two, the first is contrasted with text and the last with images, as in TAMM.
            targets: Features of images and text; no gradient.
            logit_scale: Multiplier of the cosines, already exponentiated.
        """
        keep = None
        if self.neighbours > 1:
            keep = true_negatives(targets, group=self.neighbours, margin=self.margin)
        zero = points.sum() * 0 + logit_scale * 0  # keeps every parameter in the graph if nobody has an image or a text
        image, text, image_right, text_right = zero, zero, zero.detach(), zero.detach()
        if bool(targets.has_images.any()):
            rows = targets.has_images.nonzero()[:, 0]
            terms = [
                self._term(points[rows, -1], one, logit_scale, None if keep is None else keep[rows][:, rows])
                for one in targets.images[rows].unbind(dim=1)
            ]
            image, image_right = torch.stack([loss for loss, _ in terms]).sum(), torch.stack([right for _, right in terms]).mean()
        if bool(targets.has_text.any()):
            rows = targets.has_text.nonzero()[:, 0]
            own = None if keep is None else keep[rows][:, rows]
            text, text_right = self._term(points[rows, 0], targets.text[rows], logit_scale, own)
        total = self.image_weight * image + self.text_weight * text + zero
        return PointLosses(total, image.detach(), text.detach(), image_right, text_right, logit_scale.detach())

    def _term(
        self, first: Float[Tensor, "n dim"], second: Float[Tensor, "n dim"], logit_scale: Tensor, keep: Bool[Tensor, "n n"] | None
    ) -> tuple[Tensor, Tensor]:
        """Return InfoNCE and the share of rows whose own column is the greatest."""
        logits = logit_scale * F.normalize(first, dim=-1) @ F.normalize(second.detach(), dim=-1).T
        if keep is not None:
            logits = logits * keep if self.mask == "zero" else logits.masked_fill(~keep, -torch.inf)
        right = (logits.detach().argmax(dim=1) == torch.arange(len(logits), device=logits.device)).float().mean()
        return symmetric_cross_entropy(logits), right


def true_negatives(targets: Targets, *, group: int, margin: float) -> Bool[Tensor, "batch batch"]:
    """Return which pairs (i, j) count, for batches of groups of similar shapes (OpenShape, sec. 3.4).

    Within a group, text j is a negative of shape i only if cos(image_i, text_i) - cos(image_i, text_j) > margin; otherwise it may
    describe shape i as well as its own text. Pairs of two groups, of a shape with itself, and pairs whose cosines are not known, count.

    Args:
        targets: Of consecutive groups. The cosines with several images of a shape are averaged.
        group: Shapes of a group.
        margin: delta; 0.1 as published.
    """
    count = len(targets.text)
    cosine = (F.normalize(targets.images, dim=-1) @ F.normalize(targets.text, dim=-1).T).mean(dim=1)
    better = cosine.diagonal()[:, None] - cosine > margin
    place = torch.arange(count, device=cosine.device)
    elsewhere = place[:, None] // group != place // group
    unknown = ~(targets.has_images & targets.has_text)[:, None] | ~targets.has_text
    return better | elsewhere | unknown | torch.eye(count, dtype=torch.bool, device=cosine.device)
