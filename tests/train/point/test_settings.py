"""Settings: presets, overrides, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from basrelief.encoders.points.registry import list_point_networks
from basrelief.errors import ConfigError
from basrelief.train import PointSettings
from basrelief.train.point.settings import CloudAugmentation, OptimiserSettings, ScheduleSettings, list_presets, preset_settings


def test_the_defaults_are_openshape_pointbert() -> None:
    assert preset_settings("openshape-pointbert") == PointSettings()
    assert PointSettings().optimiser == OptimiserSettings(lr=5e-4, weight_decay=0.01)
    assert PointSettings().schedule == ScheduleSettings("step", every=10_000, factor=0.967)


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_names_a_network_and_its_source(name: str) -> None:
    settings = preset_settings(name)
    assert settings.preset == name
    assert settings.stage == "image-adapter" or settings.network in list_point_networks()
    record = json.loads((resources.files("basrelief.train.point") / "presets.json").read_text(encoding="utf-8"))
    assert len(record[name]["source"]) > 20


def test_published_values() -> None:
    sparse, tamm, first = (preset_settings(name) for name in ("openshape-sparseconv", "tamm-pointbert", "tamm-image-adapter"))
    assert (sparse.optimiser.lr, sparse.schedule.factor, sparse.batch_size, sparse.logit_scale) == (1e-3, 0.95, 200, 14.28)
    assert (tamm.images, tamm.optimiser.lr, tamm.epochs, tamm.schedule.warm_up_epochs) == (4, 4 * 1.5e-4, 200, 10)
    assert (first.stage, first.adapter_ratio, first.optimiser.lr, first.epochs) == ("image-adapter", 0.2, 2.5e-4, 400)
    hard = preset_settings("openshape-hard-negatives")
    assert (hard.batch_size // hard.neighbours, hard.neighbours, hard.nearest, hard.margin, hard.mask) == (40, 5, 31, 0.1, "zero")
    ulip, uni3d = preset_settings("ulip"), preset_settings("uni3d")
    assert (ulip.optimiser.lr, ulip.optimiser.beta2, ulip.schedule.end_lr, ulip.max_logit_scale) == (3e-3, 0.98, 1e-5, 100)
    assert (ulip.frame, ulip.points, uni3d.frame, uni3d.points) == ("y-up", 8192, "y-up", 10_000)
    assert (uni3d.optimiser.layer_decay, uni3d.optimiser.clip, uni3d.augmentation.dropout) == (0.95, 5, 0)


def test_overrides_change_a_preset() -> None:
    settings = PointSettings.read(None, ["preset=ulip", "batch_size=16", "optimiser.lr=1e-4"])
    ulip = preset_settings("ulip")
    assert settings == replace(ulip, batch_size=16, optimiser=replace(ulip.optimiser, lr=1e-4))


def test_a_file_may_name_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("preset: uni3d\nepochs: 3\naugmentation: {spin: false}\n")
    settings = PointSettings.read(path)
    assert (settings.network, settings.epochs, settings.augmentation.spin, settings.optimiser.clip) == ("uni3d-b", 3, False, 5)
    assert PointSettings.read(path, ["preset=ulip"]).network == "ulip"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("preset=uni3", r"Unknown preset 'uni3'; expected one of .* Did you mean 'uni3d'?"),
        ("stage=all", r"Unknown stage 'all'"),
        ("frame=x-up", r"Unknown frame 'x-up'; expected one of y-up, z-up, z-up-mirrored"),
        ("mask=none", r"Unknown mask 'none'; expected one of zero, exclude"),
        ("batch_size=1", r"batch_size is 1"),
        ("points=0", r"points is 0"),
        ("logit_scale=0", r"logit_scale is 0"),
        ("neighbours=3", r"neighbours is 3; it must divide batch_size, 200, and be at most nearest \+ 1, 32. OpenShape uses 5"),
        ("neighbours=40", r"neighbours is 40; it must divide"),
        ("missing_color=2", r"missing_color and adapter_ratio are 2.0 and 0.2; they must lie in \[0, 1\]"),
        ("optimiser.beta1=1", r"beta1, beta2 and layer_decay are 1.0, 0.999 and 1.0; the betas must be below 1"),
        ("schedule.name=line", r"Unknown name 'line'; expected one of step, cosine, constant"),
        ("augmentation.dropout=2", r"dropout, drop_colors, scale_low and scale_high are 2.0, 0.5, 0.8 and 1.25"),
        ("augmentation.scale_low=3", r"the last two in order. Leave them out"),
        ("netwrok=ulip", r"Unknown setting 'netwrok'"),
    ],
)
def test_wrong_values_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PointSettings.read(None, [override])


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Unknown preset 'os'"):
        preset_settings("os")


def test_augmentation_is_openshapes() -> None:
    assert CloudAugmentation() == CloudAugmentation(False, 0.875, 0.8, 1.25, 0.1, 0.06, 0.18, True, 0.5)
