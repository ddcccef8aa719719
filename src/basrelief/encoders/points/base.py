"""The interface of point networks, and how published weights get into one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from basrelief.encoders.state_dict import check_finite
from basrelief.errors import WeightsError

Parts = Mapping[str, Mapping[str, Tensor]]
"""State dicts of a weights file by their place in it, e.g. `state_dict`; `""` for a file that is one."""

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

VIEW_WEIGHTS: Mapping[int, tuple[float, ...]] = {1: (1.0,), 2: (1.0, 0.5)}
"""Weights of the cosines of a network's features by their number; 0.5 for TAMM's image adapter, as in its code."""


class PointNetwork(nn.Module, ABC):
    """A network from point clouds to features, which are not normalised.

    A subclass takes its size, a frozen dataclass, as the only argument of its constructor.

    Attributes:
        embedding_dim: Length of the features.
        views: Features of a cloud. TAMM has two, by its text adapter and its image adapter.
        size_type: Dataclass of its sizes.
    """

    embedding_dim: int
    views: int = 1
    size_type: ClassVar[type[Any]]

    @abstractmethod
    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch views dim"]:
        """Encode clouds.

        Args:
            points: Positions in the network's own frame, normalised, then red, green, blue in [0, 1]. Rows after the cloud's own are
                padding of any value.
            sizes: Number of points of each cloud, at least 1.
        """

    @staticmethod
    @abstractmethod
    def from_published(parts: Parts) -> dict[str, Tensor]:
        """Return the tensors of a published file under this network's own names.

        Tensors of other networks in the file are left out by exact prefixes; everything else is kept, so that `fill_network` refuses
        what it does not know.

        Args:
            parts: State dicts of the file.
        """


def fill_network(network: AnyNetwork, tensors: Mapping[str, Tensor], *, source: str) -> AnyNetwork:
    """Put weights into a network, strictly, and set it to evaluation mode.

    Args:
        network: On the meta device or another.
        tensors: Every parameter and buffer by its name; floating-point ones become float32.
        source: Name of the file, for messages.

    Raises:
        WeightsError: If a name is unknown or missing, a shape differs, or a number is not finite.
    """
    expected = network.state_dict()
    for problem, names in (("unknown", tensors.keys() - expected.keys()), ("missing", expected.keys() - tensors.keys())):
        if names:
            shown = ", ".join(name[:80] for name in sorted(names)[:5])
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise WeightsError(
                f"{source} does not fit the network; {len(names)} {problem}: {shown}{more}. Check that it belongs to this model."
            )
    fitted = {}
    for name, own in expected.items():
        tensor = tensors[name]
        if tensor.shape != own.shape or tensor.is_floating_point() != own.is_floating_point():
            got, wanted = (f"{tuple(t.shape)} {t.dtype}" for t in (tensor, own))
            raise WeightsError(f"{name} of {source} is {got}; expected {wanted}. The weights belong to another size of the network.")
        check_finite(name, tensor)
        fitted[name] = tensor.float().contiguous() if tensor.is_floating_point() else tensor.contiguous()
    network.load_state_dict(fitted, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def published_part(parts: Parts, *places: str) -> Mapping[str, Tensor]:
    """Return the state dict at the first of these places that a file has.

    Raises:
        WeightsError: If it has none of them.
    """
    for place in places:
        if place in parts:
            return parts[place]
    raise WeightsError(
        f"The file has weights at {', '.join(place or 'its top' for place in parts)}; expected them at "
        f"{' or '.join(place or 'its top' for place in places)}. Check that it belongs to this model."
    )


def pad_clouds(clouds: list[Float[Tensor, "points 6"]]) -> tuple[Float[Tensor, "batch longest 6"], Int[Tensor, " batch"]]:
    """Stack clouds of different sizes into one batch, padded with zeros, and return it with their sizes."""
    sizes = torch.tensor([len(cloud) for cloud in clouds], device=clouds[0].device)
    return nn.utils.rnn.pad_sequence(clouds, batch_first=True), sizes
