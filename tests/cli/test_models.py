"""`basrelief models --cost` on the command line."""

from __future__ import annotations

import json

import pytest

from basrelief.models import model_cost, recipes

from .conftest import Run


@pytest.mark.slow
def test_every_model_has_a_row(run: Run) -> None:
    ended = run("models", "--cost")
    assert ended.code == 0
    for name in recipes():
        assert name in ended.out
    for head in ("image tower or point network", "text tower", "views", "multiply-adds", "points", "prepare", "encode"):
        assert head in ended.out


def test_json_holds_every_model_and_times_those_with_weights(run: Run) -> None:
    records = {record["name"]: record for record in map(json.loads, run("models", "--cost", "--json").out.splitlines())}
    assert set(records) == set(recipes())
    assert records["tiny"]["encode_ms"] > 0
    assert records["tiny"]["draw_ms"] > 0
    assert records["opendlign-h14"]["encode_ms"] is None
    counted = model_cost("tiny")
    assert (records["tiny"]["parameters"], records["tiny"]["multiply_adds"]) == (counted.parameters, counted.multiply_adds)


def test_a_device_that_is_not_there_is_explained(run: Run) -> None:
    ended = run("models", "--cost", "--device", "abacus")
    assert ended.code == 2
    assert "Device " in ended.err


@pytest.mark.parametrize("option", ["--costs", "--price"])
def test_an_unknown_option_ends_with_2(option: str, run: Run) -> None:
    assert run("models", option).code == 2
