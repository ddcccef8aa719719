"""What every head is: named tensors, settings, and the kind that knows what to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from basrelief.checks import check_at_least, check_positive
from basrelief.errors import ConfigError
from basrelief.output import replace_file, to_json

FORMAT = "basrelief head 1"


@dataclass(frozen=True)
class FitOptions:
    """How a head is fitted. Each kind reads what it needs.

    Attributes:
        epochs: Passes over the support, for the adapters.
        batch_size: Shapes of a step.
        lr: Peak learning rate of AdamW; it falls along a cosine.
        weight_decay: Weight decay.
        dropout: Share of values dropped, in [0, 1).
        smoothing: Share of the target spread over the other classes.
        scale: Multiplier of the cosines in the loss; None takes the encoder's where the method does, else 1.
        penalty: Inverse strength C of the probe's L2 penalty.
        strength: Alpha of the cache: what the support counts beside the class names.
        sharpness: Beta of the cache: how near a shape of the support must be.
        seed: Of the start and of every draw.
    """

    epochs: int = 100
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 1e-4
    dropout: float | None = None
    smoothing: float | None = None
    scale: float | None = None
    penalty: float = 1.0
    strength: float = 1.0
    sharpness: float = 5.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("epochs", "batch_size"):
            check_at_least(name, getattr(self, name), 1, "CLIP2Point uses 100 epochs of 32 shapes.")
        for name in ("lr", "penalty", "sharpness"):
            check_positive(name, getattr(self, name), "Leave it out for the default.")
        for name in ("dropout", "smoothing"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"{name} is {value}; it must lie in [0, 1). Leave it out for the paper's.")


@dataclass(frozen=True, eq=False)
class Head:
    """A fitted head.

    Attributes:
        kind: Key in `HEADS`.
        tensors: All it has learned, by name; float32.
        views: V, the number of views of a shape, over all paths.
        dim: D, the length of a view feature.
        classes: C, the number of classes.
        fit: How it was fitted.
        notes: What else belongs to it, as text: labels, recipe, data; written to its file.
    """

    kind: str
    tensors: Mapping[str, Tensor]
    views: int
    dim: int
    classes: int
    fit: FitOptions = field(default_factory=FitOptions)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def save(self, path: Path | str) -> Path:
        """Write it as one safetensors file; `read_head` reads it back.

        Raises:
            OutputError: If the file cannot be written.
        """
        from safetensors.torch import save_file

        record = {"kind": self.kind, "views": self.views, "dim": self.dim, "classes": self.classes}
        texts = {"format": FORMAT, "head": to_json(record), "fit": to_json(asdict(self.fit)), "notes": to_json(self.notes)}
        with replace_file(path) as part:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}, part, metadata=texts)
        return Path(path)
