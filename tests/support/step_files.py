"""A STEP file of a block, written as CAD programs do: planes, lines, one closed shell, millimetres, a colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_HEADER = """ISO-10303-21;
HEADER;
FILE_DESCRIPTION((''),'2;1');
FILE_NAME('block.step','2020-01-01T00:00:00',(''),(''),'','','');
FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));
ENDSEC;
DATA;
"""
_SIDES = (
    ((0, 3, 2, 1), (0, 0, -1)),
    ((4, 5, 6, 7), (0, 0, 1)),
    ((0, 1, 5, 4), (0, -1, 0)),
    ((1, 2, 6, 5), (1, 0, 0)),
    ((2, 3, 7, 6), (0, 1, 0)),
    ((3, 0, 4, 7), (-1, 0, 0)),
)


class _Writer:
    """Numbers the entities of a STEP file."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> str:
        self.lines.append(f"#{len(self.lines) + 1}={text};")
        return f"#{len(self.lines)}"

    def add(self, kind: str, *values: str, name: str = "''") -> str:
        return self.line(f"{kind}({','.join(([name] if name else []) + list(values))})")

    def vector(self, kind: str, values: Sequence[float] | np.ndarray) -> str:
        return self.add(kind, _listed(f"{float(value):.6f}" for value in values))

    def placement(self, point: str, normal: Sequence[float], across: Sequence[float] | np.ndarray) -> str:
        return self.add("AXIS2_PLACEMENT_3D", point, self.vector("DIRECTION", normal), self.vector("DIRECTION", across))


def _listed(values: object) -> str:
    return f"({','.join(values)})"  # type: ignore[arg-type]


def step_block(size: tuple[float, float, float], color: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> str:
    """The text of a STEP file with one block from the origin to `size`, in millimetres."""
    w = _Writer()
    solid = w.add("MANIFOLD_SOLID_BREP", w.add("CLOSED_SHELL", _listed(_faces(w, size))))
    length = w.line("(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT(.MILLI.,.METRE.))")
    angle = w.line("(NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.))")
    solid_angle = w.line("(NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT())")
    exact = w.add("UNCERTAINTY_MEASURE_WITH_UNIT", "LENGTH_MEASURE(1.E-05)", length, "'distance_accuracy_value'", "''", name="")
    context = w.line(
        f"(GEOMETRIC_REPRESENTATION_CONTEXT(3)GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT(({exact}))"
        f"GLOBAL_UNIT_ASSIGNED_CONTEXT(({length},{angle},{solid_angle}))REPRESENTATION_CONTEXT('',''))"
    )
    origin = w.placement(w.vector("CARTESIAN_POINT", (0, 0, 0)), (0, 0, 1), (1, 0, 0))
    shape = w.add("ADVANCED_BREP_SHAPE_REPRESENTATION", _listed([origin, solid]), context)
    app = w.add("APPLICATION_CONTEXT", name="'automotive design'")
    w.add("APPLICATION_PROTOCOL_DEFINITION", "'automotive_design'", "2000", app, name="'international standard'")
    product = w.add("PRODUCT", "'block'", "''", _listed([w.add("PRODUCT_CONTEXT", app, "'mechanical'")]), name="'block'")
    formation = w.add("PRODUCT_DEFINITION_FORMATION", "''", product)
    inner = w.add("PRODUCT_DEFINITION_CONTEXT", app, "'design'", name="'part definition'")
    definition = w.add("PRODUCT_DEFINITION", "''", formation, inner, name="'design'")
    w.add("SHAPE_DEFINITION_REPRESENTATION", w.add("PRODUCT_DEFINITION_SHAPE", "''", definition), shape, name="")
    paint = w.add("COLOUR_RGB", *(f"{float(value):.6f}" for value in color))
    fill = w.add("FILL_AREA_STYLE", _listed([w.add("FILL_AREA_STYLE_COLOUR", paint)]))
    side = w.add("SURFACE_SIDE_STYLE", _listed([w.add("SURFACE_STYLE_FILL_AREA", fill, name="")]))
    style = w.add("PRESENTATION_STYLE_ASSIGNMENT", _listed([w.add("SURFACE_STYLE_USAGE", ".BOTH.", side, name="")]), name="")
    w.add("MECHANICAL_DESIGN_GEOMETRIC_PRESENTATION_REPRESENTATION", _listed([w.add("STYLED_ITEM", _listed([style]), solid)]), context)
    return _HEADER + "\n".join(w.lines) + "\nENDSEC;\nEND-ISO-10303-21;\n"


def _faces(w: _Writer, size: tuple[float, float, float]) -> list[str]:
    x, y, z = size
    corners = [(0, 0, 0), (x, 0, 0), (x, y, 0), (0, y, 0), (0, 0, z), (x, 0, z), (x, y, z), (0, y, z)]
    points = [w.vector("CARTESIAN_POINT", corner) for corner in corners]
    vertices = [w.add("VERTEX_POINT", point) for point in points]
    edges: dict[tuple[int, int], str] = {}
    faces = []
    for loop, normal in _SIDES:
        oriented = []
        for a, b in pairwise((*loop, loop[0])):
            if (b, a) not in edges:
                along = np.subtract(corners[b], corners[a])
                direction = w.add("VECTOR", w.vector("DIRECTION", along / np.linalg.norm(along)), "1.")
                edges[a, b] = w.add("EDGE_CURVE", vertices[a], vertices[b], w.add("LINE", points[a], direction), ".T.")
            forward = (a, b) in edges
            oriented.append(w.add("ORIENTED_EDGE", "*", "*", edges[(a, b) if forward else (b, a)], ".T." if forward else ".F."))
        bound = w.add("FACE_OUTER_BOUND", w.add("EDGE_LOOP", _listed(oriented)), ".T.")
        across = np.subtract(corners[loop[1]], corners[loop[0]])
        plane = w.add("PLANE", w.placement(points[loop[0]], normal, across / np.linalg.norm(across)))
        faces.append(w.add("ADVANCED_FACE", _listed([bound]), plane, ".T."))
    return faces
