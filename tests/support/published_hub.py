"""A local hub with everything that OpenDlign's Table 1 and all point models need: repositories and layouts as published, small networks.

The recipes stay as they are; only the architectures behind the names of the CLIP weights and of the point networks are replaced.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from basrelief.encoders import ClipConfig, ClipEncoder, EncoderSpec, TextConfig, Tokenizer, VisionConfig, random_encoder, registry
from basrelief.encoders.hub.selection import VOCABULARIES
from basrelief.models import Recipe, recipes
from support.hub_server import HubRepository, LocalHub, local_hub
from support.old_checkpoints import Tensor, training_checkpoint, zip_checkpoint
from support.published_layouts import State, contiguous, to_clip2point, to_openai, to_opendlign, to_slip
from support.published_points import published_file, shrink_networks
from support.small_models import VISION

RESNET = VisionConfig(image_size=64, width=4, layers=(1, 1, 1, 1), heads=4, kind="resnet")
CLIP = ("RN50/openai", "ViT-B-32/openai", "ViT-B-16/openai", "ViT-L-14/openai", "ViT-bigG-14/laion2b_s39b_b160k")
SLIP, EVA = "SLIP-ViT-B-16/yfcc15m", "EVA02-E-14-plus/laion2b_s9b_b144k"
OPENDLIGN = {
    "ViT-B-32/datacomp_xl_s13b_b90k": "ViT-B-32.pth",
    "ViT-B-16/dfn2b": "ViT-B-16.pth",
    "ViT-L-14/dfn2b": "ViT-L-14-quickgelu.pth",
    "ViT-H-14/dfn5b": "ViT-H-14-quickgelu.pth",
}
"""File names of the hub's OpenDlign repository, after those in the authors' scripts, by the CLIP weights inside."""


@contextmanager
def published_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[LocalHub]:
    """Run the hub.

    Args:
        monkeypatch: Puts architectures, hub and caches back after the test.
        folder: For the caches of this hub and of basrelief, and for `best_eval.pth`, which is not on the hub.
    """
    specs = {name: _small(registry.encoder_spec(name)) for name in registry.list_encoders()}
    monkeypatch.setattr(registry, "_specs", lambda: specs)
    shrink_networks(monkeypatch)
    monkeypatch.setenv("BASRELIEF_CACHE", str(folder / "basrelief"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    towers = {name: _tower(specs[name], seed, tuned=name in OPENDLIGN) for seed, name in enumerate((*CLIP, *OPENDLIGN))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best_eval.pth").write_bytes(zip_checkpoint(_arrays(to_clip2point(_tower(specs[CLIP[1]], 9).towers.state_dict()))))
    with local_hub() as hub:
        for name in CLIP:
            hub.repositories[specs[name].repository] = HubRepository(_clip_files(towers[name]))
        checkpoints = {file: _checkpoint(towers[name]) for name, file in OPENDLIGN.items()}
        hub.repositories["OpenDlign/OpenDlign-Models"] = HubRepository({"README.md": b"# OpenDlign\n", **checkpoints}, card={})
        slip, eva = _tower(specs[SLIP], 20), _tower(specs[EVA], 21)
        hub.repositories[specs[SLIP].repository] = HubRepository({specs[SLIP].files[0]: _saved(_slip(slip))})
        hub.repositories[specs[EVA].repository] = HubRepository(_clip_files(eva, images=False))
        for seed, recipe in enumerate(published_points(), 30):
            own = recipe.checkpoint
            assert own is not None
            repository = hub.repositories.setdefault(own.repository, HubRepository({}, card={}))
            towers = _slip(slip) if own.layout == "ulip" else None
            repository.files.setdefault(own.path, published_file(recipe, seed, towers=towers))
        assert VOCABULARIES["clip"].repositories[0] in hub.repositories
        hub.use(monkeypatch, folder / "hub")
        yield hub


def _small(spec: EncoderSpec) -> EncoderSpec:
    words = Tokenizer.of_bytes()
    text = TextConfig(width=32, layers=1, heads=2, context_length=77, vocab_size=words.vocab_size, eot=words.eot)
    own = spec.config.vision
    if own is not None and own.kind not in ("vit", "timm-vit", "eva-vit", "resnet"):
        return spec  # no file on this hub holds such a tower
    vision = None if own is None else RESNET if own.kind == "resnet" else replace(VISION, kind=own.kind)
    return replace(spec, config=ClipConfig(16, vision, text, spec.config.activation))


def _tower(spec: EncoderSpec, seed: int, *, tuned: bool = False) -> ClipEncoder:
    return random_encoder(spec.config, seed=seed, tokenizer=Tokenizer.of_bytes(), tuned=int(tuned))


def published_points() -> list[Recipe]:
    """Recipes of point networks whose weights are on the hub."""
    return [recipe for recipe in recipes().values() if recipe.cloud and recipe.checkpoint and recipe.checkpoint.repository]


def _clip_files(encoder: ClipEncoder, *, images: bool = True) -> dict[str, bytes]:
    state = encoder.towers.state_dict()
    if not images:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(("vision_model.", "visual_projection."))}
    config = {"preprocess_cfg": {"resize_mode": "shortest", "interpolation": "bicubic", "size": encoder.image_size}}
    return {
        "open_clip_config.json": json.dumps(config).encode(),
        "open_clip_model.safetensors": safetensors.torch.save(contiguous(to_openai(state))),
        "tokenizer.json": _tokenizer(encoder),
    }


def _slip(encoder: ClipEncoder) -> State:
    return contiguous(to_slip(encoder.towers.state_dict()))


def _saved(state: State) -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 100}, file)
    return file.getvalue()


def _tokenizer(encoder: ClipEncoder) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        encoder.tokenizer.save(Path(folder))
        return (Path(folder) / "tokenizer.json").read_bytes()


def _checkpoint(encoder: ClipEncoder) -> bytes:
    """OpenDlign's file as its training script wrote it under torch 1.11."""
    weights = {name: tensor.contiguous().numpy() for name, tensor in to_opendlign(encoder.towers.state_dict()).items()}
    return zip_checkpoint(training_checkpoint(weights))


def _arrays(state: State) -> OrderedDict[str, Tensor]:
    return OrderedDict((name, Tensor.of(tensor.contiguous().numpy())) for name, tensor in state.items())
