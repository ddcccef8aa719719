"""CLIP2Point's published few-shot checkpoint: read strictly, and the same answers as the original code, from points on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from basrelief.errors import ConfigError, WeightsError
from basrelief.models import FewShotClassifier, Model, get_recipe
from basrelief.models.few_shot import view_features
from basrelief.testing import FakeEncoder
from basrelief.types import PointCloud
from support import parity_arrays
from support.recorded_encoders import recorded_encoder

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def recorded() -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor], Model]:
    arrays = parity_arrays("clip2point_dpa.npz")
    state = {name.removeprefix("sd/"): torch.from_numpy(np.asarray(a)) for name, a in arrays.items() if name.startswith("sd/")}
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    own = {f"visual.{name.removeprefix('ori_model.')}": tensor for name, tensor in state.items() if name.startswith("ori_model.")}
    encoder = recorded_encoder(own).with_preprocessing(CLIP_MEAN, CLIP_STD)
    six_views = replace(get_recipe("clip2point-untuned"), points=1024, few_shot={})  # as the recorded run had them
    return arrays, state, Model(six_views, encoder)


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[dict[str, np.ndarray], Path, Model]:
    arrays, state, clip = recorded()
    torch.save(state, tmp_path / "best_test.pth")
    return arrays, tmp_path / "best_test.pth", clip


def labels(count: int) -> list[str]:
    return [f"class {i}" for i in range(count)]


def test_answers_are_the_originals(checkpoint: tuple[dict[str, np.ndarray], Path, Model]) -> None:
    arrays, path, clip = checkpoint
    found = FewShotClassifier.load_published(path, clip, labels=labels(40))
    texts = F.normalize(torch.from_numpy(arrays["text_features"]), dim=-1)
    found = FewShotClassifier(found.models, replace(found.head, tensors={**found.head.tensors, "texts": texts}), labels=found.labels)
    features = view_features(found.models, [PointCloud(points.astype(np.float32)) for points in arrays["points"]])
    recorded_views = [torch.from_numpy(arrays[name]).view(4, 6, 32) for name in ("pre_model_out", "ori_model_out")]
    for path_number, views in enumerate(recorded_views):
        mine = features[:, 6 * path_number : 6 * path_number + 6]
        alike = F.cosine_similarity(mine, views, dim=-1)
        assert alike[:2].min() > 0.9999, "the recorded clouds that fill the unit sphere, as ours always do"
    exact = found.predict_features(torch.cat(recorded_views, dim=1))
    for shape, answer in enumerate(exact):
        expected = arrays["logits_eval"][shape]
        scores = dict(zip(answer.labels, answer.scores.tolist(), strict=True))
        np.testing.assert_allclose([scores[label] for label in found.labels], expected, atol=1e-5)


def test_the_towers_are_those_of_the_file(checkpoint: tuple[dict[str, np.ndarray], Path, Model]) -> None:
    _, path, clip = checkpoint
    before = clip.encoder.fingerprint
    found = FewShotClassifier.load_published(path, clip, labels=labels(3))
    assert clip.encoder.fingerprint == before
    assert found.models[1].encoder.fingerprint == before, "the image path is plain CLIP"
    assert found.models[0].encoder.fingerprint != before
    assert found.head.kind == "dual-path"
    assert found.head.views == 12


def test_it_is_kept_like_any_other(checkpoint: tuple[dict[str, np.ndarray], Path, Model], tmp_path: Path) -> None:
    _, path, clip = checkpoint
    found = FewShotClassifier.load_published(path, clip, labels=labels(3))
    read = FewShotClassifier.load(found.save(tmp_path / "h.safetensors"), found.models)
    views = torch.randn(2, 12, 32)
    np.testing.assert_array_equal(read.predict_features(views)[0].scores, found.predict_features(views)[0].scores)


@pytest.mark.parametrize("absent", ["adapter2.fusion_ratio", "pre_model.conv1.weight", "ori_model.proj", "adapter1.global_f.7.bias"])
def test_a_file_without_a_part_is_refused(absent: str, tmp_path: Path) -> None:
    _, state, clip = recorded()
    state.pop(absent)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises((WeightsError, KeyError, RuntimeError)):
        found = FewShotClassifier.load_published(tmp_path / "w.pth", clip, labels=labels(3))
        found.predict_features(torch.randn(1, 12, 32))


def test_other_files_and_models_are_refused(tmp_path: Path) -> None:
    torch.save({"point_model.conv1.weight": torch.zeros(2)}, tmp_path / "w.pth")
    fake = Model(get_recipe("clip2point-untuned"), FakeEncoder())
    with pytest.raises(WeightsError, match="w.pth has no dual-path adapter of CLIP2Point"):
        FewShotClassifier.load_published(tmp_path / "w.pth", fake, labels=labels(2))
    torch.save({"adapter1.fusion_ratio": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="clip has a FakeEncoder; expected CLIP's towers"):
        FewShotClassifier.load_published(tmp_path / "w.pth", fake, labels=labels(2))
