"""Streaming XML for untrusted files: no document type, no entities, bounded nesting and size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits

_FED = 1 << 18  # bytes fed to the parser at a time
_LONGEST = 1 << 22  # bytes of one tag or comment; older parsers rescan an unfinished one with every chunk


class Element:
    """An element of the stream.

    Attributes:
        tag: Name as written, with the prefix of its namespace.
        attrib: Attributes by their names as written.
        text: Text before the first child, complete once the element has ended; may be empty.
    """

    __slots__ = ("attrib", "tag", "text")

    def __init__(self, tag: str, attrib: dict[str, str]) -> None:
        self.tag = tag
        self.attrib = attrib
        self.text = ""


Event = tuple[str, Element]


def each_element(path: Path, data: bytes, start: Callable[[str, dict[str, str]], None]) -> None:
    """Call a function with the name and attributes of each element; everything else is ignored.

    The parser reports a document type as soon as it begins, whatever the encoding; nothing in it is read. Namespace prefixes are not
    resolved.

    Args:
        path: The file, for messages.
        data: The XML.
        start: The function to call.

    Raises:
        FileFormatError: If there is a document type, or the XML is too large or has too many elements.
    """
    for _ in _feed(path, data, _parser(path, start)):
        pass


def walk_xml(path: Path, data: bytes) -> Iterator[Event]:
    """Iterate over the start and end of each element without keeping the document.

    Args:
        path: The file, for messages.
        data: The XML.

    Yields:
        (`start`, element) and (`end`, element).

    Raises:
        FileFormatError: As for `each_element`, or if the XML is nested too deeply.
    """
    deepest = limits().nesting
    events: list[Event] = []
    opened: list[Element] = []
    pieces: list[str] = []

    def leave_text() -> None:
        if pieces and opened and not opened[-1].text:
            opened[-1].text = "".join(pieces)
        pieces.clear()

    def start_element(tag: str, attributes: dict[str, str]) -> None:
        leave_text()
        opened.append(Element(tag, attributes))
        events.append(("start", opened[-1]))
        if len(opened) > deepest:
            check_count(path, len(opened), deepest, of="levels of XML")

    def end_element(_: str) -> None:
        leave_text()
        events.append(("end", opened.pop()))

    parser = _parser(path, start_element)
    parser.EndElementHandler = end_element
    parser.CharacterDataHandler = pieces.append
    for _ in _feed(path, data, parser):
        yield from events
        events.clear()


def _parser(path: Path, start: Callable[[str, dict[str, str]], None]) -> expat.XMLParserType:
    """Create a parser that counts elements and rejects a document type."""
    left = limits().xml_elements

    def start_element(tag: str, attributes: dict[str, str]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            check_count(path, limits().xml_elements + 1, limits().xml_elements, of="elements of XML")
        start(tag, attributes)

    def document_type(*_: object) -> NoReturn:
        raise FileFormatError(f"The XML of {path.name} has a DOCTYPE, which is not allowed. Export it again.")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = document_type
    parser.StartElementHandler = start_element
    return parser


def _feed(path: Path, data: bytes, parser: expat.XMLParserType) -> Iterator[None]:
    """Feed the parser chunk by chunk."""
    check_count(path, len(data), limits().xml_bytes, of="bytes of XML")
    view = memoryview(data)
    for start in range(0, len(data) + 1, _FED):
        piece = view[start : start + _FED]
        parser.Parse(piece, len(piece) < _FED)
        if start + len(piece) - parser.CurrentByteIndex > _LONGEST:
            raise FileFormatError(f"A tag in {path.name} is longer than {_LONGEST:,} bytes. Export it again.")
        yield


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace prefix."""
    return element.tag.rpartition(":")[2]
