"""What it takes to fill a published table: weights, data sets, commands, hours, and known differences from the paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basrelief.datasets import dataset_card
from basrelief.datasets.layouts.registry import LAYOUTS
from basrelief.encoders import encoder_spec
from basrelief.evaluate.table import Numbers, evaluate_command, published_figures, table_record, trained_file
from basrelief.models import Recipe, get_recipe
from basrelief.models.cost import ModelCost, model_cost

SPEED_FILE = Path(__file__).with_name("tables") / "speed.json"
"""Processor time of a view in each tower, a cloud in each point network, and preparing a shape, by `benchmarks/throughput.py --write`."""

CPU_CORES = 2
"""Cores that the CPU's hours are for."""

GPU_MULTIPLY_ADDS = 5e12
"""Multiply-adds a second that a GPU is assumed to sustain in float32: half of the 9.75e12 that an A100 can do at most."""

_BYTES = 4  # of a float32


@dataclass(frozen=True)
class PlannedFile:
    """A file of weights or prompts.

    Attributes:
        file: Its name, or which one to take.
        source: Repository on the hub, or where else it is.
        licence: As basrelief knows it; empty if that is not recorded.
        megabytes: Size, from the number of parameters at 4 bytes each unless the published size is recorded; None if not known.
    """

    file: str
    source: str
    licence: str = ""
    megabytes: float | None = None


@dataclass(frozen=True)
class PlannedData:
    """A data set of the table.

    Attributes:
        name: Of its data card.
        folder: Where the commands expect it.
        holds: What the folder must hold.
        source: Where it is published.
        licence: Of the data.
        gigabytes: Of the download, or None where we know no source for the size.
        shapes: In the split and variant that the paper measured.
        labels: Number of classes.
        differs: What is known to differ from the paper's copy.
    """

    name: str
    folder: str
    holds: str
    source: str
    licence: str
    gigabytes: float | None
    shapes: int
    labels: int
    differs: tuple[str, ...]


@dataclass(frozen=True)
class PlannedRow:
    """A method on a data set.

    Attributes:
        training: 3D data that the method was trained on.
        method: Name of the method in the paper.
        recipe: Name of our model.
        dataset: Name of the data set.
        paper: Published top-1, top-3 and top-5 in percent.
        commands: Commands in order: fetch, check, evaluate.
        train: Commands that train the weights before the check, where nobody publishes them.
        files: Weights and prompts.
        cpu_hours: Estimated hours on `CPU_CORES` cores; None without measured times.
        gpu_hours: The same on a GPU that sustains `GPU_MULTIPLY_ADDS`.
        differs: What is known to differ from the paper's protocol.
    """

    training: str
    method: str
    recipe: str
    dataset: str
    paper: Numbers
    commands: tuple[str, ...]
    train: tuple[str, ...]
    files: tuple[PlannedFile, ...]
    cpu_hours: float | None
    gpu_hours: float | None
    differs: tuple[str, ...]


@dataclass(frozen=True)
class TablePlan:
    """A plan for a published table.

    Attributes:
        source: Which table of which paper.
        data: Its data sets.
        rows: Every row on every data set, those without a published figure included.
        differs: What is known to differ for all rows.
        estimate: How sizes and hours were estimated.
    """

    source: str
    data: tuple[PlannedData, ...]
    rows: tuple[PlannedRow, ...]
    differs: tuple[str, ...]
    estimate: str


def plan_table(name: str, *, datasets: Sequence[str] = ()) -> TablePlan:
    """Plan all runs of a published table; never uses the network.

    Args:
        name: Key of `TABLES`: `1` is OpenDlign's Table 1.
        datasets: Data sets to plan; all data sets of the table when empty.

    Raises:
        ConfigError: If there is no such table or it has no such data set.
    """
    record = table_record(name, datasets)
    costs = {row["recipe"]: model_cost(row["recipe"]) for row in record["rows"]}
    speed = json.loads(SPEED_FILE.read_text(encoding="utf-8")) if SPEED_FILE.is_file() else {}
    data = tuple(_data(name, record["data"][name]) for name in record["datasets"])
    rows = tuple(_row(record, row, where, costs[row["recipe"]], speed) for where in data for row in record["rows"])
    return TablePlan(record["source"], data, rows, tuple(record["differs"]), _estimate(speed))


def draw_key(recipe: Recipe) -> str:
    """Name the work of preparing a shape in `SPEED_FILE`: kinds of views, or `cloud`, and number of points."""
    return f"{'cloud' if recipe.cloud else recipe.reads} {recipe.points}"


def _data(name: str, record: Mapping[str, Any]) -> PlannedData:
    card = dataset_card(name)
    splits = card.counts[card.default_variant]
    shapes = splits["test"] if "test" in splits else splits["all"]
    labels = len(card.class_names) or card.classes
    holds = LAYOUTS[record["layout"]].shown
    return PlannedData(
        name, record["folder"], holds, record["source"], card.licence, record["gigabytes"], shapes, labels, tuple(record["differs"])
    )


