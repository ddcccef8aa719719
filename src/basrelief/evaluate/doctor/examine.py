"""From what a user typed to the checks that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from basrelief.datasets import Benchmark, list_datasets, open_benchmark
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.doctor.data import examine_benchmark
from basrelief.evaluate.doctor.files import examine_file
from basrelief.evaluate.doctor.models import ModelFiles, examine_model
from basrelief.evaluate.doctor.weights import examine_weights
from basrelief.models import get_recipe, recipes
from basrelief.types import Finding

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Question:
    """What is to be run on what.

    Attributes:
        dataset: Name of the data set, or empty.
        model: Name of the model, or empty.
        variant: Of the data set, or None for the model's or the card's.
        split: Of the data set.
        up: Up axis of the files, or None.
        sample: Shapes of a data set that are looked at.
        seed: Of that choice.
    """

    dataset: str = ""
    model: str = ""
    variant: str | None = None
    split: str = "test"
    up: str | None = None
    sample: int = 24
    seed: int = 0


def examine(target: str, question: Question | None = None, *, files: ModelFiles | None = None) -> list[Finding]:
    """Check a model by name, a weights file, a shape file, or the folder of a data set.

    Args:
        target: What the user typed.
        question: What is to be run on what.
        files: Files the model will be files.

    Returns:
        Findings in the order in which they were made; for a data set with a model, those of both.

    Raises:
        ConfigError: If the target is no model, file or folder, or a name is unknown.
    """
    question, files = question or Question(), files or ModelFiles()
    path = Path(target.partition("#")[0])
    recipe = get_recipe(question.model) if question.model else None
    if path.is_dir():
        benchmark = _open(path, question)
        name = benchmark.name if benchmark.name in list_datasets() else ""
        about = examine_model(recipe.name, files=files, dataset=name, labels=benchmark.labels) if recipe else []
        return [*examine_benchmark(benchmark, recipe=recipe, sample=question.sample, seed=question.seed), *about]
    if path.is_file():
        return examine_weights(path, recipe) if path.suffix in WEIGHTS_SUFFIXES else examine_file(target, up=question.up, recipe=recipe)
    if target not in recipes():
        raise ConfigError(f"{unknown_choice('target', target, recipes())} Or name a file or folder that exists.")
    return examine_model(target, files=files, dataset=question.dataset)


def _open(path: Path, question: Question) -> Benchmark:
    own = get_recipe(question.model).datasets.get(question.dataset, {}) if question.model else {}
    variant = question.variant or own.get("variant")
    return open_benchmark(path, question.dataset or None, split=question.split, variant=variant, up=question.up, strict=False)
