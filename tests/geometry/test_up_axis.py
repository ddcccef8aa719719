"""Evidence for an up axis by the form of a shape: laws, placement by hand, and the NumPy network against the one in torch."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.geometry import UP_AXES, normalise_unit_sphere, rotation_to_z_up, sample_surface
from basrelief.geometry.up_axis import PLACEMENTS, form_evidence, placement
from basrelief.geometry.upright_network import axis_scores
from basrelief.shapes import make_shape
from basrelief.types import Mesh


def points(name: str, seed: int = 7) -> np.ndarray:
    shape = make_shape(name, seed=seed)
    assert isinstance(shape, Mesh)
    return sample_surface(shape, 2048).points.astype(np.float64)


def evidence(cloud: np.ndarray) -> np.ndarray:
    return form_evidence(cloud, cloud.min(axis=0), cloud.max(axis=0))


@pytest.mark.parametrize("axis", UP_AXES)
def test_turning_a_clear_shape_turns_the_answer(axis: str) -> None:
    upright = evidence(points("chair"))
    turned = evidence(points("chair") @ rotation_to_z_up(axis))
    assert UP_AXES[int(turned.argmax())] == axis
    assert turned.max() == pytest.approx(upright.max(), abs=0.05)


@pytest.mark.parametrize("name", ["table", "car", "bench", "stool"])
def test_common_things_stand(name: str) -> None:
    assert UP_AXES[int(evidence(points(name)).argmax())] == "z"


def test_scale_does_not_matter() -> None:
    cloud = points("chair")
    np.testing.assert_allclose(evidence(cloud * 1000), evidence(cloud), atol=0.05)


def test_a_prior_only_leaves_work_out() -> None:
    cloud = points("chair")
    prior = np.log([0.001, 0.4, 0.596, 0.001, 0.001, 0.001])
    found, full = form_evidence(cloud, cloud.min(axis=0), cloud.max(axis=0), prior=prior), evidence(cloud)
    assert found[[1, 2]] - found[2] == pytest.approx(full[[1, 2]] - full[2], abs=1e-5)


@pytest.mark.parametrize("name", ["chair", "airplane", "mug"])
def test_the_network_is_the_one_in_torch(name: str) -> None:
    from basrelief.models.upright import upright_scores

    cloud = normalise_unit_sphere(points(name))
    turns = np.stack([rotation_to_z_up(axis) for axis in UP_AXES])
    np.testing.assert_allclose(axis_scores(cloud), upright_scores([cloud], turns)[0], atol=0.02)
    np.testing.assert_array_equal(axis_scores(cloud, [2, 4]), axis_scores(cloud)[[2, 4]])


def test_placement_by_hand() -> None:
    found = placement(np.array([-1.0, -2.0, 0.0]), np.array([1.0, 1.0, 3.0]))  # stands on z = 0, centred along x
    rows = {axis: {name for name, value in zip(PLACEMENTS, row, strict=True) if value} for axis, row in zip(UP_AXES, found, strict=True)}
    assert rows["z"] == {"base at zero", "base near zero"}
    assert rows["-z"] == set()
    assert rows["x"] == rows["-x"] == {"centred", "nearly centred"}
    assert rows["y"] == rows["-y"] == {"across zero"}
