"""The text tower: taught to give, for a name in any wording, the direction that CLIP ViT-B/32's text tower gave for it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder
from basrelief.errors import FileFormatError

FILES = ("coco80.npz", "o365_365.npz", "oid500.npz", "lvis1203.npz")
"""Recorded features, the plainest spelling first: of names in several files the first counts."""

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
"""Wordings of one name in training. Zero-shot uses the first."""

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
"""Everyday names that were not recorded, with the recorded name that means the same."""

Progress = Callable[[Mapping[str, float]], None]


def recorded_features(folder: Path) -> dict[str, Float[np.ndarray, " dim"]]:
    """Unit-length CLIP text features by name, lower case, without underscores.

    A name with a bracket, a slash or two spellings is known by each of its parts too, unless a plainer entry has that name.

    Args:
        folder: Holds the files of `FILES`, each with `names` (n,) and `embeddings` (n, 512).

    Raises:
        FileFormatError: If a file is missing.
    """
    found: dict[str, np.ndarray] = {}
    parts: dict[str, np.ndarray] = {}
    for file in FILES:
        path = folder / file
        if not path.is_file():
            raise FileFormatError(f"folder must hold {', '.join(FILES)}, but got no {file} in {folder}. Give the folder of text features.")
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
    """The plain form of a recorded name, then its parts: `car_(automobile)` gives `car (automobile)` and `car`."""
    words = name.split(" ") if "_" in name else [name]
    plain = [" ".join(word.replace("_", " ").split()).lower() for word in words]
    bare = [re.sub(r"\s*\(.*?\)", "", word).strip() for word in plain]
    cut = [part.strip() for word in bare for part in word.split("/")]
    return list(dict.fromkeys(word for word in [*plain, *bare, *cut] if word))


def fit_text(
    encoder: ClipEncoder, recorded: Mapping[str, Float[np.ndarray, " dim"]], *, steps: int, seed: int = 0, progress: Progress | None = None
) -> None:
    """Train the text tower in place: pull each wording to its name's recorded direction and away from all other names'.

    Args:
        encoder: Its text tower is trained; the rest stays.
        recorded: Unit-length features by name.
        steps: Of 128 wordings each.
        seed: Of the draws.
        progress: Called every 100 steps with `step`, `loss`, `cosine` and `right` (the share whose nearest name is the right one).
    """
    names, draw = list(recorded), random.Random(seed)
    target = torch.from_numpy(np.stack([recorded[name] for name in names])).to(encoder.device)
    groups = [encoder.towers.text_model, encoder.towers.text_projection]
    parameters = [p.requires_grad_() for group in groups for p in group.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.05)
    for step in range(steps):
        rows = draw.choices(range(len(names)), k=128)
        features = text_features(encoder, [draw.choice(TEMPLATES).format(names[i]) for i in rows])
        output = F.normalize(features, dim=-1)
        label = torch.tensor(rows, device=encoder.device)
        cosine = (output * target[label]).sum(dim=1).mean()
        logits = 60 * output @ target.T
        loss = F.cross_entropy(logits, label) + 20 * (1 - cosine)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if progress and (step % 100 == 0 or step == steps - 1):
            right = (logits.argmax(dim=1) == label).float().mean()
            progress({"step": step, "loss": loss.item(), "cosine": cosine.item(), "right": right.item()})


def text_features(encoder: ClipEncoder, prompts: Sequence[str]) -> Float[Tensor, "prompts dim"]:
    """Differentiable features of prompts, not of unit length."""
    context = encoder.config.text.context_length
    return encoder.towers.text_features(encoder.tokenizer.encode(prompts, context_length=context).to(encoder.device))


def class_embeddings(encoder: ClipEncoder, names: Sequence[str]) -> Float[Tensor, "names dim"]:
    """Unit-length embeddings of class names in the zero-shot wording."""
    with torch.no_grad():
        return F.normalize(text_features(encoder, [TEMPLATES[0].format(name) for name in names]), dim=-1)
