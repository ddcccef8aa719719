"""The contents of a COLLADA document, collected in one pass over its XML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from basrelief.io.formats.dae_effects import Effect, EffectReader
from basrelief.io.formats.dae_transforms import TRANSFORMS, numbers
from basrelief.io.xml import local_name, walk_xml

_PRIMITIVES = ("triangles", "polylist", "polygons", "tristrips", "trifans")
_HIDDEN = ("0", "false")
_PLACES = ("instance_geometry", "instance_controller", "instance_node", "instance_visual_scene", "instance")


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
    """The source that an index list, or `<vertices>`, refers to; `set` numbers several of one semantic."""

    semantic: str
    source: str
    offset: int
    set: str = ""


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
    """Sources, `<vertices>` by their name, primitives, and the geometry's own name."""

    sources: dict[str, Array] = field(default_factory=dict)
    vertices: dict[str, list[Input]] = field(default_factory=dict)
    primitives: list[Primitive] = field(default_factory=list)
    name: str = ""


@dataclass
class Use:
    """An instance of a geometry or controller in a node.

    Attributes:
        target: Its id.
        materials: The material of each of its symbols.
        channels: For each symbol the set of texture coordinates that each semantic of an effect means.
    """

    target: str
    materials: dict[str, str] = field(default_factory=dict)
    channels: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Node:
    """A node of a scene: its matrix, its instances, its child nodes by id or number, its name, and whether it is hidden."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(4))
    uses: list[Use] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    name: str = ""
    hidden: bool = False


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
        meter: Length of a unit in metres, or 0 if it is not stated.
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
    meter: float = 0.0
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
    collector.document.effects = collector.effects.effects
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
        self.effects = EffectReader()
        self.symbol = ""
        self.ids: dict[str, str] = {}  # of the last element of each name

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        if tag == "effect" or "effect" in self.open:
            self.effects.start(tag, attributes, self.open)
        self.open.append(tag)
        if tag in ("controller", "material", "image"):
            self.ids[tag] = attributes.get("id", "")
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
        if "effect" in self.open:
            self.effects.end(tag, text, self.open)
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
        self.document.nodes[name] = Node(name=attributes.get("name", attributes.get("id", "")))
        self.nodes.append(self.document.nodes[name])
        if self.open[-1] == "visual_scene":
            self.document.scenes.insert(0, name)
        elif self.open[-1] == "scene":
            self.document.scenes.append(name)

    def _start_geometry(self, attributes: Mapping[str, str]) -> None:
        self.geometry = Geometry(name=attributes.get("name", attributes.get("id", "")))
        self.document.geometries[attributes.get("id") or f"[{len(self.document.geometries)}]"] = self.geometry

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
        self.inputs.append(
            Input(attributes.get("semantic", ""), _reference(attributes.get("source", "")), offset, attributes.get("set", ""))
        )

    def _start_deformer(self, attributes: Mapping[str, str]) -> None:
        self.document.skins[self.ids.get("controller", "")] = (
            _reference(attributes.get("source", attributes.get("target", ""))),
            np.eye(4),
        )

    def _start_binding(self, attributes: Mapping[str, str]) -> None:
        if self.nodes and self.nodes[-1].uses:
            self.symbol = attributes.get("symbol", "")
            self.nodes[-1].uses[-1].materials[self.symbol] = _reference(attributes.get("target", ""))

    def _start_channel(self, attributes: Mapping[str, str]) -> None:
        if self.nodes and self.nodes[-1].uses and attributes.get("input_semantic", "TEXCOORD") == "TEXCOORD":
            channels = self.nodes[-1].uses[-1].channels.setdefault(self.symbol, {})
            channels.setdefault(attributes.get("semantic", ""), attributes.get("input_set", "0"))

    def _start_unit(self, attributes: Mapping[str, str]) -> None:
        if self.open[-2:] == ["asset", "unit"] and "meter" in attributes:
            self.document.meter = float(attributes["meter"].replace(",", "."))

    def _end_numbers(self, text: str) -> None:
        self.array.numbers = numbers(text, np.float64)

    def _end_counts(self, text: str) -> None:
        self.primitive.counts = numbers(text, np.int32)

    def _end_indices(self, text: str) -> None:
        self.primitive.lists.append(numbers(text, np.int32))

    def _turn(self, text: str, make: Callable[[np.ndarray], np.ndarray]) -> None:
        if self.nodes:
            self.nodes[-1].matrix = self.nodes[-1].matrix @ make(numbers(text, np.float64))

    def _end_bind_shape(self, text: str) -> None:
        name = self.ids.get("controller", "")
        self.document.skins[name] = (self.document.skins[name][0], numbers(text, np.float64).reshape(4, 4))

    def _hide(self, text: str) -> None:
        if self.nodes and text.strip().lower() in _HIDDEN:
            self.nodes[-1].hidden = True

    def _name_image(self, text: str) -> None:
        if text.strip():
            self.document.images[self.ids.get("image", "")] = text.strip()

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
        "bind_vertex_input": _Collector._start_channel,
        "bind": _Collector._start_channel,
        "unit": _Collector._start_unit,
        **dict.fromkeys(("lines", "linestrips"), _Collector._set_lines),
    }
)
_ENDS: Mapping[tuple[str, str], _End] = MappingProxyType(
    {
        ("source", "float_array"): _Collector._end_numbers,
        ("source", "array"): _Collector._end_numbers,
        ("polylist", "vcount"): _Collector._end_counts,
        **dict.fromkeys([*((kind, "p") for kind in _PRIMITIVES), ("ph", "p")], _Collector._end_indices),
        **{("node", tag): partial(_Collector._turn, make=make) for tag, make in TRANSFORMS.items()},
        ("skin", "bind_shape_matrix"): _Collector._end_bind_shape,
        ("technique", "visibility"): _Collector._hide,
        **dict.fromkeys([("image", "init_from"), ("init_from", "ref")], _Collector._name_image),
        ("asset", "up_axis"): _Collector._set_up_axis,
    }
)


def _reference(url: str) -> str:
    return url.removeprefix("#")
