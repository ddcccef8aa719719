"""Both published layouts, which network a file holds, and files that are wrong."""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from basrelief.encoders.points.base import fill_network
from basrelief.errors import WeightsError
from basrelief.models.detectors import detectors
from basrelief.scenes.threedetr.network import ThreeDetr
from basrelief.scenes.threedetr.sizes import ThreeDetrSpec, published_sizes
from basrelief.scenes.threedetr.weights import from_published, load_threedetr, recognise_threedetr
from support import parity_json
from support.published_threedetr import authors_file, copied, small_sizes
from support.recorded_networks import meta_state
from support.recorded_threedetr import small_threedetr

LAYOUTS = {
    "3detr-scannet": 'scannet_ep1080.pth, ckpt["model"]',
    "3detr-m-scannet": 'scannet_masked_ep1080.pth, ckpt["model"]',
    "3detr-m-scannet-color": 'scannet_masked_ep1080 with --use_color, ckpt["model"]',
    "3detr-sunrgbd": 'sunrgbd_ep1080.pth, ckpt["model"]',
    "3detr-m-sunrgbd": 'sunrgbd_masked_ep1080.pth, ckpt["model"]',
}
State = dict[str, Tensor]
Change = Callable[[State], object]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, ThreeDetrSpec]:
    return small_sizes(monkeypatch)


def network_of(spec: ThreeDetrSpec, seed: int = 1) -> ThreeDetr:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ThreeDetr(spec.size).eval()


def same(first: ThreeDetr, second: ThreeDetr) -> bool:
    return all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def write(folder: Path, state: State) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()}))
    return path


def test_every_layout_is_here() -> None:
    assert set(LAYOUTS) == set(published_sizes())
    assert set(LAYOUTS.values()) == set(parity_json("3detr_layouts.json"))
    assert set(detectors()) == set(published_sizes()) - {"3detr-m-scannet-color"}


@pytest.mark.parametrize(("name", "title"), LAYOUTS.items())
def test_published_layouts_fit(name: str, title: str) -> None:
    """Every key, shape and type, in the authors' names and in those of the copies."""
    layout = parity_json("3detr_layouts.json")[title]
    state = meta_state(layout)
    spec = published_sizes()[name]
    expected = spec.empty().state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in expected.items()} == {key: tuple(shape) for key, shape, _ in layout}
    assert {key: str(tensor.dtype) for key, tensor in expected.items()} == {key: f"torch.{dtype}" for key, _, dtype in layout}
    for given in (state, copied(state)):
        assert recognise_threedetr(given) is spec
        fill_network(spec.empty(), from_published({"": given}), source=name)
    assert copied(state).keys().isdisjoint({key for key in state if ".mlp_module." in key or "gauss" in key})


@pytest.mark.parametrize("name", published_sizes())
def test_a_checkpoint_and_its_copy_give_one_network(name: str, small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    network = network_of(small[name])
    authors = tmp_path / "ep1080.pth"
    authors.write_bytes(authors_file(network.state_dict()))
    for path in (authors, write(tmp_path, copied(network.state_dict())), write(tmp_path, network.state_dict())):
        loaded, spec = load_threedetr(path)
        assert spec is small[name]
        assert same(loaded, network)
        assert not loaded.training
        assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_arguments_of_the_training_are_not_built(small: dict[str, ThreeDetrSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a file was executed")

    path = tmp_path / "ep1080.pth"
    path.write_bytes(authors_file(network_of(small["3detr-scannet"]).state_dict()))
    monkeypatch.setattr(argparse.Namespace, "__init__", fail)
    monkeypatch.setattr(argparse.Namespace, "__setstate__", fail, raising=False)
    assert load_threedetr(path)[1].name == "3detr-scannet"


def test_half_precision_becomes_float32(small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    state = {name: t.half() if t.is_floating_point() else t for name, t in network_of(small["3detr-scannet"]).state_dict().items()}
    loaded, _ = load_threedetr(write(tmp_path, state))
    assert all(torch.equal(loaded.state_dict()[name], t.float() if t.is_floating_point() else t) for name, t in state.items())


def rename(state: State) -> None:
    state["decoder.extra.weight"] = state.pop("decoder.norm.weight")


@pytest.mark.parametrize("dialect", [dict, copied])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update(surplus=torch.zeros(2)), "does not fit the network; 1 unknown: surplus."),
        (lambda state: state.pop("decoder.norm.bias"), "does not fit the network; 1 missing: decoder.norm.bias."),
        (rename, "does not fit the network; 1 unknown: decoder.extra.weight."),
        (lambda state: state["decoder.norm.bias"].fill_(torch.nan), "decoder.norm.bias holds NaN or infinity."),
        (
            lambda state: state.update({"decoder.norm.bias": torch.zeros(9)}),
            "decoder.norm.bias of model.safetensors is (9,) torch.float32; expected (24,)",
        ),
    ],
)
def test_files_that_do_not_fit(dialect: Callable[[State], State], change: Change, message: str, small: object, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in dialect(small_threedetr("masked").state_dict()).items()}
    change(state)
    with pytest.raises(WeightsError, match=re.escape(message)):
        load_threedetr(write(tmp_path, state))


def test_one_tensor_under_two_names(small: object, tmp_path: Path) -> None:
    state = small_threedetr("masked").state_dict()
    both = {**state, "pos_embedding.gauss_b": state["pos_embedding.gauss_B"].clone()}
    with pytest.raises(
        WeightsError, match=r"^pos_embedding\.gauss_[bB] and another tensor of the file both stand for pos_embedding\.gauss_B\."
    ):
        load_threedetr(write(tmp_path, both))


def test_other_files(tmp_path: Path) -> None:
    expected = "model.safetensors holds no 3DETR: none of its 1 tensors has a name and a shape of that network. Run: basrelief models fetch 3detr-m-scannet."
    with pytest.raises(WeightsError, match=re.escape(expected)):
        load_threedetr(write(tmp_path, {"visual.conv1.weight": torch.zeros(3, 3)}))
    (tmp_path / "model.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsError):
        load_threedetr(tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="Cannot read the weights"):
        load_threedetr(tmp_path / "none.pth")
    file = io.BytesIO()
    torch.save({"optimizer": {"a": torch.zeros(1)}, "epoch": 3}, file)
    (tmp_path / "model.pth").write_bytes(file.getvalue())
    with pytest.raises(WeightsError, match=r"weights at optimizer; expected them at model or its top"):
        load_threedetr(tmp_path / "model.pth")


def test_other_sizes_are_not_recognised() -> None:
    assert recognise_threedetr({}) is None
    assert recognise_threedetr(small_threedetr("masked", dec_nlayers=3).state_dict()) is None
    state = published_sizes()["3detr-scannet"].empty().state_dict()
    state.popitem()
    assert recognise_threedetr(state) is None
