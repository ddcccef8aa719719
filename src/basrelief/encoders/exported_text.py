"""Class embeddings written to a file, so that a model can name shapes where its text tower does not fit.

A file is safetensors: `embeddings` (C, D) in float32, and in its head the labels, the prompts, the encoder and its logit scale.
OpenShape's published class embeddings (`cat_name_pt_feat.npy`, `lvis_cat_name_pt_feat.npy`) are read, too.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from basrelief.encoders.base import Encoder
from basrelief.encoders.preprocessing import Channels, ImageFit
from basrelief.encoders.state_dict import check_finite, read_metadata, read_state_dict
from basrelief.errors import ConfigError, WeightsError
from basrelief.io.checks import parser_errors
from basrelief.io.formats.npy_array import NpyArray, read_header
from basrelief.io.formats.objects import read_objects
from basrelief.output import replace_file, to_json

FORMAT = "basrelief exported text 1"
EXPORT = "basrelief models export-text"
"""The command that writes class embeddings."""
_OPENSHAPE_FEATURE = "open_clip_text_feat"
_OPENSHAPE_SCALE = 100.0
_SHOWN = 3


@dataclass(frozen=True)
class ExportedText:
    """Class embeddings in place of a text tower; an `Encoder` that knows its labels and nothing else.

    With the template set `label`, a `Prompter` asks it for the labels themselves.

    Attributes:
        labels: C class names.
        embeddings: One for each label, float32, as the text tower and its prompts gave them.
        encoder: Name of the encoder they are of, e.g. `ViT-bigG-14/laion2b_s39b_b160k`.
        encoder_fingerprint: Fingerprint of that encoder, or empty where it is not known.
        prompts: Name of the template set that was used, or what is known of it.
        logit_scale: Multiplier of cosines, already exponentiated.
        source: Name of the file.
        logit_bias: What the sigmoid loss adds to scaled cosines; None for an encoder that was not trained with it.
    """

    labels: tuple[str, ...]
    embeddings: Float[Tensor, "labels dim"]
    encoder: str
    encoder_fingerprint: str
    prompts: str
    logit_scale: float
    source: str
    logit_bias: float | None = None

    @property
    def name(self) -> str:
        """Name for reports: the encoder and the file."""
        return f"{self.encoder} ({self.source})"

    @property
    def embedding_dim(self) -> int:
        """Dimension of the embeddings."""
        return int(self.embeddings.shape[1])

    @property
    def image_size(self) -> int:
        """0, since it cannot encode images."""
        return 0

    @property
    def mean(self) -> Channels:
        """Without meaning here."""
        return (0.0, 0.0, 0.0)

    @property
    def std(self) -> Channels:
        """Without meaning here."""
        return (1.0, 1.0, 1.0)

    @property
    def image_fit(self) -> ImageFit:
        """Without meaning here."""
        return ImageFit()

    @property
    def fingerprint(self) -> str:
        """Hash of labels, embeddings and encoder."""
        record = [self.labels, self.encoder, self.encoder_fingerprint, self.prompts]
        digest = hashlib.sha256(json.dumps(record).encode())
        digest.update(self.embeddings.cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def device(self) -> torch.device:
        """Device of the embeddings."""
        return self.embeddings.device

    @property
    def dtype(self) -> torch.dtype:
        """Always float32."""
        return self.embeddings.dtype

    @property
    def runtime(self) -> str:
        """The embeddings are looked up."""
        return "torch float32"

    @property
    def vocabulary(self) -> None:
        """None: a label that is not exported is an error, not an unknown word."""
        return

    @property
    def has_tuned_block(self) -> bool:
        """Always False."""
        return False

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "p dim"]:
        """Look up the embeddings of labels; underscores and spaces are the same.

        Raises:
            ConfigError: If a label was not exported; the message has near misses and the command that exports it.
        """
        places = {_plain(label): place for place, label in enumerate(self.labels)}
        if missing := [prompt for prompt in prompts if _plain(prompt) not in places]:
            raise ConfigError(self._unknown(missing))
        return self.embeddings[[places[_plain(prompt)] for prompt in prompts]]

    def encode_images(
        self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None
    ) -> NoReturn:
        """Raise a ConfigError: there is no image tower."""
        raise ConfigError(
            f"{self.source} holds class embeddings alone: it cannot encode images. Load the model with the weights of {self.encoder}."
        )

    def encode_both(self, images: Float[Tensor, "n s s"] | Float[Tensor, "n 3 s s"]) -> NoReturn:
        """Raise a ConfigError: there is no image tower."""
        self.encode_images(images)

    def with_preprocessing(self, mean: Channels, std: Channels) -> ExportedText:
        """Return the same embeddings: there are no images to prepare."""
        return self

    def _unknown(self, missing: Sequence[str]) -> str:
        shown = ", ".join(repr(label) for label in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        names = {label.lower(): label for label in self.labels}
        near = difflib.get_close_matches(missing[0].lower(), list(names), n=3)
        hint = f" Did you mean {' or '.join(repr(names[label]) for label in near)}?" if near else ""
        be = "is" if len(missing) == 1 else "are"
        return (
            f"{shown}{more} {be} not among the {len(self.labels):,} labels of {self.source}.{hint} "
            f"To export others, where {self.encoder} fits into memory: {EXPORT} MODEL --labels {missing[0]!r},... --out FILE."
        )


def save_exported_text(
    path: Path | str, labels: Sequence[str], embeddings: Float[Tensor, "labels dim"], *, encoder: Encoder, prompts: str
) -> Path:
    """Write class embeddings, whole or not at all; `read_exported_text` reads them.

    Args:
        path: The file, safetensors.
        labels: C different class names.
        embeddings: One for each label.
        encoder: The encoder that gave them.
        prompts: Name of the template set.

    Raises:
        ConfigError: If a label is repeated, or the numbers of labels and embeddings differ.
        OutputError: If the file cannot be written.
    """
    from safetensors.torch import save_file

    _check(labels, embeddings)
    record = {
        "labels": list(labels),
        "prompts": prompts,
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "logit_scale": encoder.logit_scale,
    }
    if encoder.logit_bias is not None:
        record["logit_bias"] = encoder.logit_bias
    with replace_file(path) as part:
        save_file(
            {"embeddings": embeddings.detach().float().cpu().contiguous()}, part, metadata={"format": FORMAT, "text": to_json(record)}
        )
    return Path(path)


def read_exported_text(path: Path | str, *, labels: Sequence[str] = (), device: torch.device | str = "cpu") -> ExportedText:
    """Read class embeddings: what `save_exported_text` wrote, or what OpenShape published.

    Args:
        path: A file of ours, or `.npy`: a dict `{class: {"open_clip_text_feat": (1, D)}}`, or an array (C, D) with the names in `labels`.
        labels: Class names of an array without names, in its order; for `lvis_cat_name_pt_feat.npy` the sorted keys of Objaverse's
            `lvis-annotations.json`.
        device: Where the embeddings go.

    Raises:
        ConfigError: If an array needs labels, or their number differs.
        FileFormatError: If a `.npy` file is damaged or holds anything but plain arrays.
        WeightsError: If a file of ours is damaged, or holds something else.
    """
    path = Path(path)
    found = _read_openshape(path, labels) if path.suffix.lower() == ".npy" else _read(path)
    check_finite(f"embeddings in {path.name}", found.embeddings)
    return replace(found, embeddings=found.embeddings.to(device))


def _read(path: Path) -> ExportedText:
    state, head = read_state_dict(path), read_metadata(path)
    try:
        if head["format"] != FORMAT:
            raise ValueError(f"its format is {head['format'][:80]!r}")
        record: dict[str, Any] = json.loads(head["text"])
        names = [str(label) for label in record["labels"]]
        encoder, fingerprint, prompts = (str(record[key]) for key in ("encoder", "fingerprint", "prompts"))
        embeddings = state["embeddings"].float()
        _check(names, embeddings)
        scale, bias = float(record["logit_scale"]), record.get("logit_bias")
        bias = None if bias is None else float(bias)
        return ExportedText(tuple(names), embeddings, encoder, fingerprint, prompts, scale, path.name, bias)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path.name} holds no class embeddings: {str(error)[:200]}. Write them with {EXPORT}.") from error


def _read_openshape(path: Path, labels: Sequence[str]) -> ExportedText:
    """Read OpenShape's class embeddings: means over ULIP's prompts of ViT-bigG-14's text features (its README and issue 14)."""
    stored = _read_npy(path)
    record = stored.reshape(-1)[0] if stored.size == 1 else None
    names, matrix = tuple(labels), stored
    if isinstance(record, dict):
        names = tuple(str(name) for name in record)
        rows = [_feature(path, name, entry) for name, entry in record.items()]
        matrix = np.stack(rows) if len({len(row) for row in rows}) == 1 else np.empty(0)
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise WeightsError(f"{path.name} holds a {matrix.dtype} array {matrix.shape}; expected class embeddings (C, D). Download it again.")
    if not names:
        raise ConfigError(f"{path.name} holds {len(matrix):,} embeddings without names. Give their labels in order: --labels FILE.")
    embeddings = torch.from_numpy(matrix.astype(np.float32))
    _check(names, embeddings)
    return ExportedText(names, embeddings, "ViT-bigG-14/laion2b_s39b_b160k", "", "ulip", _OPENSHAPE_SCALE, path.name)


