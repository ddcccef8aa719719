"""Seconds a picture of the ControlNet pipeline by sampler, at the size of Stable Diffusion 1.5 with random numbers: no weights are needed.

    python benchmarks/diffusion.py --full        # 1.2 billion numbers, 8 GB of memory, some minutes on two cores

What the pictures show is noise; what is measured is the work: 20 steps of DDIM with guidance, 4 steps of LCM without.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from basrelief.train.depth_aligned.diffusion import ControlNetPainter
from basrelief.train.depth_aligned.settings import DiffusionSettings

WAYS = {
    "ddim": DiffusionSettings(precision="float32", batch_size=2),
    "lcm": DiffusionSettings(precision="float32", batch_size=2, scheduler="lcm", steps=4, guidance=1.0),
}


def random_pipeline(*, full: bool) -> Any:  # noqa: ANN401 - diffusers has no types
    """Diffusers' own classes, of the published sizes or a thousandth of them."""
    from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    widths, layers, words = ((320, 640, 1280, 1280), 2, 768) if full else ((8, 8, 16, 16), 1, 16)
    shared = {"block_out_channels": widths, "layers_per_block": layers, "cross_attention_dim": words, "attention_head_dim": 8}
    down, up = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
    groups = 32 if full else 4
    unet = UNet2DConditionModel(down_block_types=down, up_block_types=up, norm_num_groups=groups, **shared)
    control = ControlNetModel(down_block_types=down, norm_num_groups=groups, **shared)
    decoder = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "latent_channels": 4}
    channels = (128, 256, 512, 512) if full else (8,) * 4
    vae = AutoencoderKL(block_out_channels=channels, layers_per_block=layers, norm_num_groups=groups, **decoder)
    sizes = {
        "hidden_size": words,
        "intermediate_size": 4 * words,
        "num_hidden_layers": 12 if full else 1,
        "num_attention_heads": words // 8,
    }
    text = CLIPTextModel(CLIPTextConfig(vocab_size=514, bos_token_id=512, eos_token_id=513, **sizes))
    schedule = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False)
    parts = {"vae": vae, "text_encoder": text, "tokenizer": byte_tokenizer(), "unet": unet, "controlnet": control, "scheduler": schedule}
    return StableDiffusionControlNetPipeline(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def byte_tokenizer() -> Any:  # noqa: ANN401
    """CLIP's tokenizer without merges: one token a byte."""
    from transformers import CLIPTokenizer

    codes = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    names = [*codes, *(f"{code}</w>" for code in codes), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), encoding="utf-8")
        (home / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
        return CLIPTokenizer(str(home / "vocab.json"), str(home / "merges.txt"), model_max_length=77)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the published sizes; a thousandth of them otherwise")
    parser.add_argument("--size", type=int, default=256, help="side of a picture, pixels")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    pipeline = random_pipeline(full=given.full)
    counts = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (pipeline.unet, pipeline.controlnet)]
    print(f"U-Net {counts[0]:.1f} M, ControlNet {counts[1]:.1f} M, {given.size} pixels, torch {torch.__version__}")
    maps = np.zeros((2, 224, 224), np.uint8)
    maps[:, 50:150, 60:160] = 180
    took = {}
    for name, how in WAYS.items():
        painter = ControlNetPainter(pipeline, replace(how, size=given.size))
        start = time.perf_counter()
        painter.paint(maps, ["chair"] * 2, seeds=[0, 1], size=224)
        took[name] = (time.perf_counter() - start) / 2
        print(f"{name}, {how.steps} steps, guidance {how.guidance:g}: {took[name]:.2f} s a picture")
    print(f"{took['ddim'] / took['lcm']:.1f} times quicker")


if __name__ == "__main__":
    main()
