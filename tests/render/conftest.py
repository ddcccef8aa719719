"""Devices and clouds for the tests of depth projections."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from render.maps import make_clouds


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return torch.device(request.param)


@pytest.fixture(params=list(make_clouds(0)))
def cloud(request: pytest.FixtureRequest) -> np.ndarray:
    return make_clouds(7)[request.param]
