"""Nodes of glTF: transforms, instances, visibility, skins and morph targets, all at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.formats.gltf_data import GltfData, Item
from basrelief.limits import limits

_INSTANCING = "EXT_mesh_gpu_instancing"
_VISIBILITY = "KHR_node_visibility"
_SHOWN_MARKS, _HIDDEN_MARKS = ("visible", "visibility"), ("hidden", "hide")  # names that exporters use in `extras`
_MOVES = ("matrix", "translation", "rotation", "scale")
_CHUNK = 1 << 16  # vertices skinned at a time


def node_matrix(node: Item) -> np.ndarray:
    """Return the 4 x 4 matrix from a node to its parent: its own, or translation, rotation and scale."""
    if "matrix" in node:
        return np.reshape(np.asarray(node["matrix"], dtype=np.float64), (4, 4)).T
    matrix = np.eye(4)
    if "rotation" in node:
        matrix[:3, :3] = _rotations(np.asarray(node["rotation"], dtype=np.float64)[None])[0]
    if "scale" in node:
        matrix[:3, :3] *= np.asarray(node["scale"], dtype=np.float64).reshape(3)
    if "translation" in node:
        matrix[:3, 3] = node["translation"]
    return matrix


def placed(above: np.ndarray, node: Item) -> np.ndarray:
    """Return the matrix of a node in the world, given that of the node above; the same array if the node does not move."""
    return above @ node_matrix(node) if any(name in node for name in _MOVES) else above


def is_hidden(node: Item) -> bool:
    """Return whether a node is marked as not visible, by `KHR_node_visibility` or in its `extras`."""
    if "extensions" not in node and "extras" not in node:
        return False
    extensions, extras = node.get("extensions"), node.get("extras")
    state = extensions.get(_VISIBILITY) if isinstance(extensions, Mapping) else None
    if isinstance(state, Mapping) and state.get("visible") is False:
        return True
    if not isinstance(extras, Mapping):
        return False
    return any(extras.get(name) in (False, 0) for name in _SHOWN_MARKS) or any(extras.get(name) in (True, 1) for name in _HIDDEN_MARKS)


def count_copies(data: GltfData, node: Item) -> int:
    """Return how often a node shows its mesh; more than once with `EXT_mesh_gpu_instancing`."""
    accessors = _copies(node)
    return data.count(next(iter(accessors.values())), limit=limits().instances) if accessors else 1


def copies(data: GltfData, node: Item, matrix: np.ndarray) -> Sequence[np.ndarray]:
    """Return the transforms (4, 4) to the world of each copy that a node shows of its mesh.

    Args:
        data: The file.
        node: The node.
        matrix: Its own transform.

    Raises:
        FileFormatError: If the copies have attributes of different numbers.
    """
    accessors = _copies(node)
    if not accessors:
        return (matrix,)
    matrices = np.tile(np.eye(4), (count_copies(data, node), 1, 1))
    for name, width in (("TRANSLATION", 3), ("ROTATION", 4), ("SCALE", 3)):
        if name not in accessors:
            continue
        values = data.array(accessors[name]).astype(np.float64)
        if values.shape != (len(matrices), width):
            raise FileFormatError(f"Instances in {data.source.path.name} have {name} of shape {values.shape}. Export it again.")
        if name == "TRANSLATION":
            matrices[:, :3, 3] = values
        else:
            matrices[:, :3, :3] = matrices[:, :3, :3] @ (_rotations(values) if name == "ROTATION" else values[:, None] * np.eye(3))
    moved: np.ndarray = matrix @ matrices
    return list(moved)


def _copies(node: Item) -> Mapping[str, int]:
    if "extensions" not in node:
        return {}
    extensions = node["extensions"]
    found = extensions.get(_INSTANCING) if isinstance(extensions, Mapping) else None
    attributes: Mapping[str, int] = found.get("attributes", {}) if isinstance(found, Mapping) else {}
    return {name: attributes[name] for name in ("TRANSLATION", "ROTATION", "SCALE") if name in attributes}


def _rotations(quaternions: np.ndarray) -> np.ndarray:
    """Return (N, 3, 3) rotations of (N, 4) quaternions x, y, z, w of any length; zero is the identity."""
    length = np.linalg.norm(quaternions, axis=1, keepdims=True)
    x, y, z, w = np.where(length > 1e-9, quaternions / np.maximum(length, 1e-9), (0, 0, 0, 1)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def morphed(data: GltfData, vertices: np.ndarray, targets: Sequence[Item], weights: Sequence[float]) -> np.ndarray:
    """Move vertices by the morph targets whose weight is not zero.

    Args:
        data: The file.
        vertices: (N, 3) positions.
        targets: Morph targets of the primitive.
        weights: Weight of each.

    Returns:
        (N, 3) positions; the same array if no target moves them.

    Raises:
        FileFormatError: If the targets together have more vertices than the limit, or another number than the primitive.
    """
    used = [
        (target["POSITION"], float(weight)) for target, weight in zip(targets, weights, strict=False) if weight and "POSITION" in target
    ]
    check_count(data.source.path, len(used) * len(vertices), limits().points, of="vertices of morph targets")
    for accessor, weight in used:
        moved = data.array(accessor)
        if moved.shape != vertices.shape:
            raise FileFormatError(f"A morph target in {data.source.path.name} has {len(moved)} vertices instead of {len(vertices)}.")
        vertices = vertices.astype(np.float32) + np.float32(weight) * moved
    return vertices


class Skeletons:
    """The skins of a glTF file, with the joints where the nodes have them."""

    def __init__(self, data: GltfData) -> None:
        self._data = data
        self._nodes: Sequence[Item] = data.header.get("nodes", [])
        self._parents = {child: i for i, node in reversed(list(enumerate(self._nodes))) for child in node.get("children", [])}
        self._worlds: dict[int, np.ndarray] = {}
        self._joints: dict[int, np.ndarray] = {}
        self._left = limits().instances

    def posed(self, vertices: np.ndarray, skin: int, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Move vertices to the world with the joints that hold them.

        Args:
            vertices: (N, 3) positions.
            skin: Index of the skin.
            arrays: `JOINTS_n` (N, 4) and `WEIGHTS_n` (N, 4) for each n.

        Returns:
            (N, 3) float64 positions; None if there are no weights, or a joint does not exist.
        """
        sets = [name[7:] for name in arrays if name.startswith("JOINTS_") and f"WEIGHTS_{name[7:]}" in arrays]
        if not sets:
            return None
        joints = np.concatenate([arrays[f"JOINTS_{n}"] for n in sets], axis=1)
        weights = np.concatenate([arrays[f"WEIGHTS_{n}"] for n in sets], axis=1).astype(np.float32)
        matrices = self._matrices(skin)
        if not len(joints) or joints.min() < 0 or joints.max() >= len(matrices) or joints.shape != weights.shape:
            return None
        posed = np.empty((len(vertices), 3))
        for start in range(0, len(vertices), _CHUNK):
            rows = slice(start, start + _CHUNK)
            held = np.maximum(np.nan_to_num(weights[rows]), 0)
            total = held.sum(axis=1, keepdims=True)
            held = np.where(total > 0, held / np.maximum(total, 1e-12), np.eye(1, held.shape[1]))
            blended = sum(held[:, k, None, None] * matrices[joints[rows, k], :3] for k in range(held.shape[1]))
            posed[rows] = np.einsum("nij,nj->ni", blended[:, :, :3], vertices[rows]) + blended[:, :, 3]
        return posed

    def _matrices(self, skin: int) -> np.ndarray:
        """Return (joints, 4, 4): from the pose in which the skin was bound to where the joints are."""
        if skin not in self._joints:
            item = self._data.header["skins"][skin]
            self._left -= len(item["joints"])
            check_count(self._data.source.path, limits().instances - self._left, limits().instances, of="joints of skins")
            worlds = np.stack([self._world(joint) for joint in item["joints"]])
            if "inverseBindMatrices" in item:
                binds = self._data.array(item["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)[: len(worlds)].astype(np.float64)
                worlds = worlds[: len(binds)] @ binds
            self._joints[skin] = worlds
        return self._joints[skin]

    def _world(self, node: int) -> np.ndarray:
        """Return the transform of a node to the world, through its first parent each time; the nodes form no cycle."""
        path: list[int] = []
        at: int | None = node
        while at is not None and at not in self._worlds:
            path.append(at)
            at = self._parents.get(at)
        check_count(self._data.source.path, len(self._worlds) + len(path), limits().instances, of="nodes above joints")
        matrix = np.eye(4) if at is None else self._worlds[at]
        for step in reversed(path):
            matrix = self._worlds[step] = placed(matrix, self._nodes[step])
        return matrix


def weights_of(mesh: Item, node: Item | None) -> tuple[float, ...]:
    """Return the default weights of the morph targets of a mesh, those of the node first."""
    stored: Any = (node or {}).get("weights", mesh.get("weights", ()))
    return tuple(float(weight) for weight in stored)
