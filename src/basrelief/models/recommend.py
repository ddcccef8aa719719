"""Which models suit a user's shapes and machine, by the facts in their recipes. Loads no weights.

Rule, ours. A model fits if its networks, in float32, take at most a quarter of the memory; the rest is for reading shapes, activations, the
system and other programs. Where the text tower of a point network does not fit, its labels can be exported on another machine. Of models
that fit, the best of each method is named, by published top-1 accuracy on Objaverse-LVIS, the largest label set. Figures of networks
that read colours were measured with colours; for shapes without, they count 10 points less. A model without a figure ranks as one of 10 %,
and one below 5 % is left out, as is one that has no 3D training of its own or is not published.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal, get_args

from basrelief.checks import check_positive
from basrelief.encoders import encoder_spec
from basrelief.encoders.hub.licences import is_open
from basrelief.errors import ConfigError, unknown_choice
from basrelief.io import load
from basrelief.models.cost import model_cost
from basrelief.models.recipe import EMBEDDED, Recipe, recipes
from basrelief.models.recipe_parts import PaperNumber
from basrelief.processes import Failure, WorkerPool
from basrelief.types import Mesh

MEMORY_SHARE = 0.25
"""Part of the memory that the networks of a model may take."""

MULTIPLY_ADDS = 60e9
"""A second on two cores; benchmarks/throughput.py measures 30 to 43 thousand million on one."""

LICENCES = ("any", "open")
"""`open` leaves out models of which any weights have a restricted licence, or state none."""

_DATASET, _METRIC = "objaverse-lvis", "top1"
_WITHOUT_COLORS = 10.0  # percent that a figure measured with colours counts less; ULIP-2 loses 1.7 (50.6 to 48.9), others are not published
_NO_FIGURE, _LEAST = 10.0, 5.0  # percent
_SAMPLE = 24  # files to read
_BYTES = 4  # of a float32

Labels = Literal["any", "exported"]
"""Whether a model takes any words, or those that were exported on a machine with more memory."""


@dataclass(frozen=True)
class ShapeSummary:
    """What a sample of shape files has in common.

    Attributes:
        files: Number of files.
        meshes: Meshes in the sample.
        clouds: Point clouds in the sample.
        colored: Meshes and clouds with colours.
        points: Median points of the clouds; 0 without any.
        unreadable: Files of the sample that cannot be read.
    """

    files: int
    meshes: int
    clouds: int
    colored: int
    points: int
    unreadable: int

    @property
    def has_colors(self) -> bool:
        """Whether at least half of the shapes have colours."""
        return 2 * self.colored >= self.meshes + self.clouds


@dataclass(frozen=True)
class Recommendation:
    """A model that suits, and how to use it.

    Attributes:
        name: Name of the model.
        labels: See `Labels`.
        figure: Published top-1 accuracy on Objaverse-LVIS, or None.
        memory_gb: Memory of what is loaded here, in float32.
        text_gb: Memory of its text tower.
        download_gb: Size of the files to download here.
        seconds: Estimated time to encode a shape on two cores.
        licence: Of its weights.
        smaller: Other sizes that fit, best first.
        reason: Why it suits, in sentences.
        commands: How to get and use it.
    """

    name: str
    labels: Labels
    figure: PaperNumber | None
    memory_gb: float
    text_gb: float
    download_gb: float
    seconds: float
    licence: str
    smaller: tuple[str, ...]
    reason: str
    commands: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Time, download and licence in a few words."""
        return f"about {self.seconds:.2g} s a file on two cores, download {self.download_gb:.1f} GB, licence {self.licence}"


def recommend_models(
    *, memory_gb: float, shapes: ShapeSummary | None = None, licence: str = "any", files: Sequence[str] = ("FILES",)
) -> list[Recommendation]:
    """Rank the models that suit a machine and shapes: those that take any words first, then those that need exported labels.

    Args:
        memory_gb: Memory of the machine, in units of 10^9 bytes.
        shapes: What the shapes are like, or None if not known.
        licence: One of `LICENCES`.
        files: Names of files or folders for the commands.

    Raises:
        ConfigError: If the licence is not one of these, or the memory is not positive.
    """
    check_request(memory_gb, licence)
    candidates = [recipe for recipe in recipes().values() if _is_candidate(recipe) and (licence == "any" or has_open_licence(recipe))]
    found: list[Recommendation] = []
    for labels in get_args(Labels):
        fitting = [recipe for recipe in candidates if fits(recipe, memory_gb, labels)]
        for recipe, *smaller in _families(fitting, shapes):
            reason, names = " ".join(_reasons(recipe, labels, shapes)), tuple(one.name for one in smaller)
            found.append(make_recommendation(recipe, labels, files, figure=_figure(recipe), smaller=names, reason=reason))
        candidates = [recipe for recipe in candidates if _networks(recipe) not in set(map(_networks, fitting))]
    return found


