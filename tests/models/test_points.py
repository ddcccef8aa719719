"""Point networks behind the interface of every model: what they read, and every task on their embeddings."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError, WeightsNotFoundError
from basrelief.geometry import rotate
from basrelief.geometry.transforms import axis_rotation
from basrelief.models import FewShotClassifier, get_recipe, load_model, recipes
from basrelief.models.recipe import Recipe
from basrelief.models.recipe_parts import CloudSettings
from basrelief.models.shape_input import FRAMES, CloudInput
from basrelief.shapes import make_shape
from basrelief.tasks import Pooling
from basrelief.types import Mesh, PointCloud
from support.small_models import ball, box, small_model

POINTS = sorted(name for name, recipe in recipes().items() if recipe.cloud)


def read(shape: Mesh | PointCloud, **settings: object) -> np.ndarray:
    (cloud,) = CloudInput(**({"points": 500, "frame": "y-up"} | settings)).prepare([shape])  # type: ignore[arg-type]
    return cloud.numpy()


def corner() -> PointCloud:
    """Points on the three half axes, at distances of their own."""
    return PointCloud(np.float32([[1, 0, 0], [0, 2, 0], [0, 0, 3], [-1, -2, -3]]))


def test_openshape_reads_the_reflection_its_weights_were_trained_on() -> None:
    y_up = np.array(FRAMES["y-up"])
    exchanged = np.eye(3)[[0, 2, 1]] @ y_up  # the original exchanges y and z of a cloud with +Y up
    np.testing.assert_array_equal(exchanged, np.array(FRAMES["z-up-mirrored"]))
    assert np.linalg.det(np.array(FRAMES["z-up-mirrored"])) == pytest.approx(-1)
    assert np.linalg.det(y_up) == pytest.approx(1)


def test_frames_turn_the_world_s_up_to_theirs() -> None:
    up, front = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert (np.array(FRAMES["y-up"]) @ up).tolist() == [0, 1, 0]
    assert (np.array(FRAMES["y-up"]) @ front).tolist() == [0, 0, -1]
    assert (np.array(FRAMES["z-up-mirrored"]) @ up).tolist() == [0, 0, 1]
    assert (np.array(FRAMES["z-up-mirrored"]) @ front).tolist() == [0, -1, 0]


def test_published_frames_are_those_of_the_weights() -> None:
    frames = {name: recipe.cloud.frame for name, recipe in recipes().items() if recipe.cloud}
    mirrored = {name for name, frame in frames.items() if frame == "z-up-mirrored"}
    assert mirrored == {name for name in frames if name.startswith(("openshape", "tamm"))} - {
        "openshape-pointbert-l14",
        "openshape-pointbert-b32",
    }
    assert {frames[name] for name in frames if name not in mirrored} == {"y-up"}


def test_clouds_are_centred_and_scaled_to_radius_1() -> None:
    cloud = read(PointCloud(ball().points * 7 + 3))
    np.testing.assert_allclose(cloud[:, :3].mean(axis=0), 0, atol=1e-6)
    assert np.linalg.norm(cloud[:, :3], axis=1).max() == pytest.approx(1, abs=1e-6)
    raw = read(corner(), normalise=False)
    np.testing.assert_array_equal(raw[1, :3], [0, 0, -2])


def test_points_that_coincide_become_the_origin() -> None:
    cloud = read(PointCloud(np.ones((5, 3), np.float32)))
    assert (cloud[:, :3] == 0).all()
    assert np.isfinite(cloud).all()


def test_missing_colours_are_grey_and_others_are_kept() -> None:
    colored = PointCloud(ball(50).points, np.full((50, 3), 0.9, np.float32))
    assert np.unique(read(ball(50))[:, 3:]).tolist() == [np.float32(0.4)]
    assert np.unique(read(colored)[:, 3:]).tolist() == [np.float32(0.9)]
    assert np.unique(read(colored, use_colors=False, missing_color=0.39)[:, 3:]).tolist() == [np.float32(0.39)]


def test_small_clouds_are_kept_or_filled_up() -> None:
    assert read(ball(50)).shape == (50, 6)
    filled = read(ball(50), replace=True)
    assert filled.shape == (500, 6)
    assert len(np.unique(filled[:, :3], axis=0)) == 50
    assert read(ball(900)).shape == (500, 6)
    assert read(box()).shape == (500, 6)


def test_an_input_can_be_pickled_for_a_worker() -> None:
    own = small_model(get_recipe("openshape-pointbert")).input
    assert pickle.loads(pickle.dumps(own)) == own


@pytest.mark.parametrize("name", POINTS)
def test_pictures_show_what_the_network_reads(name: str) -> None:
    model = small_model(replace(get_recipe(name), points=300))
    pictures = model.input.pictures(model.prepare([make_shape("chair", seed=1)])[0])
    assert pictures.shape == (model.views, 224, 224, 3)
    assert pictures.min() < 0.8
    assert len(model.input.captions) == model.views


def test_the_picture_of_a_y_up_cloud_is_upright() -> None:
    """Tall things stay tall in the picture, whichever frame the network reads."""
    tall = PointCloud(ball().points * np.float32([0.1, 0.1, 1.0]))
    for frame in FRAMES:
        own = CloudInput(points=500, frame=frame)
        dark = own.pictures(own.prepare([tall])[0])[0].min(axis=-1) < 0.95
        height, width = np.ptp(np.nonzero(dark.any(axis=1))), np.ptp(np.nonzero(dark.any(axis=0)))
        assert height > 2 * width, frame


def test_clouds_of_different_sizes_are_embedded_alike_alone_and_together() -> None:
    model = small_model(get_recipe("tamm-pointbert"))
    shapes = [ball(n) for n in (30, 500, 7, 90, 1, 40, 60, 80, 20, 200)]
    together = model.embed_views(shapes)
    torch.testing.assert_close(together, torch.cat([model.embed_views([shape]) for shape in shapes]), atol=1e-6, rtol=0)
    assert together.shape == (10, 2, 16)


def test_tamm_scores_by_the_text_adapter_and_half_the_image_adapter() -> None:
    model = small_model(get_recipe("tamm-pointbert"))
    views, texts = model.embed_views([box(), ball()]), model.embed_text(["chair", "table"])
    cosines = views @ texts.T
    found = model.score_views(views, model.encode_labels(["chair", "table"])).scores
    expected = cosines[:, 0] + 0.5 * cosines[:, 1]
    torch.testing.assert_close(found / found.abs().max(), expected / expected.abs().max())
    pooled = torch.nn.functional.normalize(views[:, 0] + 0.5 * views[:, 1], dim=-1)
    torch.testing.assert_close(model.embed_shapes([box(), ball()]), pooled)


def test_the_scale_of_the_checkpoint_counts() -> None:
    model = small_model(get_recipe("ulip"))
    assert model.logit_scale == 20.0
    assert model.encoder.logit_scale != 20.0


def test_turning_a_shape_changes_what_is_read() -> None:
    model = small_model(get_recipe("ulip"))
    turned = rotate(make_shape("chair", seed=2), axis_rotation("x", np.pi / 2))
    one, other = model.embed_views([make_shape("chair", seed=2), turned])
    assert (one - other).abs().max() > 1e-3


def test_a_point_model_has_no_projection() -> None:
    model = small_model(get_recipe("ulip"))
    with pytest.raises(ConfigError, match="ulip reads points, not depth images"):
        _ = model.projection


def test_heads_are_fitted_on_the_features_of_clouds() -> None:
    model = small_model(replace(get_recipe("openshape-pointbert"), points=200))
    shapes = [make_shape(name, seed=seed) for name in ("chair", "mug") for seed in range(6)]
    classifier = FewShotClassifier.fit([model], shapes, truth=["chair"] * 6 + ["mug"] * 6, head="probe")
    answers = classifier.predict([make_shape("chair", seed=50), make_shape("mug", seed=50)])
    assert [answer.label for answer in answers] == ["chair", "mug"]


def test_weights_follow_the_recipe_s_networks() -> None:
    one, other = (small_model(get_recipe("ulip"), seed=seed) for seed in (0, 1))
    assert one.fingerprint == small_model(get_recipe("ulip")).fingerprint
    assert one.fingerprint != other.fingerprint
    assert one.shape_encoder.fingerprint != one.fingerprint


def test_a_trained_network_must_be_given(tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(b"other")
    with pytest.raises(WeightsNotFoundError, match="tiny-points needs a point network. Run basrelief train point"):
        load_model("tiny-points")
    with pytest.raises(WeightsNotFoundError, match="Checkpoint 'nope.safetensors' not found. Run basrelief train point"):
        load_model("tiny-points", checkpoint="nope.safetensors")
    with pytest.raises(WeightsNotFoundError, match="Checkpoint '.*other.pt' holds no point network. Run basrelief train point"):
        load_model("tiny-points", checkpoint=tmp_path / "other.pt")


def test_a_recipe_is_of_exactly_one_kind() -> None:
    def made(**changes: object) -> Recipe:
        return replace(get_recipe("ulip"), **changes)  # type: ignore[arg-type]

    assert made().kind == "points"
    assert get_recipe("tiny").kind == "views"
    for wrong in ({"cloud": None}, {"projection": "discs"}, {"members": ("a", "b")}):
        with pytest.raises(ConfigError, match=r"needs exactly one of views \(projection, shaded or both\), cloud and members"):
            made(**wrong)


def test_a_recipe_names_a_known_frame() -> None:
    with pytest.raises(ConfigError, match="Unknown frame 'x-up'; expected one of"):
        CloudSettings("ulip", frame="x-up")


def test_tamm_is_pooled_by_both_adapters() -> None:
    for name in POINTS:
        expected = Pooling("concat", weights=(1.0, 0.5)) if name.startswith("tamm") else Pooling("mean")
        assert get_recipe(name).pooling == expected, name
