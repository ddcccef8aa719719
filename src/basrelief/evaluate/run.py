"""One evaluation from model and benchmark to card, and the card's files."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.calibrate import calibrated
from basrelief.evaluate.card import EvalCard, make_card, measured_cost
from basrelief.evaluate.few_shot import Shots, few_shot
from basrelief.evaluate.page import card_page, card_picture
from basrelief.evaluate.protocol import describe
from basrelief.evaluate.result import Result
from basrelief.evaluate.retrieval import DIRECTIONS, retrieval
from basrelief.evaluate.robustness import robustness
from basrelief.evaluate.zero_shot import zero_shot
from basrelief.models import Embedder, EmbedStats
from basrelief.output import write_picture, write_text
from basrelief.tasks import Calibration

_ANSWERS = ("shape", "label", "answers, best first", "probability of the first")


@dataclass(frozen=True)
class Request:
    """What to ask of a benchmark.

    Attributes:
        task: One of `TASKS`.
        shots: For `few-shot`.
        support: For `few-shot`: the split the shots come from; None draws them from the benchmark itself.
        second: For `few-shot` with a head of two paths: the embedder of the second.
        directions: For `retrieval`.
        pictures: For `retrieval`: folder of class folders of pictures; None draws our own.
        command: What was typed, for the card.
    """

    task: str = "zero-shot"
    shots: Shots = field(default_factory=Shots)
    support: Benchmark | None = None
    second: Embedder | None = None
    directions: tuple[str, ...] = DIRECTIONS
    pictures: Path | None = None
    command: str = ""

    def __post_init__(self) -> None:
        """Check the task."""
        if self.task not in TASKS:
            raise ConfigError(unknown_choice("task", self.task, TASKS))


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished evaluation.

    Attributes:
        card: For people and programs.
        result: The figures with every answer.
        calibration: Of the task `calibration`, else None.
    """

    card: EvalCard
    result: Result
    calibration: Calibration | None = None


def run_evaluation(embedder: Embedder, benchmark: Benchmark, *, request: Request | None = None) -> Outcome:
    """Evaluate a model on a benchmark.

    Args:
        embedder: With the model under the settings it is to run with, see `Model.for_dataset`, and the cache that makes the run resumable.
        benchmark: From `basrelief.datasets.open_benchmark`.
        request: What to ask; zero-shot when None.

    Returns:
        The card and all it rests on. Two runs of one request on the same data give the same card but for `card.run`.

    Raises:
        ConfigError: If the request does not fit the benchmark, e.g. more shots than shapes.
    """
    request = request or Request()
    embedder = dataclasses.replace(embedder, stats=EmbedStats())
    start = time.perf_counter()
    calibration, result = TASKS[request.task](embedder, benchmark, request)
    cost = measured_cost(time.perf_counter() - start, embedder.stats, embedder.model)
    protocol = describe(embedder.model, benchmark, task=request.task, options=_options(request), seed=embedder.seed)
    card = make_card(result, protocol, model=embedder.model, benchmark=benchmark, command=request.command, cost=cost)
    return Outcome(card, result, calibration)


def write_outcome(outcome: Outcome, folder: Path) -> Path:
    """Write `card.json`, `card.html` and `card.png`, and `answers.csv` and `calibration.json` where there are some.

    Args:
        outcome: From `run_evaluation`.
        folder: Made if absent; files of an earlier run in it are replaced.

    Returns:
        The folder.

    Raises:
        OutputError: If it cannot be written.
    """
    write_text(folder / "card.json", outcome.card.to_json())
    write_text(folder / "card.html", card_page(outcome.card))
    write_picture(folder / "card.png", card_picture(outcome.card))
    if outcome.result.answers:
        write_text(folder / "answers.csv", _csv(outcome.result))
    if outcome.calibration is not None:
        outcome.calibration.save(folder / "calibration.json")
    return folder


def card_folder(card: EvalCard) -> str:
    """A folder name for a card: model, data set, task and protocol hash."""
    which = (
        card.protocol["model"]["recipe"],
        card.protocol["data"]["name"],
        card.protocol["data"]["variant"],
        card.task,
        card.protocol_hash,
    )
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part) for part in which if part)


def _options(request: Request) -> dict[str, Any]:
    """The settings of the task, for the protocol."""
    if request.task == "few-shot":
        support = None if request.support is None else f"{request.support.split} {request.support.fingerprint()}"
        return dataclasses.asdict(request.shots) | {
            "support": support or "drawn from the benchmark",
            "second": None if request.second is None else request.second.model.encoder.fingerprint[:16],
        }
    if request.task == "retrieval":
        return {"directions": list(request.directions), "pictures": "our own" if request.pictures is None else request.pictures.name}
    return {}


def _csv(result: Result) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_ANSWERS)
    rows.writerows(result.answers)
    return text.getvalue()


_Task = Callable[[Embedder, Benchmark, Request], tuple[Calibration | None, Result]]

TASKS: Mapping[str, _Task] = {
    "zero-shot": lambda e, b, _: (None, zero_shot(e, b)),
    "few-shot": lambda e, b, r: (None, few_shot(e, b, support=r.support, shots=r.shots, second=r.second)),
    "retrieval": lambda e, b, r: (None, retrieval(e, b, directions=r.directions, pictures=r.pictures)),
    "robustness": lambda e, b, _: (None, robustness(e, b)),
    "calibration": lambda e, b, _: calibrated(e, b),
}