def check_request(memory_gb: float, licence: str) -> None:
    """Check what is asked for.

    Raises:
        ConfigError: If the licence is none of `LICENCES`, or the memory is not positive.
    """
    check_positive("memory", memory_gb, "Give the memory of the machine in GB.")
    if licence not in LICENCES:
        raise ConfigError(unknown_choice("licence", licence, LICENCES))


def summarise_shapes(paths: Sequence[Path], *, jobs: int = 1, sample: int = _SAMPLE) -> ShapeSummary:
    """Read some of the files, spread evenly, and say what they are.

    Args:
        paths: Shape files.
        jobs: Worker processes, which have a deadline and a memory limit; 0 reads in this process.
        sample: How many files to read at most.

    Raises:
        ConfigError: If there are no files.
    """
    if not paths:
        raise ConfigError("There are no shape files to look at. Name a folder with shapes.")
    count = min(sample, len(paths))
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    with WorkerPool(jobs) as pool:
        read = list(pool.map(_look, chosen))
    known = [one for one in read if not isinstance(one, Failure)]
    clouds = [points for is_mesh, _, points in known if not is_mesh]
    return ShapeSummary(
        files=len(paths),
        meshes=len(known) - len(clouds),
        clouds=len(clouds),
        colored=sum(colored for _, colored, _ in known),
        points=int(median(clouds)) if clouds else 0,
        unreadable=len(read) - len(known),
    )


