"""A recipe: everything that turns an encoder into a published method, as data (one JSON file each in `recipes/`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from basrelief.checks import check_at_least
from basrelief.encoders.kinds import ACTIVATIONS, Activation
from basrelief.errors import ConfigError, unknown_choice
from basrelief.models.shape_input import FRAMES
from basrelief.render import get_projection
from basrelief.tasks import Pooling

NORMALISATIONS: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]] | None] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "weights": None,
}
"""Mean and standard deviation of the encoder's input by name; `weights` keeps what belongs to the weights."""


EMBEDDED = "tiny"
"""The encoder whose weights ship in the wheel."""

Branches = Literal["split", "both"]
_WITH_CLIP = ("opendlign", "ulip")  # layouts of checkpoints that hold the CLIP, too
_PER_DATASET = ("points", "templates", "variant", "cloud")
_FOR_SHOTS = ("projection", "templates", "head", "second", "branches")
BRANCHES: tuple[Branches, ...] = ("split", "both")


@dataclass(frozen=True)
class PaperNumber:
    """A published figure: data set, metric, value in percent, and where it is printed."""

    dataset: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Checkpoint:
    """A method's own weights on top of CLIP's.

    Attributes:
        layout: How its keys are named: `clip2point`, `opendlign`, `ulip`, `ulip2`, `openshape`, `tamm`, `uni3d`.
        file: File name, or which one to take.
        source: Where its authors published it, in words.
        licence: Its licence as stated there.
        repository: Its repository on the Hugging Face hub, `owner/name` or `datasets/owner/name`, or empty.
        path: Its path in the repository; if empty, the one file whose path names the architecture of the encoder.
        bytes: Its size, or None where it is not known.
        address: Page to download it from by hand where it is not on the hub, or empty.
        preset: Preset of `basrelief train point` that trains it, where nobody publishes it; empty for published weights.
    """

    layout: str
    file: str
    source: str
    licence: str
    repository: str = ""
    path: str = ""
    bytes: int | None = None
    address: str = ""
    preset: str = ""

    @property
    def published(self) -> bool:
        """Whether it can be had from somebody; otherwise it must be trained."""
        return not self.preset


@dataclass(frozen=True)
class CloudSettings:
    """What a point network reads.

    Attributes:
        network: Name of the point network, one of `basrelief.encoders.points.registry.list_point_networks()`.
        frame: Axes it was trained with, a key of `basrelief.models.shape_input.FRAMES`.
        missing_color: Red, green and blue of points without a colour.
        use_colors: Whether it reads colours; otherwise every point has `missing_color`.
        normalise: Whether clouds are centred on their mean and scaled to radius 1.
        replace: Whether points are drawn with replacement, so that smaller clouds are filled up.
    """

    network: str
    frame: str = "y-up"
    missing_color: float = 0.4
    use_colors: bool = True
    normalise: bool = True
    replace: bool = False

    def __post_init__(self) -> None:
        """Check the frame."""
        if self.frame not in FRAMES:
            raise ConfigError(unknown_choice("frame", self.frame, FRAMES))


