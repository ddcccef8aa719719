"""The training loop: batches, validation accuracy, and checks before the start."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from basrelief.datasets import open_benchmark
from basrelief.errors import ConfigError, MissingExtraError
from basrelief.models import Model, get_recipe
from basrelief.shapes import write_library
from basrelief.tasks import Pooling
from basrelief.train.run import TrainingRun, check_batch_size, derive_seed, make_accelerator
from basrelief.train.validation import zero_shot_accuracy
from support.small_models import small_encoder


def rows(step: int, *, batch: int = 4, of: int = 11, seed: int = 0, process: tuple[int, int] = (0, 1)) -> list[int]:
    run = SimpleNamespace(
        settings=SimpleNamespace(batch_size=batch, seed=seed),
        steps_per_epoch=of // batch,
        total_rows=of,
        accelerator=SimpleNamespace(process_index=process[0], num_processes=process[1]),
    )
    return TrainingRun.batch_indices(run, step)  # type: ignore[arg-type]


def test_an_epoch_uses_each_row_at_most_once() -> None:
    met = [row for step in range(2) for row in rows(step)]
    assert len(met) == len(set(met)) == 8
    assert set(met) <= set(range(11))


def test_epochs_differ_and_steps_repeat() -> None:
    assert rows(0) == rows(0)
    assert rows(0) != rows(2), "the next epoch has another order"
    assert rows(0, seed=1) != rows(0)


@pytest.mark.parametrize("of", [2, 4])
def test_processes_share_a_batch(of: int) -> None:
    parts = [rows(1, process=(rank, of)) for rank in range(of)]
    assert sorted(row for part in parts for row in part) == sorted(rows(1))
    assert {len(part) for part in parts} == {4 // of}


@pytest.mark.parametrize(
    ("batch_size", "count", "processes", "message"),
    [
        (8, 7, 1, "batch_size is 8, but there are only 7 shapes. Lower batch_size."),
        (
            6,
            100,
            4,
            "batch_size is 6; it must be a multiple of the number of processes, 4, with at least 2 rows for each. Change batch_size.",
        ),
        (2, 100, 2, "batch_size is 2; it must be a multiple of the number of processes, 2, with at least 2 rows"),
        (1, 100, 1, "batch_size is 1; it must be a multiple of the number of processes, 1, with at least 2 rows"),
    ],
)
def test_every_process_needs_two_rows_of_a_batch(batch_size: int, count: int, processes: int, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_batch_size(batch_size, count, processes=processes, what="shapes")
    check_batch_size(4, 4, processes=2, what="shapes")


def test_seeds_differ_in_every_part() -> None:
    found = {derive_seed(*parts) for parts in ((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (0, 0, 2), (2**40, 0, 1))}
    assert len(found) == 6
    assert all(0 <= seed < 2**63 for seed in found)


def test_without_accelerate_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"Training needs accelerate\. Run: pip install basrelief\[train\]"):
        make_accelerator("float32")


def test_runs_of_one_process_can_differ_in_precision() -> None:
    assert make_accelerator("bfloat16").mixed_precision == "bf16"
    assert make_accelerator("float32").mixed_precision == "no"
    assert make_accelerator("float32", accumulate=3).gradient_accumulation_steps == 3


@pytest.mark.parametrize("rule", ["softmax-sum", "mean", "max", "sum"])
@pytest.mark.parametrize("tuned", [False, True])
def test_validation_accuracy_agrees_with_classify(rule: str, tuned: bool, tmp_path: Path) -> None:
    library = open_benchmark(write_library(tmp_path / "shapes", ("chair", "mug", "lamp"), each=2), "folder")
    recipe = replace(get_recipe("opendlign-untuned"), projection_options={"size": 32}, points=400, templates="name", pooling=Pooling(rule))
    encoder = small_encoder(tuned=True, seed=4)
    model = Model(recipe.with_tuned_views() if tuned else recipe, encoder)
    found = model.classify([library.load(item) for item in library.items], library.labels)
    expected = np.mean([p.label == library.labels[item.label] for p, item in zip(found, library.items, strict=True)])
    assert zero_shot_accuracy(model, library)(encoder) == pytest.approx(float(expected))


def test_validation_uses_the_given_encoder(tmp_path: Path) -> None:
    library = open_benchmark(write_library(tmp_path / "shapes", ("chair", "mug"), each=3), "folder")
    recipe = replace(get_recipe("opendlign-untuned"), projection_options={"size": 32}, points=400, templates="name")
    one, other = small_encoder(seed=0), small_encoder(seed=0)
    validate = zero_shot_accuracy(Model(recipe, one), library)
    before = validate(one)
    other.towers.vision_model.post_layernorm.weight.data.neg_()
    assert validate(other) == pytest.approx(1 - before), "every cosine changes its sign"


def test_shapes_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    library = open_benchmark(write_library(tmp_path / "shapes", ("chair", "mug"), each=2), "folder")
    recipe = replace(get_recipe("opendlign-untuned"), projection_options={"size": 32}, points=400, templates="name")
    validate = zero_shot_accuracy(Model(recipe, small_encoder()), library)
    Path(library.items[0].path).write_bytes(b"junk")
    assert validate(small_encoder()) in (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)
    for item in library.items:
        Path(item.path).write_bytes(b"junk")
    with pytest.raises(ConfigError, match=r"None of the 4 shapes of 'shapes' can be read\. Run basrelief doctor on it"):
        validate(small_encoder())
