"""Public names of `basrelief.train`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import basrelief.train


@pytest.mark.parametrize("name", basrelief.train.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(basrelief.train, name).__module__.startswith("basrelief.train.")


def test_dir_lists_the_public_names() -> None:
    assert dir(basrelief.train) == sorted(basrelief.train.__all__)


def test_unknown_names_are_rejected() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'trains'"):
        _ = basrelief.train.trains


def test_the_import_is_cheap() -> None:
    check = "import sys, basrelief.train; print([m for m in ('torch', 'transformers', 'trimesh') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_inference_never_imports_training() -> None:
    check = "import sys, basrelief; basrelief.load_model; print([m for m in sys.modules if m.startswith('basrelief.train')])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
