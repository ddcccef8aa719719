"""Train point networks: open data and model, and train on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from basrelief.datasets import Benchmark
from basrelief.encoders import load_encoder
from basrelief.encoders.points.files import space_fingerprint
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.models import Model, get_recipe
from basrelief.tasks import Pooling
from basrelief.train.lock import lock_run
from basrelief.train.point.fit import Space, StartingPoint, fit_point
from basrelief.train.point.library import LibraryCache, LibraryOptions
from basrelief.train.point.published import PublishedTriplets
from basrelief.train.point.settings import PointSettings
from basrelief.train.point.triplets import TripletSet
from basrelief.train.point.validation import check_disjoint, zero_shot_accuracy
from basrelief.train.resources import Resources
from basrelief.train.run import RunContext, make_accelerator

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class PointData:
    """Training data: a folder of shapes, or OpenShape's published files.

    Attributes:
        library: Folder of shapes, or None.
        images: Folders of `train pairs` or `train depth-aligned`, made of the same shapes.
        captions: JSON file with texts of shapes; see `LibraryOptions`.
        cache: Folder of clouds and image features; `features` in the folder of the run when None.
        published: Folder of the published files, or None.
        split: Their list of shapes.
        text_filter: Their `gpt4_filtering.json`, or None.
    """

    library: DataSource | None = None
    images: tuple[Path, ...] = ()
    captions: Path | None = None
    cache: Path | None = None
    published: Path | None = None
    split: Path | None = None
    text_filter: Path | None = None

    def __post_init__(self) -> None:
        """Check that there is one kind of data."""
        if (self.library is None) == (self.published is None):
            raise ConfigError("Name a folder of shapes or one of published features, not both. Use --root, or --published with --split.")
        if self.published is not None and self.split is None:
            raise ConfigError("Published features need their list of shapes. Pass --split, e.g. meta_data/split/train_all.json.")


def train_point(
    data: PointData,
    *,
    out: Path,
    model: ModelSource | None = None,
    settings: PointSettings | None = None,
    start: StartingPoint | None = None,
    validation: DataSource | None = None,
    resources: Resources | None = None,
) -> nn.Module:
    """Train a point network, or TAMM's image adapter, on a folder of shapes or published features; see `fit_point`.

    Args:
        data: Training shapes.
        out: Folder of the run; an interrupted run resumes from it.
        model: Model whose CLIP embeds images and texts; `tiny` when None. Published features are in the space of ViT-bigG-14.
        settings: OpenShape-PointBERT's when None.
        start: Weights to start from.
        validation: Data set whose zero-shot accuracy chooses the weights; report another one. None keeps the last weights.
        resources: Processes, device and progress.

    Returns:
        The exported network or adapter.

    Raises:
        ConfigError: If a validation shape is among the training shapes, or as `fit_point`.
        FileFormatError: If data is damaged.
        WeightsNotFoundError: If weights of the model are not on this machine.
    """
    settings, resources, source = settings or PointSettings(), resources or Resources(), model or ModelSource("tiny")
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate, cpu=resources.cpu)
    loaded = load_clip(source) if data.library is not None or validation is not None else None
    space = Space(get_recipe(source.name).encoder, "" if loaded is None else space_fingerprint(loaded.encoder))
    with lock_run(out, writes=accelerator.is_main_process):
        triplets, shapes = _open(data, out, loaded, settings=settings, resources=resources, accelerator=accelerator)
        validate = None
        if validation is not None and loaded is not None:
            held_out = validation.open()
            if shapes is not None:
                check_disjoint(shapes, held_out)
            validate = zero_shot_accuracy(held_out, loaded.embed_text(held_out.labels), settings=settings)
        context = RunContext(accelerator, out, resources.echo)
        return fit_point(triplets, settings=settings, context=context, space=space, start=start, validate=validate)


def load_clip(source: ModelSource) -> Model:
    """Load the CLIP of a model with its templates, for images and text.

    A model that reads points has none that reads shapes yet; its CLIP is put behind the default depth projection.

    Args:
        source: Any model that is no ensemble.
    """
    recipe = get_recipe(source.name)
    if recipe.cloud is None:
        return source.load_untuned()
    encoder = load_encoder(
        recipe.encoder, weights=source.weights, device=source.device, backend="torch", dtype="float32", activation=recipe.activation
    )
    plain = replace(recipe, cloud=None, checkpoint=None, projection="opendlign", pooling=Pooling("mean"))
    return Model(plain, encoder)


def _open(
    data: PointData, out: Path, loaded: Model | None, *, settings: PointSettings, resources: Resources, accelerator: Accelerator
) -> tuple[TripletSet, Benchmark | None]:
    """Open the training data; return the shapes, too, where they are files."""
    if data.library is None or loaded is None:
        if data.published is None or data.split is None:
            raise ConfigError("There is no training data. Use --root, or --published with --split.")
        filtered = data.text_filter if settings.text_filter else None
        found = PublishedTriplets(data.published, data.split, text_filter=filtered, prompt_average=settings.prompt_average)
        return found, None
    library = data.library.open()
    options = LibraryOptions(
        cache=data.cache or out / "features",
        images=data.images,
        captions=data.captions,
        points=settings.points,
        seed=settings.seed,
        jobs=resources.jobs,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        progress=resources.progress,
    )
    with accelerator.main_process_first():
        cache = LibraryCache(library, loaded, options)
    cache.fill()
    accelerator.wait_for_everyone()
    return cache.triplets(), library
