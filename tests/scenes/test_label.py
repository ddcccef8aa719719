"""From boxes to labels: crops, probabilities, background, suppression, other words without a new embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import basrelief as br
from basrelief.errors import ConfigError, GeometryError
from basrelief.geometry.boxes import Boxes
from basrelief.models import Model, recipes
from basrelief.scenes import Proposals, Scene
from basrelief.scenes.crops import CropSettings, EmbeddedBoxes, FirstPass, crop_points, embed_boxes, upright_crop
from basrelief.scenes.label import LabelSettings, known_background, label_boxes, label_probabilities
from support.small_models import small_model
from support.small_scenes import given, planted_scene

NAMES = ("chair", "lamp", "bathtub")
EVERY = LabelSettings(background=(), min_score=0, suppression="none")


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny")


@pytest.fixture(scope="module")
def planted() -> tuple[Scene, Boxes]:
    return planted_scene(NAMES)


@pytest.fixture(scope="module")
def embedded(planted: tuple[Scene, Boxes], tiny: Model) -> EmbeddedBoxes:
    scene, boxes = planted
    return embed_boxes(scene, given(boxes), tiny)


def test_things_on_a_floor_get_their_names(embedded: EmbeddedBoxes, planted: tuple[Scene, Boxes]) -> None:
    found = label_boxes(embedded, [*NAMES, "airplane"])
    assert dict(zip(found.boxes.centers[:, 0].round(1), found.names, strict=True)) == dict(
        zip(planted[1].centers[:, 0].round(1), NAMES, strict=True)
    )
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert found.view_embeddings.shape == (3, 10, 512)
    assert repr(found).startswith("Detections(3 boxes: 1 ")


def test_points_of_the_floor_are_left_out_unless_asked_for(planted: tuple[Scene, Boxes]) -> None:
    scene, boxes = planted
    grown = given(Boxes(boxes.centers, boxes.sizes + 0.1))
    objects = crop_points(scene, grown, CropSettings(source="objects"))
    everything = crop_points(scene, grown, CropSettings(source="box"))
    assert objects.points is not None
    assert everything.points is not None
    for mine, all_points in zip(objects.points, everything.points, strict=True):
        assert len(mine) == 3000
        assert len(all_points) > 3000


def test_own_points_of_a_proposal_come_first(planted: tuple[Scene, Boxes]) -> None:
    scene, boxes = planted
    own = Proposals(boxes[:1], np.ones(1, np.float32), "mine", (np.arange(100, 150),))
    (rows,) = crop_points(scene, own, CropSettings(source="own")).points or ()
    assert list(rows) == list(range(100, 150))


def test_boxes_with_few_points_are_dropped(planted: tuple[Scene, Boxes], tiny: Model) -> None:
    scene, boxes = planted
    empty = Boxes(np.array([[0.0, 0.0, 50.0]]), np.ones((1, 3)))
    kept = crop_points(scene, given(Boxes.concatenate([empty, boxes])), CropSettings())
    np.testing.assert_array_equal(kept.boxes.centers, boxes.centers)
    nothing = embed_boxes(scene, given(empty), tiny)
    assert len(label_boxes(nothing, NAMES)) == 0
    assert nothing.views.shape == (0, 10, 512)


def test_a_first_pass_keeps_what_looks_like_a_label(planted: tuple[Scene, Boxes], tiny: Model) -> None:
    scene, boxes = planted
    asked = FirstPass(("bathtub",), keep=1)
    found = embed_boxes(scene, given(boxes), tiny, first_pass=asked)
    np.testing.assert_array_equal(found.proposals.boxes.centers, boxes.centers[2:])
    everything = embed_boxes(scene, given(boxes), tiny)
    np.testing.assert_allclose(found.views, everything.views[2:], atol=1e-5)
    assert len(embed_boxes(scene, given(boxes), tiny, first_pass=FirstPass(NAMES, keep=3))) == 3
    with pytest.raises(ConfigError, match="keep is 0"):
        FirstPass(NAMES, keep=0)


def test_a_quick_look_takes_some_views_of_all(planted: tuple[Scene, Boxes], tiny: Model) -> None:
    scene, _ = planted
    prepared = tiny.prepare([scene.cloud])
    every = tiny.features(prepared)
    some = tiny.shape_encoder.quick_features(prepared, views=2)
    np.testing.assert_allclose(some, every[:, [0, 5]], atol=1e-4)
    assert tiny.shape_encoder.quick_features(prepared, views=99).shape == every.shape


def test_a_turned_box_gives_the_crop_of_an_aligned_one(planted: tuple[Scene, Boxes]) -> None:
    scene, boxes = planted
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turned = Scene(br.PointCloud(scene.cloud.points @ turn.T), np.eye(4), scene.structure, floor=0.0)
    settings = CropSettings(margin=0.01)
    straight = upright_crop(scene, crop_points(scene, given(boxes), settings), 0)
    found = crop_points(turned, given(Boxes(boxes.centers @ turn.T, boxes.sizes, np.full(len(boxes), angle))), settings)
    np.testing.assert_allclose(upright_crop(turned, found, 0).points, straight.points, atol=1e-5)


def test_other_words_need_no_new_embedding(embedded: EmbeddedBoxes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = label_boxes(embedded, NAMES)
    monkeypatch.setattr(Model, "embed_prepared", lambda *args, **kwargs: pytest.fail("embedded again"))
    again = found.relabel(["stool", "sofa", "lamp"])
    assert "lamp" in again.names
    assert again.labels == ("stool", "sofa", "lamp")


def test_boxes_are_ranked_by_a_phrase(embedded: EmbeddedBoxes) -> None:
    found = label_boxes(embedded, NAMES)
    ranked = found.query("lamp")
    assert found.names[ranked[0][0]] == "lamp"
    assert [cosine for _, cosine in ranked] == sorted((cosine for _, cosine in ranked), reverse=True)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings(), axis=1), 1, atol=1e-5)


def test_one_label_competes_with_the_background(embedded: EmbeddedBoxes) -> None:
    found = label_boxes(embedded, "lamp", LabelSettings(background=("chair", "bathtub")))
    assert found.names == ("lamp",)
    with pytest.raises(ConfigError, match="nothing to compare 'lamp' with"):
        label_boxes(embedded, "lamp", LabelSettings(background=()))


def test_boxes_that_fit_the_background_are_none_of_these(embedded: EmbeddedBoxes) -> None:
    settings = LabelSettings(background=("chair", "bathtub"), keep_none=True, min_score=0)
    assert sorted(label_boxes(embedded, "lamp", settings).names) == ["lamp", "none of these", "none of these"]
    sure = LabelSettings(background=(), min_confidence=1.0)
    assert len(label_boxes(embedded, NAMES, sure)) == 0


def test_background_is_what_is_not_asked_for_and_known(tiny: Model) -> None:
    assert known_background(tiny, ("door", "chair"), ("door", "window", "glorbule")) == ("window",)


def test_probabilities_sum_to_one_and_follow_the_temperature(embedded: EmbeddedBoxes) -> None:
    sharp, flat = (label_probabilities(embedded, NAMES, LabelSettings(temperature=t)) for t in (1.0, 100.0))
    np.testing.assert_allclose(sharp.sum(axis=1), 1, atol=1e-5)
    assert (sharp.max(axis=1) > flat.max(axis=1)).all()
    np.testing.assert_allclose(label_probabilities(embedded, NAMES, LabelSettings(probabilities="method")), sharp, atol=1e-5)


def test_the_size_prior_turns_a_keyboard_of_two_metres_down(embedded: EmbeddedBoxes) -> None:
    words = ("computer keyboard", "bathtub")
    plain, prior = (label_probabilities(embedded, words, LabelSettings(size_prior=on)) for on in (False, True))
    np.testing.assert_allclose(prior.sum(axis=1), 1, atol=1e-5)
    assert prior[2, 0] < plain[2, 0] / 10


@pytest.mark.parametrize(("suppression", "expected"), [("any", 1), ("class", 2), ("none", 3)])
def test_overlapping_boxes_are_suppressed(
    planted: tuple[Scene, Boxes], tiny: Model, suppression: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, boxes = planted
    three = Boxes(np.repeat(boxes.centers[:1], 3, axis=0), np.repeat(boxes.sizes[:1], 3, axis=0))
    embedded = embed_boxes(scene, given(three, scores=[0.9, 0.8, 0.7]), tiny)

    def planted_probabilities(boxes: object, names: Sequence[str], settings: object) -> np.ndarray:
        return np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], np.float32)

    monkeypatch.setattr("basrelief.scenes.label.label_probabilities", planted_probabilities)
    settings = LabelSettings(background=(), suppression=suppression)
    assert len(label_boxes(embedded, ["chair", "lamp"], settings)) == expected


@pytest.mark.parametrize(("score", "order"), [("product", [0, 1]), ("probability", [1, 0]), ("objectness", [0, 1])])
def test_scores_rank_by_what_was_asked_for(
    planted: tuple[Scene, Boxes], tiny: Model, score: str, order: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, boxes = planted
    embedded = embed_boxes(scene, given(boxes[:2], scores=[0.9, 0.2]), tiny)
    monkeypatch.setattr("basrelief.scenes.label.label_probabilities", lambda *args: np.array([[0.6, 0.4], [0.1, 0.9]], np.float32))
    found = label_boxes(embedded, ["chair", "lamp"], LabelSettings(background=(), score=score))
    np.testing.assert_array_equal(found.boxes.centers, boxes.centers[order])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("score", "luck", "Did you mean|Choose|score"),
        ("suppression", "all", "suppression"),
        ("probabilities", "softmax", "probabilities"),
        ("temperature", 0.0, "temperature is 0"),
        ("min_score", 1.5, "min_score is 1.5"),
        ("iou", float("nan"), "iou is nan"),
    ],
)
def test_wrong_settings_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelSettings(**{field: value})  # type: ignore[arg-type]


def test_wrong_crops_are_refused() -> None:
    with pytest.raises(ConfigError, match="crop source"):
        CropSettings(source="all")
    with pytest.raises(ConfigError, match="margin is -1"):
        CropSettings(margin=-1)
    with pytest.raises(ConfigError, match="min_points is 0"):
        CropSettings(min_points=0)


def test_a_box_shows_what_the_model_saw(embedded: EmbeddedBoxes) -> None:
    found = label_boxes(embedded, NAMES)
    place = found.names.index("chair")
    assert found.prediction(place).label == "chair"
    assert found.prediction(place).picture().size[0] > 500
    pictures = found.evidence(place)
    assert len(pictures) == 10
    assert all(picture.size == (112, 112) and np.ptp(np.asarray(picture)) > 50 for picture, _ in pictures)
    assert sum(caption.endswith(": chair") for _, caption in pictures) > 5


def test_records_are_in_the_coordinates_of_the_file(planted: tuple[Scene, Boxes], tiny: Model) -> None:
    scene, boxes = planted
    to_file = np.array(
        [[1000.0, 0, 0, 500], [0, 0, -1000, 0], [0, 1000, 0, 0], [0, 0, 0, 1]]
    )  # millimetres, y down, z sideways: a rotation about x
    moved = Scene(scene.cloud, to_file, scene.structure, floor=0.0)
    found = label_boxes(embed_boxes(moved, given(boxes), tiny), NAMES)
    for record, center, size in zip(found.records(), found.boxes.centers, found.boxes.sizes, strict=True):
        np.testing.assert_allclose(record["center"], to_file[:3, :3] @ center + to_file[:3, 3], atol=1e-5)
        np.testing.assert_allclose(np.ptp(record["bounds"], axis=0), 1000 * size[[0, 2, 1]], rtol=1e-5)
        assert record["label"] == max(record["probabilities"], key=record["probabilities"].get)
        assert record["height"] == pytest.approx(0.02, abs=1e-3)
        assert record["points"] == 3000


@pytest.mark.parametrize("name", ["pointclip", "pointclip-v2", "clip2point", "opendlign-b32", "openshape-pointbert-b32", "tamm-pointbert"])
def test_every_kind_of_model_labels_boxes(planted: tuple[Scene, Boxes], name: str) -> None:
    scene, boxes = planted
    model = small_model(recipes()[name])
    embedded = embed_boxes(scene, given(boxes), model, first_pass=FirstPass(NAMES, keep=2))
    assert embedded.views.shape == (2, model.views, model.embedding_dim)
    for kind in ("cosine", "method"):
        chances = label_probabilities(embedded, NAMES, LabelSettings(probabilities=kind))
        np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-4)
    found = label_boxes(embedded, NAMES, EVERY)
    assert len(found) == 2
    assert len(found.evidence(0)) == len(model.input.captions)
    assert found.embeddings().shape == (2, model.embedding_dim)


def test_records_without_a_model_cannot_be_asked_again(embedded: EmbeddedBoxes) -> None:
    import dataclasses

    found = dataclasses.replace(label_boxes(embedded, NAMES), embedded=None)
    with pytest.raises(GeometryError, match=r"basrelief\.detect"):
        found.relabel(["chair"])
