"""Solids that USD describes by numbers: cubes, spheres, cylinders, cones, capsules and planes."""

from __future__ import annotations

from typing import Any

import numpy as np

SOLIDS = ("Cube", "Sphere", "Cylinder", "Cone", "Capsule", "Plane")
_SECTIONS = 32
_AXES = {"X": ((0, 0, 1), (1, 0, 0), (0, 1, 0)), "Y": ((0, 1, 0), (0, 0, 1), (1, 0, 0)), "Z": ((1, 0, 0), (0, 1, 0), (0, 0, 1))}


def solid_part(prim: Any, when: Any) -> dict[str, Any]:  # noqa: ANN401 - OpenUSD has no types
    """Return a solid as a part, see `basrelief.io.mesh.Part`.

    Args:
        prim: A prim whose type is one of `SOLIDS`.
        when: Time at which its attributes are read.
    """
    from trimesh import creation

    def number(name: str) -> float:
        return float(prim.GetAttribute(name).Get(when))

    kind = prim.GetTypeName()
    if kind == "Cube":
        mesh = creation.box((number("size"),) * 3)
    elif kind == "Sphere":
        mesh = creation.icosphere(3, number("radius"))
    elif kind == "Cylinder":
        mesh = creation.cylinder(number("radius"), number("height"), sections=_SECTIONS)
    elif kind == "Cone":
        mesh = creation.cone(number("radius"), number("height"), sections=_SECTIONS)
        mesh.vertices[:, 2] -= number("height") / 2  # USD centres it
    elif kind == "Capsule":
        mesh = creation.capsule(number("height"), number("radius"))
        mesh.vertices[:, 2] -= mesh.bounds.mean(axis=0)[2]
    else:
        mesh = creation.box((number("width"), number("length"), 1.0))
        mesh.vertices[:, 2] = 0
    axis = str(prim.GetAttribute("axis").Get(when)) if prim.HasAttribute("axis") else "Z"
    part: dict[str, Any] = {"vertices": np.asarray(mesh.vertices) @ np.array(_AXES[axis], np.float64).T, "faces": np.asarray(mesh.faces)}
    shown = prim.GetAttribute("primvars:displayColor").Get(when)
    return part | ({"color": (*map(float, shown[0]), 1.0)} if shown is not None and len(shown) == 1 else {})
