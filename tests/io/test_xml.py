"""XML made to harm, in every encoding that could hide it."""

from __future__ import annotations

from pathlib import Path
from xml.parsers.expat import ExpatError

import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.io.xml import each_element, local_name, walk_xml

from .conftest import Put
from .test_hostile import zipped

HERE = Path("a.dae")
BOMB = '<?xml version="1.0" encoding="{0}"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16le", "utf-16be", "iso-8859-1", "us-ascii", "windows-1252"])
def test_a_document_type_is_seen_in_any_encoding(encoding: str) -> None:
    data = BOMB.format(encoding).encode(encoding)
    with pytest.raises(FileFormatError, match="The XML of a.dae has a DOCTYPE, which is not allowed. Export it again"):
        list(walk_xml(HERE, data))


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@pytest.mark.parametrize("encoding", ["utf-7", "utf-32", "utf-32-le", "cp037", "cp500", "shift_jis", "hz", "unicode_escape", "no-such"])
@pytest.mark.parametrize("kind", ["dae", "3mf"])
def test_encodings_that_hide_markup_are_refused(encoding: str, kind: str, put: Put) -> None:
    text = BOMB.format(encoding)
    data = text.encode(encoding) if encoding != "no-such" else text.encode()
    head, _, rest = text.partition("?>")
    declared_in_ascii = f"{head}?>".encode() + (rest.encode(encoding) if encoding != "no-such" else rest.encode())
    escaped = f"{head}?>".encode() + rest.replace("<", "+ADw-").replace("&", "+ACY-").encode()
    for content in (data, declared_in_ascii, escaped):
        path = put(f"a.{kind}", zipped("3D/3dmodel.model", content) if kind == "3mf" else content)
        with pytest.raises(FileFormatError):
            shapes.load(path)
        with pytest.raises((ExpatError, ValueError, LookupError)):
            list(walk_xml(path, content))


@pytest.mark.parametrize("doctype", ["<!DOCTYPE a>", '<!DOCTYPE a SYSTEM "x.dtd">', '<!DOCTYPE a PUBLIC "-//x" "http://localhost/x.dtd">'])
def test_even_an_empty_document_type_is_refused(doctype: str) -> None:
    with pytest.raises(FileFormatError, match="has a DOCTYPE, which is not allowed"):
        each_element(HERE, f"{doctype}<a/>".encode(), lambda tag, attributes: None)


def test_entities_that_nobody_defined_are_an_error() -> None:
    with pytest.raises(ExpatError, match="undefined entity"):
        list(walk_xml(HERE, b"<a>&b;</a>"))
    assert [element.text for _, element in walk_xml(HERE, b"<a>&lt;&#65;</a>")] == ["<A", "<A"]


def test_events_in_order_with_names_attributes_and_text() -> None:
    data = b'<p:a xmlns:p="u" x="1">one<b/>two<c y="2">three<!-- not this -->four</c></p:a>'
    events = [(event, local_name(element), element.attrib, element.text) for event, element in walk_xml(HERE, data)]
    assert [(event, name) for event, name, _, _ in events] == [
        ("start", "a"), ("start", "b"), ("end", "b"), ("start", "c"), ("end", "c"), ("end", "a"),
    ]  # fmt: skip
    assert events[-1][2:] == ({"xmlns:p": "u", "x": "1"}, "one")
    assert events[-2][2:] == ({"y": "2"}, "threefour")


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 18) - 7, 1 << 18, 1 << 19])
def test_text_is_whole_wherever_the_pieces_end(size: int) -> None:
    text = "ä" * size
    (*_, (_, element)) = walk_xml(HERE, f"<a>{text}</a>".encode())
    assert element.text == text


def test_elements_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "xml_elements=10")
    assert len(list(walk_xml(HERE, b"<a>" + b"<b/>" * 9 + b"</a>"))) == 20
    for walk in (lambda data: list(walk_xml(HERE, data)), lambda data: each_element(HERE, data, lambda tag, attributes: None)):
        with pytest.raises(FileFormatError, match="a.dae declares 11 elements of XML; at most 10 are read"):
            walk(b"<a>" + b"<b/>" * 10 + b"</a>")


@pytest.mark.parametrize(
    "data", [b"<a><!--" + b"x" * (5 << 20) + b"--></a>", b"<a b='" + b"x" * (5 << 20) + b"'/>", b"<" + b"a" * (5 << 20) + b"/>"]
)
def test_tags_and_comments_have_a_length(data: bytes) -> None:
    with pytest.raises(FileFormatError, match="A tag in a.dae is longer than 4,194,304 bytes"):
        list(walk_xml(HERE, data))


def test_a_long_namespace_is_not_repeated_for_each_element() -> None:
    data = b"<a xmlns='" + b"u" * 200_000 + b"'>" + b"<b/>" * 2000 + b"</a>"
    assert max(len(element.tag) for _, element in walk_xml(HERE, data)) == 1


def test_a_document_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "xml_bytes=10")
    with pytest.raises(FileFormatError, match="a.dae declares 11 bytes of XML; at most 10 are read"):
        list(walk_xml(HERE, b"<aaaaaaaa/>"))


def test_models_of_a_3mf_are_counted_together(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "xml_bytes=3000")
    import zipfile
    from io import BytesIO

    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("3D/3dmodel.model", "3D/b.model"):
            archive.writestr(name, "<model>" + " " * 2000 + "</model>")
    with pytest.raises(FileFormatError, match="a.3mf declares 4,030 bytes of XML; at most 3,000 are read"):
        shapes.load(put("a.3mf", out.getvalue()))


def test_3mf_instances_are_counted_before_they_are_made(put: Put) -> None:
    vertices = "".join(f'<vertex x="{i}" y="0" z="0"/>' for i in range(2000))
    mesh = f'<mesh><vertices>{vertices}</vertices><triangles><triangle v1="0" v2="1" v3="2"/></triangles></mesh>'
    items = '<item objectid="1"/>' * 20_000
    model = f'<model><resources><object id="1">{mesh}</object></resources><build>{items}</build></model>'
    with pytest.raises(FileFormatError, match="a.3mf declares 40,000,000 vertices; at most 20,000,000 are read"):
        shapes.load(put("a.3mf", zipped("3D/3dmodel.model", model)))


def test_3mf_objects_and_components_are_counted(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "instances=100")
    model = "<model><resources>" + "".join(f'<object id="{i}"/>' for i in range(101)) + "</resources></model>"
    with pytest.raises(FileFormatError, match="a.3mf declares 101 objects and components; at most 100 are read"):
        shapes.load(put("a.3mf", zipped("3D/3dmodel.model", model)))


def test_the_files_of_the_attack(shared_assets: Path) -> None:
    for name in ("3mf_utf7_entity.3mf", "dae_utf7_internal_entity.dae", "dae_entities_utf-16-be.dae"):
        path = shared_assets / "hostile" / name
        if not path.is_file():
            pytest.skip("needs the hostile files")
        with pytest.raises(FileFormatError):
            shapes.load(path)
