"""A small random CLIP with all features of the large ones, a small point network beside it, and shapes for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig, random_encoder
from basrelief.encoders.points.encoder import PointEncoder
from basrelief.models import Model, Recipe, recipes
from basrelief.models.shape_encoder import CloudEncoder
from basrelief.types import Mesh, PointCloud
from support.small_points import SmallPoints, SmallSize

VISION = VisionConfig(image_size=32, width=32, layers=2, heads=2, patch_size=16)


def small_encoder(*, tuned: bool = False, seed: int = 0) -> ClipEncoder:
    tokenizer = Tokenizer.of_bytes()
    text = TextConfig(width=32, layers=1, heads=2, context_length=77, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot)
    return random_encoder(ClipConfig(embed_dim=16, vision=VISION, text=text), seed=seed, tokenizer=tokenizer, tuned=tuned)


def box(*, size: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> Mesh:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float32) * np.array(size, dtype=np.float32)
    faces = [
        (0, 1, 3),
        (0, 3, 2),
        (4, 6, 7),
        (4, 7, 5),
        (0, 4, 5),
        (0, 5, 1),
        (2, 3, 7),
        (2, 7, 6),
        (0, 2, 6),
        (0, 6, 4),
        (1, 5, 7),
        (1, 7, 3),
    ]
    return Mesh(corners, np.array(faces))


def ball(points: int = 500) -> PointCloud:
    rows = np.random.default_rng(0).normal(size=(points, 3))
    return PointCloud((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def small_points(*, dim: int = 16, views: int = 1, seed: int = 0) -> PointEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SmallPoints(SmallSize(dim, views=views))
    return PointEncoder(network.eval().requires_grad_(False), name="small", logit_scale=20.0)


def small_model(recipe: Recipe, *, seed: int = 0) -> Model:
    """A recipe on small random networks."""
    if recipe.cloud is None:
        return Model(recipe, small_encoder(tuned=bool(recipe.tuned_views), seed=seed))
    points = small_points(views=len(recipe.pooling.weights or (1,)), seed=seed)
    return Model(recipe, small_encoder(seed=seed), shape_encoder=CloudEncoder(recipe, points))


MODELS = tuple(name for name in recipes() if name != "tiny")
COLOR = ("views-clip-b32", "views-depth-clip-b16", "mv-clip")
QUICK = (
    "pointclip",
    "pointclip-v2",
    "clip2point",
    "opendlign-h14",
    "opendlign-untuned",
    "ulip",
    "openshape-spconv",
    "tamm-pointbert",
    *COLOR,
)
MODEL_PARAMS = tuple(name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS)
"""Parameters for tests of every recipe: one of each method is quick, those that differ in the backbone alone are slow."""