def machine_memory() -> float:
    """Return the memory of this machine in units of 10^9 bytes.

    Raises:
        ConfigError: If the system does not say.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError) as error:
        raise ConfigError("The memory of this machine cannot be read. Give it in GB, e.g. --memory 8.") from error


def _look(path: Path) -> tuple[bool, bool, int]:
    """Return whether a file holds a mesh, whether it has colours, and its number of points."""
    shape = load(path)
    return (True, shape.colors is not None, 0) if isinstance(shape, Mesh) else (False, shape.colors is not None, len(shape.points))


def _is_candidate(recipe: Recipe) -> bool:
    own, figure = recipe.checkpoint, _figure(recipe)
    trained = recipe.encoder == EMBEDDED or (own is not None and own.published)
    return trained and (figure is None or figure.value >= _LEAST)


def has_open_licence(recipe: Recipe) -> bool:
    """Return whether the licences of the method's weights and of CLIP's, separated by a semicolon, allow any use."""
    return all(is_open(part) for part in recipe.licence.split(";"))


def _figure(recipe: Recipe) -> PaperNumber | None:
    """Return the lowest of the published figures, or None."""
    found = [number for number in recipe.numbers if (number.dataset, number.metric) == (_DATASET, _METRIC)]
    return min(found, key=lambda number: number.value, default=None)


def _score(recipe: Recipe, shapes: ShapeSummary | None) -> tuple[float, int]:
    """Rank of a recipe: its figure, then its size."""
    figure = _figure(recipe)
    lacking = figure is not None and shapes is not None and not shapes.has_colors and recipe.reads_colors
    value = _NO_FIGURE if figure is None else figure.value
    return value - lacking * _WITHOUT_COLORS, sum(_bytes(recipe))


def _bytes(recipe: Recipe) -> tuple[int, int]:
    """Return the bytes of the image tower or point network, and those of the text tower."""
    cost = model_cost(recipe.name)
    return _BYTES * cost.parameters, _BYTES * cost.text_parameters


def fits(recipe: Recipe, memory_gb: float, labels: Labels = "any") -> bool:
    """Return whether the networks of a model take at most `MEMORY_SHARE` of the memory."""
    network, text = _bytes(recipe)
    if labels == "exported" and recipe.cloud is None:
        return False
    return network + (text if labels == "any" else 0) <= MEMORY_SHARE * memory_gb * 1e9


def _families(fitting: Sequence[Recipe], shapes: ShapeSummary | None) -> Iterator[list[Recipe]]:
    """Yield the recipes of each method, best first, and methods by their best; of those that share networks only the best."""
    ranked = sorted(fitting, key=lambda recipe: _score(recipe, shapes), reverse=True)
    best = {_networks(recipe): recipe for recipe in reversed(ranked)}
    families: dict[str, list[Recipe]] = {}
    for recipe in ranked:
        if best[_networks(recipe)] is recipe:
            families.setdefault(recipe.checkpoint.layout if recipe.checkpoint else recipe.name, []).append(recipe)
    yield from families.values()


def _networks(recipe: Recipe) -> tuple[str, str]:
    """Return the point network or projection, and the encoder: recipes that differ in training data or settings share them."""
    return recipe.cloud.network if recipe.cloud else recipe.projection, recipe.encoder


def make_recommendation(
    recipe: Recipe, labels: Labels, files: Sequence[str], *, figure: PaperNumber | None, smaller: tuple[str, ...], reason: str
) -> Recommendation:
    """Add memory, download, time and commands, which are counted from the networks."""
    network, text = _bytes(recipe)
    return Recommendation(
        name=recipe.name,
        labels=labels,
        figure=figure,
        memory_gb=round((network + (text if labels == "any" else 0)) / 1e9, 2),
        text_gb=round(text / 1e9, 2),
        download_gb=round(_download(recipe, labels) / 1e9, 2),
        seconds=round(model_cost(recipe.name).multiply_adds / MULTIPLY_ADDS, 2),
        licence=recipe.licence,
        smaller=smaller,
        reason=reason,
        commands=_commands(recipe, labels, files),
    )


def _reasons(recipe: Recipe, labels: Labels, shapes: ShapeSummary | None) -> Iterator[str]:
    figure, (_, text), colors = _figure(recipe), _bytes(recipe), recipe.reads_colors
    if recipe.encoder == EMBEDDED:
        yield f"Comes with basrelief. {recipe.notes}"
    elif figure is None:
        yield "No figure on Objaverse-LVIS is published."
    else:
        lacking = ", measured with colours, which your shapes lack" if colors and shapes is not None and not shapes.has_colors else ""
        yield f"{figure.value:.1f} % on Objaverse-LVIS ({figure.source}){lacking}."
    if recipe.cloud is None:
        yield "Renders depth images, so colours do not matter."
    else:
        yield f"Reads points {'and their colours' if colors else 'without colours'}."
        if shapes is not None and 0 < 2 * shapes.points < recipe.points:
            yield f"Trained on clouds of {recipe.points:,} points; yours have about {shapes.points:,}."
    if labels == "exported":
        tower, file = recipe.encoder.split("/")[0], _gigabytes(_clip_bytes(recipe))
        yield f"The text tower, {tower}, would take {_gigabytes(text)} of memory, from a file of {file}: export the labels elsewhere."


def _download(recipe: Recipe, labels: Labels) -> int:
    """Return the bytes of the files to download, estimated at 4 a parameter where the size is not known."""
    own = recipe.checkpoint
    if own is None:
        return 0 if recipe.encoder == EMBEDDED else _clip_bytes(recipe)
    if not recipe.needs_clip:
        return own.bytes or _clip_bytes(recipe)
    return (own.bytes or _bytes(recipe)[0]) + (_clip_bytes(recipe) if labels == "any" else 0)


def _clip_bytes(recipe: Recipe) -> int:
    spec = encoder_spec(recipe.encoder)
    return spec.bytes or _BYTES * spec.parameters


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{max(1, round(size / 1e6))} MB"


def _commands(recipe: Recipe, labels: Labels, files: Sequence[str]) -> tuple[str, ...]:
    shown = shlex.join(files)
    fetch = () if recipe.encoder == EMBEDDED else (f"basrelief models fetch {recipe.name}",)
    if labels == "any":
        return (*fetch, f"basrelief classify {shown} --labels LABELS --model {recipe.name}")
    return (
        f"basrelief models export-text {recipe.name} --labels LABELS --out labels.safetensors  # on a larger machine",
        f"basrelief models fetch {recipe.name} --without-text",
        f"basrelief classify {shown} --model {recipe.name} --text labels.safetensors",
    )
