"""The contents of a COLLADA document, collected in one pass over its XML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from basrelief.io.xml import local_name, walk_xml

_PRIMITIVES = ("triangles", "polylist", "polygons", "tristrips", "trifans")
_PLACES = ("instance_geometry", "instance_controller", "instance_node", "instance_visual_scene", "instance")


def _numbers(text: str, kind: type[np.int32] | type[np.float64]) -> np.ndarray:
    """Parse numbers separated by whitespace; some exporters write decimal commas."""
    numbers: np.ndarray = np.fromstring(text.replace(",", "."), dtype=kind, sep=" ") if text.strip() else np.zeros(0, dtype=kind)
    return numbers


def _move(numbers: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = numbers
    return matrix


def _rotate(numbers: np.ndarray) -> np.ndarray:
    """Return the rotation about an axis of any length by an angle in degrees."""
    x, y, z = numbers[:3] / max(float(np.linalg.norm(numbers[:3])), 1e-12)
    angle = np.radians(numbers[3])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


_TURNS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "matrix": lambda numbers: numbers.reshape(4, 4),
        "translate": _move,
        "rotate": _rotate,
        "scale": lambda numbers: np.diag([*numbers, 1]),
    }
)


@dataclass
class Array:
    """A `<source>`: numbers and their row layout."""

    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0))
    stride: int = 1
    offset: int = 0

    def rows(self, width: int) -> np.ndarray:
        """Return the first `width` numbers of each row."""
        used = self.numbers[self.offset :]
        return used[: len(used) // self.stride * self.stride].reshape(-1, self.stride)[:, :width]


@dataclass(frozen=True)
class Input:
    """The source that an index list, or `<vertices>`, refers to."""

    semantic: str
    source: str
    offset: int


@dataclass
class Primitive:
    """Triangles or polygons of a geometry: inputs, and one index list for each `<p>`."""

    kind: str
    material: str
    inputs: list[Input] = field(default_factory=list)
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    lists: list[np.ndarray] = field(default_factory=list)


@dataclass
class Geometry:
    """Sources, `<vertices>` by their name, and primitives."""

    sources: dict[str, Array] = field(default_factory=dict)
    vertices: dict[str, list[Input]] = field(default_factory=dict)
    primitives: list[Primitive] = field(default_factory=list)


@dataclass
class Use:
    """An instance of a geometry or controller in a node, with the material of each of its symbols."""

    target: str
    materials: dict[str, str] = field(default_factory=dict)


@dataclass
class Node:
    """A node of a scene: its matrix, its instances, and its child nodes by name or number."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(4))
    uses: list[Use] = field(default_factory=list)
    children: list[str] = field(default_factory=list)


@dataclass
class Effect:
    """A material: a diffuse colour or the name of a texture, and the parameters that texture names refer to."""

    color: tuple[float, ...] | None = None
    texture: str = ""
    names: dict[str, str] = field(default_factory=dict)


@dataclass
class Document:
    """A COLLADA document; everything is keyed by its id.

    Attributes:
        geometries: Geometries.
        skins: The geometry that a controller deforms, and its bind shape matrix.
        nodes: Nodes by id, or by a number in brackets if they have none; scenes are nodes, too.
        scenes: Nodes that are scenes; `<scene>`, which selects the scene to show, is last.
        materials: The effect of each material.
        effects: Effects.
        images: File names of images.
        up_axis: Content of `<up_axis>`.
        lines: Whether a geometry has lines.
    """

    geometries: dict[str, Geometry] = field(default_factory=dict)
    skins: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    scenes: list[str] = field(default_factory=list)
    materials: dict[str, str] = field(default_factory=dict)
    effects: dict[str, Effect] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    up_axis: str = ""
    lines: bool = False


