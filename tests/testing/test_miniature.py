"""Miniatures of known encoders."""

from __future__ import annotations

import pytest
import torch

from basrelief.encoders import Encoder, encoder_spec, list_encoders
from basrelief.testing import miniature


def form(name: str) -> tuple[object, ...]:
    """What a miniature keeps of an architecture."""
    config = encoder_spec(name).config
    vision, text = config.image_tower, config.text
    return vision.kind, vision.class_token, vision.patch_size, text.kind, text.tokenizer


FORMS = {form(name): name for name in list_encoders()}


@pytest.mark.parametrize("name", FORMS.values())
def test_every_encoder_has_one(name: str) -> None:
    encoder, spec = miniature(name), encoder_spec(name)
    assert isinstance(encoder, Encoder)
    assert encoder.config.image_tower.kind == spec.config.image_tower.kind
    assert (encoder.mean, encoder.std, encoder.image_fit) == (spec.mean, spec.std, spec.image_fit)
    assert (encoder.logit_bias is None) == (not spec.config.logit_bias)
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert encoder.encode_images(images).shape == encoder.encode_text(["a chair", "ein Stuhl, grün"]).shape == (2, 32)
    assert encoder.fingerprint == miniature(name).fingerprint != miniature(name, seed=1).fingerprint
