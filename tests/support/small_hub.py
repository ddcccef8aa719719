"""A local hub with random small weights in the published layouts, and recipes that use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from basrelief.encoders import registry
from basrelief.encoders.hub.selection import VOCABULARIES
from basrelief.models import recipe, recipes
from support.hub_server import HubRepository, LocalHub, local_hub
from support.published_layouts import contiguous, to_clip2point, to_openai, to_opendlign
from support.small_models import small_encoder

ENCODER = "ViT-B-32/small"
CLIP = "someone/small-clip"
OPENDLIGN = "OpenDlign/OpenDlign-Models"
VOCABULARY = VOCABULARIES["clip"].repositories[0]
RECIPES = ("clip2point-untuned", "clip2point", "opendlign-b32", "pointclip-b32")


@contextmanager
def small_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, *, licence: str = "mit") -> Iterator[LocalHub]:
    """Run a hub with CLIP, OpenDlign's checkpoint and the vocabulary, for the recipes of `RECIPES` on a small CLIP.

    Args:
        monkeypatch: Puts recipes, hub and caches back after the test.
        folder: For the caches of this hub and of basrelief, and for `best_eval.pth`, which is not on the hub.
        licence: That the small CLIP's repository states.
    """
    base, method, pretrained = small_encoder(seed=1), small_encoder(seed=2, tuned=True), small_encoder(seed=3)
    made = folder / "made"
    made.mkdir()
    save_file(contiguous(to_openai(base.towers.state_dict())), made / "open_clip_model.safetensors")
    torch.save({"epoch": 9, "model_state_dict": to_opendlign(method.towers.state_dict())}, made / "ViT-B-32.pth")
    torch.save(to_clip2point(pretrained.towers.state_dict()), made / "best_eval.pth")
    base.tokenizer.save(made)
    content = {path.name: path.read_bytes() for path in made.iterdir()}
    config = {"preprocess_cfg": {"resize_mode": "shortest", "interpolation": "bicubic", "size": base.image_size}}
    clip = {"open_clip_config.json": json.dumps(config).encode(), "open_clip_model.safetensors": content["open_clip_model.safetensors"]}
    methods = {"README.md": b"# OpenDlign\n", "ViT-B-32.pth": content["ViT-B-32.pth"], "ViT-H-14-quickgelu.pth": b"another"}

    spec = replace(registry.encoder_spec("ViT-B-32/openai"), name=ENCODER, repository=CLIP, config=base.config)
    known = recipes() | {name: replace(recipes()[name], encoder=ENCODER) for name in RECIPES}
    specs = {name: registry.encoder_spec(name) for name in registry.list_encoders()} | {spec.name: spec}
    monkeypatch.setattr(registry, "_specs", lambda: specs)
    for module in ("recipe.recipes", "fetch.recipes", "registry.recipes"):
        monkeypatch.setattr(f"basrelief.models.{module}", lambda: known)
    monkeypatch.setattr(recipe, "recipes", lambda: known)
    monkeypatch.setenv("BASRELIEF_CACHE", str(folder / "basrelief"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with local_hub() as hub:
        hub.repositories[CLIP] = HubRepository({**clip, "tokenizer.json": content["tokenizer.json"]}, card={"license": licence})
        hub.repositories[OPENDLIGN] = HubRepository(methods, card={})
        hub.repositories[VOCABULARY] = HubRepository({"tokenizer.json": content["tokenizer.json"]}, card={"license": "apache-2.0"})
        hub.use(monkeypatch, folder / "hub")
        yield hub
