"""From points to logits against the original code: projection, tower, pooling together."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder
from basrelief.render import get_projection
from basrelief.render.base import PointBatch
from basrelief.tasks import Pooling
from basrelief.tasks.pooling import pool_views
from support import parity_arrays
from support.recorded_encoders import recorded_encoder

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BARE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def visual(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    found = {name.removeprefix(prefix): torch.from_numpy(a).float() for name, a in arrays.items() if name.startswith(prefix)}
    return {f"visual.{name.removeprefix('visual.')}": t for name, t in found.items()}


def features(points: np.ndarray, name: str, encoder: ClipEncoder, **options: object) -> torch.Tensor:
    projection = get_projection(name, **options)
    images = projection.image(projection.depth(PointBatch.pack(list(points))))
    return encoder.encode_images(images.flatten(0, 1)).view(*images.shape[:2], -1)


def similarity(found: torch.Tensor, text: np.ndarray) -> torch.Tensor:
    return F.normalize(found, dim=-1) @ F.normalize(torch.from_numpy(text).float(), dim=-1).T


def test_pointclip_zero_shot() -> None:
    a = parity_arrays("pointclip_logits.npz")
    encoder = recorded_encoder(visual(a, "visual/")).with_preprocessing(*BARE)
    found = features(a["points"], "pointclip", encoder)
    np.testing.assert_allclose(F.normalize(found, dim=-1).flatten(1).numpy(), a["zs_image_feat"], atol=1e-3)
    scale = math.exp(float(a["logit_scale"]))
    logits = pool_views(similarity(found, a["text_raw"]), Pooling("concat"), logit_scale=scale)
    np.testing.assert_allclose(logits.numpy(), a["zs_logits"], atol=1e-3 * scale)


def test_pointclip_few_shot_images_and_features() -> None:
    a = parity_arrays("pointclip_logits.npz")
    encoder = recorded_encoder(visual(a, "visual/")).with_preprocessing(*BARE)
    found = features(a["points"], "pointclip-fewshot", encoder)
    np.testing.assert_allclose(found.flatten(0, 1).numpy(), a["fs_visual_feat"], atol=5e-3)


def test_pointclip_v2() -> None:
    a = parity_arrays("pointclipv2_logits.npz")
    encoder = recorded_encoder(visual(a, "visual/")).with_preprocessing(*BARE)
    found = features(a["points"], "pointclip-v2", encoder)
    np.testing.assert_allclose(F.normalize(found, dim=-1).flatten(1).numpy(), a["image_feat"], atol=1e-3)
    pooling = Pooling("concat", scale=100.0, weights=tuple(float(w) for w in a["view_weights"]))
    np.testing.assert_allclose(pool_views(similarity(found, a["text_raw"]), pooling).numpy(), a["logits"], atol=0.1)


@pytest.mark.parametrize("rot", [True, False])
def test_clip2point(rot: bool) -> None:
    a = parity_arrays("clip2point_forward.npz")
    names = {name.removeprefix("sd/").split(".")[0] for name in a if name.startswith("sd/")}
    assert "point_model" in names, json.dumps(sorted(names))
    state = {n.removeprefix("sd/point_model."): t for n, t in a.items() if n.startswith("sd/point_model.")}
    encoder = recorded_encoder({f"visual.{n}": torch.from_numpy(t).float() for n, t in state.items()})
    encoder = encoder.with_preprocessing(CLIP_MEAN, CLIP_STD)
    found = features(a["points"], "clip2point-zeroshot", encoder, rot=rot)
    np.testing.assert_allclose(F.normalize(found, dim=-1).flatten(0, 1).numpy(), a[f"infer_rot{int(rot)}"], atol=1e-3)
    if rot:
        logits = pool_views(similarity(found, a["text_features"]), Pooling("sum", scale=1.0))
        np.testing.assert_allclose(logits.numpy(), a["zeroshot_logits"], atol=1e-3)
