"""Objects of an FBX file by number, their properties, and what is connected to what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from basrelief.io.formats.fbx_document import FbxNode
from basrelief.io.formats.fbx_transforms import Vector

SCENE = 0
"""Number of the scene, which holds all that is shown and is no object itself."""


class FbxObjects:
    """The objects of a file.

    Attributes:
        nodes: Each by its number.
    """

    def __init__(self, root: FbxNode) -> None:
        listed = root.first("Objects") or FbxNode("")
        self.nodes = {node.values[0]: node for node in listed.nodes if node.values and isinstance(node.values[0], int)}
        self._below: dict[int, list[tuple[int, str]]] = {}
        self._above: dict[int, list[int]] = {}
        for link in (root.first("Connections") or FbxNode("")).nodes:
            ends = link.values[1:3]
            if len(ends) == 2 and all(isinstance(end, int) for end in ends):
                self._below.setdefault(ends[1], []).append((ends[0], str(link.values[3]) if len(link.values) > 3 else ""))
                self._above.setdefault(ends[0], []).append(ends[1])

    def below(self, parent: int, kind: str) -> list[int]:
        """Return the objects of a kind, e.g. `Model`, that are connected to another, in the order of the file."""
        return [child for child, _ in self._below.get(parent, ()) if self._is(child, kind)]

    def above(self, child: int, kind: str) -> list[int]:
        """Return the objects of a kind to which another is connected."""
        return [parent for parent in self._above.get(child, ()) if self._is(parent, kind)]

    def connected(self, parent: int) -> Mapping[str, int]:
        """Return the objects that are connected to properties of another, by the name of the property."""
        return {name: child for child, name in reversed(self._below.get(parent, ())) if name and child in self.nodes}

    def name(self, number: int) -> str:
        """Return the name of an object without its class."""
        values = self.nodes[number].values
        text = str(values[1]) if len(values) > 1 else ""
        return text.split("\0", 1)[0].rpartition("::")[2]

    def kind(self, number: int) -> str:
        """Return the kind of a model or deformer, e.g. `Mesh`, `LodGroup`, `Skin`."""
        return str(self.nodes[number].values[-1])

    def vectors(self, number: int) -> Vector:
        """Return a function that reads properties of three numbers."""
        found = properties(self.nodes[number])

        def read(name: str, default: float) -> np.ndarray:
            value = np.array(found.get(name, ())[:3], dtype=object)
            return value.astype(np.float64) if len(value) == 3 else np.full(3, float(default))

        return read

    def _is(self, number: int, kind: str) -> bool:
        return number in self.nodes and self.nodes[number].name == kind


def properties(node: FbxNode | None) -> dict[str, list[Any]]:
    """Return the values of a node's properties by name."""
    table = None if node is None else node.first("Properties70")
    rows = () if table is None else table.all("P")
    return {str(row.values[0]): _flat(row.values[4:]) for row in rows if row.values}


def number(found: Mapping[str, list[Any]], name: str, default: float) -> float:
    """Return the first number of a property, or a default."""
    values = found.get(name)
    return float(values[0]) if values and isinstance(values[0], int | float) else default


def _flat(values: list[Any]) -> list[Any]:
    """Lists of numbers in text files are arrays; here they are single values, as in binary files."""
    return [one for value in values for one in (value.tolist() if isinstance(value, np.ndarray) else [value])]
