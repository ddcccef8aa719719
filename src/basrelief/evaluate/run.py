"""Run an evaluation: load the model, open the data set, run the task, and write the eval card."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from basrelief.datasets import Benchmark
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.calibrate import calibration
from basrelief.evaluate.card import EvalCard, make_card, measured_cost
from basrelief.evaluate.detection.protocol import DetectionProtocol
from basrelief.evaluate.detection.run import evaluate_detection
from basrelief.evaluate.few_shot import FewShotOptions, few_shot
from basrelief.evaluate.page import card_page, card_picture
from basrelief.evaluate.protocol import describe_protocol
from basrelief.evaluate.result import Result
from basrelief.evaluate.retrieval import DIRECTIONS, retrieval
from basrelief.evaluate.robustness import robustness
from basrelief.evaluate.sources import DataSource, ModelSource
from basrelief.evaluate.zero_shot import zero_shot
from basrelief.models import Embedder, Model
from basrelief.models.recipe_parts import TwoStagePrompts
from basrelief.output import write_picture, write_text
from basrelief.tasks import Calibration, Pooling
from basrelief.types import Progress

DETECTION = "detection"
"""The task on annotated scans; the others are in `TASKS`."""

_ANSWERS = ("shape", "label", "answers, best first", "probability of the first")


@dataclass(frozen=True)
class EvalOptions:
    """Which task to run, and how.

    Attributes:
        task: One of `TASKS`, or `detection`.
        points: Points per shape; None for the paper's number on the data set.
        templates: Name of a template set; None for the paper's.
        pooling: Another pooling rule than the recipe's, or None.
        second_stage: Another second stage of prompts than the recipe's, or None.
        few_shot: Options of the task `few-shot`.
        directions: For `retrieval`: kinds of queries.
        pictures: For `retrieval`: folder with one folder of pictures per class; None renders the shapes.
        detection: For `detection`: every choice; that of the data set when None.
        seed: Seed of surface samples and corruptions.
        command: Command line to record in the card.
    """

    task: str = "zero-shot"
    points: int | None = None
    templates: str | None = None
    pooling: Pooling | None = None
    second_stage: TwoStagePrompts | None = None
    few_shot: FewShotOptions = field(default_factory=FewShotOptions)
    directions: tuple[str, ...] = DIRECTIONS
    pictures: Path | None = None
    detection: DetectionProtocol | None = None
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Check the task."""
        if self.task not in (*TASKS, DETECTION):
            raise ConfigError(unknown_choice("task", self.task, (*TASKS, DETECTION)))

    def apply(self, model: Model, dataset: str) -> Model:
        """Return the model under the paper's settings for a data set, changed where these options say so."""
        ready = model.for_dataset(dataset, points=self.points, templates=self.templates)
        if self.pooling is None and self.second_stage is None:
            return ready
        own = ready.recipe
        rules = replace(own, pooling=self.pooling or own.pooling, second_stage=self.second_stage or own.second_stage)
        return ready.with_recipe(rules)


@dataclass(frozen=True, eq=False)
class FewShotSource:
    """Sources of the task `few-shot` in addition to the queries.

    Attributes:
        support: The split that shots are drawn from; None draws them from the benchmark itself.
        second: Embedder of the second path, for heads with two.
    """

    support: Benchmark | None = None
    second: Embedder | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A finished evaluation.

    Attributes:
        card: The eval card.
        result: Metrics and tables, with the answer for every shape.
        calibration: The fitted calibration, for the task `calibration` only.
    """

    card: EvalCard
    result: Result
    calibration: Calibration | None = None


def evaluate(
    model: ModelSource,
    data: DataSource,
    *,
    options: EvalOptions | None = None,
    cache: VectorCache | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a model on a data set under the settings of the model's paper for that data set.

    Args:
        model: Which model, and its files.
        data: Which data set, and which part of it.
        options: Task and settings; zero-shot when None.
        cache: Where view features are kept, so that an interrupted run resumes; None keeps nothing.
        progress: Called after each pass with the number of shapes done and of all.

    Returns:
        The card and everything it rests on. Repeated runs give the same card but for `card.run` and the command.

    Raises:
        ConfigError: If a name or option is wrong, the data set does not match its card, or it has too few shapes for the task.
        WeightsNotFoundError: If weights are missing and cannot be fetched.
    """
    options = options or EvalOptions()
    if options.task == DETECTION:
        return _detection(model, data, options, keep=cache is not None, progress=progress)
    benchmark = data.open(model.name)
    loaded, extra = model.load(), FewShotSource()
    if options.task == "few-shot":
        loaded, head = loaded.for_few_shot(), options.few_shot.head
        extra = FewShotSource(data.open_support(benchmark), model.load_second_path(head, cache=cache, seed=options.seed))
    ready = options.apply(loaded, benchmark.name)
    return run_evaluation(Embedder(ready, cache, options.seed, progress), benchmark, options=options, few_shot_source=extra)