def _row(record: Mapping[str, Any], row: Mapping[str, Any], data: PlannedData, cost: ModelCost, speed: Mapping[str, Any]) -> PlannedRow:
    paper = published_figures(row, data.name, source=record["source"])
    recipe = get_recipe(row["recipe"]).for_dataset(data.name)
    prompts = row.get("prompts", {}) if data.name in row.get("prompts", {}).get("datasets", ()) else {}
    cpu, gpu = _hours(recipe, cost, data.shapes, speed)
    return PlannedRow(
        training=row["training"],
        method=row["method"],
        recipe=recipe.name,
        dataset=data.name,
        paper=paper,
        commands=(f"basrelief models fetch {recipe.name}", _doctor_command(row), evaluate_command(record, row, data.name)),
        train=_train_commands(record, row, recipe),
        files=(*_weights(recipe, cost), *([PlannedFile(prompts["file"], prompts["source"])] if prompts else [])),
        cpu_hours=cpu,
        gpu_hours=gpu,
        differs=(*(record["notes"].get(note, note) for note in row["differs"]), *data.differs),
    )


def _doctor_command(row: Mapping[str, Any]) -> str:
    return f"basrelief doctor {row['recipe']}" + (f" --checkpoint {trained_file(row['recipe'])}" if "train" in row else "")


def _train_commands(record: Mapping[str, Any], row: Mapping[str, Any], recipe: Recipe) -> tuple[str, ...]:
    """Commands that train a point network that nobody publishes; TAMM's has a first stage for its images."""
    own = recipe.checkpoint
    if "train" not in row or own is None:
        return ()
    data, run = record["train"][row["train"]], Path(trained_file(recipe.name)).parent.as_posix()
    command = f"basrelief train point {data['options']} --model {recipe.name}"
    if own.layout != "tamm":
        return (*data["before"], f"{command} -o {run} preset={own.preset}")
    first = f"{command} -o {run}-images preset=tamm-image-adapter"
    return (*data["before"], first, f"{command} -o {run} preset={own.preset} --image-adapter {run}-images/image_adapter.safetensors")


def _weights(recipe: Recipe, cost: ModelCost) -> list[PlannedFile]:
    """CLIP's and the method's own weights; the vocabulary of 1 to 4 MB comes along."""
    spec, own, files = encoder_spec(recipe.encoder), recipe.checkpoint, []
    if recipe.needs_clip:
        files.append(PlannedFile(spec.files[0], spec.repository, spec.licence, _megabytes(spec.bytes, spec.parameters)))
    if own is not None:
        towers = cost.text_parameters if recipe.cloud is None else spec.parameters  # a file of a point network that has any has both
        numbers = cost.parameters if recipe.needs_clip else cost.parameters + towers
        licence = own.licence if recipe.needs_clip else recipe.licence
        source = (own.repository or own.address) if own.published else "your own training, see below"
        files.append(PlannedFile(own.file, source, licence, _megabytes(own.bytes, numbers)))
    return files


def _megabytes(published: int | None, parameters: int) -> float:
    return round((published or _BYTES * parameters) / 1e6, 1)


def _hours(recipe: Recipe, cost: ModelCost, shapes: int, speed: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Estimate the hours to prepare and encode all shapes, on the CPU and on a GPU that only encodes."""
    if not speed:
        return None, None
    draw = speed["draw_ms"][draw_key(recipe)] / 1000 / CPU_CORES
    shape_ms = speed["cloud_ms"][recipe.cloud.network] if recipe.cloud else cost.views * speed["view_ms"][recipe.encoder.split("/")[0]]
    encode = shape_ms / 1000 / CPU_CORES
    seconds = draw + encode, draw + cost.multiply_adds / GPU_MULTIPLY_ADDS
    hours = [shapes * each / 3600 for each in seconds]
    return round(hours[0], 3), round(hours[1], 3)


def _estimate(speed: Mapping[str, Any]) -> str:
    measured = speed.get("measured", "not measured yet")
    return (
        f"Hours are estimates. CPU: processor time of one view or one cloud, and of preparing one shape, measured in float32 with random "
        f"weights of the real size on one core of an AMD EPYC ({measured}), times the shapes, over {CPU_CORES} cores; more cores take "
        f"less. GPU: never measured by us; the networks' multiply-adds at an assumed {GPU_MULTIPLY_ADDS / 1e12:g}e12 a second, about half "
        f"of what an A100 can do in float32 (grouping points and gathering voxels is left out), and shapes prepared at the CPU's speed. "
        f"Reading files, encoding prompts and training are left out. "
        f"Sizes of weights that are not recorded are 4 bytes for each parameter, states of an optimiser not included; models fetch shows "
        f"those of the hub before it downloads."
    )
