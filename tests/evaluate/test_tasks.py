"""Tasks with a perfect model, a random one, and unreadable shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate import FewShotOptions
from basrelief.evaluate.calibrate import calibration
from basrelief.evaluate.corruptions import Corruption
from basrelief.evaluate.few_shot import few_shot
from basrelief.evaluate.result import Metric, accuracy_metric, mean_metric
from basrelief.evaluate.retrieval import retrieval
from basrelief.evaluate.robustness import robustness
from basrelief.evaluate.zero_shot import score_benchmark, zero_shot
from basrelief.io import save
from basrelief.models import Embedder
from support.small_models import ball


@pytest.fixture
def embedder(warm_embedder: Embedder) -> Embedder:
    return warm_embedder


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def test_zero_shot_agrees_with_classify(embedder: Embedder, benchmark: Benchmark) -> None:
    found = zero_shot(embedder, benchmark)
    answers = embedder.model.classify([benchmark.load(item) for item in benchmark.items], benchmark.labels)
    right = [p.label == benchmark.labels[item.label] for p, item in zip(answers, benchmark.items, strict=True)]
    metrics = by_name(found.metrics)
    assert metrics["top1"].value == pytest.approx(100 * np.mean(right))
    assert metrics["top1"].low < metrics["top1"].value
    assert metrics["top3"].value >= metrics["top1"].value
    assert metrics["top5"].value == 100.0
    assert found.confusion is not None
    assert found.confusion.sum() == 12
    assert np.trace(found.confusion) == sum(right)
    assert [row[0] for row in found.answers] == [item.id for item in benchmark.items]
    assert all(row[2].split(" | ")[0] == p.label for row, p in zip(found.answers, answers, strict=True))


def test_a_shape_that_cannot_be_read_counts_as_wrong(embedder: Embedder, benchmark: Benchmark, broken: Benchmark) -> None:
    whole, part = by_name(zero_shot(embedder, benchmark).metrics), zero_shot(embedder, broken)
    metrics = by_name(part.metrics)
    assert metrics["top5"].value == pytest.approx(100 * 10 / 12, abs=1e-3)
    assert metrics["top1"].count == whole["top1"].count == 12
    assert len(part.failures) == 2


def test_swapped_labels_are_seen(embedder: Embedder, benchmark: Benchmark) -> None:
    labels = benchmark.labels[::-1]
    wrong = by_name(zero_shot(embedder, replace(benchmark, labels=labels)).metrics)
    assert wrong["top1"].value <= 25 < by_name(zero_shot(embedder, benchmark).metrics)["top1"].value


def test_scores_have_a_column_for_each_label(embedder: Embedder, benchmark: Benchmark) -> None:
    found = score_benchmark(embedder, benchmark)
    assert found.scores.shape == (12, 4)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_class_table_names_the_most_frequent_mistake(embedder: Embedder, benchmark: Benchmark) -> None:
    (table,) = zero_shot(embedder, replace(benchmark, labels=benchmark.labels[::-1])).tables
    assert table.columns[0] == "class"
    assert all(row[1] == 3 for row in table.rows)
    assert any(row[5] for row in table.rows)


def test_few_shot_from_the_benchmark_itself(embedder: Embedder, benchmark: Benchmark) -> None:
    found = few_shot(embedder, benchmark, options=FewShotOptions((1, 2), 3))
    metrics = by_name(found.metrics)
    assert metrics["top1_1shot"].count == 3
    assert 25 < metrics["top1_2shot"].value <= 100
    assert "4 of 4 classes" in found.notes[0]
    assert few_shot(embedder, benchmark, options=FewShotOptions((1, 2), 3)).metrics == found.metrics


def test_few_shot_with_a_support_split(embedder: Embedder, benchmark: Benchmark) -> None:
    support = replace(benchmark, items=benchmark.items[::3], split="train")
    query = replace(benchmark, items=tuple(i for i in benchmark.items if i not in support.items))
    found = few_shot(embedder, query, support=support, options=FewShotOptions((1,), 2))
    assert by_name(found.metrics)["top1_1shot"].value > 25


def test_few_shot_refuses_what_cannot_be(embedder: Embedder, benchmark: Benchmark) -> None:
    with pytest.raises(ConfigError, match="Only 0 classes have enough shapes for 3 shots; few-shot needs two. Use fewer shots."):
        few_shot(embedder, benchmark, options=FewShotOptions((3,), 1))
    with pytest.raises(ConfigError, match="The support split has other labels than the query split"):
        few_shot(embedder, benchmark, support=replace(benchmark, labels=benchmark.labels[::-1]))
    with pytest.raises(ConfigError, match="Few-shot needs at least one shot and one draw, got shots"):
        FewShotOptions((0,))


def test_retrieval_in_all_directions(embedder: Embedder, benchmark: Benchmark) -> None:
    found = retrieval(embedder, benchmark)
    metrics = by_name(found.metrics)
    assert metrics["text_map"].value > 50
    assert metrics["shape_r1"].value > 25
    assert metrics["shape_r1"].count == 12
    assert metrics["text_r1"].count == 4
    assert [row[:2] for row in found.tables[0].rows] == [
        (f"{direction} to shape", views) for direction in ("text", "image", "shape") for views in ("mean", "best")
    ]
    assert found.notes == ("Pictures are shaded renderings of the shapes themselves.",)


def test_a_shape_alone_in_its_class_has_nothing_to_find(embedder: Embedder, benchmark: Benchmark) -> None:
    single = replace(benchmark, items=benchmark.items[::3])
    found = retrieval(embedder, single, directions=("shape",))
    assert found.metrics == ()
    assert "shape" in found.notes[0]


def test_retrieval_by_pictures_of_ones_own(embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "Chair").mkdir()
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "Chair" / "a.png", tmp_path / "other" / "b.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    found = retrieval(embedder, benchmark, directions=("image",), pictures=tmp_path)
    assert by_name(found.metrics)["image_r1"].count == 1
    (tmp_path / "Chair" / "c.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="Cannot read picture 'c.png'"):
        retrieval(embedder, benchmark, directions=("image",), pictures=tmp_path)


def test_retrieval_refuses_what_it_does_not_know(embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Unknown direction 'texts'; expected one of text, image, shape. Did you mean 'text'?"):
        retrieval(embedder, benchmark, directions=("texts",))
    with pytest.raises(ConfigError, match="has no picture in a folder named like a label. Sort the pictures"):
        retrieval(embedder, benchmark, directions=("image",), pictures=tmp_path)


def test_robustness_names_what_is_lost(embedder: Embedder, benchmark: Benchmark) -> None:
    gone = Corruption("dropped", 99, lambda points, _: points[:30] * 0.01)
    same = Corruption("noise", 0, lambda points, _: points)
    more = Corruption("points", 10**6, lambda points, _: points)
    found = robustness(embedder, benchmark, sweep=(same, gone, more))
    metrics, rows = by_name(found.metrics), {row[0]: row for row in found.tables[0].rows}
    assert set(rows) == {"unchanged", "noise 0", "dropped 99", *(f"{n} of 10 views" for n in (1, 2, 4, 6, 8))}
    assert rows["noise 0"][4] == pytest.approx(0, abs=10)
    assert rows["dropped 99"][1] < rows["unchanged"][1]
    assert metrics["worst_top1"].value == pytest.approx(min(row[1] for row in list(rows.values())[1:]), abs=0.01)  # rows are rounded


def test_calibration_is_fitted_on_one_half_and_measured_on_the_other(embedder: Embedder, benchmark: Benchmark) -> None:
    fitted, found = calibration(embedder, benchmark)
    metrics = by_name(found.metrics)
    assert fitted.temperature > 0
    assert fitted.model == "tiny"
    assert fitted.shapes + metrics["ece"].count == 12
    assert metrics["ece_before"].count == metrics["ece"].count
    assert found.tables[0].rows[0][1] == 100.0


def test_calibration_needs_two_halves(embedder: Embedder, benchmark: Benchmark) -> None:
    with pytest.raises(ConfigError, match="1 shapes are too few to fit a temperature on one half"):
        calibration(embedder, replace(benchmark, items=benchmark.items[:1]))


def test_a_share_has_wilsons_interval() -> None:
    metric = accuracy_metric("a", "b", np.array([True] * 8 + [False] * 2))
    assert (metric.value, round(metric.low, 2), round(metric.high, 2)) == (80.0, 49.02, 94.33)


def test_the_mean_of_nothing_is_nan() -> None:
    assert np.isnan(mean_metric("a", "b", np.empty(0)).value)


def test_split_less_files_give_all(tmp_path: Path, embedder: Embedder) -> None:
    for name in ("a thing", "ball"):
        (tmp_path / name).mkdir()
        save(ball(300), tmp_path / name / "0.ply")
    found = zero_shot(embedder, open_benchmark(tmp_path))
    assert by_name(found.metrics)["top1"].count == 2
