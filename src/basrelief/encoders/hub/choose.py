"""Which file of a repository or folder holds the weights, by its name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from basrelief.errors import WeightsNotFoundError

WEIGHTS_ORDER = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""Names of CLIP weights, best first: open_clip's own order (`_find_checkpoint_in_dir`, open_clip 3.3)."""

WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
"""Suffixes of weights, best first."""

_PART = re.compile(r"-\d{5}-of-\d{5}$")
_SHOWN = 12


def weights_candidates(names: Iterable[str], *, preferred: Sequence[str] = WEIGHTS_ORDER, architecture: str = "") -> list[str]:
    """List the files that may hold the weights, best first.

    Args:
        names: Paths inside a repository, separated by `/`, or names in a folder.
        preferred: Names that decide, best first. Others of `WEIGHTS_ORDER` are not taken: some repositories have only an image tower there.
        architecture: Take only files whose path names this architecture, e.g. `ViT-L-14`, which `ViT-L-14-336` does not.

    Returns:
        One name if the choice is decisive. Of files that differ in their suffix alone only the best is listed; parts of a split file
        are left out.
    """
    found = [
        name for name in names if PurePosixPath(name).suffix.lower() in WEIGHTS_SUFFIXES and not _PART.search(PurePosixPath(name).stem)
    ]
    if architecture:
        return _one_per_stem(name for name in found if _names(name, architecture))
    known = [name for name in preferred if name in found]
    return known[:1] or _one_per_stem(name for name in found if name not in WEIGHTS_ORDER)


def choose_weights(
    names: Collection[str], *, origin: str, preferred: Sequence[str] = WEIGHTS_ORDER, architecture: str = "", command: str = ""
) -> str:
    """Choose the file that holds the weights.

    Args:
        names: As for `weights_candidates`.
        origin: Where they are, for the message.
        preferred: As for `weights_candidates`.
        architecture: As for `weights_candidates`.
        command: How a user names a file, for the message; up to the name.

    Raises:
        WeightsNotFoundError: If no file or more than one remains; the message lists the candidates.
    """
    found = weights_candidates(names, preferred=preferred, architecture=architecture)
    if len(found) == 1:
        return found[0]
    wanted = f"weights of {architecture}" if architecture else "weights"
    remedy = f" Name one: {command} FILE." if command else " Name one of them."
    if found:
        raise WeightsNotFoundError(f"{origin} has {len(found)} files that may be the {wanted}: {_shown(found)}.{remedy}")
    others = sorted(name for name in names if PurePosixPath(name).suffix.lower() in WEIGHTS_SUFFIXES)
    if not others:
        raise WeightsNotFoundError(f"{origin} has no {wanted}: no file ends in {', '.join(WEIGHTS_SUFFIXES)}.")
    raise WeightsNotFoundError(f"No file of {origin} is surely the {wanted}: {_shown(others)}.{remedy}")


def _one_per_stem(names: Iterable[str]) -> list[str]:
    best: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (WEIGHTS_SUFFIXES.index(PurePosixPath(name).suffix.lower()), name)):
        best.setdefault(str(PurePosixPath(name).with_suffix("")), name)
    return sorted(best.values())


def _names(path: str, architecture: str) -> bool:
    plain, wanted = (re.sub(r"[^a-z0-9]+", "-", text.lower()) for text in (path, architecture))
    return re.search(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9]|-\d)", plain) is not None


def _shown(names: list[str]) -> str:
    listed = [name if len(name) <= 80 else f"{name[:77]}..." for name in names[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(listed) + more
