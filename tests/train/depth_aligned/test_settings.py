"""The published pipeline is the default; invalid settings are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.train import AlignedSettings
from basrelief.train.config import read_settings
from basrelief.train.depth_aligned.settings import DiffusionSettings


def test_the_defaults_are_the_papers() -> None:
    how = AlignedSettings()
    assert (how.source, how.points, how.size) == ("controlnet", 10_000, 224)
    diffusion = how.diffusion
    assert (diffusion.scheduler, diffusion.steps, diffusion.guidance, diffusion.strength, diffusion.size) == ("ddim", 20, 9.0, 1.0, 256)
    assert diffusion.prompt.startswith("A realistic {label}.")
    assert "sharp edge" in diffusion.prompt
    assert "warped" in diffusion.negative
    assert "sd15_depth" in diffusion.control


def test_a_file_overrides_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text("points: 2048\ndiffusion:\n  scheduler: lcm\n  steps: 4\n  guidance: 1.0\n")
    how = read_settings(AlignedSettings, tmp_path / "few.yaml", ["diffusion.steps=6", "seed=3"])
    assert (how.points, how.seed) == (2048, 3)
    assert (how.diffusion.scheduler, how.diffusion.steps, how.diffusion.guidance) == ("lcm", 6, 1.0)
    assert how.diffusion.size == 256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": "euler"}, "Unknown diffusion.scheduler 'euler'; expected one of ddim, lcm"),
        ({"precision": "int8"}, "Unknown diffusion.precision 'int8'; expected one of float16, bfloat16, float32"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"size": 100}, "diffusion.size is 100; it must be a multiple of 8, at most 2,048"),
        ({"size": 0}, "diffusion.size is 0; it must be a multiple of 8"),
        ({"guidance": -1.0}, "guidance is -1.0; it must be finite and not negative"),
        ({"strength": float("inf")}, "strength is inf; it must be finite"),
        ({"guidance": float("nan")}, "guidance is nan; it must be finite"),
        ({"prompt": "A chair."}, r"The prompt 'A chair\.' has no \{label\}\. Write, for example"),
    ],
)
def test_invalid_settings_are_rejected(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DiffusionSettings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "photo"}, "Unknown source 'photo'; expected one of controlnet, shaded"),
        ({"points": 0}, "Got 0 points and size 224; expected 1 to .* points, and a size of 8 to 2,048"),
        ({"size": 7}, "Got .* points and size 7; expected"),
    ],
)
def test_sources_and_sizes_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AlignedSettings(**changes)  # type: ignore[arg-type]
