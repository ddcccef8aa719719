"""Few-shot classification with every head: support, queries, and the second path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate import EvalOptions, FewShotOptions
from basrelief.evaluate.few_shot import few_shot
from basrelief.evaluate.run import FewShotSource, run_evaluation
from basrelief.models import Embedder, Model
from basrelief.tasks import HEADS
from basrelief.testing import FakeEncoder


@pytest.fixture
def embedder(warm_embedder: Embedder) -> Embedder:
    return warm_embedder


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few epochs are enough to count with."""
    from basrelief.evaluate import few_shot as module
    from basrelief.tasks import FitOptions

    monkeypatch.setattr(module, "FitOptions", lambda seed: FitOptions(epochs=4, seed=seed))


def second(embedder: Embedder, *, seed: int = 0) -> Embedder:
    """Another tower of the same width that knows nothing."""
    return Embedder(Model(embedder.model.recipe, FakeEncoder(embedding_dim=512, seed=seed)))


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"dual-path"}))
def test_every_head_has_metrics(head: str, embedder: Embedder, benchmark: Benchmark) -> None:
    found = few_shot(embedder, benchmark, options=FewShotOptions((1, 2), 2, head=head))
    assert [metric.name for metric in found.metrics] == ["top1_1shot", "top1_2shot"]
    for metric in found.metrics:
        assert 0 <= metric.low <= metric.value <= metric.high <= 100
    assert found.metrics[1].value > 50


def test_the_dual_path_needs_its_second_path(embedder: Embedder, benchmark: Benchmark) -> None:
    found = few_shot(embedder, benchmark, options=FewShotOptions((2,), 2, head="dual-path"), second=second(embedder))
    assert found.metrics[0].count == 2
    other = few_shot(embedder, benchmark, options=FewShotOptions((2,), 2, head="dual-path"), second=second(embedder, seed=1))
    assert isinstance(other.metrics[0].value, float)


def test_paths_must_read_the_same_shapes(embedder: Embedder, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    other = second(embedder)
    real = Embedder.embed

    def fewer(self: Embedder, data: Benchmark, change: object = None) -> object:
        found = real(self, data)
        if self is other:
            return replace(found, items=found.items[1:], features=found.features[1:])
        return found

    monkeypatch.setattr(Embedder, "embed", fewer)
    with pytest.raises(ConfigError, match="The models did not embed the same shapes"):
        few_shot(embedder, benchmark, options=FewShotOptions((1,), 1, head="dual-path"), second=other)


def test_an_unknown_head_is_explained() -> None:
    with pytest.raises(ConfigError, match="Unknown head 'prob'; expected one of probe, .*. Did you mean 'probe'?"):
        FewShotOptions(head="prob")


def test_draws_of_one_seed_are_the_same_for_every_head(embedder: Embedder, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    from basrelief.evaluate import few_shot as module

    drawn: dict[str, list[list[int]]] = {"probe": [], "cache": []}
    real = module.sample_shots  # type: ignore[attr-defined]
    for head in ("probe", "cache"):

        def note(truth: np.ndarray, shots: int, *, seed: int, head: str = head) -> np.ndarray:
            chosen = real(truth, shots, seed=seed)
            drawn[head].append(chosen.tolist())
            return np.asarray(chosen)

        monkeypatch.setattr(module, "sample_shots", note)
        few_shot(embedder, benchmark, options=FewShotOptions((1, 2), 3, head=head))
    assert drawn["probe"] == drawn["cache"]
    assert len({tuple(chosen) for chosen in drawn["probe"]}) > 2


@pytest.mark.parametrize("head", ["probe", "cache"])
def test_the_card_says_which_head(head: str, embedder: Embedder, benchmark: Benchmark) -> None:
    options = EvalOptions(task="few-shot", few_shot=FewShotOptions((1,), 2, head=head))
    card = run_evaluation(embedder, benchmark, options=options).card
    assert card.protocol["options"]["head"] == head
    assert card.protocol["options"]["second"] is None


def test_another_head_is_another_protocol(embedder: Embedder, benchmark: Benchmark) -> None:
    cards = [
        run_evaluation(embedder, benchmark, options=EvalOptions(task="few-shot", few_shot=FewShotOptions((1,), 2, head=head))).card
        for head in ("probe", "cache")
    ]
    assert cards[0].protocol_hash != cards[1].protocol_hash


def test_the_second_tower_is_part_of_the_protocol(embedder: Embedder, benchmark: Benchmark) -> None:
    hashes = set()
    for seed in (0, 1):
        options = EvalOptions(task="few-shot", few_shot=FewShotOptions((1,), 1, head="dual-path"))
        source = FewShotSource(second=second(embedder, seed=seed))
        hashes.add(run_evaluation(embedder, benchmark, options=options, few_shot_source=source).card.protocol_hash)
    assert len(hashes) == 2


def test_classes_without_enough_shapes_are_no_answer(embedder: Embedder, benchmark: Benchmark) -> None:
    """A class that is only in the labels can win a head that compares with words, unless it is left out."""
    wider = replace(benchmark, labels=(*benchmark.labels, "a chair", "an airplane"))
    for head in ("cache", "probe"):
        narrow = few_shot(embedder, benchmark, options=FewShotOptions((2,), 3, head=head)).metrics[0]
        wide = few_shot(embedder, wider, options=FewShotOptions((2,), 3, head=head)).metrics[0]
        assert wide.value == pytest.approx(narrow.value, abs=1e-6)
