"""Models and data sets given by name and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from basrelief.errors import ConfigError
from basrelief.evaluate import ModelSource, sources
from basrelief.models import Model, get_recipe
from support.small_models import small_encoder


def test_the_second_path_has_its_few_shot_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []

    def load_model(name: str, **options: Any) -> Model:
        calls.append((name, options["checkpoint"]))
        return Model(get_recipe(name), small_encoder())

    monkeypatch.setattr(sources, "load_model", load_model)
    found = ModelSource("clip2point", checkpoint=Path("tower.pth")).load_second_path("dual-path", seed=3)
    assert found is not None
    assert calls == [("clip2point-untuned", None)]
    assert found.model.recipe.projection == "clip2point"
    assert found.seed == 3


@pytest.mark.parametrize("head", ["probe", "cache", "simplified", "inter-view"])
def test_heads_of_one_path_load_nothing(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load_model", lambda *_, **__: pytest.fail("loaded"))
    assert ModelSource("clip2point").load_second_path(head) is None


def test_a_model_without_a_second_path_is_explained() -> None:
    with pytest.raises(ConfigError, match="Head 'dual-path' needs two image towers, but 'tiny' has one"):
        ModelSource("tiny").load_second_path("dual-path")
