"""Find out what a target is, and run the checks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from basrelief.datasets import dataset_card, holds_scans, open_scans
from basrelief.datasets.card import list_datasets
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.doctor.data import check_benchmark
from basrelief.evaluate.doctor.files import check_file
from basrelief.evaluate.doctor.models import check_model
from basrelief.evaluate.doctor.scans import check_scans
from basrelief.evaluate.doctor.weights import check_weights
from basrelief.evaluate.sources import DataSource, ModelSource
from basrelief.io import split_row
from basrelief.io.intrinsics import Intrinsics
from basrelief.models import get_recipe, recipes
from basrelief.types import Finding

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def diagnose(
    target: str,
    *,
    model: ModelSource | None = None,
    data: DataSource | None = None,
    sample: int = 24,
    seed: int = 0,
    intrinsics: Intrinsics | None = None,
) -> list[Finding]:
    """Check a model, a weights file, a shape file, or the folder of a data set.

    Args:
        target: Name of a model, several joined by `+` for an ensemble, or path of a file or folder.
        model: The model that is to run, and its files; None checks a target without a model.
        data: The data set to run on; for a folder, `root` is replaced by it. None recognises a folder and reads its test split, of scans
            the val split.
        sample: Number of shapes of a data set to read.
        seed: Seed of that choice.
        intrinsics: Camera of a depth map, as for `basrelief.load`.

    Returns:
        Findings in the order of the checks; for a data set with a model, those of both.

    Raises:
        ConfigError: If the target is no model, file or folder, or a name is unknown.
    """
    model, data = model or ModelSource(""), data or DataSource(Path(target))
    recipe = get_recipe(model.name) if model.name else None
    path, _ = split_row(target)
    if path.is_dir() and _is_scan_set(path, data.name):
        scans = open_scans(path, data.name or None, split=data.split or "val")  # test scans have no annotations; papers report val
        about_model = check_model(model, labels=scans.class_names) if recipe else []
        return [*check_scans(scans, sample=sample, seed=seed), *about_model]
    if path.is_dir():
        benchmark = replace(data, root=path, strict=False).open(model.name)
        dataset = benchmark.name if benchmark.card else ""
        about_model = check_model(model, dataset=dataset, labels=benchmark.labels) if recipe else []
        return [*check_benchmark(benchmark, recipe=recipe, sample=sample, seed=seed), *about_model]
    if path.is_file():
        if path.suffix in WEIGHTS_SUFFIXES:
            return check_weights(path, recipe)
        return check_file(target, up=data.up, intrinsics=intrinsics, recipe=recipe, suggest=recipe is None)
    members = target.split("+")
    if unknown := [name for name in members if name.partition("@")[0] not in recipes()]:
        raise ConfigError(f"{unknown_choice('target', unknown[0], recipes())} Or name a file or folder that exists.")
    if len(members) > 1 and (model.weights, model.checkpoint, model.prompts) != (None, None, None):
        raise ConfigError(f"{target} is an ensemble, whose members have files of their own. Check each of them: {', '.join(members)}.")
    return [finding for name in members for finding in check_model(replace(model, name=name), dataset=data.name)]


def _is_scan_set(folder: Path, name: str) -> bool:
    """Return whether the name, or without one the folder, is that of a data set of scans."""
    return dataset_card(name).kind == "scans" if name in list_datasets() else not name and holds_scans(folder)