def read_document(path: Path, data: bytes) -> Document:
    """Read a document.

    Args:
        path: The file, for messages.
        data: The XML.

    Returns:
        Its contents.

    Raises:
        FileFormatError: If the XML is rejected.
        ValueError: If a number is malformed.
    """
    collector = _Collector()
    for event, element in walk_xml(path, data):
        if event == "start":
            collector.start(local_name(element), element.attrib)
        else:
            collector.end(element.text or "")
    return collector.document


class _Collector:
    """Fills a document while tracking the open elements."""

    def __init__(self) -> None:
        self.document = Document()
        self.open: list[str] = []
        self.nodes: list[Node] = []
        self.geometry = Geometry()
        self.inputs: list[Input] = []  # of the vertices or the primitive that is open
        self.array = Array()
        self.primitive = Primitive("", "")
        self.effect = Effect()
        self.ids: dict[str, str] = {}  # of the last element of each name

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        self.open.append(tag)
        if tag in ("controller", "material", "effect", "image", "newparam"):
            self.ids[tag] = attributes.get("sid" if tag == "newparam" else "id", "")
        if tag in _PRIMITIVES:
            self._start_primitive(tag, attributes)
        elif tag in _PLACES:
            self._start_place(tag, _reference(attributes.get("url", "")))
        elif tag in _STARTS:
            _STARTS[tag](self, attributes)

    def end(self, text: str) -> None:
        """End the element that is open."""
        tag = self.open.pop()
        above = self.open[-1] if self.open else ""
        if tag in (*_PRIMITIVES, "vertices"):
            self.inputs = []  # inputs of lines, joints and animations are not used
        if tag in ("node", "visual_scene", "scene"):
            self.nodes.pop()
        elif (above, tag) in _ENDS:
            _ENDS[above, tag](self, text)

    def _start_primitive(self, kind: str, attributes: Mapping[str, str]) -> None:
        self.primitive = Primitive(kind, attributes.get("material", ""))
        self.geometry.primitives.append(self.primitive)
        self.inputs = self.primitive.inputs

    def _start_place(self, tag: str, url: str) -> None:
        if not self.nodes:
            return
        if tag in ("instance_node", "instance_visual_scene"):
            self.nodes[-1].children.append(url)
        else:
            self.nodes[-1].uses.append(Use(url))

    def _start_node(self, attributes: Mapping[str, str]) -> None:
        name = attributes.get("id", "")
        if not name or name in self.document.nodes:
            name = f"[{len(self.document.nodes)}]"
        if self.nodes:
            self.nodes[-1].children.append(name)
        self.document.nodes[name] = Node()
        self.nodes.append(self.document.nodes[name])
        if self.open[-1] == "visual_scene":
            self.document.scenes.insert(0, name)
        elif self.open[-1] == "scene":
            self.document.scenes.append(name)

    def _start_geometry(self, attributes: Mapping[str, str]) -> None:
        self.geometry = self.document.geometries[attributes.get("id") or f"[{len(self.document.geometries)}]"] = Geometry()

    def _start_source(self, attributes: Mapping[str, str]) -> None:
        self.array = Array()
        if "mesh" in self.open:
            self.geometry.sources[attributes.get("id", "")] = self.array

    def _start_accessor(self, attributes: Mapping[str, str]) -> None:
        self.array.stride, self.array.offset = max(int(attributes.get("stride", 1)), 1), max(int(attributes.get("offset", 0)), 0)

    def _start_vertices(self, attributes: Mapping[str, str]) -> None:
        self.inputs = self.geometry.vertices[attributes.get("id", "")] = []

    def _start_input(self, attributes: Mapping[str, str]) -> None:
        offset = int(attributes.get("offset", attributes.get("idx", 0)))
        self.inputs.append(Input(attributes.get("semantic", ""), _reference(attributes.get("source", "")), offset))

    def _start_deformer(self, attributes: Mapping[str, str]) -> None:
        self.document.skins[self.ids.get("controller", "")] = (
            _reference(attributes.get("source", attributes.get("target", ""))),
            np.eye(4),
        )

    def _start_binding(self, attributes: Mapping[str, str]) -> None:
        if self.nodes and self.nodes[-1].uses:
            self.nodes[-1].uses[-1].materials[attributes.get("symbol", "")] = _reference(attributes.get("target", ""))

    def _start_effect(self, _attributes: Mapping[str, str]) -> None:
        self.effect = self.document.effects[self.ids["effect"]] = Effect()

    def _start_texture(self, attributes: Mapping[str, str]) -> None:
        if "diffuse" in self.open:
            self.effect.texture = attributes.get("texture", "")

    def _end_numbers(self, text: str) -> None:
        self.array.numbers = _numbers(text, np.float64)

    def _end_counts(self, text: str) -> None:
        self.primitive.counts = _numbers(text, np.int32)

    def _end_indices(self, text: str) -> None:
        self.primitive.lists.append(_numbers(text, np.int32))

    def _turn(self, text: str, make: Callable[[np.ndarray], np.ndarray]) -> None:
        if self.nodes:
            self.nodes[-1].matrix = self.nodes[-1].matrix @ make(_numbers(text, np.float64))

    def _end_bind_shape(self, text: str) -> None:
        name = self.ids.get("controller", "")
        self.document.skins[name] = (self.document.skins[name][0], _numbers(text, np.float64).reshape(4, 4))

    def _name_parameter(self, text: str) -> None:
        self.effect.names[self.ids.get("newparam", "")] = text.strip()

    def _name_image(self, text: str) -> None:
        if text.strip():
            self.document.images[self.ids.get("image", "")] = text.strip()

    def _set_color(self, text: str) -> None:
        self.effect.color = tuple(_numbers(text, np.float64).tolist())

    def _set_up_axis(self, text: str) -> None:
        self.document.up_axis = text.strip()

    def _set_lines(self, _attributes: Mapping[str, str]) -> None:
        self.document.lines = True

    def _set_effect(self, attributes: Mapping[str, str]) -> None:
        self.document.materials[self.ids.get("material", "")] = _reference(attributes.get("url", ""))


