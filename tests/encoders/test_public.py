"""Public names of `basrelief.encoders`: complete, and imported lazily."""

from __future__ import annotations

import subprocess
import sys

import pytest

from basrelief import encoders
from basrelief.encoders import ClipEncoder


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_all_lists_the_public_names() -> None:
    assert sorted(encoders.__all__) == encoders.__all__
    assert dir(encoders) == encoders.__all__
    assert set(encoders.__all__) == set(encoders._HOMES)
    assert all(getattr(encoders, name).__name__ == name for name in encoders.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'basrelief\.encoders' has no attribute 'nothing'"):
        encoders.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'tokenizers', 'safetensors', 'huggingface_hub'}"
    assert run(f"import sys, basrelief.encoders; print({heavy} & set(sys.modules) or 'light')") == "light"


def test_the_list_of_encoders_needs_no_torch() -> None:
    assert run("import sys; from basrelief.encoders import list_encoders; list_encoders(); print('torch' in sys.modules)") == "False"


def test_an_encoder_needs_no_torchvision(encoder: ClipEncoder) -> None:
    encoder.encode_text(["a chair"])
    assert {"torchvision", "open_clip", "timm"} & set(sys.modules) == set()
