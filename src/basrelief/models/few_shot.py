"""Few-shot classifiers: models, a head fitted on their view features, and its labels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.datasets import parse_labels
from basrelief.encoders import ClipEncoder
from basrelief.encoders.convert import convert_visual
from basrelief.encoders.state_dict import read_state_dict
from basrelief.errors import ConfigError, WeightsError, unknown_choice
from basrelief.models.load import load_model
from basrelief.models.model import SHAPES_PER_PASS, Model
from basrelief.models.recipe import get_recipe
from basrelief.models.shape_input import Prepared, ShapeInput
from basrelief.tasks import HEADS, FitOptions, Head, LabelScores, fit_head, head_scores
from basrelief.tasks.heads.adapters import published_adapter
from basrelief.tasks.heads.kinds import read_head
from basrelief.types import Prediction, Shape

_PATHS = "a head of one path takes one model, dual-path takes two: the depth tower, then CLIP's own"


class FewShotClassifier:
    """Models under their few-shot settings, and a head.

    `dual-path` takes two models, CLIP2Point's and plain CLIP's; every other head takes one.

    Attributes:
        models: One for each path of the head.
        head: Fitted on their view features.
        labels: C names, in the order of the head's classes.
    """

    def __init__(self, models: Sequence[Model], head: Head, *, labels: Sequence[str]) -> None:
        self.models, self.head, self.labels = tuple(models), head, parse_labels(labels)
        if len(self.labels) != head.classes:
            raise ConfigError(f"The head has {head.classes} classes, but there are {len(self.labels)} labels. Pass those it was fitted on.")

    @classmethod
    def fit(
        cls, models: Sequence[Model], shapes: Sequence[Shape], *, truth: Sequence[str], head: str = "probe", fit: FitOptions | None = None
    ) -> FewShotClassifier:
        """Fit a head on labelled shapes.

        Args:
            models: From `load_model`, one for each path; they are used under their few-shot settings, `Model.for_few_shot`.
            shapes: The support, world frame.
            truth: Label of each shape; classes are numbered in the order in which they first come.
            head: Key of `basrelief.tasks.HEADS`.
            fit: How the head is fitted; the paper's way when None.

        Raises:
            ConfigError: If shapes and labels differ in number, there are fewer than two labels, or the models do not fit the head.
        """
        if len(truth) != len(shapes):
            raise ConfigError(f"There are {len(truth)} labels for {len(shapes)} shapes. Pass one per shape.")
        labels = parse_labels(tuple(dict.fromkeys(truth)))
        ready = tuple(model.for_few_shot() for model in models)
        number = {label: i for i, label in enumerate(labels)}
        return cls.fit_features(
            ready, view_features(ready, shapes), truth=[number[label] for label in truth], labels=labels, head=head, fit=fit
        )

    @classmethod
    def fit_features(
        cls,
        models: Sequence[Model],
        features: Float[Tensor, "shapes views dim"],
        *,
        truth: Sequence[int],
        labels: Sequence[str],
        head: str = "probe",
        fit: FitOptions | None = None,
    ) -> FewShotClassifier:
        """Fit a head on features that are computed already.

        Args:
            models: Under their few-shot settings.
            features: From `view_features` with these models.
            truth: Number of the label of each shape.
            labels: All names.
            head: Key of `basrelief.tasks.HEADS`.
            fit: How the head is fitted.
        """
        first = models[0]
        texts = first.embed_text(labels)
        numbers = torch.as_tensor(list(truth), device=features.device)
        made = fit_head(head, features, truth=numbers, texts=texts, fit=fit, logit_scale=first.logit_scale)
        notes = {"labels": list(labels), "paths": [_path(model) for model in models], "shapes": len(features)}
        return cls(models, replace(made, notes=notes), labels=labels)

    @classmethod
    def load_published(cls, path: Path | str, clip: Model, *, labels: Sequence[str]) -> FewShotClassifier:
        """Read CLIP2Point's published few-shot checkpoint (`best_test.pth`): two towers and their adapters.

        Args:
            path: The file; strictly read, every tensor of both towers and adapters must be there and fit.
            clip: Plain CLIP of the file's architecture, e.g. `load_model("clip2point-untuned")`: its text tower and preprocessing.
            labels: The class names it was trained with, in any order; ModelNet40's for the published file.

        Raises:
            WeightsError: If the file is not such a checkpoint, or its towers do not fit.
        """
        state = read_state_dict(path)
        if not any(name.startswith("adapter1.") for name in state):
            raise WeightsError(f"{Path(path).name} has no dual-path adapter of CLIP2Point. Use the published few-shot checkpoint.")
        ready = clip.for_few_shot()
        models = tuple(Model(ready.recipe, _tower(ready, state, part), prompter=ready.prompter) for part in ("pre_model", "ori_model"))
        adapters = {ours: published_adapter(state, theirs) for ours, theirs in (("depth", "adapter1"), ("image", "adapter2"))}
        tensors = {f"{ours}.{name}": tensor.float() for ours, own in adapters.items() for name, tensor in own.items()}
        views, dim = 2 * len(tensors["depth.ratio"]), len(tensors["depth.out.bias"])
        texts = models[0].embed_text(labels).cpu()
        notes = {"labels": list(labels), "paths": [_path(model) for model in models]}
        head = Head("dual-path", {**tensors, "texts": texts, "scale": torch.tensor(1.0)}, views, dim, len(labels), notes=notes)
        return cls(models, head, labels=labels)

    @property
    def name(self) -> str:
        """Names of the models and kind of the head."""
        return f"{'+'.join(model.name for model in self.models)} {self.head.kind}"

    @property
    def default_labels(self) -> tuple[str, ...]:
        """The labels the head was fitted on."""
        return self.labels

    def unknown_words(self, texts: Sequence[str]) -> dict[str, str]:
        """Return nothing: a fitted head knows its labels by their shapes; see `Model.unknown_words`."""
        return {}

    @property
    def input(self) -> ShapeInput:
        """How a shape becomes what the first path reads."""
        return self.models[0].input

    def prepare(self, shapes: Sequence[Shape], *, seed: int = 0) -> list[Prepared]:
        """Turn shapes into what the first path reads."""
        return self.models[0].prepare(shapes, seed=seed)

    def predict(self, shapes: Sequence[Shape], *, seed: int = 0, prepared: Sequence[Prepared] | None = None) -> list[Prediction]:
        """Rank the labels of shapes, best first.

        `view_scores` are the zero-shot cosines of each view of the first path. CLIP2Point's heads score by plain cosines; their
        probabilities are of cosines times the encoder's scale, and no more calibrated than zero-shot ones.

        Args:
            shapes: World frame.
            seed: Seed of the surface sampling.
            prepared: What `prepare` gave for these shapes and this seed; prepared when None.
        """
        return self.predict_features(view_features(self.models, shapes, seed=seed, prepared=prepared))

    def predict_features(self, features: Float[Tensor, "shapes views dim"]) -> list[Prediction]:
        """Rank the labels of shapes from the result of `view_features`."""
        scores = head_scores(self.head, features.cpu())
        plain = float(self.head.tensors.get("scale", 0.0)) == 1.0  # plain cosines have a nearly uniform softmax
        sharp = scores * (self.models[0].logit_scale if plain else 1.0)
        first = F.normalize(features[:, : self.head.views // len(self.models)], dim=-1).cpu()
        cosines = first @ self.models[0].embed_text(self.labels).cpu().T
        found = LabelScores(cosines, scores, sharp.softmax(dim=-1)).predictions(self.labels)
        return [replace(prediction, model=self.name) for prediction in found]

    def save(self, path: Path | str) -> Path:
        """Save the head with its labels and what it was fitted on, without the models."""
        return self.head.save(path)

    @classmethod
    def load(cls, path: Path | str, models: Sequence[Model]) -> FewShotClassifier:
        """Load a saved head onto its models.

        Args:
            path: What `save` wrote.
            models: From `load_model`, one for each path.

        Raises:
            WeightsError: If the file is no head.
            ConfigError: If the models are not those it was fitted on.
        """
        head = _read(path)
        ready = tuple(model.for_few_shot() for model in models)
        wanted = head.notes["paths"]
        for i, model in enumerate(ready):
            if i >= len(wanted) or _path(model) != wanted[i]:
                known = wanted[i] if i < len(wanted) else {"recipe": "none"}
                raise ConfigError(f"{Path(path).name} was fitted with other models: {_difference(_path(model), known)}. Load the same.")
        if len(wanted) != len(ready):
            raise ConfigError(f"The head needs {len(wanted)} model(s), but there are {len(ready)}: {_PATHS}.")
        return cls(ready, head, labels=head.notes["labels"])


def _head_recipes(path: Path | str) -> tuple[str, ...]:
    """Names of the recipes a saved head was fitted on, one for each path.

    Raises:
        WeightsError: If the file is no head, or does not say what it was fitted on.
    """
    return tuple(str(one["recipe"]) for one in _read(path).notes["paths"])


def _read(path: Path | str) -> Head:
    """Read a head and check that it names its labels and towers."""
    head = read_head(path)
    labels, paths = head.notes.get("labels"), head.notes.get("paths")
    if (
        not isinstance(labels, list)
        or not isinstance(paths, list)
        or not paths
        or not all(isinstance(p, dict) and "recipe" in p for p in paths)
    ):
        raise WeightsError(f"{Path(path).name} does not name its labels and models. Train it again.")
    return head


def view_features(
    models: Sequence[Model],
    shapes: Sequence[Shape],
    *,
    seed: int = 0,
    prepared: Sequence[Prepared] | None = None,
) -> Float[Tensor, "shapes views dim"]:
    """Return the features of every view by every model, paths one after another along the views.

    Each shape is prepared once for all models that read the same.

    Args:
        models: Under the settings they are to run with.
        shapes: World frame.
        seed: Seed of the surface sampling.
        prepared: What the first model reads of the shapes, for this seed; prepared when None.

    Raises:
        ConfigError: If there is no model or no shape, or the lengths of their features differ.
    """
    if not models or not shapes:
        raise ConfigError(f"Need at least one model and one shape, got {len(models)} and {len(shapes)}.")
    lengths = {model.embedding_dim for model in models}
    if len(lengths) > 1:
        raise ConfigError(f"The models give features of different lengths, {sorted(lengths)}. Use encoders of one size.")
    parts = []
    for start in range(0, len(shapes), SHAPES_PER_PASS):
        rows = slice(start, start + SHAPES_PER_PASS)
        known: list[tuple[ShapeInput, Sequence[Prepared]]] = [] if prepared is None else [(models[0].input, prepared[rows])]
        for model in models:
            if all(other.settings != model.input.settings for other, _ in known):
                known.append((model.input, model.prepare(shapes[rows], seed=seed)))
        read = [next(each for other, each in known if other.settings == model.input.settings) for model in models]
        parts.append(torch.cat([model.features(each).cpu() for model, each in zip(models, read, strict=True)], dim=1))
    return torch.cat(parts)


def load_few_shot(
    path: Path | str,
    *,
    weights: Path | str | None = None,
    checkpoint: Path | str | None = None,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
) -> FewShotClassifier:
    """Load a saved head with the models it was fitted on.

    Args:
        path: What `FewShotClassifier.save` or `basrelief train adapter` wrote.
        weights: CLIP weights of every model; see `load_model`.
        checkpoint: The method's own weights, for the first model.
        device: `auto`, `cpu`, `cuda`, ...
        backend: `auto` (measured), `torch` or `openvino`.
        dtype: `auto` (measured), `float32`, `bfloat16` or `float16`.

    Raises:
        WeightsError: If the file is no head, or weights are broken.
        ConfigError: If the models are not those the head was fitted on.
    """
    first, *others = _head_recipes(path)
    models = [load_model(first, weights=weights, checkpoint=checkpoint, device=device, backend=backend, dtype=dtype)]
    models += [load_model(name, weights=weights, device=device, backend=backend, dtype=dtype) for name in others]
    return FewShotClassifier.load(path, models)


def head_paths(name: str, head: str) -> tuple[str, ...]:
    """Return the names of the recipes whose towers a head uses, one for each path.

    Args:
        name: The first path's.
        head: Key of `basrelief.tasks.HEADS`.

    Raises:
        ConfigError: If a name is unknown, or the head has two paths and the recipe names no second.
    """
    if head not in HEADS:
        raise ConfigError(unknown_choice("head", head, HEADS))
    if HEADS[head].paths == 1:
        return (name,)
    second = get_recipe(name).few_shot.get("second")
    if second is None:
        raise ConfigError(f"Head {head!r} needs two image towers, but {name!r} has one. Use clip2point.")
    return name, second


def _path(model: Model) -> dict[str, Any]:
    """Return the settings that determine the features of a path."""
    recipe = model.recipe
    return {
        "recipe": recipe.name,
        "weights": model.fingerprint[:16],
        "projection": recipe.projection,
        "points": recipe.points,
        "normalisation": recipe.normalisation,
        "branches": recipe.branches,
        **({"shaded": model.input.settings} if recipe.shaded is not None else {}),
    }


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    key = next(key for key in ours if ours[key] != theirs.get(key))
    return f"{key} {ours[key]} where it was fitted on {theirs.get(key)}"


def _tower(clip: Model, state: Mapping[str, Tensor], part: str) -> ClipEncoder:
    """A copy of an encoder with the image tower under a name of the checkpoint."""
    encoder = copy.copy(clip.encoder)
    if not isinstance(encoder, ClipEncoder):
        raise ConfigError(f"clip has a {type(encoder).__name__}; expected CLIP's towers. Load clip2point-untuned.")
    own = {f"visual.{name.removeprefix(f'{part}.')}": tensor for name, tensor in state.items() if name.startswith(f"{part}.")}
    encoder.towers, encoder.compiled, encoder.float32_sample = copy.deepcopy(encoder.towers), None, None
    encoder.towers.load_state_dict(convert_visual(own, encoder.config), strict=False)
    return encoder
