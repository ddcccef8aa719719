"""A point network with its weights on a device: clouds of any sizes in, features out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.encoders.fingerprint import sampled_bytes
from basrelief.encoders.points.base import PointNetwork, pad_clouds
from basrelief.errors import ConfigError

CLOUDS_PER_PASS = 8
"""Clouds encoded at once; clouds of 10,000 points take about 100 MB in the largest intermediate array of any network."""


class PointEncoder:
    """A point network in evaluation mode.

    Attributes:
        network: The network.
        name: Name for reports.
        logit_scale: Multiplier of cosines that was trained with it, already exponentiated, or None.
        dtype: Compute dtype of the matrix products; weights and sampling stay float32.
        dtype_reason: How the compute dtype was chosen, for reports.
    """

    def __init__(self, network: PointNetwork, *, name: str = "points", logit_scale: float | None = None) -> None:
        self.network, self.name, self.logit_scale = network, name, logit_scale
        self.dtype, self.dtype_reason = torch.float32, "as loaded"

    @property
    def embedding_dim(self) -> int:
        """Length of the features."""
        return self.network.embedding_dim

    @property
    def views(self) -> int:
        """Features of a cloud."""
        return self.network.views

    @property
    def device(self) -> torch.device:
        """Compute device."""
        return next(self.network.parameters()).device

    @property
    def fingerprint(self) -> str:
        """Hash of up to 512 values of every tensor, and of the dtype."""
        lower = "" if self.dtype == torch.float32 else f" {self.dtype}"
        digest = hashlib.sha256(f"{type(self.network).__name__} {self.views}{lower}".encode())
        for name, tensor in self.network.state_dict().items():
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(sampled_bytes(tensor, torch.float64))
        return digest.hexdigest()

    @torch.no_grad()
    def encode_points(self, clouds: Sequence[Float[Tensor, "points 6"]]) -> Float[Tensor, "clouds views dim"]:
        """Encode clouds, a few of similar size at a time: float32, not normalised, on the encoder's device.

        Args:
            clouds: Positions in the network's frame, then red, green, blue in [0, 1]; each has at least one point.

        Raises:
            ConfigError: If a cloud has another shape, is empty or not finite.
        """
        for cloud in clouds:
            if cloud.ndim != 2 or cloud.shape[1] != 6 or not len(cloud) or not bool(cloud.isfinite().all()):
                raise ConfigError(f"A cloud has shape {tuple(cloud.shape)}; expected finite (N, 6) with N >= 1: x, y, z, red, green, blue.")
        found = torch.zeros(len(clouds), self.views, self.embedding_dim, device=self.device)
        order = sorted(range(len(clouds)), key=lambda i: len(clouds[i]))
        for start in range(0, len(order), CLOUDS_PER_PASS):
            rows = order[start : start + CLOUDS_PER_PASS]
            points, sizes = pad_clouds([clouds[i].to(self.device, torch.float32) for i in rows])
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                found[rows] = self.network(points, sizes).float()
        return found
