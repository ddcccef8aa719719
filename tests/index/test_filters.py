"""Filters: what they mean on rows, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

lancedb = pytest.importorskip("lancedb")
import pyarrow as pa  # noqa: E402

from basrelief.errors import ConfigError  # noqa: E402
from basrelief.index.filters import NUMBERS, condition  # noqa: E402

ROWS = [
    {"place": "a_b/c.glb", "faces": 1, "words": "a b c", "format": "glb", "kind": "mesh", "tags": ["chair"], "width": 1.5},
    {"place": "aXb/d.obj", "faces": 100_000, "words": "office chair", "format": "obj", "kind": "mesh", "tags": [], "width": 2.0},
    {"place": "a_b%/e.glb", "faces": 3, "words": "it's", "format": "glb", "kind": "mesh", "tags": ["it's", "b"], "width": 3.0},
    {"place": "z.ply", "faces": 0, "words": "z", "format": "ply", "kind": "cloud", "tags": None, "width": 40.0},
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> object:
    schema = pa.schema(
        [
            ("place", pa.string()),
            ("faces", pa.int64()),
            ("words", pa.string()),
            ("format", pa.string()),
            ("kind", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("width", pa.float32()),
        ]
    )
    return lancedb.connect(tmp_path_factory.mktemp("filters")).create_table("rows", pa.Table.from_pylist(ROWS, schema=schema))


def _found(table: object, *filters: str) -> str:
    """First letters of the file names that are left."""
    rows = table.search().where(condition(filters)).select(["place"]).limit(None).to_arrow()  # type: ignore[attr-defined]
    return "".join(sorted(Path(place).stem for place in rows["place"].to_pylist()))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("faces<50k", "cez"),
        ("faces >= 1e5", "d"),
        ("faces>0.09M", "d"),
        ("faces!=3", "cdz"),
        ("FACES=3", "e"),
        ("width<=2", "cd"),
        ("width>1.6", "dez"),
        ("format:glb", "ce"),
        ("format:.PLY, obj", "dz"),
        ("kind:cloud", "z"),
        ("under:a_b", "c"),
        ("under:a_b%/", "e"),
        ("under:/aXb/", "d"),
        ("under:a", ""),
        ("name:Chair", "d"),
        ("name:it's", "e"),
        ("tag:chair", "c"),
        ("tag:chair,it's", "ce"),
        ("not tag:chair", "de"),
        ("-format:glb", "dz"),
        ("not faces<50k", "d"),
        ("not not faces<50k", "cez"),
        ("--format:glb", "ce"),
        ("not name:chair\nor", "cdez"),
        (" - " * 60 + "kind:cloud", "z"),
    ],
)
def test_a_filter_leaves_the_rows_it_means(table: object, text: str, left: str) -> None:
    assert _found(table, text) == left


def test_all_filters_must_hold(table: object) -> None:
    assert _found(table, "format:glb", "faces<2") == "c"
    assert condition([]) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chairs", "filter must be like faces<50k"),
        ("", "filter must be like faces<50k"),
        ("face<5", "filter must be one of faces, points, bytes, .* Did you mean 'faces'"),
        ("faces<5q", "unit must be one of k, m, g"),
        ("faces<1.2.3", "filter must compare with a number, but got '1.2.3'"),
        ("formt:glb", "filter must be one of format, kind, .* Did you mean 'format'"),
        ("format: ,", "filter must have a word behind the colon, but got 'format:'"),
        ("not faces<3\nfoo", "unit must be one of k, m, g"),
        ("faces<inf", "filter must be like faces<50k"),
        ("faces<nan", "filter must be like faces<50k"),
        ("faces<1e999", "filter must compare with a number, but got '1e999'"),
        ("-" * 3000 + "format:glb", "filter must have at most 200 characters, but got 3,010"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        condition([text])


def test_too_many_filters_are_refused() -> None:
    with pytest.raises(ConfigError, match="filters must be at most 32, but got more"):
        condition(f"faces<{number}" for number in range(10**12))


@given(st.text(min_size=1, max_size=20), st.sampled_from(["format", "under", "name", "tag", *NUMBERS]))
def test_no_text_leaves_its_quotes(text: str, column: str) -> None:
    try:
        found = condition([f"{column}:{text}"])
    except ConfigError:
        return
    assert found.replace("''", "").count("'") % 2 == 0
