"""The text tower: trained to reproduce the text embeddings of CLIP ViT-B/32 for a list of names, in any wording."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder
from basrelief.errors import FileFormatError
from basrelief.train.config import TrainingSettings, check_at_least, check_positive
from basrelief.train.run import RunContext, TrainingRun, derive_seed

FILES = ("coco80.npz", "o365_365.npz", "oid500.npz", "lvis1203.npz")
"""Files of recorded embeddings, the plainest spellings first; the first file that has a name wins."""

TEMPLATES = (
    "a {}",
    "a {}",
    "{}",
    "an {}",
    "the {}",
    "{}s",
    "a photo of a {}",
    "an image of a {}",
    "a depth map of a {}",
    "a 3d model of a {}",
)
"""Prompt templates for training. Zero-shot classification uses the first."""

ALIASES: Mapping[str, str] = {
    "axe": "ax",
    "bookshelf": "bookcase",
    "chest": "trunk",
    "coat rack": "coatrack",
    "computer mouse": "mouse (computer equipment)",
    "phone": "cellular telephone",
    "pine tree": "christmas tree",
    "plant": "houseplant",
    "range hood": "extractor",
    "rug": "carpet",
    "sailing ship": "ship",
    "staircase": "stairs",
    "train car": "railcar (part of a train)",
    "whisk": "eggbeater",
}
"""Everyday names without a recorded embedding, and their recorded synonyms."""


def recorded_features(folder: Path) -> dict[str, Float[np.ndarray, " dim"]]:
    """Read unit-length CLIP text embeddings by name (lower case, without underscores).

    A name with brackets, a slash or two spellings is also listed under each of its parts, unless another entry has that name.

    Args:
        folder: Contains the files of `FILES`, each with `names` (n,) and `embeddings` (n, 512).

    Raises:
        FileFormatError: If a file is missing.
    """
    found: dict[str, np.ndarray] = {}
    parts: dict[str, np.ndarray] = {}
    for file in FILES:
        path = folder / file
        if not path.is_file():
            raise FileFormatError(f"Folder {str(folder)!r} has no {file}. Pass the folder with {', '.join(FILES)}.")
        with np.load(path) as record:
            rows = record["embeddings"].astype(np.float32)
            for name, row in zip(record["names"], rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True):
                whole, *others = spellings(str(name))
                found.setdefault(whole, row)
                for other in others:
                    parts.setdefault(other, row)
    known = parts | found
    return known | {name: known[same] for name, same in ALIASES.items() if name not in known and same in known}


def spellings(name: str) -> list[str]:
    """Split a recorded name into its plain form and its parts: `car_(automobile)` gives `car (automobile)` and `car`."""
    words = name.split(" ") if "_" in name else [name]
    plain = [" ".join(word.replace("_", " ").split()).lower() for word in words]
    bare = [re.sub(r"\s*\(.*?\)", "", word).strip() for word in plain]
    cut = [part.strip() for word in bare for part in word.split("/")]
    return list(dict.fromkeys(word for word in [*plain, *bare, *cut] if word))


@dataclass(frozen=True)
class TextSettings(TrainingSettings):
    """Settings of the text tower's training.

    Attributes:
        batch_size: Prompts per step.
        epochs: Number of epochs of `epoch_steps` steps.
        epoch_steps: Steps per epoch; names are sampled with replacement.
        lr: Peak of the one-cycle learning rate.
        weight_decay: Weight decay.
    """

    batch_size: int = 128
    epochs: int = 1
    epoch_steps: int = 1500
    lr: float = 2e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least(self, 1, "epoch_steps")
        check_positive(self, "lr")
        check_positive(self, "weight_decay", zero=True)
        super().__post_init__()


class TextLosses(NamedTuple):
    """Loss of a step, mean cosine to the targets, and the share of prompts whose nearest name is the right one."""

    total: Tensor
    cosine: Tensor
    right: Tensor


class TextRun(TrainingRun[None]):
    """The text tower's training as a run. Each of several processes takes the same steps; the tower is small.

    The loss is `CE(60 cos) + 20 (1 - cos)`: it pulls each prompt to its name's recorded embedding and away from those of all other names.
    """

    settings: TextSettings

    def __init__(
        self, encoder: ClipEncoder, recorded: Mapping[str, Float[np.ndarray, " dim"]], *, settings: TextSettings, context: RunContext
    ) -> None:
        super().__init__(settings, context, rows=settings.batch_size * settings.epoch_steps)
        self.encoder, self.network, self.names = encoder, encoder.towers, list(recorded)
        self.target = torch.from_numpy(np.stack([recorded[name] for name in self.names])).to(encoder.device)
        self.parts = {"text": encoder.towers.text_model, "projection": encoder.towers.text_projection}
        self.parameters = [p.requires_grad_() for part in self.parts.values() for p in part.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
        steps = -(-self.total_steps // settings.accumulate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, settings.lr, total_steps=steps, pct_start=0.05)

    def train_step(self, content: list[None]) -> TextLosses:
        """Take one step on random names in random wordings."""
        draw = random.Random(derive_seed(self.settings.seed, self.step))
        rows = draw.choices(range(len(self.names)), k=self.settings.batch_size)
        features = text_features(self.encoder, [draw.choice(TEMPLATES).format(self.names[row]) for row in rows])
        output, label = F.normalize(features, dim=-1), torch.tensor(rows, device=self.target.device)
        cosine = (output * self.target[label]).sum(dim=1).mean()
        logits = 60 * output @ self.target.T
        loss = F.cross_entropy(logits, label) + 20 * (1 - cosine)
        (loss / self.settings.accumulate).backward()
        if (self.step + 1) % self.settings.accumulate == 0 or self.step + 1 == self.total_steps:
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimiser.step()
            self.optimiser.zero_grad()
            if self.schedule.last_epoch < self.schedule.total_steps - 1:
                self.schedule.step()
        return TextLosses(loss.detach(), cosine.detach(), (logits.argmax(dim=1) == label).float().mean())

    def state(self) -> dict[str, Any]:
        """Return the text tower and the schedule."""
        return {"schedule": self.schedule.state_dict(), **{name: part.state_dict() for name, part in self.parts.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load both."""
        self.schedule.load_state_dict(state["schedule"])
        for name, part in self.parts.items():
            part.load_state_dict(state[name])

    def export(self) -> None:
        """Write nothing: the encoder is trained in place, and `train_tiny` saves it."""


def text_features(encoder: ClipEncoder, prompts: Sequence[str]) -> Float[Tensor, "prompts dim"]:
    """Embed prompts with gradients; not normalised."""
    context = encoder.config.text.context_length
    return encoder.towers.text_features(encoder.tokenizer.encode(prompts, context_length=context).to(encoder.device))


def class_embeddings(encoder: ClipEncoder, names: Sequence[str]) -> Float[Tensor, "names dim"]:
    """Return unit-length embeddings of class names in the zero-shot template."""
    with torch.no_grad():
        return F.normalize(text_features(encoder, [TEMPLATES[0].format(name) for name in names]), dim=-1)
