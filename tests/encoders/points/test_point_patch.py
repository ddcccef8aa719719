"""OpenShape's transformer over patches against its recorded output, and its published files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.encoders.points.base import fill_network
from basrelief.encoders.points.operators import ball_query, farthest_points, gather_points
from basrelief.encoders.points.point_patch import PointPatchSize, PointPatchTransformer
from basrelief.encoders.points.registry import network_spec
from basrelief.errors import WeightsError
from support import parity_arrays, parity_json
from support.recorded_networks import config, meta_state, recorded_network

Arrays = dict[str, np.ndarray]
RECORDINGS = {"small": 5e-5, "relpe_small": 5e-5, "g14_full": 2e-4}
LAYOUTS = {
    "openshape-pointbert": "openshape-pointbert-vitg14-rgb (scaling=4, out 1280)",
    "openshape-pointbert-vitl14": "openshape-pointbert-vitl14-rgb (config from the demo loader)",
    "openshape-pointbert-vitb32": "openshape-pointbert-vitb32-rgb (config from the demo loader)",
    **{f"openshape-pointbert-scaling{i}": f"scaling={i} (train.yaml model.scaling)" for i in (1, 2, 3, 5, 6)},
}


def recording(name: str) -> Arrays:
    return parity_arrays(f"openshape_pointbert_{name}.npz")


def size_of(arrays: Arrays) -> PointPatchSize:
    given = config(arrays)
    if "scaling" in given:
        return PointPatchSize(512, 12, 8, 1536, 256, 384, 0.2, 64, given["out_channel"])
    numbers = [given[name] for name in ("dim", "depth", "heads", "mlp_dim", "sa_dim", "patches", "prad", "nsamp", "out_channel", "rel_pe")]
    return PointPatchSize(*numbers)


@pytest.mark.parametrize(("name", "atol"), RECORDINGS.items())
def test_same_as_the_original(name: str, atol: float) -> None:
    arrays = recording(name)
    network = recorded_network(PointPatchTransformer, size_of(arrays), arrays)
    points = torch.from_numpy(arrays["features"])
    sizes = torch.full((len(points),), points.shape[1])
    np.testing.assert_allclose(network(points, sizes)[:, 0], arrays["embedding"], rtol=0, atol=atol)
    exact = network.double()(points.double(), sizes)[:, 0]
    np.testing.assert_allclose(exact, arrays["embedding_f64"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_patches_of_the_original(name: str, dtype: torch.dtype) -> None:
    arrays = recording(name)
    size, xyz = size_of(arrays), torch.from_numpy(arrays["features"])[..., :3].to(dtype)
    chosen = farthest_points(xyz, size.patches)
    np.testing.assert_array_equal(chosen, arrays["fps_idx"])
    members = ball_query(xyz, gather_points(xyz, chosen), radius=size.radius, count=size.samples)
    np.testing.assert_array_equal(members, arrays["group_idx"])


@pytest.mark.parametrize("name", ["small", "g14_full"])
def test_features_inside_the_network(name: str) -> None:
    arrays = recording(name)
    network = recorded_network(PointPatchTransformer, size_of(arrays), arrays)
    points = torch.from_numpy(arrays["features"])
    sizes = torch.full((len(points),), points.shape[1])
    patches = network.get_submodule("ppat.sa")(points, sizes)[1].transpose(1, 2)
    recorded = arrays["sa_features"] if name == "small" else arrays["sa_features_first8"]
    np.testing.assert_allclose(patches[..., : recorded.shape[2]], recorded, rtol=0, atol=5e-5)
    token = network.get_submodule("ppat")(points, sizes)
    np.testing.assert_allclose(token, arrays["ppat_out" if name == "small" else "cls_out"], rtol=0, atol=RECORDINGS[name])


@pytest.mark.parametrize(("name", "title"), LAYOUTS.items())
def test_published_layout_fits(name: str, title: str) -> None:
    layout = [(key.removeprefix("module."), shape, dtype) for key, shape, dtype in parity_json("openshape_pointbert_layouts.json")[title]]
    small = name.endswith(("vitl14", "vitb32"))
    place, more = ("", [("tau", [], "float32")]) if small else ("state_dict", [])
    parts = {place: meta_state(layout + more), "logit_scale": meta_state([("logit_scale", [], "float32")])}
    network = fill_network(network_spec(name).empty(), PointPatchTransformer.from_published(parts), source="model.pt")
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == sum(int(np.prod(shape)) for _, shape, _ in layout)
    assert network.embedding_dim == {"vitl14": 768, "vitb32": 512}.get(name.rpartition("-")[2], 1280)


def test_only_names_of_the_parallel_module_count_if_there_are_any() -> None:
    state = {f"module.{name}": tensor for name, tensor in network_spec("openshape-pointbert").empty().state_dict().items()}
    found = PointPatchTransformer.from_published({"state_dict": {**state, "text_proj.weight": torch.zeros(1)}})
    fill_network(network_spec("openshape-pointbert").empty(), found, source="model.pt")


def test_own_names_are_read_like_published_ones() -> None:
    state = network_spec("openshape-pointbert").empty().state_dict()
    assert PointPatchTransformer.from_published({"": state}).keys() == state.keys()


def test_unknown_weights_are_refused() -> None:
    state = network_spec("openshape-pointbert").empty().state_dict()
    state["ppat.more"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"model\.pt does not fit the network; 1 unknown: ppat\.more"):
        fill_network(
            network_spec("openshape-pointbert").empty(), PointPatchTransformer.from_published({"state_dict": state}), source="model.pt"
        )


def test_weights_of_another_size_are_refused() -> None:
    state = network_spec("openshape-pointbert-scaling5").empty().state_dict()
    with pytest.raises(WeightsError, match=r"ppat\.cls_token of model\.pt is \(768,\) torch\.float32; expected \(512,\) torch\.float32"):
        fill_network(
            network_spec("openshape-pointbert").empty(), PointPatchTransformer.from_published({"state_dict": state}), source="model.pt"
        )


def test_a_file_without_the_weights_says_what_it_has() -> None:
    with pytest.raises(WeightsError, match="The file has weights at module, ema; expected them at state_dict or its top"):
        PointPatchTransformer.from_published({"module": {}, "ema": {}})


def test_patches_in_parts_are_the_patches_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = recording("small")
    network = recorded_network(PointPatchTransformer, size_of(arrays), arrays)
    points, sizes = torch.from_numpy(arrays["features"]), torch.tensor([600, 600])
    whole = network(points, sizes)
    monkeypatch.setattr("basrelief.encoders.points.point_patch._CHUNK", 50)
    torch.testing.assert_close(network(points, sizes), whole, atol=1e-5, rtol=0)
