"""What a model saw of each box."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import basrelief as br
from basrelief.scenes import Detections
from basrelief.scenes.crops import EmbeddedBoxes, embed_boxes
from basrelief.scenes.evidence import as_image, seen_views
from basrelief.scenes.label import label_boxes
from support.small_scenes import given, planted_scene


@pytest.fixture(scope="module")
def found() -> Detections:
    scene, boxes = planted_scene(("chair", "lamp"))
    return label_boxes(embed_boxes(scene, given(boxes), br.load_model("tiny")), ["chair", "lamp", "car"])


def embedded(detections: Detections) -> EmbeddedBoxes:
    assert detections.embedded is not None
    return detections.embedded


def test_views_are_those_of_the_prediction(found: Detections) -> None:
    numbers = range(len(found))
    for number, views in zip(numbers, seen_views(found, embedded(found), numbers), strict=True):
        prediction = found.prediction(number)
        assert [view.label for view in views] == list(prediction.view_labels)
        assert np.allclose([view.similarity for view in views], prediction.view_scores.max(axis=1))
        assert [view.caption for view in views] == list(embedded(found).model.input.captions)
        assert all(view.picture.size == (112, 112) or view.picture.width == view.picture.height for view in views)
        assert all(np.asarray(view.picture).std() > 5 for view in views)
        assert len(found.evidence(number)) == len(views)


def test_any_boxes_in_any_order_can_be_shown(found: Detections) -> None:
    forward = [[view.label for view in views] for views in seen_views(found, embedded(found), [0, 1])]
    backward = [[view.label for view in views] for views in seen_views(found, embedded(found), [1, 0])]
    assert forward == backward[::-1]
    assert list(seen_views(found, embedded(found), [])) == []


def test_pictures_of_two_branches_have_no_labels(found: Detections) -> None:
    doubled = dataclasses.replace(found, view_embeddings=np.concatenate([found.view_embeddings] * 2, axis=1))
    for views in seen_views(doubled, embedded(found), [0]):
        assert {(view.label, view.similarity) for view in views} == {("", 0.0)}
        assert len(views) == found.view_embeddings.shape[1]


def test_values_outside_the_range_are_clipped() -> None:
    assert np.asarray(as_image(np.array([[-1, 0.5], [np.nan, 2]], np.float32))).tolist() == [[0, 128], [0, 255]]
