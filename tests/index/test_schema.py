"""What rows hold: vectors of the model's lengths, and who made them in the table's own metadata."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("lancedb")

from basrelief.geometry import FORM_SIZE
from basrelief.index.query import COLUMNS
from basrelief.index.schema import KEY, About, changes_schema, failures_schema, shapes_schema

ABOUT = About("tiny", "f" * 64, views=3, dim=8, common=tuple([0.5] * 8))


def test_vectors_have_the_lengths_of_the_model() -> None:
    schema = shapes_schema(ABOUT)
    lengths = {name: schema.field(name).type.list_size for name in ("vector", "views", "form")}
    assert lengths == {"vector": 8, "views": 24, "form": FORM_SIZE}


def test_the_table_says_what_made_it() -> None:
    record = json.loads(shapes_schema(ABOUT).metadata[KEY])
    assert About(**{**record, "common": tuple(record["common"])}) == ABOUT


def test_hits_tell_of_columns_that_there_are() -> None:
    assert set(COLUMNS) <= set(shapes_schema(ABOUT).names)


def test_every_file_is_told_apart_by_its_path() -> None:
    for schema in (shapes_schema(ABOUT), failures_schema(), changes_schema()):
        assert schema.names[0] == "path"
