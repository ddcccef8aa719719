"""Filters: the rows they select, and invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

lancedb = pytest.importorskip("lancedb")
import pyarrow as pa  # noqa: E402

from basrelief.errors import ConfigError  # noqa: E402
from basrelief.index.filters import NUMBER_COLUMNS, sql_condition  # noqa: E402

ROWS = [
    {"relative_path": "a_b/c.glb", "faces": 1, "name_words": "a b c", "format": "glb", "kind": "mesh", "tags": ["chair"], "width": 1.5},
    {
        "relative_path": "aXb/d.obj",
        "faces": 100_000,
        "name_words": "office chair",
        "format": "obj",
        "kind": "mesh",
        "tags": [],
        "width": 2.0,
    },
    {"relative_path": "a_b%/e.glb", "faces": 3, "name_words": "it's", "format": "glb", "kind": "mesh", "tags": ["it's", "b"], "width": 3.0},
    {"relative_path": "z.ply", "faces": 0, "name_words": "z", "format": "ply", "kind": "cloud", "tags": None, "width": 40.0},
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> object:
    schema = pa.schema(
        [
            ("relative_path", pa.string()),
            ("faces", pa.int64()),
            ("name_words", pa.string()),
            ("format", pa.string()),
            ("kind", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("width", pa.float32()),
        ]
    )
    return lancedb.connect(tmp_path_factory.mktemp("filters")).create_table("rows", pa.Table.from_pylist(ROWS, schema=schema))


def _found(table: object, *filters: str) -> str:
    """First letters of the file names that are left."""
    rows = table.search().where(sql_condition(filters)).select(["relative_path"]).limit(None).to_arrow()  # type: ignore[attr-defined]
    return "".join(sorted(Path(place).stem for place in rows["relative_path"].to_pylist()))


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
    assert sql_condition([]) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chairs", "is not a filter. Write e.g. faces<50k"),
        ("", "is not a filter. Write e.g. faces<50k"),
        ("face<5", "Unknown filter '.*'; expected one of faces, points, bytes, .* Did you mean 'faces'"),
        ("faces<5q", "Unknown unit '.*'; expected one of k, m, g"),
        ("faces<1.2.3", "'1.2.3' in a filter is not a finite number"),
        ("formt:glb", "Unknown filter '.*'; expected one of format, kind, .* Did you mean 'format'"),
        ("format: ,", "Filter 'format:' has nothing after the colon"),
        ("not faces<3\nfoo", "Unknown unit '.*'; expected one of k, m, g"),
        ("faces<inf", "is not a filter. Write e.g. faces<50k"),
        ("faces<nan", "is not a filter. Write e.g. faces<50k"),
        ("faces<1e999", "'1e999' in a filter is not a finite number"),
        ("-" * 3000 + "format:glb", "A filter has 3,010 characters; the limit is 200. Shorten it"),
    ],
)
def test_invalid_filters_are_rejected(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        sql_condition([text])


def test_too_many_filters_are_rejected() -> None:
    with pytest.raises(ConfigError, match="There are more than 32 filters. Combine some"):
        sql_condition(f"faces<{number}" for number in range(10**12))


@given(st.text(min_size=1, max_size=20), st.sampled_from(["format", "under", "name", "tag", *NUMBER_COLUMNS]))
def test_no_text_escapes_its_quotes(text: str, column: str) -> None:
    try:
        found = sql_condition([f"{column}:{text}"])
    except ConfigError:
        return
    assert found.replace("''", "").count("'") % 2 == 0
