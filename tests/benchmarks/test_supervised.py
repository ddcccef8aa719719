"""The supervised network of benchmarks/supervised.py: its edge convolution is the one of the paper, and it learns."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from basrelief.datasets import maker_split
from basrelief.train import TinySettings
from basrelief.train.augment import Augmentation
from basrelief.train.data import ShapeSet, generated_shapes, merge, save_shapes
from support import load_script

STILL = Augmentation(stretch=0, taper=0, tilt=0, noise=0, outliers=0, cut_chance=0, shift=0)


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("benchmarks/supervised.py")


@pytest.fixture(scope="module")
def shapes() -> ShapeSet:
    return generated_shapes(("chair", "mug"), 4, count=256)


def test_the_edge_convolution_follows_the_paper(bench: ModuleType) -> None:
    torch.manual_seed(0)
    edges = bench.Edges(3, 5).eval()
    cloud = torch.rand(2, 7, 3)
    neighbour = torch.cdist(cloud, cloud).topk(3, dim=2, largest=False).indices
    flat = neighbour + torch.arange(2)[:, None, None] * 7
    expected = torch.stack(
        [
            torch.stack(
                [torch.stack([edges.near(one[j] - one[i]) + edges.own(one[i]) for j in row]).amax(dim=0) for i, row in enumerate(near)]
            )
            for one, near in zip(cloud, neighbour, strict=True)
        ]
    )
    with torch.no_grad():
        known = torch.nn.functional.leaky_relu(edges.norm(expected.flatten(0, 1)), 0.2).view(2, 7, 5)
        assert torch.allclose(edges(cloud, flat), known, atol=1e-6)


def test_the_order_of_points_does_not_matter(bench: ModuleType) -> None:
    torch.manual_seed(0)
    net = bench.Dgcnn(4, points=64).eval()
    cloud = torch.rand(2, 64, 3)
    with torch.no_grad():
        assert torch.allclose(net(cloud), net(cloud[:, torch.randperm(64)]), atol=1e-4)


def test_points_cut_away_repeat_one_that_is_left(bench: ModuleType) -> None:
    cloud = torch.rand(2, 5, 3)
    cut = cloud.clone()
    cut[0, [0, 3]] = torch.nan
    whole = bench.whole(cut)
    assert torch.equal(whole[1], cloud[1])
    assert torch.equal(whole[0, [1, 2, 4]], cloud[0, [1, 2, 4]])
    assert torch.equal(whole[0, [0, 3]], cloud[0, [1, 1]])


def test_labels_without_training_shapes_come_last(bench: ModuleType) -> None:
    torch.manual_seed(0)
    net = bench.Dgcnn(2, points=32)
    few = np.random.default_rng(0).normal(size=(10, 3))
    found = net.named([few, np.repeat(few, 9, axis=0)], ("chair", "mug"), ("zeppelin", "mug", "chair"))
    assert [labels[-1] for labels in found] == ["zeppelin", "zeppelin"]
    assert {frozenset(labels[:2]) for labels in found} == {frozenset({"chair", "mug"})}


@pytest.mark.slow
def test_it_learns_two_classes(bench: ModuleType, shapes: ShapeSet) -> None:
    settings = TinySettings(augmentation=STILL, smoothing=0.0)
    net = bench.taught(shapes, settings, steps=100, batch_size=8, points=64)
    named = net.named(list(shapes.points.float().numpy()), shapes.names, shapes.names)
    assert np.mean([labels[0] == shapes.names[i] for labels, i in zip(named, shapes.label.tolist(), strict=True)]) > 0.8


def test_a_run_is_read_and_evaluated_on_its_validation_packs(
    bench: ModuleType, shapes: ShapeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = ShapeSet(shapes.points[:3], shapes.label[:3], shapes.names, (" and ".join(maker_split().validation),) * 3)
    save_shapes(merge([held, shapes]), tmp_path / "shapes.pt")
    monkeypatch.setattr(bench, "CATEGORIES", ("chair", "mug"))
    monkeypatch.setattr(bench, "corrupted", lambda: {"nothing": lambda cloud, r: cloud})
    monkeypatch.setattr(
        sys, "argv", ["supervised.py", "--run", str(tmp_path), "--steps", "2", "--batch-size", "4", "--points", "64", "--threads", "1"]
    )
    bench.main()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"DGCNN, 0\.6 M parameters, 2 steps of 4 clouds of 64 points, \d+ min", lines[0])
    assert lines[1].startswith("validation packs, 2 names")
    assert " n    3 " in lines[1]
    assert lines[2].startswith("  of them, names it was shown in 3D")
    assert " n    3 " in lines[2]
    assert " n   10 " in lines[3]
    assert lines[-1].startswith("  nothing")
