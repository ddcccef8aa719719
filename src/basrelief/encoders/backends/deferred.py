"""Small towers, for which starting OpenVINO pays off only after many pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from basrelief.encoders.base import CompiledTowers
from basrelief.encoders.towers import ClipTowers

PICTURES = 3000
"""Pictures after which another backend is looked for: some 300 shapes, 3 to 6 s of `tiny` on two cores."""


class DeferredTowers:
    """Runs towers in torch and float32; after many pictures, the image tower by what is measured faster. `CompiledTowers`.

    The switch depends on the number of pictures alone, so that the same command gives the same numbers on a machine.

    Args:
        towers: In float32 on the CPU.
        choose: Returns compiled graphs of the towers in float32, or None to stay with torch.
    """

    differs = False

    def __init__(self, towers: ClipTowers, choose: Callable[[], CompiledTowers | None]) -> None:
        self.towers = towers
        self._choose = choose
        self._pictures = 0
        self._lock = threading.Lock()
        self._compiled: CompiledTowers | None = None

    @property
    def runtime(self) -> str:
        """Backend and precision of the image tower now."""
        return "torch float32" if self._compiled is None else self._compiled.runtime

    @property
    def is_current(self) -> bool:
        """Whether the towers hold what was exported, if anything was."""
        return self._compiled is None or self._compiled.is_current

    def image_features(self, pixels: Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Encode normalised images; `tuned` rows by the tuned branch."""
        return self._counted(pixels).image_features(pixels, tuned=tuned)

    def both_features(self, pixels: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Encode normalised images through both branches."""
        return self._counted(pixels).both_features(pixels)

    def text_features(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Encode token ids, always in torch."""
        return self.towers.text_features(ids)

    def _counted(self, pixels: Tensor) -> CompiledTowers | ClipTowers:
        with self._lock:
            before = self._pictures
            self._pictures += len(pixels)
            if before < PICTURES <= self._pictures:
                self._compiled = self._choose()
        return self._compiled or self.towers
