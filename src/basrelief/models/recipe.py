"""A recipe: everything that turns an encoder into a published method, as data (one JSON file each in `recipes/`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from basrelief.checks import check_at_least, check_range
from basrelief.encoders.kinds import ACTIVATIONS, Activation
from basrelief.errors import ConfigError, unknown_choice
from basrelief.models.recipe_parts import Checkpoint, CloudSettings, PaperNumber, TwoStagePrompts
from basrelief.render import get_projection
from basrelief.render.drawing import DepthDrawer, ShadedDrawer, ViewDrawer
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
_ANY_SIZE = 32  # pixels; the number of views does not depend on it
_PER_DATASET = ("points", "templates", "variant", "cloud")
_FOR_SHOTS = ("projection", "templates", "head", "second", "branches")
BRANCHES: tuple[Branches, ...] = ("split", "both")


@dataclass(frozen=True)
class Recipe:
    """A method as data. `load_model` turns it into a `Model`.

    A recipe is one of three kinds: it draws views (`projection`, `shaded` or both), reads clouds (`cloud`), or joins other models
    (`members`).

    Attributes:
        name: What users type.
        title: One line for people.
        paper: Title, venue and arXiv number; empty for our own.
        encoder: Name of the CLIP weights, as open_clip spells it, or `tiny`; a point network needs their text tower.
        projection: Name of the depth projection; empty without depth images.
        projection_options: Options of the projection that differ from its defaults.
        shaded: Options of `basrelief.render.drawing.ShadedDrawer` but for size and points, which are the tower's and the recipe's; None
            without colour images.
        color_weight: With both kinds of views, the weight of the colour images' mean embedding; that of the depth images' is 1 minus it.
            `pooling` gets one weight for each view from it.
        points: Points sampled from each shape; with colour images alone, the most points of a cloud that are drawn.
        remove_outliers: Whether isolated points of a cloud are removed, which no paper does; see `basrelief.geometry.remove_outliers`.
        normalisation: Key of `NORMALISATIONS` for depth images.
        templates: Name of the template set.
        pooling: How views become one.
        second_stage: Detailed prompts for the best labels of each shape, or None for one stage.
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
    shaded: Mapping[str, Any] | None = None
    color_weight: float = 0.5
    second_stage: TwoStagePrompts | None = None
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
    def reads(self) -> str:
        """Name of the point network, or of the kinds of views; empty for an ensemble."""
        return self.cloud.network if self.cloud else " + ".join(filter(None, (self.projection, "" if self.shaded is None else "shaded")))

    @property
    def needs_clip(self) -> bool:
        """Whether CLIP's own weights are needed: the package does not hold them, nor does the method's checkpoint."""
        return self.encoder != EMBEDDED and (self.checkpoint is None or self.checkpoint.layout not in _WITH_CLIP)

    @property
    def reads_colors(self) -> bool:
        """Whether colours of a shape change the answer."""
        return self.shaded is not None or (self.cloud is not None and self.cloud.use_colors)

    def drawers(self, size: int) -> tuple[ViewDrawer, ...]:
        """Return what draws the views: depth images, colour images, or the one and then the other.

        Args:
            size: Side of the colour images: what the tower reads.
        """
        found: list[ViewDrawer] = []
        if self.projection:
            found.append(DepthDrawer.of(self.projection, self.projection_options, self.points, remove_outliers=self.remove_outliers))
        if self.shaded is not None:
            # Colour images of a cloud need more points than depth images are made of.
            points = {} if self.projection else {"points": self.points}
            found.append(ShadedDrawer.of({**self.shaded, **points, "size": size, "remove_outliers": self.remove_outliers}))
        return tuple(found)

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

    def check_depth(self) -> None:
        """Check that a shape is read as depth images alone.

        Raises:
            ConfigError: If it is not.
        """
        if not self.projection or self.shaded is not None:
            reads = "points" if self.cloud else "other models" if self.members else "colour images"
            raise ConfigError(f"{self.name} reads {reads}, not depth images alone. Name a model that does, e.g. opendlign-b32.")

    def with_color_weight(self, weight: float | str) -> Recipe:
        """Return the recipe with another weight of colour, which becomes part of its name: `NAME@WEIGHT`.

        Raises:
            ConfigError: If it does not read both kinds of views, or the weight is no number from 0 to 1.
        """
        if self.shaded is None or not self.projection:
            raise ConfigError(
                f"{self.name} takes no weight of colour. Name a model that reads both kinds of views, e.g. views-depth-clip-b16."
            )
        try:
            value = round(float(weight), 3)
        except ValueError as error:
            raise ConfigError(f"The weight of colour is {weight!r}; expected a number from 0 to 1.") from error
        return replace(self, name=f"{self.name.partition('@')[0]}@{value:g}", color_weight=value)

    def with_projection(self, projection: Mapping[str, Any]) -> Recipe:
        """Return the recipe with the depth images of another projection in place of its views.

        Args:
            projection: `name`, and options; those that are the projection's defaults are left out.
        """
        options = dict(projection)
        plain = get_projection(options.pop("name"))
        own = {option: value for option, value in options.items() if getattr(plain, option, None) != value}
        pooling = self.pooling if self.shaded is None else replace(self.pooling, weights=None)
        return replace(self, projection=plain.name, projection_options=own, shaded=None, pooling=pooling)

    def with_tuned_views(self) -> Recipe:
        """Return the recipe with the second half of its views in the tuned branch, if it names none.

        Raises:
            ConfigError: If it has no depth images.
        """
        self.check_depth()
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
        self._check_keys()
        if bool(self.projection or self.shaded is not None) + (self.cloud is not None) + bool(self.members) != 1:
            raise ConfigError(f"Recipe {self.name!r} needs exactly one of views (projection, shaded or both), cloud and members.")
        if self.tuned_views and not self.projection:
            raise ConfigError(f"Recipe {self.name!r} has tuned views but no depth images, which they are made for. Leave tuned_views out.")
        check_range("color_weight", self.color_weight, 0.0, 1.0, "0.5 weighs both kinds of views alike.")
        if self.normalisation not in NORMALISATIONS:
            raise ConfigError(unknown_choice("normalisation", self.normalisation, NORMALISATIONS))
        if self.branches not in BRANCHES or (self.branches == "both" and not self.tuned_views):
            got = f"{self.branches!r} with {len(self.tuned_views)} tuned views"
            raise ConfigError(f"branches is {got}; expected 'split', or 'both' with tuned views. Leave it out.")
        if self.activation not in (None, *ACTIVATIONS):
            raise ConfigError(unknown_choice("activation", self.activation, ACTIVATIONS))
        check_at_least("points", self.points, 1, "The papers use 1,024 to 10,000.")
        if self.shaded is not None:
            self._weigh_views()

    def _check_keys(self) -> None:
        for name, own in self.datasets.items():
            for key in own:
                if key not in _PER_DATASET:
                    raise ConfigError(unknown_choice("key", key, _PER_DATASET, where=f" of {name} under datasets"))
        for key in self.few_shot:
            if key not in _FOR_SHOTS:
                raise ConfigError(unknown_choice("few_shot key", key, _FOR_SHOTS))

    def _weigh_views(self) -> None:
        """Check the colour images, and give every view its weight if there are both kinds."""
        depth, *color = (len(drawer.cameras) for drawer in self.drawers(_ANY_SIZE))
        if color:
            weights = (round((1 - self.color_weight) / depth, 6),) * depth + (round(self.color_weight / color[0], 6),) * color[0]
            object.__setattr__(self, "pooling", replace(self.pooling, weights=weights))


def _parts(record: dict[str, Any]) -> dict[str, Any]:
    parts = dict(record)
    if "projection" in record:
        projection = dict(record["projection"])
        parts["projection"] = projection.pop("name")
        parts["projection_options"] = projection
    if "cloud" in record:
        parts["cloud"] = CloudSettings(**record["cloud"])
    parts["second_stage"] = TwoStagePrompts(**record["second_stage"]) if record.get("second_stage") else None
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
    """Find a recipe by name; `NAME@WEIGHT` is a recipe of both kinds of views with another weight of colour.

    Raises:
        ConfigError: If there is none of that name; the message lists all and the nearest.
    """
    base, mark, weight = name.partition("@")
    known = recipes()
    if base not in known:
        raise ConfigError(unknown_choice("model", base, known))
    return known[base].with_color_weight(weight) if mark else known[base]
