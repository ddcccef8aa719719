"""The penalty on names with training shapes, applied equally in every task."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

from basrelief.datasets import Benchmark
from basrelief.encoders import ClipEncoder
from basrelief.encoders.vocabulary import Vocabulary
from basrelief.evaluate.robustness import robustness
from basrelief.evaluate.zero_shot import score_benchmark, zero_shot
from basrelief.models import Embedder, Model, get_recipe
from basrelief.tasks import LabelEmbeddings, Pooling, score_labels
from basrelief.train.validation import zero_shot_accuracy
from support.small_models import small_encoder

SHOWN = ("chair", "mug", "table")  # of the four names of the set


def _with(model: Model, known: Vocabulary | None) -> Model:
    encoder = model.encoder
    assert isinstance(encoder, ClipEncoder)
    other = copy.copy(encoder)
    other.vocabulary = known
    return Model(model.recipe, other)


@pytest.fixture
def fair(tiny: Model) -> Model:
    return _with(tiny, Vocabulary(SHOWN, ("airplane",)))


@pytest.fixture
def behind(tiny: Model) -> Model:
    return _with(tiny, Vocabulary(SHOWN, ("airplane",), seen_class_penalty=0.25))


def test_the_penalty_is_subtracted_from_similarities() -> None:
    views = torch.nn.functional.normalize(torch.ones(1, 2, 3), dim=-1)
    embedded = LabelEmbeddings(torch.eye(3), torch.tensor([0.2, 0.0, 0.1]))
    (answer,) = score_labels(views, embedded, pooling=Pooling("mean")).predictions(("a", "b", "c"))
    assert answer.labels == ("b", "c", "a")
    assert answer.scores.tolist() == pytest.approx([3**-0.5, 3**-0.5 - 0.1, 3**-0.5 - 0.2])


def test_models_not_trained_on_3d_shapes_have_no_default_labels(fair: Model) -> None:
    large = Model(get_recipe("opendlign-untuned"), small_encoder())
    assert large.encode_labels(["chair", "zebra"]).penalty.tolist() == [0, 0]
    assert _with(fair, None).encode_labels(["chair", "zebra"]).penalty.tolist() == [0, 0]


def test_scores_of_a_benchmark_fall_by_it_and_only_those(fair: Model, behind: Model, benchmark: Benchmark) -> None:
    before, after = (score_benchmark(Embedder(model), benchmark).scores for model in (fair, behind))
    scale = fair.encoder.logit_scale
    lost = torch.tensor([0.25 * math.log(3) * scale if name in SHOWN else 0.0 for name in benchmark.labels])
    torch.testing.assert_close(torch.from_numpy(before - after), lost.expand(len(before), -1), atol=1e-3, rtol=0)


def test_tasks_agree_on_it(behind: Model, benchmark: Benchmark) -> None:
    named = [behind.classify([benchmark.load(item)], benchmark.labels)[0].label for item in benchmark.items]
    right = sum(benchmark.labels[item.label] == name for item, name in zip(benchmark.items, named, strict=True))
    assert named.count("chair") + named.count("mug") < 6  # some of the 3 chairs and 3 mugs were given up
    for metric in (zero_shot(Embedder(behind), benchmark).metrics[0], robustness(Embedder(behind), benchmark, sweep=()).metrics[0]):
        assert metric.value == pytest.approx(100 * right / len(named), abs=1e-3)
    assert isinstance(behind.encoder, ClipEncoder)
    assert zero_shot_accuracy(behind, benchmark)(behind.encoder) == pytest.approx(right / len(named))


def test_the_penalty_changes_nothing_if_all_names_were_seen(fair: Model, behind: Model, benchmark: Benchmark) -> None:
    few = replace(benchmark, items=tuple(i for i in benchmark.items if benchmark.labels[i.label] == "chair"))
    shapes = [few.load(item) for item in few.items]
    first, second = (model.classify(shapes, ("chair", "mug")) for model in (fair, behind))
    assert [p.scores.tolist() for p in first] == [p.scores.tolist() for p in second]
