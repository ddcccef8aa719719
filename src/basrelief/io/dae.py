"""COLLADA (.dae): guarded against what its XML could unfold to, then parsed by trimesh."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

from basrelief.io.graph import count_instances
from basrelief.io.mesh import parse
from basrelief.io.source import Raw, Source
from basrelief.io.xml import local_name, walk_xml

_UP_AXIS = {"X_UP": "x", "Y_UP": "y", "Z_UP": "z"}


def read_dae(source: Source) -> Raw:
    """Read COLLADA: the geometry of its scene, in place.

    Args:
        source: The file.

    Returns:
        Vertices and faces; the up axis is that of `<up_axis>`, +Y when absent, as the specification says.

    Raises:
        FileFormatError: If the XML would unfold to more than the limits.
    """
    data = source.read()
    children: dict[str, list[str]] = defaultdict(list)
    above: list[str] = [""]
    stated = ""
    for event, element in walk_xml(source.path, data):
        name = local_name(element)
        if name == "node" and event == "start":
            above.append(element.attrib.get("id", ""))
        elif name == "node":
            above.pop()
        elif name == "instance_node" and event == "start":
            children[above[-1]].append(element.attrib.get("url", "").lstrip("#"))
        elif name == "up_axis" and event == "end":
            stated = (element.text or "").strip()
    count_instances(source.path, children, list(children))
    reason = f"<up_axis> of the file is {stated}" if stated in _UP_AXIS else "COLLADA is +Y up when it has no <up_axis>"
    return dataclasses.replace(parse(source, data), up=_UP_AXIS.get(stated, "y"), up_reason=reason)
