"""OpenDlign's ablations on any data set: what each part of the method is worth, one table for each question.

Every table trains what it needs from the same depth-aligned images, once, and asks the same shapes. The paper's Table 4 is `components`;
the others take its remaining questions one at a time. Shapes are embedded through both branches once, and every rule is a sum over those.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64

from basrelief.datasets import Benchmark
from basrelief.encoders import ClipEncoder, VectorCache, load_tuned
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.result import Cell, Table, percent
from basrelief.metrics import truth_ranks
from basrelief.models import Embedder, Model, Progress, with_tuned_views
from basrelief.tasks import Asked, Pooling, pool_views
from basrelief.train.config import settings_record
from basrelief.train.depth_aligned import AlignedSet
from basrelief.train.opendlign import TUNED_FILE, OpenDlignSettings, Watch, align, chosen_views, trained_numbers, tuning_encoder

_PAPER = {"components": (59.7, 68.8, 75.9, 80.2, 82.6)}
"""ViT-H-14, ModelNet40, top-1 (arXiv:2404.16538, Table 4)."""
_MEAN, _SUM = Pooling("mean", scale=1.0), Pooling("softmax-sum")


@dataclass(frozen=True, eq=False)
class Variant:
    """One row of a table.

    Attributes:
        label: In words.
        run: Folder of a training, or None for plain CLIP.
        projection: Key of `PROJECTIONS`.
        rig: For OpenDlign's projection: another rig than its own, or empty.
        templates: Name of a template set; empty for the model's own.
        branch: `frozen`, `tuned`, `both`, or `split`: the first half of the views frozen, the rest tuned.
        pooling: How views become one.
        views: Which views are asked; all when None.
    """

    label: str
    run: Path | None = None
    projection: str = "opendlign"
    rig: str = ""
    templates: str = ""
    branch: str = "split"
    pooling: Pooling = _SUM
    views: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Bench:
    """What all tables share.

    Attributes:
        plain: The model before training, from `load_untuned`; its projection and prompts are replaced by those of each row.
        images: Depth-aligned images; the first is used by every table but `images`.
        benchmarks: What is asked.
        out: Folder for the runs and the features; a table that was stopped goes on.
        settings: Of every training, where the table does not say otherwise.
        cache: Where view features are kept, or None.
        progress: Told while shapes are embedded.
    """

    plain: Model
    images: tuple[AlignedSet, ...]
    benchmarks: tuple[Benchmark, ...]
    out: Path
    settings: OpenDlignSettings
    cache: VectorCache | None = None
    progress: Progress | None = None

    seen: dict[str, tuple[Any, Seen]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def encoder(self) -> ClipEncoder:
        """The one encoder that takes the tuned blocks of one run after another."""
        plain = tuning_encoder(self.plain)
        one = copy.copy(plain)
        one.towers = copy.deepcopy(plain.towers)
        return one

    def tuned(self, *, images: int = 0, **changes: Any) -> Path:  # noqa: ANN401 - fields of the settings
        """Folder of a training under the settings and some changes; trained once."""
        settings, chosen = replace(self.settings, **changes), self.images[images]
        text = json.dumps([settings_record(settings), str(chosen.home.resolve()), len(chosen)], sort_keys=True)
        run = self.out / "runs" / hashlib.sha256(text.encode()).hexdigest()[:16]
        watch = Watch(cache=self.out / "features" / f"{images}-{settings.blocks}-{settings.cache}", progress=self.progress)
        align(chosen, tuning_encoder(self.plain), out=run, settings=settings, watch=watch)
        return run

    def measure(self, variant: Variant, benchmark: Benchmark) -> tuple[Cell, ...]:
        """Top-1, 3 and 5 of a variant on a data set; features are kept for the next one that needs the same."""
        asked = self.plain.on(benchmark.name, templates=variant.templates or None).ask(benchmark.labels)
        key, place = (variant.run, variant.projection, variant.rig), f"{benchmark.root} {benchmark.fingerprint()}"
        if place not in self.seen or self.seen[place][0] != key:
            self.seen[place] = key, self._seen(variant, benchmark)
        return self.seen[place][1].tops(asked, variant)

    def _seen(self, variant: Variant, benchmark: Benchmark) -> Seen:
        """Features of every shape, through both branches where something was tuned."""
        own: dict[str, int | str] = {}
        if variant.projection == "opendlign":
            own = {**self.images[0].projection, **({"rig": variant.rig} if variant.rig else {})}
        recipe = replace(self.plain.recipe.on(benchmark.name), projection=variant.projection, projection_options=own, tuned_views=())
        encoder = self.plain.encoder
        if variant.run is not None:
            load_tuned(self.encoder, variant.run / TUNED_FILE)
            encoder, recipe = self.encoder, replace(with_tuned_views(recipe), branches="both")
        model = Model(recipe, encoder)
        found = Embedder(model, self.cache, 0, self.progress).whole(benchmark)
        if not len(found.items):
            raise ConfigError(f"benchmark must hold a shape that can be read, but got none of {len(benchmark)}. Run basrelief doctor.")
        views = len(model.projection.cameras)
        return Seen(found.views[:, :views], found.views[:, views:], found.truth)


@dataclass(frozen=True, eq=False)
class Seen:
    """Unit features of the shapes of a benchmark.

    Attributes:
        frozen: Of every view through the frozen branch.
        tuned: The same through the tuned one; no views where there is none.
        truth: Class number of each shape.
    """

    frozen: Float32[np.ndarray, "shapes views dim"]
    tuned: Float32[np.ndarray, "shapes other dim"]
    truth: Int64[np.ndarray, " shapes"]

    def tops(self, asked: Asked, variant: Variant) -> tuple[Cell, ...]:
        """Top-1, 3 and 5 in percent of a variant."""
        views = list(range(self.frozen.shape[1])) if variant.views is None else list(variant.views)
        half = {"frozen": len(views), "tuned": 0, "split": len(views) // 2}.get(variant.branch)
        first, second = (views, views) if half is None else (views[:half], views[half:])
        parts = [self.frozen[:, first]] + ([self.tuned[:, second]] if second else [])
        similarity = asked.similarity(torch.from_numpy(np.concatenate(parts, axis=1)))
        ranks = truth_ranks(pool_views(similarity, variant.pooling).cpu().numpy(), self.truth)
        return tuple(round(percent((ranks < k).mean()), 1) for k in (1, 3, 5))


def ablation_table(name: str, bench: Bench) -> Table:
    """Answer one question.

    Args:
        name: Key of `ABLATIONS`.
        bench: With model, images and shapes.

    Returns:
        One row for each variant: top-1, 3 and 5 on each data set, and the paper's top-1 where it is known.

    Raises:
        ConfigError: If there is no such table, or it needs what the bench has not.
    """
    if name not in ABLATIONS:
        raise ConfigError(unknown_choice("table", name, ABLATIONS))
    title, variants = ABLATIONS[name]
    paper = _PAPER.get(name, ())
    heads = [f"{benchmark.name} top-{k}" for benchmark in bench.benchmarks for k in (1, 3, 5)]
    rows: list[tuple[Cell, ...]] = []
    for place, variant in enumerate(variants(bench)):
        figures = [cell for benchmark in bench.benchmarks for cell in bench.measure(variant, benchmark)]
        rows.append((variant.label, *figures, *([paper[place]] if paper else [])))
    return Table(title, ("variant", *heads, *(["paper, H-14 on ModelNet40"] if paper else [])), tuple(rows))


def _components(bench: Bench) -> Iterator[Variant]:
    yield Variant("projection of PointCLIP V2", None, "pointclip-v2", templates="clip", branch="frozen", pooling=_MEAN)
    yield Variant("contour-aware projection", templates="clip", branch="frozen", pooling=_MEAN)
    own = bench.plain.recipe.templates
    yield Variant("+ depth-specific texts" if own == "opendlign" else f"+ texts {own}", branch="frozen", pooling=_MEAN)
    run = bench.tuned()
    yield Variant("+ alignment", run, branch="tuned", pooling=_MEAN)
    yield Variant("+ logit aggregation", run)


def _views(bench: Bench) -> Iterator[Variant]:
    for count in range(1, bench.images[0].views + 1):
        chosen = tuple(chosen_views(count, bench.images[0].views))
        yield Variant(f"{count} view{'s' if count > 1 else ''}", bench.tuned(views=count), views=chosen)


def _projections(bench: Bench) -> Iterator[Variant]:
    rigs = (("opendlign", "opendlign-30"), ("opendlign", "opendlign-33"), ("pointclip-v2", ""), ("clip2point", ""), ("pointclip", ""))
    run = bench.tuned()
    for name, rig in rigs:
        yield Variant(f"{rig or name}, plain CLIP", run, name, rig, branch="frozen", pooling=_MEAN)
        yield Variant(f"{rig or name}, aligned", run, name, rig)


def _prompts(bench: Bench) -> Iterator[Variant]:
    run = bench.tuned()
    for templates in ("name", "pointclip", "clip2point", "clip", "opendlign"):
        yield Variant(f"texts {templates}, plain CLIP", run, templates=templates, branch="frozen", pooling=_MEAN)
        yield Variant(f"texts {templates}, aligned", run, templates=templates)


def _blocks(bench: Bench) -> Iterator[Variant]:
    config = tuning_encoder(bench.plain).config
    layers = config.vision.layers
    for count in (count for count in (1, 2, 3) if isinstance(layers, int) and count <= layers):
        for residual in (True, False):
            trained = trained_numbers(config, blocks=count) / 1e6
            label = f"{count} block{'s' if count > 1 else ''} {'joined' if residual else 'alone'}, {trained:.1f} M trained"
            yield Variant(label, bench.tuned(blocks=count, residual=residual))


def _aggregation(bench: Bench) -> Iterator[Variant]:
    rules: Mapping[str, Pooling] = {"mean cosine": _MEAN, "largest cosine": Pooling("max", scale=1.0), "summed softmax": _SUM}
    run = bench.tuned()
    for branch in ("frozen", "tuned", "split", "both"):
        for rule, pooling in rules.items():
            yield Variant(f"{branch}, {rule}", run, branch=branch, pooling=pooling)


def _images(bench: Bench) -> Iterator[Variant]:
    if len(bench.images) < 2:
        raise ConfigError(f"images must be two or more folders for this table, but got {len(bench.images)}. Name each with --images.")
    for place, images in enumerate(bench.images):
        yield Variant(images.home.name, bench.tuned(images=place))


ABLATIONS: Mapping[str, tuple[str, Callable[[Bench], Iterator[Variant]]]] = {
    "components": ("What each part is worth (Table 4)", _components),
    "views": ("Number of views, in training and at test", _views),
    "projections": ("Another projection at test", _projections),
    "prompts": ("Other texts", _prompts),
    "blocks": ("Tuned blocks: how many, joined to the frozen ones or alone", _blocks),
    "aggregation": ("Which branch, and how views become one", _aggregation),
    "images": ("Which images the block is aligned with", _images),
}
"""Titles and variants by name."""
