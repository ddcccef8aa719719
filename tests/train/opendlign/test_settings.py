"""The published settings are the defaults; invalid ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.train import OpenDlignSettings
from basrelief.train.config import read_settings


def test_the_defaults_are_the_published_ones() -> None:
    how = OpenDlignSettings()
    assert (how.batch_size, how.epochs, how.lr, how.weight_decay, how.views, how.blocks, how.residual) == (128, 10, 3e-4, 0.1, 10, 1, True)
    assert how.distance == 1.0


def test_a_file_overrides_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "h14.yaml").write_text("batch_size: 60\nresidual: false\n")
    how = read_settings(OpenDlignSettings, tmp_path / "h14.yaml", ["lr=1e-3"])
    assert (how.batch_size, how.residual, how.lr, how.epochs) == (60, False, 1e-3, 10)


@pytest.mark.parametrize("name", ["accumulate", "epochs", "views", "blocks", "save_every", "validate_every", "workers"])
def test_counts_are_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 0; it must be at least 1. Leave it out for the default."):
        OpenDlignSettings(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"lr": 0.0}, "lr is 0.0; it must be finite and positive"),
        ({"lr": float("inf")}, "lr is inf; it must be finite and positive"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be finite and not negative"),
        ({"distance": -1.0}, "distance is -1.0; it must be finite and not negative"),
        ({"distance": float("nan")}, "distance is nan; it must be finite and not negative"),
        ({"cache": "all"}, "Unknown cache 'all'; expected one of tokens, pictures, none"),
        ({"cache_type": "int8"}, "Unknown cache_type 'int8'; expected one of float16, float32"),
        ({"precision": "double"}, "Unknown precision 'double'; expected one of float32, bfloat16, float16"),
    ],
)
def test_invalid_settings_are_rejected(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OpenDlignSettings(**changes)  # type: ignore[arg-type]
