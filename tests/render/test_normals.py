"""Vertex normals: smooth on round surfaces, split at sharp edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from basrelief.render.mesh import mesh_tensors
from basrelief.render.normals import MOST_CORNERS, corner_normals, face_normals
from basrelief.types import Mesh
from render.mesh_samples import as_mesh, ball, box, grid_plane, soup


def normals_of(mesh: Mesh, **options: float) -> np.ndarray:
    return corner_normals(*mesh_tensors(mesh, "cpu"), **options).numpy()


def flat_of(mesh: Mesh) -> np.ndarray:
    normal = face_normals(*mesh_tensors(mesh, "cpu")).numpy()
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def test_face_normals_have_twice_the_area() -> None:
    assert np.allclose(np.linalg.norm(face_normals(*mesh_tensors(box(2.0, 2.0, 2.0), "cpu")), axis=1), 4)


def test_a_ball_has_the_normals_of_a_ball() -> None:
    mesh = ball(4, radius=1.0)
    assert (normals_of(mesh) * mesh.vertices[mesh.faces]).sum(-1).min() > 0.9995


def test_a_box_keeps_its_edges() -> None:
    mesh = box(1.0, 2.0, 3.0)
    assert np.allclose(normals_of(mesh), flat_of(mesh)[:, None])


def test_a_cylinder_is_round_about_and_flat_on_top() -> None:
    mesh = as_mesh(trimesh.creation.cylinder(radius=1, height=1, sections=24))
    normal, corner = normals_of(mesh), mesh.vertices[mesh.faces]
    lid = np.abs(flat_of(mesh)[:, 2]) > 0.5
    assert np.allclose(np.abs(normal[lid, :, 2]), 1, atol=1e-6)
    assert np.allclose(normal[~lid, :, 2], 0, atol=1e-6)
    assert (normal[~lid, :, :2] * corner[~lid, :, :2]).sum(-1).min() > 0.99


@pytest.mark.parametrize(("crease", "smooth"), [(55.0, False), (65.0, True)])
def test_crease_is_the_largest_angle_that_looks_round(crease: float, smooth: bool) -> None:
    mesh = as_mesh(trimesh.creation.cylinder(radius=1, height=1, sections=6))  # sides bend by 60 degrees, the lid by 90
    assert np.allclose(normals_of(mesh, crease=crease), flat_of(mesh)[:, None]) is not smooth


def test_a_seam_of_doubled_vertices_stays_smooth() -> None:
    mesh = ball(2)
    apart = Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(mesh.faces.size).reshape(-1, 3))
    assert np.allclose(normals_of(mesh), normals_of(apart), atol=1e-9)


def test_faces_wound_the_other_way_round_do_not_cancel() -> None:
    mesh = ball(3, radius=1.0)
    faces = mesh.faces.copy()
    faces[::2] = faces[::2, ::-1]
    mixed = Mesh(mesh.vertices, faces)
    normal = normals_of(mixed)
    assert np.abs((normal * mesh.vertices[faces]).sum(-1)).min() > 0.995
    assert ((normal * flat_of(mixed)[:, None]).sum(-1) > 0).all()


def test_normals_are_unit_and_on_the_side_of_their_face() -> None:
    mesh = soup(50, seed=1)
    normal = normals_of(mesh)
    assert np.allclose(np.linalg.norm(normal, axis=-1), 1)
    assert np.allclose(normal, flat_of(mesh)[:, None])  # no two share a corner


def test_larger_faces_count_more() -> None:
    """A roof of two slopes under 40 degrees leans to the larger."""
    vertices = np.float32([[0, 0, 0], [0, 1, 0], [3, 0, -0.5], [-1, 0, -0.1]])
    mesh = Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3]]))
    ridge = normals_of(mesh)[0, 0]
    large, small = flat_of(mesh)
    assert ridge @ large > ridge @ small


def test_faces_without_area_have_no_normal_and_spoil_none() -> None:
    plane = grid_plane(2)
    mesh = Mesh(plane.vertices, np.concatenate([plane.faces, [[0, 0, 1], [4, 4, 4]]]))
    normal = normals_of(mesh)
    assert np.allclose(normal[:-2], flat_of(plane)[:, None])
    assert np.allclose(normal[-2:], 0)


def test_where_very_many_faces_meet_they_stay_flat() -> None:
    count = MOST_CORNERS * 40  # pairs would be the square of that
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.stack([np.cos(angle), np.sin(angle), np.full(count, -0.1)], 1)
    number = np.arange(count)
    mesh = Mesh(np.concatenate([[[0, 0, 0]], rim]).astype(np.float32), np.stack([0 * number, number + 1, (number + 1) % count + 1], 1))
    assert np.allclose(normals_of(mesh)[:, 0], flat_of(mesh))
    assert torch.isfinite(torch.tensor(normals_of(mesh))).all()
