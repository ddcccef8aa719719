"""Columns of the tables: vector lengths, and the model in the metadata."""

from __future__ import annotations

import pytest

pytest.importorskip("lancedb")

from basrelief.geometry.descriptor import DESCRIPTOR_SIZE
from basrelief.index.schema import LibraryInfo, changes_schema, failures_schema, shapes_schema
from basrelief.index.search import METADATA_COLUMNS

INFO = LibraryInfo("tiny", "f" * 64, views=3, dim=8, text_mean=tuple([0.5] * 8))


def test_vectors_have_the_lengths_of_the_model() -> None:
    schema = shapes_schema(INFO)
    lengths = {name: schema.field(name).type.list_size for name in ("vector", "views", "form")}
    assert lengths == {"vector": 8, "views": 24, "form": DESCRIPTOR_SIZE}


def test_info_is_read_from_the_schema() -> None:
    assert LibraryInfo.from_schema(shapes_schema(INFO)) == INFO


def test_metadata_columns_exist() -> None:
    assert set(METADATA_COLUMNS) <= set(shapes_schema(INFO).names)


def test_path_is_the_first_column() -> None:
    for schema in (shapes_schema(INFO), failures_schema(), changes_schema()):
        assert schema.names[0] == "path"
