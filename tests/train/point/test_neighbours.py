"""Nearest shapes by brute force, and groups drawn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from basrelief.errors import ConfigError
from basrelief.train.point import neighbours
from basrelief.train.point.neighbours import draw_groups, load_neighbours, nearest_shapes


def test_nearest_shapes_are_those_of_a_full_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    features = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    cosine = (F.normalize(features, dim=1) @ F.normalize(features, dim=1).T).fill_diagonal_(-2)
    expected = cosine.argsort(dim=1, descending=True)[:, :5].numpy()
    np.testing.assert_array_equal(nearest_shapes(features, 5), expected)
    assert nearest_shapes(features[:4], 31).shape == (4, 3)


def test_groups_hold_a_seed_and_different_neighbours() -> None:
    near = np.stack([(row + 1 + np.arange(6)) % 20 for row in range(20)])
    groups = draw_groups(near, groups=50, size=4, generator=np.random.default_rng(0))
    assert groups.shape == (50, 4)
    for seed, *others in groups.tolist():
        assert len(set(others)) == 3
        assert set(others) <= set(near[seed].tolist())
    assert len(set(groups[:, 0].tolist())) > 12
    np.testing.assert_array_equal(groups, draw_groups(near, groups=50, size=4, generator=np.random.default_rng(0)))


def test_neighbours_are_computed_once(tmp_path: Path) -> None:
    path, calls = tmp_path / "neighbours.npy", []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.zeros((5, 3), np.int32)

    for _ in range(2):
        assert load_neighbours(path, shapes=5, count=3, compute=compute).shape == (5, 3)
    assert len(calls) == 1
    with pytest.raises(ConfigError, match=r"neighbours.npy holds neighbours of other shapes. Name another folder with --out."):
        load_neighbours(path, shapes=6, count=3, compute=compute)
