"""Small training data for `tiny`: recorded text features of a few names, and labelled files with their table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from basrelief.io import save
from basrelief.shapes import make_shape
from basrelief.train.tiny.text import FILES

_SPELLED = {
    "coco80.npz": ["chair", "car"],
    "o365_365.npz": ["Chair", "Table", "Cabinet/shelf"],
    "oid500.npz": ["Mug", "Table"],
    "lvis1203.npz": ["traffic_light", "car_(automobile)", "monitor_(computer_equipment) computer_monitor", "ax"],
}


def write_clip_text(folder: Path) -> Path:
    """Features of a few names in the four files, all different directions round a common mean."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=512) * 0.4
    for file in FILES:
        rows = (mean + rng.normal(size=(len(_SPELLED[file]), 512)) * 0.2).astype(np.float16)
        np.savez(folder / file, names=np.array(_SPELLED[file]), embeddings=rows)
    return folder


def write_labelled(folder: Path, *, packs: tuple[str, str] = ("first pack", "second pack")) -> Path:
    """A folder of labelled files with its table beside it: two packs of two classes."""
    lines = ["class,id,source_pack,creator"]
    for name, made in (("chair", "chair"), ("street light", "lamp")):
        (folder / name.replace(" ", "_")).mkdir(parents=True)
        for seed, pack in enumerate(packs):
            save(make_shape(made, seed=seed), folder / name.replace(" ", "_") / f"{made}_{seed}.ply")
            lines.append(f"{name},{made}_{seed},{pack},somebody")
    folder.with_suffix(".csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