def run_evaluation(
    embedder: Embedder,
    benchmark: Benchmark,
    *,
    options: EvalOptions | None = None,
    few_shot_source: FewShotSource | None = None,
) -> Evaluation:
    """Evaluate a loaded model on an open benchmark.

    Args:
        embedder: Embeds with the model, under the settings to run with (see `Model.for_dataset`).
        benchmark: From `basrelief.datasets.open_benchmark`.
        options: Task and its options; zero-shot when None.
        few_shot_source: Support split and second path of the task `few-shot`.

    Raises:
        ConfigError: If the options do not fit the benchmark, e.g. more shots than shapes.
    """
    options, extra = options or EvalOptions(), few_shot_source or FewShotSource()
    embedder = dataclasses.replace(embedder)  # counts from zero
    start = time.perf_counter()
    fitted, result = TASKS[options.task](embedder, benchmark, options, extra)
    cost = measured_cost(embedder.model, embedder.stats, seconds=time.perf_counter() - start)
    settings = _task_settings(options, extra)
    protocol = describe_protocol(embedder.model, benchmark, task=options.task, options=settings, seed=embedder.seed)
    card = make_card(result, protocol, model=embedder.model, benchmark=benchmark, command=options.command, cost=cost)
    return Evaluation(card, result, fitted)


def write_evaluation(evaluation: Evaluation, out: Path) -> Path:
    """Write `card.json`, `card.html` and `card.png`; also `answers.csv` and `calibration.json` if the task has them.

    Args:
        evaluation: From `evaluate` or `run_evaluation`.
        out: Folder for all evaluations; this one gets a folder of its own in it, which replaces an earlier run under the same protocol.

    Returns:
        The folder of this evaluation.

    Raises:
        OutputError: If it cannot be written.
    """
    folder = out / card_folder(evaluation.card)
    write_text(folder / "card.json", evaluation.card.to_json())
    write_text(folder / "card.html", card_page(evaluation.card))
    write_picture(folder / "card.png", card_picture(evaluation.card))
    if evaluation.result.answers:
        write_text(folder / "answers.csv", _csv(evaluation.result))
    if evaluation.calibration is not None:
        evaluation.calibration.save(folder / "calibration.json")
    return folder


def card_folder(card: EvalCard) -> str:
    """Return the folder name of a card: model, data set, variant, task and protocol hash."""
    which = (
        card.protocol["model"]["recipe"],
        card.protocol["data"]["name"],
        card.protocol["data"]["variant"],
        card.task,
        card.protocol_hash,
    )
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part) for part in which if part)


def _detection(model: ModelSource, data: DataSource, options: EvalOptions, *, keep: bool, progress: Progress | None) -> Evaluation:
    scans = data.open_scans(options.detection)
    ready = options.apply(model.load(), scans.name)
    card, result = evaluate_detection(
        ready, scans, protocol=options.detection, seed=options.seed, keep=keep, command=options.command, progress=progress
    )
    return Evaluation(card, result)


def _task_settings(options: EvalOptions, extra: FewShotSource) -> dict[str, Any]:
    """Settings of the task for the protocol."""
    if options.task == "few-shot":
        support = None if extra.support is None else f"{extra.support.split} {extra.support.fingerprint()}"
        return dataclasses.asdict(options.few_shot) | {
            "support": support or "drawn from the benchmark",
            "second": None if extra.second is None else extra.second.model.fingerprint[:16],
        }
    if options.task == "retrieval":
        return {"directions": list(options.directions), "pictures": "our own" if options.pictures is None else options.pictures.name}
    return {}


def _csv(result: Result) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_ANSWERS)
    rows.writerows(result.answers)
    return text.getvalue()


_Task = Callable[[Embedder, Benchmark, EvalOptions, FewShotSource], tuple[Calibration | None, Result]]

TASKS: Mapping[str, _Task] = {
    "zero-shot": lambda e, b, _o, _x: (None, zero_shot(e, b)),
    "few-shot": lambda e, b, o, x: (None, few_shot(e, b, support=x.support, options=o.few_shot, second=x.second)),
    "retrieval": lambda e, b, o, _: (None, retrieval(e, b, directions=o.directions, pictures=o.pictures)),
    "robustness": lambda e, b, _o, _x: (None, robustness(e, b)),
    "calibration": lambda e, b, _o, _x: calibration(e, b),
}
"""Tasks on shapes, by name."""