_Start = Callable[[_Collector, Mapping[str, str]], None]
_End = Callable[[_Collector, str], None]
_STARTS: Mapping[str, _Start] = MappingProxyType(
    {
        **dict.fromkeys(("node", "visual_scene", "scene"), _Collector._start_node),
        "geometry": _Collector._start_geometry,
        "source": _Collector._start_source,
        "accessor": _Collector._start_accessor,
        "vertices": _Collector._start_vertices,
        "input": _Collector._start_input,
        **dict.fromkeys(("skin", "morph"), _Collector._start_deformer),
        "instance_material": _Collector._start_binding,
        "instance_effect": _Collector._set_effect,
        "instance_image": lambda collector, attributes: collector._name_parameter(_reference(attributes.get("url", ""))),
        "effect": _Collector._start_effect,
        "texture": _Collector._start_texture,
        **dict.fromkeys(("lines", "linestrips"), _Collector._set_lines),
    }
)
_ENDS: Mapping[tuple[str, str], _End] = MappingProxyType(
    {
        ("source", "float_array"): _Collector._end_numbers,
        ("source", "array"): _Collector._end_numbers,
        ("polylist", "vcount"): _Collector._end_counts,
        **dict.fromkeys([*((kind, "p") for kind in _PRIMITIVES), ("ph", "p")], _Collector._end_indices),
        **{("node", tag): partial(_Collector._turn, make=make) for tag, make in _TURNS.items()},
        ("skin", "bind_shape_matrix"): _Collector._end_bind_shape,
        ("diffuse", "color"): _Collector._set_color,
        **dict.fromkeys([("surface", "init_from"), ("sampler2D", "source")], _Collector._name_parameter),
        **dict.fromkeys([("image", "init_from"), ("init_from", "ref")], _Collector._name_image),
        ("asset", "up_axis"): _Collector._set_up_axis,
    }
)


def _reference(url: str) -> str:
    return url.removeprefix("#")
