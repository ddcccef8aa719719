"""Stable Diffusion with a ControlNet of a few thousand random numbers: diffusers' own classes, saved as a folder like the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch


def write_diffusion(root: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Folders of a base and a ControlNet, in safetensors."""
    from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    shared = {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    down = ("DownBlock2D", "CrossAttnDownBlock2D")
    unet = UNet2DConditionModel(sample_size=8, down_block_types=down, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **shared)
    control = ControlNetModel(down_block_types=down, conditioning_embedding_out_channels=(4, 4, 8, 8), **shared)
    for parameter in control.parameters():  # its way out starts at zero and would steer nothing
        parameter.data = torch.randn_like(parameter) * 0.2
    vae = AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
    )
    tokenizer = _tokenizer(root)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 77}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=514, bos_token_id=512, eos_token_id=513, **sizes))
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    pipeline = StableDiffusionControlNetPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        controlnet=control,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(root / "base")
    control.save_pretrained(root / "control")
    return root / "base", root / "control"


def _tokenizer(root: Path) -> object:
    from transformers import CLIPTokenizer

    bytes_ = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    bytes_ += [chr(256 + i) for i in range(256 - len(bytes_))]
    words = [*bytes_, *(f"{byte}</w>" for byte in bytes_), "<|startoftext|>", "<|endoftext|>"]
    (root / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8")
    (root / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(str(root / "vocab.json"), str(root / "merges.txt"), model_max_length=77)
