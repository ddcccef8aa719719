"""The published settings are the defaults; what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.train.config import read_settings
from basrelief.train.opendlign import OpenDlignSettings


def test_the_defaults_are_the_published_ones() -> None:
    how = OpenDlignSettings()
    assert (how.batch, how.epochs, how.rate, how.decay, how.views, how.blocks, how.residual) == (128, 10, 3e-4, 0.1, 10, 1, True)
    assert how.distance == 1.0


def test_a_recipe_changes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "h14.yaml").write_text("batch: 60\nresidual: false\n")
    how = read_settings(OpenDlignSettings, tmp_path / "h14.yaml", ["rate=1e-3"])
    assert (how.batch, how.residual, how.rate, how.epochs) == (60, False, 1e-3, 10)


@pytest.mark.parametrize("name", ["accumulate", "epochs", "views", "blocks", "save_every", "validate_every", "workers"])
def test_counts_are_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, but got 0"):
        OpenDlignSettings(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 1}, "batch must be at least 2, a contrast needs another shape, but got 1"),
        ({"rate": 0.0}, "rate must be positive, decay and distance not negative, but got 0.0, 0.1 and 1.0"),
        ({"rate": float("inf")}, "rate must be positive"),
        ({"decay": -1.0}, "rate must be positive, decay and distance not negative"),
        ({"distance": -1.0}, "rate must be positive, decay and distance not negative"),
        ({"distance": float("nan")}, "rate must be positive, decay and distance not negative"),
        ({"cache": "all"}, "cache must be one of tokens, pictures, none, but got 'all'"),
        ({"cache_type": "int8"}, "cache_type must be one of float16, float32, but got 'int8'"),
        ({"precision": "double"}, "precision must be one of float32, bfloat16, float16, but got 'double'"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OpenDlignSettings(**changes)  # type: ignore[arg-type]
