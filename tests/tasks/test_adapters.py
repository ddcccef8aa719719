"""Adapters: parity with recorded output and gradients of the original code, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.errors import WeightsError
from basrelief.tasks.heads.adapters import (
    DualPathAdapter,
    InterViewAdapter,
    SimplifiedAdapter,
    adapter_loss,
    published_adapter,
)
from support import parity_arrays

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def part(arrays: dict[str, np.ndarray], start: str) -> dict[str, Tensor]:
    """Tensors whose names begin so, without that beginning."""
    found = {name.removeprefix(start): torch.from_numpy(np.asarray(array)) for name, array in arrays.items() if name.startswith(start)}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


def loaded(adapter: nn.Module, state: dict[str, Tensor], path: str = "") -> nn.Module:
    adapter.load_state_dict(published_adapter(state, path))
    return adapter


def check_training(adapter: nn.Module, arrays: dict[str, np.ndarray], start: str, views: Tensor) -> None:
    """Forward and backward in training mode without dropout, against the record."""
    adapter.train()
    for module in adapter.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    leaf = views.clone().requires_grad_()
    out = adapter(leaf)
    torch.testing.assert_close(out.detach(), torch.from_numpy(arrays[f"{start}out_train"]), **CLOSE)
    for name, buffer in published_adapter(part(arrays, f"{start}buffers_after_train_forward/")).items():
        torch.testing.assert_close(dict(adapter.named_buffers())[name], buffer, **CLOSE)
    out.square().mean().backward()  # what the record took gradients of
    if f"{start}grad_in" in arrays:
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad.flatten(0, 1), torch.from_numpy(arrays[f"{start}grad_in"]), rtol=1e-3, atol=1e-6)
    recorded = published_adapter(part(arrays, f"{start}grad/"))
    learned = dict(adapter.named_parameters())
    assert recorded.keys() == learned.keys()
    for name, gradient in recorded.items():
        torch.testing.assert_close(learned[name].grad, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("views", [10, 6])
def test_the_simplified_adapter_is_clip2points(views: int) -> None:
    arrays = parity_arrays("clip2point_adapter.npz")
    start = f"v{views}/"
    adapter = loaded(SimplifiedAdapter(views, 32), part(arrays, f"{start}sd/"))
    given = torch.from_numpy(arrays[f"{start}in"]).view(-1, views, 32)
    adapter.eval()
    torch.testing.assert_close(adapter(given).detach(), torch.from_numpy(arrays[f"{start}out_eval"]), **CLOSE)
    check_training(adapter, arrays, start, given)


def test_pointclips_inter_view_adapter() -> None:
    arrays = parity_arrays("pointclip_adapter.npz")
    adapter = loaded(InterViewAdapter(10, 32), part(arrays, "sd/"))
    given = torch.from_numpy(arrays["in"]).view(-1, 10, 32)
    adapter.eval()
    torch.testing.assert_close(adapter(given).detach(), torch.from_numpy(arrays["out_eval"]), **CLOSE)
    check_training(adapter, arrays, "", given)


@pytest.mark.parametrize("classes", [40, 15])
def test_smoothing_is_pointclips(classes: int) -> None:
    arrays = parity_arrays("pointclip_adapter.npz")
    logits = torch.from_numpy(arrays[f"smooth{classes}/logits"]).requires_grad_()
    loss = adapter_loss(logits, torch.from_numpy(arrays[f"smooth{classes}/gold"]), smoothing=0.2)
    loss.backward()
    assert loss.item() == pytest.approx(float(arrays[f"smooth{classes}/loss"]), rel=1e-5)
    torch.testing.assert_close(logits.grad, torch.from_numpy(arrays[f"smooth{classes}/grad"]), rtol=1e-4, atol=1e-6)


def dual() -> tuple[DualPathAdapter, dict[str, np.ndarray], Tensor]:
    arrays = parity_arrays("clip2point_dpa.npz")
    adapter = DualPathAdapter(12, 32)
    state = part(arrays, "sd/")
    adapter.depth.load_state_dict(published_adapter(state, "adapter1"))
    adapter.image.load_state_dict(published_adapter(state, "adapter2"))
    paths = [torch.from_numpy(arrays[name]).view(4, 6, 32) for name in ("pre_model_out", "ori_model_out")]
    return adapter, arrays, torch.cat(paths, dim=1)


def test_the_dual_path_adapter_is_clip2points() -> None:
    adapter, arrays, views = dual()
    adapter.eval()
    feature = F.normalize(adapter(views), dim=-1).detach()
    torch.testing.assert_close(feature, torch.from_numpy(arrays["out_eval"]), **CLOSE)
    texts = F.normalize(torch.from_numpy(arrays["text_features"]), dim=-1)
    torch.testing.assert_close(feature @ texts.T, torch.from_numpy(arrays["logits_eval"]), rtol=1e-4, atol=1e-5)


def test_the_loss_of_the_dual_path_adapter_and_its_gradients() -> None:
    adapter, arrays, views = dual()
    adapter.train()
    for module in adapter.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    feature = F.normalize(adapter(views), dim=-1)
    torch.testing.assert_close(feature.detach(), torch.from_numpy(arrays["out_train"]), **CLOSE)
    texts = F.normalize(torch.from_numpy(arrays["text_features"]), dim=-1)
    loss = adapter_loss(feature @ texts.T, torch.from_numpy(arrays["labels"]))
    assert loss.item() == pytest.approx(float(arrays["ce_loss_train"]), rel=1e-5)
    loss.backward()
    torch.testing.assert_close(adapter.depth.ratio.grad, torch.from_numpy(arrays["grad_adapter1_fusion_ratio"]), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(adapter.image.out.weight.grad, torch.from_numpy(arrays["grad_adapter2_last"]), rtol=1e-3, atol=1e-6)


def test_views_weighed_by_nothing_do_not_count() -> None:
    adapter = SimplifiedAdapter(4, 8).eval()
    with torch.no_grad():
        adapter.ratio[2] = 0
    views = torch.randn(3, 4, 8)
    other = views.clone()
    other[:, 2] = 100
    torch.testing.assert_close(adapter(views), adapter(other))


def test_a_share_of_nothing_leaves_the_views_alone() -> None:
    adapter = InterViewAdapter(3, 8, share=0.0).eval()
    views = torch.randn(2, 3, 8)
    torch.testing.assert_close(adapter(views), views.flatten(1))


def test_the_paths_are_averaged() -> None:
    adapter = DualPathAdapter(6, 8).eval()
    views = torch.randn(2, 6, 8)
    torch.testing.assert_close(adapter(views), (adapter.depth(views[:, :3]) + adapter.image(views[:, 3:])) / 2)


def test_dropout_is_for_training_only() -> None:
    adapter = SimplifiedAdapter(3, 8, dropout=0.5).eval()
    views = torch.randn(4, 3, 8)
    torch.testing.assert_close(adapter(views), adapter(views))
    adapter.train()
    assert not torch.equal(adapter(views), adapter(views))


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.5])
def test_smoothing_by_its_definition(smoothing: float) -> None:
    logits, truth = torch.randn(5, 7), torch.tensor([0, 3, 6, 1, 1])
    target = torch.full((5, 7), smoothing / 6)
    target[torch.arange(5), truth] = 1 - smoothing
    expected = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(adapter_loss(logits, truth, smoothing=smoothing), expected)


def test_names_of_another_file_are_refused() -> None:
    with pytest.raises(WeightsError, match="The weights hold 'conv.weight', which is not part of an adapter"):
        published_adapter({"conv.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="The weights hold no adapter2"):
        published_adapter({"adapter1.fusion_ratio": torch.zeros(1)}, "adapter2")
