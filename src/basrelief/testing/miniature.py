"""Small encoders with random weights and the form of known ones, to run code that needs a real image tower without its weights."""

from __future__ import annotations

from dataclasses import replace

from basrelief.encoders import ClipConfig, ClipEncoder, Tokenizer, VisionConfig, encoder_spec, random_encoder

_WIDTH, _LAYERS, _HEADS, _PATCHES = 32, 2, 4, 4


def miniature(name: str, *, seed: int = 0) -> ClipEncoder:
    """Create an encoder of a known architecture with narrow, shallow towers and random weights; it knows nothing.

    Kind of towers, patch size, mean, standard deviation, fit of pictures and kind of tokenizer are those of the weights; the picture
    has 4 x 4 patches, or 2 x 2 places in the last layer of a convolutional tower, the embedding 32 dimensions, and the tokenizer a
    token for each byte.

    Args:
        name: Of the weights, e.g. `PE-Core-B-16/meta` or `ViT-B-16-SigLIP2/webli`.
        seed: Of the weights.

    Raises:
        ConfigError: If the name is unknown.
    """
    spec = encoder_spec(name)
    text = spec.config.text
    tokenizer = Tokenizer.of_bytes(text.tokenizer)
    text = replace(text, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot)
    config = ClipConfig(
        _WIDTH,
        _small(spec.config.image_tower),
        replace(text, width=_WIDTH, layers=_LAYERS, heads=_HEADS, mlp_width=2 * _WIDTH),
        spec.config.activation,
        spec.config.logit_bias,
    )
    encoder = random_encoder(config, seed=seed, tokenizer=tokenizer, name=f"miniature of {name}")
    encoder.mean, encoder.std, encoder.image_fit = spec.mean, spec.std, spec.image_fit
    return encoder


def _small(vision: VisionConfig) -> VisionConfig:
    if isinstance(vision.layers, tuple):
        layers = (1,) * len(vision.layers)
        return replace(vision, image_size=2 * vision.stride, width=8, layers=layers, heads=_HEADS, mlp_width=16)
    vision = replace(vision, joint_blocks=min(vision.joint_blocks, 1))
    return replace(vision, image_size=_PATCHES * vision.stride, width=_WIDTH, layers=_LAYERS, heads=_HEADS, mlp_width=2 * _WIDTH)
