"""glTF at rest: skins in the pose of their joints, morph targets by their default weights, instances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.io.formats.gltf_nodes import node_matrix
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh

from .conftest import Put
from .gltfs import document

RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(9, 3)).astype("<f4")
TURN = [0, 0, float(np.sqrt(0.5)), float(np.sqrt(0.5))]  # a quarter turn about +Z, as x, y, z, w


def vertices(put: Put, text: str) -> np.ndarray:
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    return shape.vertices


def skinned(joints: np.ndarray, weights: np.ndarray, *, binds: np.ndarray | None = None, **node: Any) -> str:
    """Nine vertices held by two joints, of which the second is turned and moved; the first is below a moved node."""
    arrays = [POINTS, joints, weights, *([] if binds is None else [binds.swapaxes(1, 2).reshape(2, 16).astype("<f4")])]
    skin: dict[str, Any] = {"joints": [2, 3]} | ({} if binds is None else {"inverseBindMatrices": 3})
    nodes: list[dict[str, Any]] = [
        {"mesh": 0, "skin": 0, **node},
        {"children": [2], "translation": [0, 1, 0]},
        {"children": [3]},
        {"translation": [1, 0, 0], "rotation": TURN, "scale": [1, 2, 1]},
    ]
    attributes = {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}
    return document(arrays, meshes=[{"primitives": [{"attributes": attributes}]}], nodes=nodes, skins=[skin], scenes=[{"nodes": [0, 1]}])


def joint_matrices() -> tuple[np.ndarray, np.ndarray]:
    first = node_matrix({"translation": [0, 1, 0]})
    return first, first @ node_matrix({"translation": [1, 0, 0], "rotation": TURN, "scale": [1, 2, 1]})


def reference(joints: np.ndarray, weights: np.ndarray, matrices: Any) -> np.ndarray:
    """The slow reference: each vertex by itself."""
    rows = []
    for point, held, weight in zip(POINTS, joints, weights, strict=True):
        total = sum(weight) or 1
        rows.append(sum(w / total * (matrices[j] @ [*point, 1])[:3] for j, w in zip(held, weight, strict=True)))
    return np.array(rows)


@pytest.mark.parametrize("binds", [False, True])
def test_skins_take_the_pose_of_their_joints(binds: bool, put: Put) -> None:
    joints = RNG.integers(0, 2, (9, 4)).astype("u1")
    weights = RNG.random((9, 4)).astype("<f4")
    inverse = np.stack([np.linalg.inv(node_matrix({"translation": [0.5, 0, 0], "rotation": TURN})), np.eye(4)])
    matrices = [matrix @ (inverse[i] if binds else np.eye(4)) for i, matrix in enumerate(joint_matrices())]
    found = vertices(put, skinned(joints, weights, binds=inverse if binds else None, translation=[7, 7, 7]))
    assert np.allclose(found, reference(joints, weights, matrices), atol=1e-5)


def test_a_skin_in_its_bind_pose_changes_nothing(put: Put) -> None:
    inverse = np.stack([np.linalg.inv(matrix) for matrix in joint_matrices()])
    joints, weights = np.zeros((9, 4), "u1"), np.full((9, 4), 0.25, "<f4")
    joints[:, 1:3] = 1
    assert np.allclose(vertices(put, skinned(joints, weights, binds=inverse)), POINTS, atol=1e-5)


def test_weights_of_normalised_bytes_and_chunks(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.io.formats.gltf_nodes._CHUNK", 2)
    joints, weights = RNG.integers(0, 2, (9, 4)).astype("<u2"), RNG.integers(0, 256, (9, 4)).astype("u1")
    text = skinned(joints, weights)
    normal = text.replace('"componentType": 5121}', '"componentType": 5121, "normalized": true}')
    assert normal != text
    assert np.allclose(vertices(put, normal), reference(joints, weights.astype(float), joint_matrices()), atol=1e-5)


@pytest.mark.parametrize("joint", [2, 255])
def test_joints_that_do_not_exist_leave_the_mesh_where_its_node_has_it(joint: int, put: Put) -> None:
    text = skinned(np.full((9, 4), joint, "u1"), np.full((9, 4), 0.25, "<f4"), translation=[7, 7, 7])
    assert np.allclose(vertices(put, text), POINTS + 7, atol=1e-5)


def test_vertices_that_no_joint_holds_follow_the_first(put: Put) -> None:
    found = vertices(put, skinned(np.zeros((9, 4), "u1"), np.zeros((9, 4), "<f4")))
    assert np.allclose(found, POINTS + [0, 1, 0], atol=1e-5)


def test_many_joints_are_refused(put: Put) -> None:
    text = skinned(np.zeros((9, 4), "u1"), np.full((9, 4), 0.25, "<f4")).replace('"joints": [2, 3]', '"joints": [' + "2, " * 99 + "3]")
    with use_limits(replace(limits(), instances=50)), pytest.raises(FileFormatError, match="declares 100 joints of skins"):
        vertices(put, text)


MORPHS = [POINTS, np.ones((9, 3), "<f4"), RNG.normal(size=(9, 3)).astype("<f4")]


def morphing(*, mesh: list[float] | None = None, node: list[float] | None = None, targets: tuple[int, ...] = (1, 2)) -> str:
    primitive = {"attributes": {"POSITION": 0}, "targets": [{"POSITION": target} for target in targets]}
    meshes = [{"primitives": [primitive]} | ({} if mesh is None else {"weights": mesh})]
    return document(MORPHS, meshes=meshes, nodes=[{"mesh": 0} | ({} if node is None else {"weights": node})])


@pytest.mark.parametrize(
    ("mesh", "node", "used"),
    [(None, None, (0, 0)), ([0, 0], None, (0, 0)), ([0.5, -1], None, (0.5, -1)), ([1, 1], [0, 2], (0, 2)), ([1], None, (1, 0))],
)
def test_morph_targets_are_mixed_by_their_default_weights(
    mesh: list[float] | None, node: list[float] | None, used: tuple[float, float], put: Put
) -> None:
    expected = POINTS + used[0] * MORPHS[1] + used[1] * MORPHS[2]
    assert np.allclose(vertices(put, morphing(mesh=mesh, node=node)), expected, atol=1e-5)


def test_nodes_with_weights_of_their_own_show_one_mesh_differently(put: Put) -> None:
    primitive = {"attributes": {"POSITION": 0}, "targets": [{"POSITION": 1}]}
    nodes = [{"mesh": 0, "weights": [3]}, {"mesh": 0}, {"mesh": 0, "weights": [1]}]
    found = vertices(put, document(MORPHS, meshes=[{"primitives": [primitive], "weights": [2]}], nodes=nodes))
    assert np.allclose(found, np.concatenate([POINTS + 3, POINTS + 2, POINTS + 1]), atol=1e-5)


def test_very_many_morph_targets_are_refused(put: Put) -> None:
    text = morphing(mesh=[1] * 100, targets=(1,) * 100)
    with use_limits(replace(limits(), points=899)), pytest.raises(FileFormatError, match="declares 900 vertices of morph targets"):
        vertices(put, text)


def test_a_sparse_morph_target_without_stored_values(put: Put) -> None:
    places, moves = np.array([[3], [5]], "<u2"), np.array([[1, 2, 3], [4, 5, 6]], "<f4")
    primitive = {"attributes": {"POSITION": 0}, "targets": [{"POSITION": 3}]}
    text = document([POINTS, places, moves], meshes=[{"primitives": [primitive], "weights": [1]}])
    sparse = {"count": 2, "indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 2}}
    accessor = f', {{"count": 9, "type": "VEC3", "componentType": 5126, "sparse": {sparse}}}], "meshes"'.replace("'", '"')
    expected = POINTS.copy()
    expected[[3, 5]] += moves
    assert np.allclose(vertices(put, text.replace('], "meshes"', accessor)), expected, atol=1e-5)


def instanced(attributes: dict[str, int], arrays: list[np.ndarray]) -> str:
    extension = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    return document(
        [POINTS, *arrays], nodes=[{"mesh": 0, "translation": [0, 0, 9], "extensions": extension}], extensionsRequired=list(extension)
    )


def test_instances_of_a_node_are_all_shown(put: Put) -> None:
    moves, turns = RNG.normal(size=(5, 3)).astype("<f4"), RNG.normal(size=(5, 4)).astype("<f4")
    scales = RNG.random((5, 3)).astype("<f4") + 0.5
    found = vertices(put, instanced({"TRANSLATION": 1, "ROTATION": 2, "SCALE": 3}, [moves, turns, scales]))
    copies = [
        node_matrix({"translation": moves[i], "rotation": turns[i], "scale": scales[i]}) @ np.c_[POINTS, np.ones(9)].T for i in range(5)
    ]
    assert np.allclose(found, np.concatenate([copy[:3].T + [0, 0, 9] for copy in copies]), atol=1e-5)


def test_instances_count_towards_the_limit(put: Put) -> None:
    text = instanced({"TRANSLATION": 1}, [np.zeros((6, 3), "<f4")])
    with use_limits(replace(limits(), instances=5)), pytest.raises(FileFormatError, match="declares 6 values in an accessor; at most 5"):
        vertices(put, text)
    with use_limits(replace(limits(), points=53)), pytest.raises(FileFormatError, match="declares 54 vertices; at most 53"):
        vertices(put, text)


def test_instances_of_different_numbers_are_refused(put: Put) -> None:
    text = instanced({"TRANSLATION": 1, "SCALE": 2}, [np.zeros((2, 3), "<f4"), np.ones((3, 3), "<f4")])
    with pytest.raises(FileFormatError, match=r"Instances in a.gltf have SCALE of shape \(3, 3\)"):
        vertices(put, text)


def test_quantised_positions_are_scaled_by_their_node(put: Put) -> None:
    plain = RNG.integers(-100, 100, (9, 3)).astype("<i2")
    padded = np.zeros((9, 4), "<i2")
    padded[:, :3] = plain
    text = document([padded], nodes=[{"mesh": 0, "scale": [0.01] * 3}]).replace('"VEC4"', '"VEC3"')
    text = text.replace('"byteLength": 72}]', '"byteLength": 72, "byteStride": 8}]')
    assert np.allclose(vertices(put, text), plain * 0.01, atol=1e-6)


def test_rest_poses_of_real_characters_are_upright(shared_assets: Any) -> None:
    """KayKit's and the market's characters stand: higher than deep, feet near the origin."""
    path = shared_assets / "real_files" / "market"
    files = [found for found in sorted(path.rglob("*.gltf")) if '"skins"' in found.read_text(errors="replace")]
    if not files:
        pytest.skip("No real files with skins.")
    for file in files:
        size = np.ptp(shapes.load(file).vertices, axis=0)  # type: ignore[union-attr]
        assert size[2] > size[1]