@dataclass(frozen=True)
class Recipe:
    """A method as data. `load_model` turns it into a `Model`.

    A recipe is one of three kinds: it renders depth images (`projection`), reads clouds (`cloud`), or joins other models (`members`).

    Attributes:
        name: What users type.
        title: One line for people.
        paper: Title, venue and arXiv number; empty for our own.
        encoder: Name of the CLIP weights, as open_clip spells it, or `tiny`; a point network needs their text tower.
        projection: Name of the depth projection; empty for other kinds.
        projection_options: Options of the projection that differ from its defaults.
        points: Points sampled from each shape.
        remove_outliers: Whether isolated points of a cloud are removed, which no paper does; see `basrelief.geometry.remove_outliers`.
        normalisation: Key of `NORMALISATIONS` for depth images.
        templates: Name of the template set.
        pooling: How views become one.
        activation: Activation the weights are read with where it is not their own, or None.
        tuned_views: Views that go through the tuned last block; the others use the frozen one.
        branches: `split` sends each view where `tuned_views` says; `both` sends every view through both, first all through the frozen one.
        checkpoint: The method's own weights, or None when CLIP's alone do.
        licence: Licence of the weights.
        training_data: What the weights were trained on.
        numbers: The paper's figures.
        datasets: What the paper did otherwise on a data set, by its name: `points`, `templates`, `variant`, fields of `cloud`.
        few_shot: What the paper does otherwise with labelled shapes: `projection`, `templates`, `head`, and `second`, the recipe whose
            tower is the head's second path, `branches`.
        published_prompts: The prompt list, `FILE#DATASET`, that the paper's numbers need and that is not shipped; empty for none.
        figure_notes: What is known about reproducing the paper's numbers; may be empty.
        cloud: The point network and how clouds are prepared for it, or None.
        members: Names of the models of an ensemble; empty for other kinds.
        notes: What a user should know.
    """

    name: str
    title: str
    paper: str
    encoder: str
    points: int
    templates: str
    pooling: Pooling
    licence: str
    training_data: str
    projection: str = ""
    normalisation: str = "weights"
    projection_options: Mapping[str, Any] = field(default_factory=dict)
    remove_outliers: bool = False
    activation: Activation | None = None
    tuned_views: tuple[int, ...] = ()
    branches: Branches = "split"
    checkpoint: Checkpoint | None = None
    numbers: tuple[PaperNumber, ...] = ()
    datasets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    few_shot: Mapping[str, str] = field(default_factory=dict)
    published_prompts: str = ""
    figure_notes: str = ""
    cloud: CloudSettings | None = None
    members: tuple[str, ...] = ()
    notes: str = ""

    @property
    def kind(self) -> str:
        """`views`, `points` or `ensemble`."""
        return "points" if self.cloud else "ensemble" if self.members else "views"

    @property
    def needs_clip(self) -> bool:
        """Whether CLIP's own weights are needed: the package does not hold them, nor does the method's checkpoint."""
        return self.encoder != EMBEDDED and (self.checkpoint is None or self.checkpoint.layout not in _WITH_CLIP)

    def for_few_shot(self) -> Recipe:
        """Return the recipe with its paper's settings for few-shot."""
        own = self.few_shot
        projection, templates = own.get("projection", self.projection), own.get("templates", self.templates)
        options = {} if "projection" in own else self.projection_options
        ready = replace(self, projection=projection, projection_options=options, templates=templates)
        return replace(ready, branches="both") if own.get("branches") == "both" and self.tuned_views else ready

    @property
    def default_head(self) -> str:
        """The few-shot head of the paper, a key of `basrelief.tasks.HEADS`; `probe` if it names none."""
        return self.few_shot.get("head", "probe")

    def with_projection(self, projection: Mapping[str, Any]) -> Recipe:
        """Return the recipe with another projection.

        Args:
            projection: `name`, and options; those that are the projection's defaults are left out.
        """
        options = dict(projection)
        plain = get_projection(options.pop("name"))
        own = {option: value for option, value in options.items() if getattr(plain, option, None) != value}
        return replace(self, projection=plain.name, projection_options=own)

    def with_tuned_views(self) -> Recipe:
        """Return the recipe with the second half of its views in the tuned branch, if it names none."""
        views = len(get_projection(self.projection, **self.projection_options).cameras)
        return replace(self, tuned_views=self.tuned_views or tuple(range(views // 2, views)))

    def for_dataset(self, dataset: str, *, points: int | None = None, templates: str | None = None) -> Recipe:
        """Return the recipe with the paper's settings for a data set, or others.

        Args:
            dataset: Name of the data set; one without an entry in `datasets` changes nothing.
            points: Points in place of the paper's.
            templates: Name of a template set in place of the paper's.
        """
        own = self.datasets.get(dataset, {})
        return replace(
            self,
            points=own.get("points", self.points) if points is None else points,
            templates=own.get("templates", self.templates) if templates is None else templates,
            cloud=replace(self.cloud, **own.get("cloud", {})) if self.cloud else None,
        )

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe from JSON, strictly.

        Raises:
            ConfigError: If the text is no JSON object, or a key is unknown or missing.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"The recipe is not valid JSON: syntax error at line {error.lineno}. Check the file.") from error
        except RecursionError as error:
            raise ConfigError("The recipe is nested too deeply. Check the file.") from error
        if not isinstance(record, dict):
            raise ConfigError(
                f"The recipe is a {type(record).__name__}; expected a JSON object. Compare it with one that ships with basrelief."
            )
        names = {f.name for f in fields(cls)} - {"projection_options"}
        for key in record:
            if key not in names:
                raise ConfigError(unknown_choice("recipe key", key, sorted(names)))
        try:
            return cls(**_parts(record))
        except ConfigError:
            raise
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"The recipe lacks a key or has an invalid one: {error}. Compare it with one that ships with basrelief."
            ) from error

    def __post_init__(self) -> None:
        """Check the fields that need no other package."""
        for name, own in self.datasets.items():
            for key in own:
                if key not in _PER_DATASET:
                    raise ConfigError(unknown_choice("key", key, _PER_DATASET, where=f" of {name} under datasets"))
        for key in self.few_shot:
            if key not in _FOR_SHOTS:
                raise ConfigError(unknown_choice("few_shot key", key, _FOR_SHOTS))
        if bool(self.projection) + (self.cloud is not None) + bool(self.members) != 1:
            raise ConfigError(f"Recipe {self.name!r} needs exactly one of projection, cloud and members.")
        if self.normalisation not in NORMALISATIONS:
            raise ConfigError(unknown_choice("normalisation", self.normalisation, NORMALISATIONS))
        if self.branches not in BRANCHES or (self.branches == "both" and not self.tuned_views):
            got = f"{self.branches!r} with {len(self.tuned_views)} tuned views"
            raise ConfigError(f"branches is {got}; expected 'split', or 'both' with tuned views. Leave it out.")
        if self.activation not in (None, *ACTIVATIONS):
            raise ConfigError(unknown_choice("activation", self.activation, ACTIVATIONS))
        check_at_least("points", self.points, 1, "The papers use 1,024 to 10,000.")


def _parts(record: dict[str, Any]) -> dict[str, Any]:
    parts = dict(record)
    if "projection" in record:
        projection = dict(record["projection"])
        parts["projection"] = projection.pop("name")
        parts["projection_options"] = projection
    if "cloud" in record:
        parts["cloud"] = CloudSettings(**record["cloud"])
    pooling = dict(record["pooling"])
    weights = pooling.pop("weights", None)
    parts["pooling"] = Pooling(**pooling, weights=None if weights is None else tuple(weights))
    parts["tuned_views"] = tuple(record.get("tuned_views", ()))
    parts["checkpoint"] = Checkpoint(**record["checkpoint"]) if record.get("checkpoint") else None
    parts["numbers"] = tuple(PaperNumber(**n) for n in record.get("numbers", ()))
    return parts


@cache
def recipes() -> Mapping[str, Recipe]:
    """Return all recipes that ship with basrelief, by name."""
    folder = resources.files("basrelief.models") / "recipes"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    found = [Recipe.from_json(f.read_text(encoding="utf-8")) for f in files]
    return {recipe.name: recipe for recipe in found}


def get_recipe(name: str) -> Recipe:
    """Find a recipe by name.

    Raises:
        ConfigError: If there is none of that name; the message lists all and the nearest.
    """
    known = recipes()
    if name not in known:
        raise ConfigError(unknown_choice("model", name, known))
    return known[name]
