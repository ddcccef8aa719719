"""CLIP towers: depth images and words to features in one space.

`load_encoder` gives published weights by name, `load_encoder_folder` basrelief's own, `random_encoder` none at all. Names are loaded
when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from basrelief.lazy import lazy_exports

if TYPE_CHECKING:
    from basrelief.encoders.backends.choose import choose_backend
    from basrelief.encoders.base import Encoder
    from basrelief.encoders.cache import VectorCache
    from basrelief.encoders.clip import ClipEncoder
    from basrelief.encoders.config import ClipConfig, TextConfig, VisionConfig
    from basrelief.encoders.folder import load_encoder_folder, save_encoder
    from basrelief.encoders.hub.selection import cached_weights
    from basrelief.encoders.load import choose_device, load_encoder, random_encoder
    from basrelief.encoders.registry import EncoderSpec, encoder_spec, list_encoders
    from basrelief.encoders.tokenizer import Tokenizer
    from basrelief.encoders.tuned import is_tuned_file, load_tuned

_HOMES = {
    "Encoder": "base",
    "VectorCache": "cache",
    "ClipEncoder": "clip",
    "ClipConfig": "config",
    "TextConfig": "config",
    "VisionConfig": "config",
    "load_encoder_folder": "folder",
    "save_encoder": "folder",
    "choose_device": "load",
    "load_encoder": "load",
    "random_encoder": "load",
    "Tokenizer": "tokenizer",
    "is_tuned_file": "tuned",
    "load_tuned": "tuned",
    "cached_weights": "hub.selection",
    "choose_backend": "backends.choose",
    "EncoderSpec": "registry",
    "encoder_spec": "registry",
    "list_encoders": "registry",
}

__all__ = [
    "ClipConfig",
    "ClipEncoder",
    "Encoder",
    "EncoderSpec",
    "TextConfig",
    "Tokenizer",
    "VectorCache",
    "VisionConfig",
    "cached_weights",
    "choose_backend",
    "choose_device",
    "encoder_spec",
    "is_tuned_file",
    "list_encoders",
    "load_encoder",
    "load_encoder_folder",
    "load_tuned",
    "random_encoder",
    "save_encoder",
]

__getattr__, __dir__ = lazy_exports(__name__, _HOMES, public=__all__)
