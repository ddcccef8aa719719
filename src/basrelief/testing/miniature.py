"""Small encoders with random weights and the form of known ones, to run code that needs a real image tower without its weights."""

from __future__ import annotations

from dataclasses import replace

from basrelief.encoders import ClipConfig, ClipEncoder, Tokenizer, encoder_spec, random_encoder
from basrelief.errors import ConfigError

_WIDTH, _LAYERS, _HEADS, _PATCHES = 32, 2, 4, 4


def miniature(name: str, *, seed: int = 0) -> ClipEncoder:
    """Create an encoder of a known architecture with narrow, shallow towers and random weights; it knows nothing.

    Kind of towers, patch size, mean, standard deviation, fit of pictures and kind of tokenizer are those of the weights; the picture
    has 4 x 4 patches, the embedding 32 dimensions, and the tokenizer a token for each byte.

    Args:
        name: Of the weights, e.g. `PE-Core-B-16/meta` or `ViT-B-16-SigLIP2/webli`; a vision transformer.
        seed: Of the weights.

    Raises:
        ConfigError: If the name is unknown, or its image tower is no vision transformer.
    """
    spec = encoder_spec(name)
    vision, text = spec.config.image_tower, spec.config.text
    if vision.patch_size is None:
        raise ConfigError(f"{name} has an image tower of kind {vision.kind!r}. Choose a vision transformer, such as ViT-B-16/openai.")
    tokenizer = Tokenizer.of_bytes(text.tokenizer)
    text = replace(text, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot)
    config = ClipConfig(
        _WIDTH,
        replace(vision, image_size=_PATCHES * vision.patch_size, width=_WIDTH, layers=_LAYERS, heads=_HEADS, mlp_width=2 * _WIDTH),
        replace(text, width=_WIDTH, layers=_LAYERS, heads=_HEADS, mlp_width=2 * _WIDTH),
        spec.config.activation,
        spec.config.logit_bias,
    )
    encoder = random_encoder(config, seed=seed, tokenizer=tokenizer, name=f"miniature of {name}")
    encoder.mean, encoder.std, encoder.image_fit = spec.mean, spec.std, spec.image_fit
    return encoder
