"""The few-shot classifier: fitted, used, saved, and loaded on the right models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import basrelief as br
from basrelief.errors import ConfigError, WeightsError
from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.models import (
    FewShotClassifier,
    Model,
    ReadOptions,
    classify_files,
    get_recipe,
    load_few_shot,
)
from basrelief.models.few_shot import head_paths, view_features
from basrelief.shapes import make_shape
from basrelief.tasks import HEADS, FitOptions, RejectPolicy
from basrelief.types import Mesh, PointCloud, Shape
from support.small_models import small_encoder

NAMES = ("chair", "mug", "airplane")
QUICK = FitOptions(epochs=10, lr=3e-3)


def cloud(name: str, seed: int) -> PointCloud:
    shape = make_shape(name, seed=seed)
    assert isinstance(shape, Mesh)
    return sample_surface(shape, 512, seed=seed)


def some(first: int, each: int) -> tuple[list[PointCloud], list[str]]:
    pairs = [(cloud(name, seed), name) for name in NAMES for seed in range(first, first + each)]
    return [shape for shape, _ in pairs], [name for _, name in pairs]


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


def small(name: str, seed: int = 0) -> Model:
    return Model(replace(get_recipe(name), points=256), small_encoder(seed=seed))


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"dual-path"}))
def test_trained_shapes_help_to_name_others(head: str, tiny: Model) -> None:
    shapes, truth = some(0, 4)
    classifier = FewShotClassifier.fit([tiny], shapes, truth=truth, head=head, fit=QUICK)
    asked, right = some(700, 3)
    answers = classifier.predict(asked)
    assert np.mean([answer.label == label for answer, label in zip(answers, right, strict=True)]) >= 0.8


def test_labels_are_in_the_order_in_which_they_come(tiny: Model) -> None:
    shapes, truth = some(0, 1)
    assert FewShotClassifier.fit([tiny], shapes, truth=truth, head="cache").labels == NAMES
    assert FewShotClassifier.fit([tiny], shapes[::-1], truth=truth[::-1], head="cache").labels == NAMES[::-1]


def test_an_answer_is_whole(tiny: Model) -> None:
    shapes, truth = some(0, 2)
    classifier = FewShotClassifier.fit([tiny], shapes, truth=truth, head="simplified", fit=QUICK)
    (answer,) = classifier.predict(shapes[:1])
    assert sorted(answer.labels) == sorted(NAMES)
    assert list(answer.scores) == sorted(answer.scores, reverse=True)
    assert answer.probabilities is not None
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert len(answer.view_labels) == 10
    assert answer.model == "tiny simplified"


def test_two_paths_lie_one_after_another() -> None:
    models = [small("clip2point-untuned", seed) for seed in (0, 1)]
    shapes, _ = some(0, 1)
    both = view_features(models, shapes)
    for i, model in enumerate(models):
        torch.testing.assert_close(both[:, 6 * i : 6 * (i + 1)], view_features([model], shapes))


def test_the_dual_path_takes_two_models() -> None:
    shapes, truth = some(0, 2)
    models = [small("clip2point-untuned", seed) for seed in (0, 1)]
    classifier = FewShotClassifier.fit(models, shapes, truth=truth, head="dual-path", fit=QUICK)
    assert classifier.head.views == 20, "the few-shot rig of CLIP2Point has ten views"
    assert len(classifier.predict(shapes)) == 6
    with pytest.raises(ConfigError, match="The models give features of different lengths"):
        view_features([models[0], br.load_model("tiny", device="cpu")], shapes)


@pytest.mark.parametrize(
    ("name", "projection", "templates"),
    [
        ("clip2point", "clip2point", "clip2point"),
        ("pointclip", "pointclip-fewshot", "pointclip-fewshot"),
        ("opendlign-h14", "opendlign", "opendlign"),
    ],
)
def test_recipes_change_for_shots_as_their_papers_do(name: str, projection: str, templates: str) -> None:
    recipe = get_recipe(name).for_few_shot()
    assert (recipe.projection, recipe.templates) == (projection, templates)
    assert replace(recipe, projection="discs", templates="", projection_options={}, branches="split") == replace(
        get_recipe(name), projection="discs", templates="", projection_options={}
    )


@pytest.mark.parametrize(("name", "expected"), [("clip2point", "dual-path"), ("pointclip", "inter-view"), ("tiny", "probe")])
def test_the_head_of_a_paper_is_the_default(name: str, expected: str) -> None:
    assert get_recipe(name).default_head == expected


def test_a_head_names_the_recipes_of_its_paths() -> None:
    assert head_paths("clip2point", "dual-path") == ("clip2point", "clip2point-untuned")
    assert head_paths("clip2point", "probe") == ("clip2point",)
    with pytest.raises(ConfigError, match="Head 'dual-path' needs two image towers, but 'tiny' has one"):
        head_paths("tiny", "dual-path")
    with pytest.raises(ConfigError, match="Unknown head 'prob'; expected one of probe, .*. Did you mean 'probe'?"):
        head_paths("tiny", "prob")


def test_a_head_that_does_not_say_what_it_knows_is_refused(tiny: Model, tmp_path: Path) -> None:
    shapes, truth = some(0, 2)
    head = FewShotClassifier.fit([tiny], shapes, truth=truth, head="cache").head
    for notes in ({}, {"labels": list(NAMES)}, {"labels": list(NAMES), "paths": []}, {"labels": "x", "paths": [{"recipe": "tiny"}]}):
        path = replace(head, notes=notes).save(tmp_path / "h.safetensors")
        for read in (load_few_shot, lambda p: FewShotClassifier.load(p, [tiny])):
            with pytest.raises(WeightsError, match="h.safetensors does not name its labels and models"):
                read(path)


def test_a_key_nobody_reads_is_an_error() -> None:
    with pytest.raises(ConfigError, match="Unknown few_shot key 'rig'; expected one of projection, templates, head, second, branches"):
        replace(get_recipe("tiny"), few_shot={"rig": "x"})


def test_it_is_kept_and_read_back(tiny: Model, tmp_path: Path) -> None:
    shapes, truth = some(0, 2)
    classifier = FewShotClassifier.fit([tiny], shapes, truth=truth, head="probe")
    path = classifier.save(tmp_path / "head.safetensors")
    assert path.stat().st_size < 100_000
    read = FewShotClassifier.load(path, [tiny])
    assert read.labels == classifier.labels
    np.testing.assert_array_equal(read.predict(shapes)[0].scores, classifier.predict(shapes)[0].scores)


def test_other_towers_are_refused(tmp_path: Path) -> None:
    shapes, truth = some(0, 2)
    model = small("clip2point-untuned")
    path = FewShotClassifier.fit([model], shapes, truth=truth, head="cache").save(tmp_path / "h.safetensors")
    with pytest.raises(ConfigError, match=r"h.safetensors was fitted with other models: weights \w+ where it was fitted on \w+"):
        FewShotClassifier.load(path, [small("clip2point-untuned", 1)])
    other = Model(replace(model.recipe, points=100), model.encoder)
    with pytest.raises(ConfigError, match="fitted with other models: points 100 where it was fitted on 256"):
        FewShotClassifier.load(path, [other])
    with pytest.raises(
        ConfigError, match="h.safetensors was fitted with other models: recipe clip2point-untuned where it was fitted on none"
    ):
        FewShotClassifier.load(path, [model, model])
    with pytest.raises(ConfigError, match="The head needs 1 model\\(s\\), but there are 0"):
        FewShotClassifier.load(path, [])


def test_files_are_named_by_trained_shapes(tiny: Model, tmp_path: Path) -> None:
    shapes, truth = some(0, 2)
    classifier = FewShotClassifier.fit([tiny], shapes, truth=truth, head="probe")
    save(make_shape("mug", seed=900), tmp_path / "a.ply")
    (tmp_path / "b.ply").write_bytes(b"junk")
    good, bad = classify_files(classifier, [tmp_path / "a.ply", tmp_path / "b.ply"])
    assert good.prediction is not None
    assert good.prediction.label == "mug"
    assert good.prediction.source == str(tmp_path / "a.ply")
    assert bad.error
    for others in ({"labels": ("a", "b")}, {"policy": RejectPolicy(distractors=("ball",))}):
        with pytest.raises(ConfigError, match="The adapter was fitted on 3 labels of its own and knows no others. Leave labels and dis"):
            list(classify_files(classifier, [tmp_path / "a.ply"], **others))  # type: ignore[arg-type]


def test_a_file_is_rendered_once_with_the_seed_and_shown_as_judged(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes, truth = some(0, 2)
    classifier = FewShotClassifier.fit([tiny], shapes, truth=truth, head="cache")
    save(make_shape("mug", seed=900), tmp_path / "mug.glb")
    rendered: list[tuple[int, list[torch.Tensor]]] = []
    real = Model.prepare

    def counted(self: Model, shapes: Sequence[Shape], *, seed: int = 0) -> list[torch.Tensor]:
        rendered.append((seed, real(self, shapes, seed=seed)))
        return rendered[-1][1]

    monkeypatch.setattr(Model, "prepare", counted)
    (result,) = classify_files(classifier, [tmp_path / "mug.glb"], options=ReadOptions(seed=5))
    ((seed, images),) = rendered
    assert seed == 5
    assert result.prepared is not None
    assert result.prediction is not None
    assert result.shape is not None
    assert torch.equal(result.prepared, images[0])
    (direct,) = classifier.predict([result.shape], seed=5)
    (other,) = classifier.predict([result.shape], seed=6)
    np.testing.assert_allclose(result.prediction.scores, direct.scores, rtol=1e-5)
    assert not np.allclose(result.prediction.view_scores, other.view_scores, atol=1e-6)


def test_a_saved_head_is_loaded_with_its_models(tiny: Model, tmp_path: Path) -> None:
    shapes, truth = some(0, 2)
    classifier = FewShotClassifier.fit([tiny], shapes, truth=truth, head="cache")
    again = load_few_shot(classifier.save(tmp_path / "head.safetensors"), dtype="float32")
    assert again.labels == classifier.labels
    np.testing.assert_allclose(again.predict(shapes[:1])[0].scores, classifier.predict(shapes[:1])[0].scores, rtol=1e-4)


def test_what_does_not_fit_is_explained(tiny: Model) -> None:
    shapes, truth = some(0, 1)
    with pytest.raises(ConfigError, match="There are 2 labels for 3 shapes"):
        FewShotClassifier.fit([tiny], shapes, truth=truth[:2])
    with pytest.raises(ConfigError, match="Need at least two labels"):
        FewShotClassifier.fit([tiny], shapes, truth=["a"] * 3)
    with pytest.raises(ConfigError, match="Need at least one model and one shape, got 0 and 3"):
        view_features([], shapes)
    classifier = FewShotClassifier.fit([tiny], shapes, truth=truth, head="cache")
    with pytest.raises(ConfigError, match="The head has 3 classes, but there are 2 labels"):
        FewShotClassifier([tiny], classifier.head, labels=("a", "b"))
