"""Uni3D against its recorded output, and its published files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.encoders.points.base import fill_network
from basrelief.encoders.points.registry import network_spec
from basrelief.encoders.points.uni3d import Uni3d, Uni3dSize
from basrelief.errors import WeightsError
from support import parity_arrays, parity_json
from support.recorded_networks import config, meta_state, recorded_cloud, recorded_network, smaller

RECORDINGS = {
    "uni3d_eva02_packed_small": Uni3dSize("eva02-packed", width=96, depth=3, heads=3, mlp_width=256),
    "uni3d_eva02_split_small": Uni3dSize("eva02-split", width=60, depth=2, heads=3, mlp_width=160),
    "uni3d_eva_g_small": Uni3dSize("eva", width=88, depth=2, heads=4, mlp_width=384),
    "uni3d_tiny_full": Uni3dSize("eva02-packed", width=192, depth=12, heads=3, mlp_width=512),
}
SIZES = ("ti", "s", "b", "l", "g")


@pytest.mark.parametrize(("name", "size"), RECORDINGS.items())
def test_same_as_the_original(name: str, size: Uni3dSize) -> None:
    arrays = parity_arrays(f"{name}.npz")
    given = config(arrays)
    numbers = {"groups": "num_group", "neighbours": "group_size", "group_width": "pc_encoder_dim", "embedding_dim": "embed_dim"}
    size = smaller(size, **{ours: given[theirs] for ours, theirs in numbers.items() if theirs in given})
    network, cloud = recorded_network(Uni3d, size, arrays), recorded_cloud(arrays)
    np.testing.assert_allclose(network(*cloud)[:, 0], arrays["embedding"], rtol=0, atol=1e-5 if "small" in name else 2e-5)
    exact = network.double()(cloud[0].double(), cloud[1])[:, 0]
    np.testing.assert_allclose(exact, arrays["embedding_f64"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("number", range(5))
def test_published_layout_fits(number: int) -> None:
    layout = list(parity_json("uni3d_layouts.json").values())[number]
    network = network_spec(f"uni3d-{SIZES[number]}").empty()
    state = Uni3d.from_published({"module": meta_state(layout)})
    assert set(fill_network(network, state, source="model.pt").state_dict()) == set(state)
    left_out = {name for name, _, _ in layout} - set(state)
    assert {name.removeprefix("point_encoder.visual.").split(".")[0] for name in left_out} <= {
        *("logit_scale", "cls_token", "pos_embed", "patch_embed", "head")
    }


def test_half_precision_becomes_single() -> None:
    layout = parity_json("uni3d_layouts.json")['uni3d-ti (eva02_tiny_patch14_224), ckpt["module"]']
    state = Uni3d.from_published({"module": meta_state(layout)})
    half = {name: torch.zeros(tensor.shape, dtype=torch.float16) for name, tensor in state.items() if tensor.is_floating_point()}
    network = fill_network(network_spec("uni3d-ti").empty(), state | half, source="model.pt")
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


def test_weights_of_another_size_are_refused() -> None:
    layout = parity_json("uni3d_layouts.json")['uni3d-ti (eva02_tiny_patch14_224), ckpt["module"]']
    state = Uni3d.from_published({"module": meta_state(layout)})
    with pytest.raises(WeightsError, match=r"cls_token of model\.pt is \(1, 1, 192\) torch\.float32; expected \(1, 1, 384\)"):
        fill_network(network_spec("uni3d-s").empty(), state, source="model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt does not fit the network; \d+ unknown: .*Check that it belongs"):
        fill_network(network_spec("uni3d-b").empty(), state, source="model.pt")
