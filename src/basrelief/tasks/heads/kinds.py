"""Registry of few-shot heads; fit one, score shapes with it, and read it from a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.state_dict import check_finite
from basrelief.errors import ConfigError, WeightsError, unknown_choice
from basrelief.tasks.heads.adapters import DualPathAdapter, InterViewAdapter, SimplifiedAdapter
from basrelief.tasks.heads.base import FORMAT, FitOptions, Head
from basrelief.tasks.heads.gradient import TextClassifier, fit_adapter
from basrelief.tasks.heads.probe import cache_scores, fit_cache, fit_probe, probe_scores

_MAX_VIEWS, _MAX_DIM = 256, 4096
Views = Float[Tensor, "shapes views dim"]
_Fitted = Callable[[Views, Int[Tensor, " shapes"], TextClassifier, FitOptions], dict[str, Tensor]]
_Scores = Callable[[Head, Views], Float[Tensor, "shapes classes"]]


@dataclass(frozen=True)
class HeadKind:
    """A kind of few-shot head.

    Attributes:
        name: Key in `HEADS`.
        title: One-line description.
        paths: Number of image towers, whose views are concatenated along the view axis: 1, or 2 for the dual path.
        fitted: Function that fits the tensors to views, labels and the zero-shot classifier.
        scores: Function that computes logits from a head and views.
        source: Paper it comes from; empty for our own.
    """

    name: str
    title: str
    paths: int
    fitted: _Fitted
    scores: _Scores
    source: str = ""


def fit_head(
    kind: str,
    views: Float[Tensor, "shapes views dim"],
    *,
    truth: Int[Tensor, " shapes"],
    texts: Float[Tensor, "classes dim"],
    fit: FitOptions | None = None,
    logit_scale: float = 100.0,
) -> Head:
    """Fit a head to labelled shapes.

    Args:
        kind: Key of `HEADS`.
        views: (N, V, D) features before normalisation; for `dual-path`, the views of both towers.
        truth: Class number of each shape.
        texts: Unit-length embedding of each class name, in the order of the numbers.
        fit: Options; the paper's if None.
        logit_scale: The encoder's multiplier of cosines.

    Raises:
        ConfigError: If the kind is unknown, there is no shape, a label is out of range, or the number of views does not fit the kind.
    """
    if kind not in HEADS:
        raise ConfigError(unknown_choice("head", kind, HEADS))
    found, fit = HEADS[kind], fit or FitOptions()
    if len(views) == 0 or views.shape[1] % found.paths:
        raise ConfigError(
            f"views has shape {tuple(views.shape)}; head {kind!r} needs shapes with views of {found.paths} tower(s). Embed them with each."
        )
    if truth.min() < 0 or truth.max() >= len(texts):
        raise ConfigError(f"truth ranges from {truth.min()} to {truth.max()}; expected 0 to {len(texts) - 1}. Check the labels.")
    zero_shot = TextClassifier(texts.float(), logit_scale)
    tensors = found.fitted(views.float(), truth, zero_shot, fit)
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    return Head(kind, tensors, views.shape[1], views.shape[2], len(texts), fit)


def head_scores(head: Head, views: Float[Tensor, "shapes views dim"]) -> Float[Tensor, "shapes classes"]:
    """Return the logits of every class for each shape.

    Args:
        head: From `fit_head` or `read_head`.
        views: (N, V, D) features of the same towers as in `fit_head`.

    Raises:
        ConfigError: If V or D is not that of the head.
    """
    if tuple(views.shape[1:]) != (head.views, head.dim):
        raise ConfigError(
            f"views has shape {tuple(views.shape)}; expected (N, {head.views}, {head.dim}). Use the model the head was fitted with."
        )
    with torch.no_grad():
        return HEADS[head.kind].scores(head, views.float())


def read_head(path: Path | str) -> Head:
    """Read a head from a file of `Head.save`.

    Raises:
        WeightsError: If the file is not a head of this format, or is broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            texts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if texts.get("format") != FORMAT:
            raise ValueError(f"format {texts.get('format')!r}")
        record, fit, notes = (_object(texts[name]) for name in ("head", "fit", "notes"))
        head = Head(tensors=tensors, fit=FitOptions(**fit), notes=notes, **record)
        if head.kind not in HEADS:
            raise ValueError(f"kind {head.kind!r}")
        for name, tensor in tensors.items():
            check_finite(name, tensor)
        _try(head)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # a RecursionError is a RuntimeError
        name = Path(path).name
        raise WeightsError(f"{name} is not a head written by basrelief train adapter: {error}. Train it again.") from error
    return head


def _try(head: Head) -> None:
    """Score a shape of zeros, so that missing or misshapen tensors raise when the file is read."""
    if not (0 < head.views <= _MAX_VIEWS and 0 < head.dim <= _MAX_DIM):
        raise ValueError(f"{head.views} views of length {head.dim}")
    found = head_scores(head, torch.zeros(1, head.views, head.dim))
    if found.shape != (1, head.classes):
        raise ValueError(f"{found.shape[1]} scores for {head.classes} classes")


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _adapter(kind: Callable[..., nn.Module], *, smoothing: float = 0.0, learned_scale: bool = False) -> tuple[_Fitted, _Scores]:
    """Return the functions that fit an adapter and compute logits from it."""

    def build(views: int, dim: int, fit: FitOptions) -> nn.Module:
        return kind(views, dim) if fit.dropout is None else kind(views, dim, dropout=fit.dropout)

    def fitted(views: Tensor, truth: Tensor, zero_shot: TextClassifier, fit: FitOptions) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fit.seed)
            adapter = build(views.shape[1], views.shape[2], fit)
        scale = zero_shot.logit_scale if learned_scale else 1.0
        resolved = replace(
            fit, scale=scale if fit.scale is None else fit.scale, smoothing=smoothing if fit.smoothing is None else fit.smoothing
        )
        return fit_adapter(adapter, views, truth, zero_shot=zero_shot, fit=resolved)

    def scores(head: Head, views: Tensor) -> Tensor:
        with torch.device("meta"):  # sizes declared by a file allocate no memory
            adapter = build(head.views, head.dim, head.fit).eval()
        own = {name: tensor for name, tensor in head.tensors.items() if name not in ("texts", "scale")}
        adapter.load_state_dict(own, strict=True, assign=True)
        cosine = F.normalize(adapter(views), dim=-1) @ head.tensors["texts"].T
        return head.tensors["scale"] * cosine

    return fitted, scores


HEADS: Mapping[str, HeadKind] = {
    kind.name: kind
    for kind in (
        HeadKind("probe", "logistic regression on every view", 1, fit_probe, probe_scores, "OpenDlign, arXiv:2404.16538, sec. 4.2"),
        HeadKind("cache", "class names and a cache of the support", 1, fit_cache, cache_scores, "Tip-Adapter, arXiv:2207.09519"),
        HeadKind("simplified", "CLIP2Point's adapter of one path", 1, *_adapter(SimplifiedAdapter), "arXiv:2210.01055"),
        HeadKind(
            "inter-view", "PointCLIP's adapter", 1, *_adapter(InterViewAdapter, smoothing=0.2, learned_scale=True), "arXiv:2112.02413"
        ),
        HeadKind("dual-path", "CLIP2Point's Dual-Path Adapter", 2, *_adapter(DualPathAdapter), "arXiv:2210.01055"),
    )
}
