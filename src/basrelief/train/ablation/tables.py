"""The tables of an ablation study: one question each, on any data set.

`components` is the paper's Table 4 (Mao et al. 2024, arXiv:2404.16538); the others vary one part of the method at a time. Each table trains
the blocks it needs once; `AblationStudy` keeps the features that its rows share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.result import Cell, Table
from basrelief.output import to_json, write_text
from basrelief.render.rigs import evenly_spaced_views
from basrelief.tasks import Pooling
from basrelief.train.ablation.study import MEAN, SUM, AblationStudy, Variant
from basrelief.train.opendlign.features import trainable_parameters
from basrelief.train.opendlign.trainer import tuning_encoder

_PAPER = {"components": (59.7, 68.8, 75.9, 80.2, 82.6)}
"""ViT-H-14, ModelNet40, top-1 (Table 4)."""


def ablation_table(study: AblationStudy, name: str) -> Table:
    """Train and evaluate the variants of one table, and write it to `NAME.json` in the folder of the study.

    Args:
        study: Model, images and data sets.
        name: Key of `ABLATIONS`.

    Returns:
        One row for each variant: top-1, 3 and 5 on each data set, and the paper's top-1 where it is known.

    Raises:
        ConfigError: If there is no such table, or it needs more sets of images than the study has.
    """
    if name not in ABLATIONS:
        raise ConfigError(unknown_choice("table", name, ABLATIONS))
    title, variants = ABLATIONS[name]
    paper = _PAPER.get(name, ())
    heads = [f"{benchmark.name} top-{k}" for benchmark in study.benchmarks for k in (1, 3, 5)]
    rows: list[tuple[Cell, ...]] = []
    for place, variant in enumerate(variants(study)):
        figures = [cell for benchmark in study.benchmarks for cell in study.evaluate(variant, benchmark)]
        rows.append((variant.label, *figures, *([paper[place]] if paper else [])))
    table = Table(title, ("variant", *heads, *(["paper, H-14 on ModelNet40"] if paper else [])), tuple(rows))
    write_text(study.out / f"{name}.json", to_json(dataclasses.asdict(table), indent=1) + "\n")
    return table


def _components(study: AblationStudy) -> Iterator[Variant]:
    yield Variant("projection of PointCLIP V2", None, {"name": "pointclip-v2"}, templates="clip", branch="frozen", pooling=MEAN)
    yield Variant("contour-aware projection", templates="clip", branch="frozen", pooling=MEAN)
    own = study.model.recipe.templates
    yield Variant("+ depth-specific prompts" if own == "opendlign" else f"+ prompts {own}", branch="frozen", pooling=MEAN)
    run = study.train()
    yield Variant("+ alignment", run, branch="tuned", pooling=MEAN)
    yield Variant("+ logit aggregation", run)


def _views(study: AblationStudy) -> Iterator[Variant]:
    for count in range(1, study.images[0].views + 1):
        chosen = tuple(evenly_spaced_views(count, study.images[0].views))
        yield Variant(f"{count} view{'s' if count > 1 else ''}", study.train(views=count), views=chosen)


def _projections(study: AblationStudy) -> Iterator[Variant]:
    contour_aware = (("opendlign", "opendlign-original"), ("opendlign-paper", "opendlign-30"), ("opendlign-paper", "opendlign-33"))
    run = study.train()
    for name, rig in (*contour_aware, ("pointclip-v2", ""), ("clip2point", ""), ("pointclip", "")):
        projection = {"name": name, "rig": rig, "size": study.images[0].projection["size"]} if rig else {"name": name}
        yield Variant(f"{rig or name}, plain CLIP", run, projection, branch="frozen", pooling=MEAN)
        yield Variant(f"{rig or name}, aligned", run, projection)


def _prompts(study: AblationStudy) -> Iterator[Variant]:
    run = study.train()
    for templates in ("name", "pointclip", "clip2point", "clip", "opendlign"):
        yield Variant(f"prompts {templates}, plain CLIP", run, templates=templates, branch="frozen", pooling=MEAN)
        yield Variant(f"prompts {templates}, aligned", run, templates=templates)


def _blocks(study: AblationStudy) -> Iterator[Variant]:
    config = tuning_encoder(study.model).config
    layers = config.image_tower.layers
    for count in (count for count in (1, 2, 3) if isinstance(layers, int) and count <= layers):
        for residual in (True, False):
            trained = trainable_parameters(config, blocks=count) / 1e6
            label = f"{count} block{'s' if count > 1 else ''} {'with' if residual else 'without'} residual, {trained:.1f} M trained"
            yield Variant(label, study.train(blocks=count, residual=residual))


def _aggregation(study: AblationStudy) -> Iterator[Variant]:
    rules: Mapping[str, Pooling] = {"mean cosine": MEAN, "max cosine": Pooling("max", scale=1.0), "summed softmax": SUM}
    run = study.train()
    for branch in ("frozen", "tuned", "split", "both"):
        for rule, pooling in rules.items():
            yield Variant(f"{branch}, {rule}", run, branch=branch, pooling=pooling)


def _images(study: AblationStudy) -> Iterator[Variant]:
    if len(study.images) < 2:
        raise ConfigError(f"The images table compares two or more folders of images, got {len(study.images)}. Pass --images for each.")
    for place, images in enumerate(study.images):
        yield Variant(images.home.name, study.train(images=place), images.projection)


ABLATIONS: Mapping[str, tuple[str, Callable[[AblationStudy], Iterator[Variant]]]] = {
    "components": ("Contribution of each component (Table 4)", _components),
    "views": ("Number of views, in training and at test", _views),
    "projections": ("Projection at test time", _projections),
    "prompts": ("Prompt templates", _prompts),
    "blocks": ("Tuned blocks: number, with or without the frozen branch", _blocks),
    "aggregation": ("Branch and view pooling", _aggregation),
    "images": ("Training images", _images),
}
"""Titles and variants by name."""
