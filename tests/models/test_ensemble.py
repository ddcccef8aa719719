"""Ensembles: the rule, the embeddings that follow from it, and files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError, FileFormatError
from basrelief.models import FewShotClassifier, Model, get_recipe, load_model
from basrelief.models.ensemble import EnsembleModel, read_ensemble, save_ensemble
from basrelief.shapes import make_shape
from support.small_models import ball, box, small_model

LABELS = ["chair", "table", "lamp"]


def members() -> tuple[Model, ...]:
    names = ("pointclip", "tamm-pointbert", "ulip")
    return tuple(small_model(replace(get_recipe(name), points=200), seed=seed) for seed, name in enumerate(names))


@pytest.fixture
def ensemble() -> EnsembleModel:
    return EnsembleModel(members(), scales=(5.0, 0.0, 12.0))


def weighted(shapes: list, scales: tuple[float, ...]) -> torch.Tensor:  # type: ignore[type-arg]
    """The rule, written out."""
    return sum(scale * member.embed_shapes(shapes) @ member.embed_text(LABELS).T for scale, member in zip(scales, members(), strict=True))  # type: ignore[return-value]


def test_scores_are_the_weighted_sum_of_the_members_cosines(ensemble: EnsembleModel) -> None:
    shapes = [box(), ball()]
    found = ensemble.score_views(ensemble.embed_views(shapes), ensemble.encode_labels(LABELS))
    expected = weighted(shapes, ensemble.scales)
    torch.testing.assert_close(found.scores, expected, atol=1e-4, rtol=0)
    assert found.probabilities is not None
    torch.testing.assert_close(found.probabilities, expected.softmax(dim=-1), atol=1e-5, rtol=0)


def test_members_keep_their_own_scales_by_default() -> None:
    own = EnsembleModel(members())
    assert own.scales == tuple(member.logit_scale for member in members())
    assert own.logit_scale == pytest.approx(math.hypot(*own.scales))


def test_embeddings_are_those_of_a_model(ensemble: EnsembleModel) -> None:
    views = ensemble.embed_views([box(), ball()])
    assert views.shape == (2, 3, 48)
    torch.testing.assert_close(views.norm(dim=-1), torch.ones(2, 3))
    shapes, texts = ensemble.embed_shapes([box(), ball()]), ensemble.embed_text(LABELS)
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(3))
    ranks = (shapes @ texts.T).argsort(dim=-1)
    assert torch.equal(ranks, weighted([box(), ball()], ensemble.scales).argsort(dim=-1)), "retrieval ranks as classification does"
    assert ensemble.embed_images([np.zeros((32, 32, 3))]).norm() == pytest.approx(1, abs=1e-5)


def test_evidence_shows_what_each_member_says(ensemble: EnsembleModel) -> None:
    answer = ensemble.classify(box(), LABELS)
    alone = [member.embed_shapes([box()])[0] @ member.embed_text(LABELS).T for member in members()]
    for m, cosines in enumerate(alone):
        if ensemble.scales[m]:
            assert answer.view_labels[m] == LABELS[int(cosines.argmax())]
    assert ensemble.input.captions == ("pointclip", "tamm-pointbert", "ulip")
    assert answer.picture().size[0] == 1200
    cosines = ensemble.member_similarity(ensemble.embed_views([box()]), LABELS)
    torch.testing.assert_close(cosines[:, 0], torch.stack(alone), atol=1e-5, rtol=0)


def test_heads_are_fitted_on_an_ensemble(ensemble: EnsembleModel) -> None:
    shapes = [make_shape(name, seed=seed) for name in ("chair", "mug") for seed in range(5)]
    classifier = FewShotClassifier.fit([ensemble], shapes, truth=["chair"] * 5 + ["mug"] * 5, head="probe")
    assert classifier.predict([make_shape("mug", seed=60)])[0].label == "mug"


def test_settings_of_a_data_set_reach_every_member(ensemble: EnsembleModel) -> None:
    changed = ensemble.for_dataset("modelnet40", points=77)
    assert [member.recipe.points for member in changed.members] == [77, 77, 77]
    assert changed.scales == ensemble.scales
    cloud = changed.members[1].recipe.cloud
    assert cloud is not None
    assert not cloud.use_colors


def test_penalties_of_a_closed_vocabulary_count_once() -> None:
    tiny = load_model("tiny", device="cpu")
    pair = EnsembleModel([tiny, small_model(replace(get_recipe("ulip"), points=100))], scales=(3.0, 4.0))
    labels = ["chair", "table", "mug", "zebra crossing"]
    assert any(tiny.class_penalties(labels))
    found = pair.score_views(pair.embed_views([box()]), pair.encode_labels(labels)).scores
    own = tiny.encode_labels(labels).similarity(tiny.embed_shapes([box()]))
    other = pair.members[1].encode_labels(labels).similarity(pair.members[1].embed_shapes([box()]))
    torch.testing.assert_close(found, 3 * own + 4 * other, atol=1e-4, rtol=0)


def test_fingerprints_follow_members_and_scales(ensemble: EnsembleModel) -> None:
    other = ensemble.with_scales((5.0, 1.0, 12.0))
    assert other.fingerprint != ensemble.fingerprint
    assert other.shape_encoder.fingerprint == ensemble.shape_encoder.fingerprint, "embeddings of shapes are the same"


def test_a_file_brings_names_and_scales_back(ensemble: EnsembleModel, tmp_path: Path) -> None:
    path = save_ensemble(ensemble, tmp_path / "three.json", notes={"shapes": 12})
    assert read_ensemble(path) == (("pointclip", "tamm-pointbert", "ulip"), (5.0, 0.0, 12.0))
    assert json.loads(path.read_text())["notes"] == {"shapes": 12}


@pytest.mark.parametrize("text", ["[]", "{", '{"format": "other"}', '{"format": "basrelief ensemble 1", "members": 3}', "[" * 9999])
def test_other_files_are_no_ensembles(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"x.json is no ensemble of basrelief.*Write one with basrelief train ensemble"):
        load_model(str(tmp_path / "x.json"))


def test_wrong_ensembles_are_explained() -> None:
    one, other, _ = members()
    with pytest.raises(ConfigError, match="An ensemble has 2 to 8 models that are no ensembles themselves, got 1"):
        EnsembleModel([one])
    with pytest.raises(ConfigError, match=r"pointclip\+pointclip names a model twice"):
        EnsembleModel([one, one])
    with pytest.raises(ConfigError, match="expected one for each, not negative, not all 0"):
        EnsembleModel([one, other], scales=(1.0, -1.0))
    with pytest.raises(ConfigError, match="Unknown model 'tinny'.*Did you mean"):
        load_model("tiny+tinny")
    with pytest.raises(ConfigError, match="checkpoint is 'file.pt'; an ensemble needs the member it is for: ulip=FILE"):
        load_model("tiny+ulip", checkpoint="file.pt")
    with pytest.raises(ConfigError, match="Unknown member 'ullip' under checkpoint; expected one of tiny, ulip. Did you mean"):
        load_model("tiny+ulip", checkpoint="ullip=file.pt")
    with pytest.raises(ConfigError, match="checkpoint names files of several models, but ulip is one"):
        load_model("ulip", checkpoint={"ulip": "file.pt"})
