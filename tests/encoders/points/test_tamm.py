"""TAMM: its two adapters, its score, and its published files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.points.base import fill_network
from basrelief.encoders.points.registry import network_spec
from basrelief.encoders.points.tamm import Adapter, Tamm, TammPointPatch, TammPointPatchSize, TammSparseConv, TammSparseConvSize
from basrelief.encoders.state_dict import read_state_dicts
from basrelief.errors import WeightsError
from support import parity_json

ADAPTER = {
    "classifier.0.weight": (1024, 512),
    "classifier.0.bias": (1024,),
    **{f"classifier.1.{name}": (1024,) for name in ("weight", "bias", "running_mean", "running_var")},
    "classifier.1.num_batches_tracked": (),
    "classifier.4.weight": (1280, 1024),
    "classifier.4.bias": (1280,),
    **{f"classifier.5.{name}": (1280,) for name in ("weight", "bias", "running_mean", "running_var")},
    "classifier.5.num_batches_tracked": (),
}
SPARSE_ADAPTER = {
    f"final.{layer}.{name}": shape
    for layer in (0, 2)
    for name, shape in {
        "0.linear.weight": (1280, 1280),
        **{f"1.bn.{name}": (1280,) for name in ("weight", "bias", "running_mean", "running_var")},
        "1.bn.num_batches_tracked": (),
    }.items()
}


def small(kind: type[Tamm] = TammPointPatch) -> Tamm:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind is TammPointPatch:
            return TammPointPatch(TammPointPatchSize(32, 2, 2, 40, 16, 12, 0.4, 8, hidden=20, embedding_dim=24)).eval()
        size = TammSparseConvSize(4, (4, 6, 8, 8), (1, 1, 2, 1), 16, 0.05, shared=20, hidden=18, embedding_dim=24)
        return TammSparseConv(size).eval()


every_network = pytest.mark.parametrize("kind", [TammPointPatch, TammSparseConv])


def clouds() -> tuple[Tensor, Tensor]:
    return torch.rand(2, 50, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([50, 30])


def published(network: Tamm) -> dict[str, object]:
    """The file that TAMM's training writes, as far as it is known."""
    state = network.state_dict()
    adapters = ("image_alignment_adapter", "text_alignment_adapter")

    def part(prefix: str) -> dict[str, Tensor]:
        return {f"module.{name.removeprefix(prefix)}": tensor for name, tensor in state.items() if name.startswith(prefix)}

    inner = {f"module.{name}": tensor for name, tensor in state.items() if not name.startswith(adapters)}
    return {
        "state_dict": inner,
        **{name: part(f"{name}.") for name in adapters},
        "logit_scale": {"module.logit_scale": torch.tensor(2.6)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []},
        "image_proj": None,
        "epoch": 23,
    }


def test_published_layout_fits() -> None:
    layout = parity_json("openshape_pointbert_layouts.json")["openshape-pointbert-vitg14-rgb (scaling=4, out 1280)"]
    shapes = {name.removeprefix("module."): tuple(shape) for name, shape, _ in layout if not name.startswith("module.proj.")}
    shapes |= {f"{place}_alignment_adapter.{name}": shape for place in ("image", "text") for name, shape in ADAPTER.items()}
    assert {name: tuple(tensor.shape) for name, tensor in network_spec("tamm-pointbert").empty().state_dict().items()} == shapes


def test_sparse_layout_is_that_of_the_training_program() -> None:
    (layout,) = parity_json("openshape_spconv_layouts.json").values()
    shapes = {name.removeprefix("module."): tuple(shape) for name, shape, _ in layout if not name.startswith("module.final.")}
    shapes |= {"final.0.0.linear.weight": (1280, 2048)}
    shapes |= {f"final.0.1.bn.{name}": (1280,) for name in ("weight", "bias", "running_mean", "running_var")}
    shapes |= {"final.0.1.bn.num_batches_tracked": ()}
    shapes |= {f"{place}_alignment_adapter.{name}": shape for place in ("image", "text") for name, shape in SPARSE_ADAPTER.items()}
    assert {name: tuple(tensor.shape) for name, tensor in network_spec("tamm-sparseconv").empty().state_dict().items()} == shapes


