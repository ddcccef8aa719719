"""3DETR with the weights of a recording, and small 3DETRs."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from basrelief.encoders.points.base import fill_network
from basrelief.scenes.threedetr.network import ThreeDetr, ThreeDetrSize
from basrelief.scenes.threedetr.weights import from_published
from support import parity_arrays
from support.recorded_networks import Arrays, config, recorded_state

OUTPUTS = {"scannet": (18, 1), "sunrgbd": (10, 12)}  # classes and bins of the angle
SMALL = {"preenc_npoints": 48, "enc_dim": 32, "enc_ffn_dim": 24, "dec_nlayers": 2, "dec_dim": 24, "dec_ffn_dim": 28, "nqueries": 8}


def recorded_size(arrays: Arrays) -> ThreeDetrSize:
    given = config(arrays)
    classes, bins = OUTPUTS[given["dataset"]]
    return ThreeDetrSize(
        num_semcls=classes, num_angle_bin=bins, **{name: given[name] for name in ThreeDetrSize.__annotations__ if name in given}
    )


@cache
def recorded_threedetr(name: str) -> tuple[ThreeDetr, Arrays]:
    """The network of a recording in float32 and the arrays of the recording."""
    arrays = parity_arrays(f"{name}.npz")
    with torch.device("meta"):
        network = ThreeDetr(recorded_size(arrays))
    return fill_network(network, from_published({"": recorded_state(network, arrays)}), source=name), arrays


def small_size(enc_type: str = "masked", **options: Any) -> ThreeDetrSize:
    """A size of ScanNet's outputs and few numbers."""
    return ThreeDetrSize(**{"enc_type": enc_type, "num_semcls": 18, "num_angle_bin": 1, **SMALL, **options})


def small_threedetr(enc_type: str = "masked", *, seed: int = 0, **options: Any) -> ThreeDetr:
    """A small network with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ThreeDetr(small_size(enc_type, **options)).eval()
