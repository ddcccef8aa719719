from collections.abc import Callable

import numpy as np
import pytest

from basrelief.appearance import Appearance, Material
from basrelief.errors import GeometryError
from basrelief.types import Mesh

TRIANGLE = np.eye(3, dtype=np.float32)
FACES = np.array([[0, 1, 2]])


def test_a_mesh_carries_its_appearance() -> None:
    image = np.zeros((2, 3, 4), np.uint8)
    look = Appearance((Material(texture=image),), np.array([0]), uv=np.zeros((3, 2)))
    mesh = Mesh(TRIANGLE, FACES, appearance=look)
    assert mesh.appearance is look
    assert look.has_textures
    assert look.material_ids.dtype == np.int32
    assert look.uv is not None and look.uv.dtype == np.float32
    assert not image.flags.writeable or not look.materials[0].texture.flags.writeable  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Material(texture=np.zeros((2, 3, 3), np.uint8)), r"texture has shape \(2, 3, 3\)"),
        (lambda: Material(color=(2.0, 0.0, 0.0, 1.0)), "expected values in"),
        (lambda: Appearance((Material(),), np.array([1])), "Faces use materials 1 to 1, but there are only 1"),
        (lambda: Appearance((Material(),), np.array([0.5])), "expected \\(F,\\) integers"),
        (lambda: Appearance((Material(),), np.array([0]), uv=np.full((3, 2), np.nan)), "uv has shape"),
        (lambda: Mesh(TRIANGLE, FACES, appearance=Appearance((Material(),), np.array([0, 0]))), "material_ids of 2 faces"),
        (lambda: Mesh(TRIANGLE, FACES, appearance=Appearance((Material(),), np.array([0]), tints=np.ones((2, 4)))), "tints of 2 vertices"),
    ],
)
def test_an_appearance_that_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        make()
