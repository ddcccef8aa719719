"""A Model: a recipe with its towers. It turns shapes, words and pictures into embeddings of one space."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.datasets import list_label_sets, parse_labels
from basrelief.encoders.exported_text import ExportedText
from basrelief.encoders.photos import fit_image
from basrelief.errors import ConfigError
from basrelief.models.inputs import ShapeLike, as_picture, as_shapes, is_one_shape
from basrelief.models.picture import draw_evidence
from basrelief.models.prompting import Prompter
from basrelief.models.recipe import NORMALISATIONS, Recipe
from basrelief.models.shape_encoder import ShapeEncoder, combined_fingerprint, view_encoder
from basrelief.models.shape_input import Prepared, ShapeInput, ViewInput
from basrelief.render import Projection
from basrelief.tasks import LabelEmbeddings, LabelScores, Pooling, mix_embeddings, score_labels
from basrelief.types import Mesh, PointCloud, Prediction, Shape

if TYPE_CHECKING:
    from PIL import Image

    from basrelief.encoders import Encoder

SHAPES_PER_PASS = 8
"""Shapes rendered and encoded at once: 8 shapes of 10 views at 224 px are 16 MB of depth images."""


class Model:
    """Embeds shapes, text and pictures, and names shapes by words; built by `load_model`.

    Attributes:
        recipe: What the model does, as data.
        encoder: The CLIP towers.
        shape_encoder: What turns shapes into features: the image tower over depth views, or a point network.
        prompter: How labels become text embeddings.
    """

    def __init__(
        self, recipe: Recipe, encoder: Encoder, *, prompter: Prompter | None = None, shape_encoder: ShapeEncoder | None = None
    ) -> None:
        self.recipe = recipe
        self.encoder = encoder
        self.shape_encoder: ShapeEncoder = shape_encoder or view_encoder(recipe, encoder)
        self.prompter = prompter or Prompter.of(recipe)
        pictures = NORMALISATIONS[recipe.normalisation] if recipe.normalisation == "imagenet" else None
        self._photo_encoder = encoder if pictures is None else encoder.with_preprocessing(*pictures)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    def for_dataset(self, dataset: str, *, points: int | None = None, templates: str | None = None) -> Model:
        """Return the model with the recipe's settings for a data set, see `Recipe.for_dataset`; a published prompt list stays."""
        return self.with_recipe(self.recipe.for_dataset(dataset, points=points, templates=templates))

    def for_few_shot(self) -> Model:
        """Return the model with the recipe's few-shot settings, see `Recipe.for_few_shot`."""
        return self.with_recipe(self.recipe.for_few_shot())

    def with_recipe(self, recipe: Recipe) -> Model:
        """Return the same networks under another recipe, e.g. with another pooling rule or a second stage of prompts."""
        shapes = self.shape_encoder.with_recipe(recipe)
        return Model(recipe, self.encoder, prompter=self.prompter.with_recipe(recipe), shape_encoder=shapes)

    def __repr__(self) -> str:
        """Return name, what it reads of a shape, and encoder."""
        drawers = self.input.drawers if isinstance(self.input, ViewInput) else ()
        views = f"{self.views} views" if self.views > 1 else self.input.captions[0]
        reads = f"{views} by {' and '.join(d.name for d in drawers)}" if drawers else f"{self.recipe.points:,} points"
        return f"Model({self.name!r}, {reads}, encoder {self.encoder.name} on {self.encoder.device})"

    @property
    def input(self) -> ShapeInput:
        """How a shape becomes what the model reads."""
        return self.shape_encoder.input

    @property
    def projection(self) -> Projection:
        """How a shape becomes depth images.

        Raises:
            ConfigError: If the model reads anything but depth images.
        """
        self.recipe.check_depth()
        (drawer,) = self.shape_encoder.input.drawers  # type: ignore[attr-defined]
        projection: Projection = drawer.projection
        return projection

    @property
    def views(self) -> int:
        """Number of features per shape: one per camera, or two if every view goes through both branches; one or two for a point network."""
        return self.shape_encoder.views

    @property
    def fingerprint(self) -> str:
        """Hash that changes with the weights of any part, tokenizer, preprocessing or dtype."""
        return combined_fingerprint(self.shape_encoder.fingerprint, self.encoder.fingerprint)

    @property
    def embedding_dim(self) -> int:
        """Length of the embeddings."""
        return self.encoder.embedding_dim

    @property
    def logit_scale(self) -> float:
        """Multiplier of cosines, already exponentiated."""
        own = self.shape_encoder.logit_scale
        return self.encoder.logit_scale if own is None else own

    def prepare(self, shapes: Sequence[Shape], *, seed: int = 0) -> list[Prepared]:
        """Turn shapes into what the network reads: images (V, S, S) or (V, 3, S, S) before mean and deviation, or a cloud (N, 6) each.

        Args:
            shapes: World frame; meshes are sampled to `recipe.points` points, larger clouds thinned to that.
            seed: Of the sampling.
        """
        return self.input.prepare(shapes, seed=seed, device=self.encoder.device)

    def embed_views(self, shapes: ShapeLike | Sequence[ShapeLike], *, seed: int = 0) -> Float[Tensor, "shapes views dim"]:
        """Embed every view of every shape, unit length, float32; a point network has one or two "views".

        Args:
            shapes: A shape, path, array (N, 3) or trimesh object, or a sequence of them; see `ShapeLike`.
            seed: Seed of the surface sampling.

        Raises:
            ConfigError: If there is no shape, or one is of another type.
            FileFormatError: If a file cannot be read.
            GeometryError: If a shape cannot be sampled, e.g. a mesh without area.
        """
        many = as_shapes(shapes)
        parts = (many[start : start + SHAPES_PER_PASS] for start in range(0, len(many), SHAPES_PER_PASS))
        return torch.cat([self.embed_prepared(self.prepare(part, seed=seed)) for part in parts])

    def embed_prepared(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes views dim"]:
        """Embed what `prepare` returned, unit length, float32; see `embed_views`."""
        return F.normalize(self.features(prepared), dim=-1)

    def features(self, prepared: Sequence[Prepared]) -> Float[Tensor, "shapes views dim"]:
        """Encode what `prepare` returned without normalising, float32: the features that heads are fitted on."""
        return self.shape_encoder.features(prepared)

    def embed_shapes(self, shapes: ShapeLike | Sequence[ShapeLike], *, seed: int = 0) -> Float[Tensor, "shapes dim"]:
        """Embed shapes as one vector each: the mean of their view embeddings, unit length, float32; see `pool_embeddings`.

        Arguments and errors are those of `embed_views`; one shape gives one row.

        Example:
            >>> import basrelief as br
            >>> from basrelief.shapes import make_shape
            >>> br.load_model("tiny").embed_shapes(make_shape("chair", seed=1_000_000)).shape
            torch.Size([1, 512])
        """
        return self.pool_embeddings(self.embed_views(shapes, seed=seed))

    def pool_embeddings(self, views: Float[Tensor, "shapes views dim"]) -> Float[Tensor, "shapes dim"]:
        """Return one embedding for each shape from those of its views: their mean, weighted as the recipe's pooling is, at unit length."""
        weights = self.recipe.pooling.weights
        weighted = views if weights is None else views * views.new_tensor(weights)[:, None]
        return F.normalize(weighted.mean(dim=1), dim=-1)

    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "texts dim"]:
        """Embed labels or phrases, each filled into the recipe's templates, averaged, at unit length, float32.

        Raises:
            ConfigError: If there is no text or one is empty.
        """
        return self.prompter.embed(texts, self.encoder)

    def unknown_words(self, texts: Sequence[str]) -> dict[str, str]:
        """Return texts with words outside the vocabulary, each with the nearest known name; empty for an open vocabulary.

        Such a text still gets an embedding, but an unreliable one. The nearest name is found by embedding, or by spelling.

        Args:
            texts: Labels or phrases.
        """
        vocabulary = self.encoder.vocabulary
        unknown = [text for text in dict.fromkeys(texts) if vocabulary.unknown_words(text)] if vocabulary else []
        if vocabulary is None or not unknown:
            return {}
        cosines = self.embed_text(unknown) @ self.embed_text(vocabulary.names).T
        nearest = [vocabulary.names[place] for place in cosines.argmax(dim=1).tolist()]
        spelled = [difflib.get_close_matches(text.lower(), vocabulary.names, n=1, cutoff=0.8) for text in unknown]
        return {text: like[0] if like else near for text, like, near in zip(unknown, spelled, nearest, strict=True)}

    def encode_labels(self, labels: Sequence[str]) -> LabelEmbeddings:
        """Encode labels for comparison with shapes: their embeddings, see `embed_text`, class penalties, detailed prompts if it has any.

        Raises:
            ConfigError: If there is no label or one is empty.

        Example:
            >>> import basrelief as br
            >>> from basrelief.shapes import make_shape
            >>> model = br.load_model("tiny")
            >>> shape = make_shape("chair", seed=1_000_000)
            >>> model.encode_labels(["chair", "airplane"]).similarity(model.embed_shapes([shape])).argmax().item()
            0
        """
        texts = self.embed_text(labels)
        penalty = torch.tensor(self.class_penalties(labels), device=texts.device)
        return LabelEmbeddings(texts, penalty, self.prompter.second_stage(labels, self.encoder))

    def class_penalties(self, labels: Sequence[str]) -> tuple[float, ...]:
        """Return what is subtracted from the cosines of each label, see `Vocabulary.class_penalties`; 0 for an open vocabulary."""
        vocabulary = self.encoder.vocabulary
        return tuple(vocabulary.class_penalties(labels)) if vocabulary else (0.0,) * len(labels)

    def embed_images(self, images: Sequence[Image.Image | np.ndarray]) -> Float[Tensor, "images dim"]:
        """Embed colour pictures, unit length, float32, with the preprocessing that belongs to the weights.

        Args:
            images: Pillow images, or arrays (H, W, 3) uint8 or float in [0, 1].
        """
        if not images:
            raise ConfigError("images is empty. Pass Pillow images or (H, W, 3) arrays.")
        side, fit = self.encoder.image_size, self.encoder.image_fit
        pixels = torch.stack([fit_image(as_picture(image), side, fit) for image in images])
        return F.normalize(self._photo_encoder.encode_images(pixels), dim=-1)

    def embed_query(
        self, parts: Sequence[str | Shape | Image.Image | np.ndarray], *, weights: Sequence[float] | None = None
    ) -> Float[Tensor, " dim"]:
        """Embed a mixture of words, pictures and shapes as one query: the weighted sum of their embeddings, at unit length.

        A picture of a horse and the word "man" find riders (OpenDlign, arXiv:2404.16538, sec. 4.4); a negative weight takes away.

        Args:
            parts: Each by its kind; arrays are pictures.
            weights: One for each part; equal when None.

        Raises:
            ConfigError: If there is no part, or parts and weights do not make a direction.
        """
        return mix_embeddings([self._embed_part(part) for part in parts], weights=weights)

    def _embed_part(self, part: str | Shape | Image.Image | np.ndarray) -> Float[Tensor, " dim"]:
        if isinstance(part, str):
            return self.embed_text([part])[0]
        if isinstance(part, Mesh | PointCloud):
            return self.embed_shapes([part])[0]
        return self.embed_images([part])[0]

    @property
    def known_labels(self) -> tuple[str, ...]:
        """The only labels that can be embedded, where exported embeddings take a text tower's place; empty if any text can be."""
        return self.encoder.labels if isinstance(self.encoder, ExportedText) else ()

    @property
    def default_labels(self) -> tuple[str, ...]:
        """Names to choose from if none are given: those the model was trained on with 3D shapes, or all that were exported for it.

        Raises:
            ConfigError: If the model has an open vocabulary.
        """
        vocabulary = self.encoder.vocabulary
        if self.known_labels:
            return self.known_labels
        if vocabulary is None:
            sets = ", ".join(list_label_sets())
            raise ConfigError(f"{self.name} has an open vocabulary, so it needs labels: a list such as chair,table, or a set: {sets}.")
        return vocabulary.seen

    @overload
    def classify(self, shapes: ShapeLike, labels: str | Sequence[str] | None = None, *, seed: int = 0) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def classify(self, shapes: Sequence[ShapeLike], labels: str | Sequence[str] | None = None, *, seed: int = 0) -> list[Prediction]: ...

    def classify(
        self, shapes: ShapeLike | Sequence[ShapeLike], labels: str | Sequence[str] | None = None, *, seed: int = 0
    ) -> Prediction | list[Prediction]:
        """Rank labels for one shape or many, best first, zero-shot.

        Args:
            shapes: A shape, path, array (N, 3) or trimesh object, or a sequence of them; see `ShapeLike`.
            labels: A list of names, a comma list or a label set's name; at least two names. `default_labels` when None.
            seed: Seed of the surface sampling.

        Returns:
            One prediction for one shape, a list for a sequence, with the score of every label and of every view. In a notebook a
            prediction shows what the model saw.

        Raises:
            ConfigError: If the labels are fewer than two, empty or repeated, or None for a model with an open vocabulary.
            FileFormatError: If a file cannot be read.
            GeometryError: If a shape cannot be sampled.

        Example:
            >>> import basrelief as br
            >>> from basrelief.shapes import make_shape
            >>> model = br.load_model("tiny")
            >>> chair = make_shape("chair", seed=1_000_000)
            >>> model.classify(chair, "chair, airplane").label
            'chair'
            >>> [prediction.label for prediction in model.classify([chair, chair.vertices], ["chair", "airplane"])]
            ['chair', 'chair']
        """
        many = as_shapes(shapes)
        names = self.default_labels if labels is None else labels
        found = self.classify_views(self.embed_views(many, seed=seed), names, sources=[_source(shape) for shape in many])
        shown = [replace(p, evidence=partial(draw_evidence, self, shape, seed=seed)) for p, shape in zip(found, many, strict=True)]
        return shown[0] if is_one_shape(shapes) else shown

    def classify_views(
        self, views: Float[Tensor, "shapes views dim"], labels: str | Sequence[str], *, sources: Sequence[str] = ()
    ) -> list[Prediction]:
        """Classify shapes from the embeddings of their views, see `embed_views`.

        Args:
            views: Unit-length embeddings.
            labels: As for `classify`.
            sources: File or name of each shape, for the predictions; empty for none.
        """
        names = parse_labels(labels)
        found = self.score_views(views, self.encode_labels(names)).predictions(names)
        sources = sources or [""] * len(found)
        return [replace(p, source=s, model=self.name) for p, s in zip(found, sources, strict=True)]

    def score_views(
        self, views: Float[Tensor, "shapes views dim"], labels: LabelEmbeddings, *, pooling: Pooling | None = None
    ) -> LabelScores:
        """Score embedded labels for shapes whose views are embedded, with the recipe's pooling or another; see `score_labels`."""
        return score_labels(
            views, labels, pooling=pooling or self.recipe.pooling, logit_scale=self.logit_scale, logit_bias=self.encoder.logit_bias
        )


def _source(shape: Shape) -> str:
    return shape.origin.path if shape.origin else ""
