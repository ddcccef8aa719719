"""XML and ZIP, taken with care: no entities, no deep nesting, nothing that unpacks to more than the limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits


def walk_xml(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    """Walk through XML without keeping it.

    Args:
        path: The file, for messages.
        data: The XML.

    Yields:
        (`start`, element) and (`end`, element); children are forgotten once their own end has passed.

    Raises:
        FileFormatError: If there is a DOCTYPE or an entity, or the XML is too large or nested too deeply.
    """
    from lxml import etree

    check_count(path, len(data), limits().xml_bytes, of="bytes of XML")
    if re.search(rb"<!\s*(?:DOCTYPE|ENTITY)", data.replace(b"\0", b""), re.IGNORECASE):
        raise FileFormatError(f"path must hold XML without DOCTYPE and entities, but got {path.name} with them. Export it again.")
    depth = 0
    for event, element in etree.iterparse(BytesIO(data), events=("start", "end"), resolve_entities=False, no_network=True, huge_tree=True):
        depth += 1 if event == "start" else -1
        if depth > limits().nesting:
            check_count(path, depth, limits().nesting, of="levels of XML")
        yield event, element
        if event == "end":
            element.clear(keep_tail=True)


def local_name(element: Any) -> str:  # noqa: ANN401 - lxml is not typed
    """Give the name of an element without its namespace.

    Args:
        element: An element of lxml.

    Returns:
        The name.
    """
    return str(element.tag).rpartition("}")[2]
