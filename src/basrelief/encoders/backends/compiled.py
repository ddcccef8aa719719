"""Exported towers, compiled for this processor by OpenVINO."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from basrelief.encoders.backends.graphs import Graphs
from basrelief.encoders.towers import ClipTowers

if TYPE_CHECKING:
    import openvino

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""OpenVINO's name by ours; what an int8 graph does not quantise is computed in float32."""


class CompiledGraph:
    """A graph compiled for this processor when it is first run, for as many threads as torch then uses; several threads may call it."""

    def __init__(self, read: Callable[[], openvino.Model], precision: str) -> None:
        self._read, self._precision = read, precision
        self._lock = threading.Lock()
        self._threads = 0
        self._request: Any = None

    def __call__(self, inputs: np.ndarray) -> list[Tensor]:
        """Return the outputs, float32."""
        with self._lock:
            if self._request is None or self._threads != torch.get_num_threads():
                self._compile()
            found = self._request.infer([inputs], share_inputs=True)
            return [torch.from_numpy(np.array(output, dtype=np.float32)) for output in found.values()]

    def _compile(self) -> None:
        import openvino as ov

        self._threads = torch.get_num_threads()
        options = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[self._precision],
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # pinned threads of two processes would share a core
        }
        self._request = ov.Core().compile_model(self._read(), "CPU", options).create_infer_request()


class OpenVinoTowers:
    """Runs exported graphs in place of `ClipTowers`, whose methods of these names it follows.

    Attributes:
        towers: What was exported.
        precision: `float32`, `bfloat16` or `int8`, where the text tower stays in float32.
        differs: Whether features are further than a cosine of 0.999 from those of torch in float32.

    Args:
        graphs: Of the towers.
        precision: See above.
        quantized: The graph of the image tower in int8.
    """

    def __init__(self, graphs: Graphs, *, precision: str, quantized: openvino.Model | None = None) -> None:
        self.towers, self.precision = graphs.towers, precision
        self.differs = False
        images = partial(graphs.read, "image") if quantized is None else lambda: quantized
        self._image = None if self.towers.vision_model is None else CompiledGraph(images, precision)
        self._text = CompiledGraph(partial(graphs.read, "text"), precision)
        self._state = _state(self.towers)

    @property
    def runtime(self) -> str:
        """Backend and precision of the image tower."""
        return f"openvino {self.precision}"

    @property
    def is_current(self) -> bool:
        """Whether the towers still hold what was exported; False after training or after an image tower was added."""
        return _state(self.towers) == self._state

    def image_features(self, pixels: Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Encode normalised images; `tuned` rows by the tuned branch."""
        frozen, *others = self._branches(pixels)
        if tuned is not None and bool(tuned.any()):
            return torch.where(tuned.cpu()[:, None], others[0] if others else self.towers.both_features(pixels)[1], frozen)
        return frozen

    def both_features(self, pixels: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Encode normalised images through both branches."""
        frozen, *others = self._branches(pixels)
        return (frozen, others[0]) if others else self.towers.both_features(pixels)  # which says what is missing

    def text_features(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Encode token ids."""
        return self._text(self.towers.trim_text(ids).contiguous().numpy())[0]

    def _branches(self, pixels: Tensor) -> list[Tensor]:
        return [self.towers.image_features(pixels)] if self._image is None else self._image(pixels.contiguous().numpy())


def _state(towers: ClipTowers) -> tuple[int, ...]:
    """Identity and version of every parameter; assigning and in-place changes alter it."""
    return tuple(number for tensor in towers.parameters() for number in (id(tensor), tensor._version))
