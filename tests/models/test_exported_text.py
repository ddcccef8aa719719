"""Point networks with exported labels in place of their text towers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders.exported_text import save_exported_text
from basrelief.encoders.points.registry import network_spec
from basrelief.errors import ConfigError, WeightsError
from basrelief.models import load_model
from basrelief.models.export_text import export_text
from basrelief.models.prompting import Prompter
from basrelief.testing import FakeEncoder
from support.small_models import ball, box

LABELS = ("ball", "night stand", "box")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the smallest Uni3D, as DeepSpeed saves them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = network_spec("uni3d-ti").build().state_dict()
    path = tmp_path_factory.mktemp("uni3d") / "model.pt"
    torch.save({"module": {**state, "logit_scale": torch.tensor(3.0)}}, path)
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Labels of an encoder of Uni3D's dimension."""
    return export_text(Prompter("ulip"), FakeEncoder(embedding_dim=1024), LABELS, path=tmp_path / "labels.safetensors")


def test_shapes_are_named_without_the_text_tower(checkpoint: Path, text: Path) -> None:
    model = load_model("uni3d-ti", checkpoint=checkpoint, text=text, device="cpu")
    found = model.classify([ball(), box()], ["box", "ball"])
    assert [set(prediction.labels) for prediction in found] == [{"box", "ball"}] * 2
    expected = Prompter("ulip").embed(["night stand"], FakeEncoder(embedding_dim=1024))
    torch.testing.assert_close(model.embed_text(["night_stand"]), expected, atol=1e-6, rtol=0)
    assert model.default_labels == LABELS


def test_what_it_cannot_do_is_explained(checkpoint: Path, text: Path) -> None:
    model = load_model("uni3d-ti", checkpoint=checkpoint, text=text, device="cpu")
    with pytest.raises(ConfigError, match=r"^'balls' is not among the 3 labels of labels\.safetensors\. Did you mean 'ball'\?"):
        model.classify([ball()], ["balls", "box"])
    with pytest.raises(ConfigError, match="holds no image tower: it cannot encode pictures"):
        model.embed_images([np.zeros((8, 8, 3), np.uint8)])


def test_labels_of_another_dimension_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = save_exported_text(tmp_path / "a.safetensors", ["a", "b"], torch.ones(2, 16), encoder=FakeEncoder(), prompts="ulip")
    with pytest.raises((ConfigError, WeightsError), match="16"):
        load_model("uni3d-ti", checkpoint=checkpoint, text=path, device="cpu")
