"""Record small towers of open_clip and the names in its files, for the tests.

    python tests/support/record_open_clip.py tests/recorded

Needs open_clip_torch 3.3.0 and timm 1.0.31, which the package and its tests do not. Weights follow from their names and a seed, see
`tests/support/filled_weights.py`; none are published ones.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.filled_weights import fill, filled

SEED, GAIN = 7, 0.6
"""Of the weights, and a factor of kernels before a batch norm, with which features stay of order one."""

TEXT: dict[str, Any] = {"context_length": 20, "vocab_size": 514, "width": 16, "heads": 2, "layers": 2}
FASTVIT: dict[str, tuple[str, dict[str, Any]]] = {
    "mci0": ("fastvit_mci0", {"layers": (1, 2, 1, 2), "embed_dims": (32, 64, 128, 256)}),
    "mci3": ("fastvit_mci3", {"layers": (1, 1, 1, 1, 2), "embed_dims": (32, 64, 128, 256, 512)}),
}
MOBILECLIP = ("MobileCLIP2-S0", "MobileCLIP2-S2", "MobileCLIP2-S3", "MobileCLIP2-S4")
METACLIP: dict[str, Any] = {
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 8, "patch_size": 8},
    "quick_gelu": True,
}
EOS = 2


def token_ids(*, start: int | None, end: int, pad: int) -> Tensor:
    """Four rows of ids of different lengths, the last one full."""
    ids = torch.full((4, TEXT["context_length"]), pad)
    for row, length in enumerate((2, 5, 11, TEXT["context_length"])):
        words = 3 + (np.abs(fill(f"words{row}", (length,), SEED)) * 500).astype(np.int64)
        words[-1] = end
        if start is not None:
            words[0] = start
        ids[row, :length] = torch.from_numpy(words)
    return ids


def pictures(side: int) -> np.ndarray:
    """Two pictures of 8 bits."""
    uniform = fill("weight", (2, 3, side, side), SEED)
    return np.asarray((255 * (uniform - uniform.min()) / np.ptp(uniform)).round(), dtype=np.uint8)


@torch.no_grad()
def outputs(name: str, model: open_clip.CLIP, images: np.ndarray, ids: Tensor) -> dict[str, Any]:
    """Fill a model and record its features of pictures, as values in [0, 1], and of ids."""
    pixels = torch.from_numpy(images).float() / 255
    state = filled(model.state_dict(), SEED)
    model.load_state_dict({key: GAIN * tensor if key.endswith(".conv.weight") else tensor for key, tensor in state.items()})
    model.eval()
    names = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    return {
        f"{name}/names": json.dumps(names),
        f"{name}/image_features": model.encode_image(pixels).numpy(),
        f"{name}/text_features": model.encode_text(ids).numpy(),
        f"{name}/logits": model.get_logits(pixels, ids)[0].numpy(),
    }


def mobileclip() -> dict[str, Any]:
    """MobileCLIP2 with its branches and with the branches added up, and the names in the files of all sizes."""
    ids = token_ids(start=512, end=513, pad=0)
    found: dict[str, Any] = {"token_ids": ids.numpy(), "images": pictures(64)}
    for name, (kind, sizes) in FASTVIT.items():
        for fused in (False, True):
            vision = {"timm_model_name": kind, "timm_pool": "avg", "timm_proj": None, "image_size": 64}
            model = open_clip.CustomTextCLIP(24, vision, {**TEXT, "no_causal_mask": True})
            model.visual.trunk = timm.create_model(kind, num_classes=24, **sizes)
            for module in model.visual.modules() if fused else ():
                if hasattr(module, "reparameterize"):
                    module.reparameterize()
            found |= outputs(f"{name}{'_fused' if fused else ''}", model, found["images"], ids)
    layouts = {}
    for name in MOBILECLIP:
        state = open_clip.create_model(name).state_dict()
        layouts[name] = {key: list(tensor.shape) for key, tensor in state.items()}
    return {**found, "layouts": json.dumps(layouts)}


def metaclip() -> dict[str, Any]:
    """A miniature of MetaCLIP 2, whose text ends with the id of another tokenizer."""
    ids = token_ids(start=0, end=EOS, pad=1)
    text = {**TEXT, "pool_type": "eos", "eos_id": EOS}
    model = open_clip.CLIP(24, text_cfg=text, **METACLIP)
    images = pictures(32)
    return {"token_ids": ids.numpy(), "images": images, **outputs("worldwide", model, images, ids)}


def main() -> None:
    """Write the files into the folder that is named on the command line."""
    folder = Path(sys.argv[1])
    program = {"open_clip": open_clip.__version__, "timm": timm.__version__, "seed": SEED, "gain": GAIN, "text": TEXT}
    records: dict[str, tuple[Any, dict[str, Any]]] = {
        "mobileclip_small": (mobileclip, {"function": "CustomTextCLIP", "sizes": FASTVIT}),
        "metaclip2_small": (metaclip, {"function": "CLIP", **METACLIP, "eos_id": EOS}),
    }
    for name, (record, settings) in records.items():
        np.savez_compressed(folder / f"{name}.npz", meta=json.dumps({**program, **settings}), **record())


if __name__ == "__main__":
    main()
