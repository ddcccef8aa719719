"""Which network a published file holds."""

from __future__ import annotations

import pytest
import torch

from basrelief.encoders.points.recognise import networks_in
from basrelief.encoders.points.registry import list_point_networks, network_spec
from support import parity_json

LAYOUTS = [
    ("ulip_layouts.json", "ULIP_PointBERT (ULIP-1)", "state_dict", ("ulip", "ulip2-xyz")),
    ("ulip_layouts.json", "ULIP2_PointBERT_Colored, ckpt", "state_dict", ("ulip2-colored",)),
    ("openshape_pointbert_layouts.json", "openshape-pointbert-vitg14-rgb", "state_dict", ("openshape-pointbert",)),
    ("openshape_pointbert_layouts.json", "openshape-pointbert-vitl14-rgb", "", ("openshape-pointbert-vitl14",)),
    ("openshape_pointbert_layouts.json", "openshape-pointbert-vitb32-rgb", "", ("openshape-pointbert-vitb32",)),
    ("openshape_pointbert_layouts.json", "scaling=6", "state_dict", ("openshape-pointbert-scaling6",)),
    ("openshape_spconv_layouts.json", "openshape-spconv-all", "state_dict", ("openshape-sparseconv",)),
    *(("uni3d_layouts.json", f"uni3d-{size}", "module", (f"uni3d-{size}",)) for size in ("ti", "s", "b", "l", "g")),
]


@pytest.mark.parametrize(("file", "title", "place", "expected"), LAYOUTS)
def test_published_layouts(file: str, title: str, place: str, expected: tuple[str, ...]) -> None:
    (rows,) = (rows for name, rows in parity_json(file).items() if name.startswith(title))
    state = {name.removeprefix("module."): torch.empty(shape, device="meta") for name, shape, _ in rows}
    assert networks_in({place: state}) == expected


@pytest.mark.parametrize("name", list_point_networks())
def test_own_names(name: str) -> None:
    assert name in networks_in({"": network_spec(name).empty().state_dict()})


def test_tamms_adapters_stand_beside_its_network() -> None:
    state = network_spec("tamm-pointbert").empty().state_dict()
    places = {"image_alignment_adapter", "text_alignment_adapter"}
    parts = {place: {n.removeprefix(f"{place}."): t for n, t in state.items() if n.startswith(place)} for place in places}
    parts["state_dict"] = {n: t for n, t in state.items() if n.startswith("ppat.")}
    assert networks_in(parts) == ("tamm-pointbert",)


def test_other_files() -> None:
    assert networks_in({"state_dict": {"visual.conv1.weight": torch.empty(8, 3, 4, 4, device="meta")}}) == ()
    assert networks_in({}) == ()
    state = network_spec("uni3d-ti").empty().state_dict()
    state.popitem()
    assert networks_in({"module": state}) == ()
