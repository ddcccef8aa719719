"""Point-BERT against ULIP's and ULIP-2's recorded output, and its published files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.encoders.points.base import fill_network
from basrelief.encoders.points.point_bert import PointBert, PointBertSize
from basrelief.encoders.points.registry import network_spec
from basrelief.errors import WeightsError
from support import parity_arrays, parity_json
from support.recorded_networks import config, meta_state, recorded_cloud, recorded_network

SMALL, FULL = 1e-5, 3e-5
RECORDINGS = {
    "ulip1_pointbert_small": SMALL,
    "ulip2_pointbert_colored_small": SMALL,
    "ulip1_pointbert_full": FULL,
    "ulip2_pointbert_colored_full": FULL,
}
LAYOUTS = {
    "ulip": 'ULIP_PointBERT (ULIP-1), ckpt["state_dict"]',
    "ulip2-xyz": 'ULIP_PointBERT (ULIP-1), ckpt["state_dict"]',
    "ulip2-colored": 'ULIP2_PointBERT_Colored, ckpt["state_dict"], 3D part',
}


def size_of(arrays: dict[str, np.ndarray]) -> PointBertSize:
    given = config(arrays)
    return PointBertSize(
        embedding_dim=arrays["embedding"].shape[1],
        depth=given["depth"],
        colored=arrays["points"].shape[2] == 6,
        width=given["trans_dim"],
        heads=given["num_heads"],
        groups=given["num_group"],
        neighbours=given["group_size"],
        group_width=given["encoder_dims"],
    )


@pytest.mark.parametrize(("name", "atol"), RECORDINGS.items())
def test_same_as_the_original(name: str, atol: float) -> None:
    arrays = parity_arrays(f"{name}.npz")
    network, cloud = recorded_network(PointBert, size_of(arrays), arrays), recorded_cloud(arrays)
    np.testing.assert_allclose(network(*cloud)[:, 0], arrays["embedding"], rtol=0, atol=atol)
    exact = network.double()(cloud[0].double(), cloud[1])[:, 0]
    np.testing.assert_allclose(exact, arrays["embedding_f64"], rtol=0, atol=1e-9)


def test_colours_do_not_matter_without_a_colour_channel() -> None:
    arrays = parity_arrays("ulip1_pointbert_small.npz")
    network, (points, sizes) = recorded_network(PointBert, size_of(arrays), arrays), recorded_cloud(arrays)
    other = points.clone()
    other[..., 3:] = torch.nan
    assert torch.equal(network(points, sizes), network(other, sizes))


@pytest.mark.parametrize(("name", "title"), LAYOUTS.items())
def test_published_layout_fits(name: str, title: str) -> None:
    layout = [(key.removeprefix("module."), shape, dtype) for key, shape, dtype in parity_json("ulip_layouts.json")[title]]
    state = PointBert.from_published({"state_dict": meta_state(layout)})
    network = fill_network(network_spec(name).empty(), state, source="model.pt")
    assert sum(tensor.numel() for tensor in network.parameters()) == pytest.approx(33.5e6 if name == "ulip2-colored" else 22.3e6, rel=0.01)


def test_towers_of_clip_in_the_file_are_left_out() -> None:
    title = "ULIP2_PointBERT_Colored, optional CLIP part (open_clip ViT-bigG-14; loader uses strict=False)"
    layout = [(key.removeprefix("module."), shape, dtype) for key, shape, dtype in parity_json("ulip_layouts.json")[title]]
    assert PointBert.from_published({"state_dict": meta_state(layout)}) == {}


def test_weights_of_the_other_size_are_refused() -> None:
    state = network_spec("ulip").empty().state_dict()
    with pytest.raises(
        WeightsError, match=r"pc_projection of model.pt is \(768, 512\) torch.float32; expected \(768, 1280\)|unknown|missing"
    ):
        fill_network(network_spec("ulip2-colored").empty(), state, source="model.pt")