@every_network
def test_a_published_file_is_read(kind: type[Tamm], tmp_path: Path) -> None:
    network = small(kind)
    torch.save(published(network), tmp_path / "tamm.pt")
    parts = read_state_dicts(tmp_path / "tamm.pt")
    assert parts["logit_scale"].keys() == {"logit_scale"}
    again = fill_network(small(kind), Tamm.from_published(parts), source="tamm.pt")
    points, sizes = clouds()
    torch.testing.assert_close(again(points, sizes), network(points, sizes), atol=1e-6, rtol=0)
    assert Tamm.from_published({"": network.state_dict()}).keys() == network.state_dict().keys()


def test_a_file_without_an_adapter_is_refused(tmp_path: Path) -> None:
    content = published(small())
    del content["text_alignment_adapter"]
    torch.save(content, tmp_path / "tamm.pt")
    with pytest.raises(
        WeightsError, match="has weights at state_dict, image_alignment_adapter, .*; expected them at text_alignment_adapter"
    ):
        Tamm.from_published(read_state_dicts(tmp_path / "tamm.pt"))


def test_openshape_weights_are_no_tamm_weights() -> None:
    with pytest.raises(WeightsError, match=r"does not fit the network; 28 missing: image_alignment_adapter\.classifier\.0\.bias"):
        fill_network(
            network_spec("tamm-pointbert").empty(),
            Tamm.from_published({"": network_spec("openshape-pointbert").build().ppat.state_dict(prefix="ppat.")}),
            source="x",
        )


def test_an_adapter_is_two_layers_with_an_activation_after_each() -> None:
    adapter = Adapter(8, 12, 10, dropout=0.5).double().eval()
    first, norm, _, _, second, other, *_ = adapter.classifier
    for batch_norm in (norm, other):
        assert isinstance(batch_norm, nn.BatchNorm1d)
        nn.init.uniform_(batch_norm.get_buffer("running_mean"))
        nn.init.uniform_(batch_norm.get_buffer("running_var"), 0.5, 1)
    features = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def layer(linear: nn.Module, batch_norm: nn.Module, rows: Tensor) -> Tensor:
        mean, variance = batch_norm.get_buffer("running_mean"), batch_norm.get_buffer("running_var")
        return F.gelu((linear(rows) - mean) / (variance + 1e-5).sqrt())

    expected = layer(second, other, layer(first, norm, features))
    torch.testing.assert_close(adapter(features), expected, atol=1e-12, rtol=0)
    assert adapter(features).min() > -0.17


@every_network
def test_the_text_adapter_comes_first(kind: type[Tamm]) -> None:
    network = small(kind)
    points, sizes = clouds()
    text, image = network(points, sizes).unbind(1)
    shared = network.shared_features(points, sizes)
    assert torch.equal(text, network.text_alignment_adapter(shared))
    assert torch.equal(image, network.image_alignment_adapter(shared))


@pytest.mark.parametrize(
    ("kind", "layer", "expected"), [(TammPointPatch, "classifier.3", [0.2, 0.5]), (TammSparseConv, "final.3", [0.5, 0.5])]
)
def test_dropout_of_the_adapters(kind: type[Tamm], layer: str, expected: list[float]) -> None:
    network = small(kind)
    dropouts = [adapter.get_submodule(layer) for adapter in (network.text_alignment_adapter, network.image_alignment_adapter)]
    assert [dropout.p for dropout in dropouts if isinstance(dropout, nn.Dropout)] == expected


def test_sparse_network_is_openshapes_up_to_pooling_and_trains() -> None:
    network = small(TammSparseConv)
    points, sizes = clouds()
    assert isinstance(network, TammSparseConv)
    pooled = network.pooled_features(points, sizes)
    adapter = network.text_alignment_adapter
    assert torch.equal(network(points, sizes)[:, 0], adapter(network.final(pooled)))
    assert network(points, sizes).min() > -0.17
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network.train()(points, sizes).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert without == []
