"""Muon: singular values near one, equality with torch's steps, and resuming."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from basrelief.train.tiny.muon import Muon, orthogonal


def _matrices(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, generator=generator)) for shape in ((6, 6), (12, 6), (6, 12), (6, 6))]


def _gradients(matrices: list[nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for matrix in matrices:
        matrix.grad = torch.randn(matrix.shape, generator=generator)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 20, 5), (2, 5, 20)])
def test_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    matrices = 30 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.shape == (shape[0], min(shape[1:]))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_update_directions_are_kept() -> None:
    matrix = torch.diag(torch.tensor([5.0, 2.0, 1.0]))[None]
    found = orthogonal(matrix)[0]
    assert torch.allclose(found, torch.diag(found.diagonal()), atol=1e-5)
    assert (found.diagonal() > 0.6).all()


def test_a_kernel_is_updated_as_a_matrix() -> None:
    flat = nn.Parameter(torch.randn(6, 12, generator=torch.Generator().manual_seed(0)))
    kernel = nn.Parameter(flat.detach().view(6, 3, 2, 2).clone())
    optimiser = Muon([flat, kernel], lr=0.1, weight_decay=0.1)
    for seed in range(3):
        _gradients([flat], seed)
        assert flat.grad is not None
        kernel.grad = flat.grad.view_as(kernel)
        optimiser.step()
    assert torch.allclose(kernel.flatten(1), flat, atol=1e-5)


def test_zero_matrices_stay_zero() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 4, 4)), torch.zeros(1, 4, 4))


def test_steps_are_those_of_torch() -> None:
    ours, known = _matrices(), _matrices()
    first = Muon(ours, lr=0.02, weight_decay=0.1)
    second = torch.optim.Muon(known, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for seed in range(4):
        _gradients(ours, seed)
        _gradients(known, seed)
        first.step()
        second.step()
    for start, one, other in zip(_matrices(), ours, known, strict=True):
        moved, expected = (one - start).flatten(), (other - start).flatten()
        assert torch.cosine_similarity(moved, expected, dim=0) > 0.999  # torch's works in bfloat16
        assert torch.allclose(moved, expected, atol=0.01)


def test_a_matrix_without_gradient_is_unchanged() -> None:
    matrices = _matrices()
    _gradients(matrices, 0)
    matrices[0].grad = None
    Muon(matrices, lr=0.1, weight_decay=0.5).step()
    assert torch.equal(matrices[0], _matrices()[0])
    assert not torch.equal(matrices[3], _matrices()[3])


def test_weight_decay_applies_without_gradient() -> None:
    (matrix,) = matrices = [nn.Parameter(torch.ones(4, 4))]
    matrix.grad = torch.zeros(4, 4)
    Muon(matrices, lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(matrix, torch.full((4, 4), 0.95))


def test_its_state_resumes() -> None:
    ours = _matrices()
    first = Muon(ours, lr=0.02)
    _gradients(ours, 0)
    first.step()
    other = [nn.Parameter(matrix.detach().clone()) for matrix in ours]
    second = Muon(other, lr=0.5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for matrices, optimiser in ((ours, first), (other, second)):
        _gradients(matrices, 1)
        optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, other, strict=True))
