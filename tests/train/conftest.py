"""A few shapes and a small vocabulary, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders import ClipEncoder, Tokenizer
from basrelief.io import save
from basrelief.testing import make_shape
from basrelief.train.data import ShapeSet, generated_shapes
from basrelief.train.tiny.text import FILES
from basrelief.train.tiny.towers import new_encoder

NAMES = ("chair", "table", "mug", "car")


@pytest.fixture(scope="session")
def shapes() -> ShapeSet:
    return generated_shapes(NAMES, 3, count=512)


@pytest.fixture(scope="session")
def clip_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded features of a few names in the four files, all different directions round a common mean."""
    folder = tmp_path_factory.mktemp("clip_text")
    rng = np.random.default_rng(0)
    spelled = {
        "coco80.npz": ["chair", "car"],
        "o365_365.npz": ["Chair", "Table", "Cabinet/shelf"],
        "oid500.npz": ["Mug", "Table"],
        "lvis1203.npz": ["traffic_light", "car_(automobile)", "monitor_(computer_equipment) computer_monitor", "ax"],
    }
    mean = rng.normal(size=512) * 0.4
    for file in FILES:
        rows = (mean + rng.normal(size=(len(spelled[file]), 512)) * 0.2).astype(np.float16)
        np.savez(folder / file, names=np.array(spelled[file]), embeddings=rows)
    return folder


@pytest.fixture
def encoder() -> ClipEncoder:
    words = ["a chair", "a table", "a mug", "a car", "traffic light"]
    return new_encoder(Tokenizer.train(words, vocab_size=560), seed=0)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled files with its table beside it, two packs of two classes."""
    folder = tmp_path_factory.mktemp("files") / "shapes"
    lines = ["class,id,source_pack,creator"]
    for name, made in (("chair", "chair"), ("street light", "lamp")):
        (folder / name.replace(" ", "_")).mkdir(parents=True)
        for seed, pack in ((0, "first pack"), (1, "second pack")):
            save(make_shape(made, seed=seed), folder / name.replace(" ", "_") / f"{made}_{seed}.ply")
            lines.append(f"{name},{made}_{seed},{pack},somebody")
    folder.with_suffix(".csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal in every number, NaN included."""
    return bool(torch.equal(torch.nan_to_num(first, 7.0), torch.nan_to_num(second, 7.0)))