def _read_npy(path: Path) -> np.ndarray:
    with parser_errors(path, "npy"):
        with path.open("rb") as file:
            header = read_header(path, file)
            if header.dtype is not None:
                NpyArray(path, file, header, path.stat().st_size)  # checks that the data are complete
                return np.asarray(np.load(path, allow_pickle=False))
        return read_objects(path)


def _feature(path: Path, name: object, entry: object) -> np.ndarray:
    feature = entry.get(_OPENSHAPE_FEATURE) if isinstance(entry, dict) else None
    if not isinstance(feature, np.ndarray) or feature.dtype.kind != "f":
        raise WeightsError(f"{path.name} has no array {_OPENSHAPE_FEATURE} for {str(name)[:80]!r}. Download it again.")
    return feature.reshape(-1)


def _check(labels: Sequence[str], embeddings: Tensor) -> None:
    if embeddings.ndim != 2 or len(labels) != len(embeddings):
        raise ConfigError(f"There are {len(labels):,} labels for embeddings {tuple(embeddings.shape)}; expected one row for each label.")
    plain = [_plain(label) for label in labels]
    if len(set(plain)) < len(plain):
        twice = next(label for place, label in enumerate(plain) if label in plain[:place])
        raise ConfigError(f"Label {twice!r} occurs twice. Remove one.")


def _plain(label: str) -> str:
    return label.replace("_", " ").strip()
