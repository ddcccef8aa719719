"""Base types of few-shot heads: fit options, and a fitted head that can be saved."""

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
    """Options for fitting a head. Each kind of head uses those that apply to it.

    Attributes:
        epochs: Passes over the support shapes; adapters only.
        batch_size: Shapes per step; adapters only.
        lr: Peak learning rate of AdamW, with a cosine schedule.
        weight_decay: Weight decay of AdamW.
        dropout: Dropout probability, in [0, 1); None for the method's.
        smoothing: Label smoothing, spread over the other classes, in [0, 1); None for the method's.
        scale: Multiplier of the cosines in the loss; None for the method's: the encoder's logit scale or 1.
        penalty: Inverse strength C of the probe's L2 penalty.
        strength: Weight of the cache logits relative to the zero-shot logits (alpha in Tip-Adapter).
        sharpness: How fast the weight of a support shape falls with its distance (beta in Tip-Adapter).
        seed: Seed of initialisation, dropout and batches.
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
    """A fitted few-shot head.

    Attributes:
        kind: Key in `HEADS`.
        tensors: Fitted tensors by name, float32.
        views: Number of views V of a shape, over all towers.
        dim: Length D of a view feature.
        classes: Number of classes C.
        fit: Options it was fitted with.
        notes: JSON metadata, saved with the head: labels, recipes, data.
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
        """Number of values in all tensors."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def save(self, path: Path | str) -> Path:
        """Save the head as one safetensors file; load it with `read_head`.

        Raises:
            OutputError: If the file cannot be written.
        """
        from safetensors.torch import save_file

        record = {"kind": self.kind, "views": self.views, "dim": self.dim, "classes": self.classes}
        texts = {"format": FORMAT, "head": to_json(record), "fit": to_json(asdict(self.fit)), "notes": to_json(self.notes)}
        with replace_file(path) as part:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}, part, metadata=texts)
        return Path(path)
