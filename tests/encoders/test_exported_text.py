"""Class embeddings in files: written once, looked up later, and read from OpenShape's published arrays."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from basrelief.encoders import Encoder
from basrelief.encoders.exported_text import ExportedText, read_exported_text, save_exported_text
from basrelief.errors import BasreliefError, ConfigError, FileFormatError, WeightsError
from basrelief.models.export_text import export_text
from basrelief.models.prompting import Prompter
from basrelief.testing import FakeEncoder

LABELS = ("office chair", "armchair", "night stand", "table")


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder(seed=3)


@pytest.fixture
def file(encoder: FakeEncoder, tmp_path: Path) -> Path:
    """Four labels, exported with ULIP's templates."""
    return export_text(Prompter("ulip"), encoder, LABELS, path=tmp_path / "four.safetensors")


def test_exported_labels_are_those_of_the_text_tower(file: Path, encoder: FakeEncoder) -> None:
    found = read_exported_text(file)
    wanted = ["table", "office chair", "table"]
    expected = Prompter("ulip").embed(wanted, encoder)
    torch.testing.assert_close(Prompter("label").embed(wanted, found), expected, atol=1e-6, rtol=0)
    assert torch.equal(found.encode_text(["night_stand"]), found.encode_text(["night stand"]))
    assert (found.labels, found.prompts, found.encoder, found.encoder_fingerprint) == (LABELS, "ulip", "fake-3", encoder.fingerprint)
    assert (found.logit_scale, found.embedding_dim, found.source) == (100.0, 16, "four.safetensors")


def test_it_is_an_encoder(file: Path, tmp_path: Path, encoder: FakeEncoder) -> None:
    found = read_exported_text(file)
    assert isinstance(found, Encoder)
    assert found.name == "fake-3 (four.safetensors)"
    assert found.with_preprocessing((0.5,) * 3, (0.5,) * 3) is found
    assert (found.device, found.dtype, found.has_tuned_block, found.vocabulary) == (torch.device("cpu"), torch.float32, False, None)
    other = export_text(Prompter("name"), encoder, LABELS, path=tmp_path / "other.safetensors")
    assert found.fingerprint == read_exported_text(file).fingerprint != read_exported_text(other).fingerprint


def test_a_label_that_is_not_there_says_how_to_export_it(file: Path) -> None:
    found = read_exported_text(file)
    with pytest.raises(
        ConfigError,
        match=r"^'Armchairs' is not among the 4 labels of four\.safetensors\. Did you mean 'armchair'\? "
        r"To export others, where fake-3 fits into memory: basrelief models export-text MODEL --labels 'Armchairs',\.\.\. --out FILE\.$",
    ):
        found.encode_text(["table", "Armchairs"])
    with pytest.raises(ConfigError, match=r"^'x1', 'x2', 'x3' and 1 more are not among the 4 labels of four\.safetensors\. To export"):
        found.encode_text(["x1", "x2", "x3", "x4"])


def test_there_are_no_images(file: Path) -> None:
    found = read_exported_text(file)
    message = r"^four\.safetensors holds class embeddings alone: it cannot encode images\. Load the model with the weights of fake-3\.$"
    for encode in (found.encode_images, found.encode_both):
        with pytest.raises(ConfigError, match=message):
            encode(torch.zeros(1, 8, 8))


def test_labels_and_embeddings_belong_together(encoder: FakeEncoder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There are 1 labels for embeddings \(2, 16\); expected one row for each label\."):
        save_exported_text(tmp_path / "a", ["chair"], torch.zeros(2, 16), encoder=encoder, prompts="ulip")
    with pytest.raises(ConfigError, match=r"Label 'night stand' occurs twice\. Remove one\."):
        save_exported_text(tmp_path / "a", ["night_stand", "night stand"], torch.zeros(2, 16), encoder=encoder, prompts="ulip")
    assert not (tmp_path / "a").exists()


def test_other_files_are_refused(file: Path, tmp_path: Path, encoder: FakeEncoder) -> None:
    save_file({"embeddings": torch.zeros(1, 2)}, tmp_path / "plain.safetensors")
    with pytest.raises(
        WeightsError, match=r"plain\.safetensors holds no class embeddings: 'format'\. Write them with basrelief models export-"
    ):
        read_exported_text(tmp_path / "plain.safetensors")
    save_file({"embeddings": torch.zeros(1, 2)}, tmp_path / "next.safetensors", metadata={"format": "basrelief exported text 2"})
    with pytest.raises(WeightsError, match=r"its format is 'basrelief exported text 2'"):
        read_exported_text(tmp_path / "next.safetensors")
    save_exported_text(tmp_path / "nan.safetensors", ["chair"], torch.full((1, 2), float("nan")), encoder=encoder, prompts="ulip")
    with pytest.raises(WeightsError, match=r"embeddings in nan\.safetensors holds NaN"):
        read_exported_text(tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="Cannot read the weights .*: No such file"):
        read_exported_text(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("protocol", [2, 4])
def test_openshapes_published_embeddings(tmp_path: Path, protocol: int) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 1280)).astype(np.float32)
    record = {name: {"open_clip_text_feat": row[None]} for name, row in zip(("night_stand", "chair", "xbox"), rows, strict=True)}
    path, stored = tmp_path / "cat_name_pt_feat.npy", np.array(record, dtype=object)
    with path.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(stored))
        pickle.dump(stored, out, protocol=protocol)
    found = read_exported_text(path)
    assert (found.labels, found.encoder) == (("night_stand", "chair", "xbox"), "ViT-bigG-14/laion2b_s39b_b160k")
    assert torch.equal(found.encode_text(["chair", "night stand"]), torch.from_numpy(rows[[1, 0]]))
    assert Prompter("label").embed(["night stand", "xbox"], found).shape == (2, 1280)


def test_openshapes_embeddings_of_lvis_need_names(tmp_path: Path) -> None:
    path = tmp_path / "lvis_cat_name_pt_feat.npy"
    np.save(path, np.ones((2, 8), dtype=np.float32))
    assert isinstance(read_exported_text(path, labels=["Band_Aid", "chair"]), ExportedText)
    with pytest.raises(
        ConfigError, match=r"lvis_cat_name_pt_feat\.npy holds 2 embeddings without names\. Give their labels in order: --lab"
    ):
        read_exported_text(path)
    with pytest.raises(ConfigError, match=r"There are 3 labels for embeddings \(2, 8\)"):
        read_exported_text(path, labels=["a", "b", "c"])
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FileFormatError, match="lvis_cat_name_pt_feat.npy is truncated"):
        read_exported_text(path, labels=["a", "b"])


@pytest.mark.parametrize(
    "record",
    [{"chair": {"image_feat": np.ones(3)}}, {"chair": 3}, {"chair": {"open_clip_text_feat": np.arange(3)}}, {}, "text", [np.ones(3)]],
)
def test_other_objects_are_refused(tmp_path: Path, record: object) -> None:
    np.save(tmp_path / "a.npy", np.array(record, dtype=object), allow_pickle=True)
    with pytest.raises(
        BasreliefError, match=r"a\.npy (has no array open_clip_text_feat for 'chair'|holds a \w+ array .*; expected class emb)"
    ):
        read_exported_text(tmp_path / "a.npy")


def test_embeddings_of_different_lengths_are_refused(tmp_path: Path) -> None:
    record = {name: {"open_clip_text_feat": np.ones((1, size))} for name, size in (("a", 3), ("b", 4))}
    np.save(tmp_path / "a.npy", np.array(record, dtype=object), allow_pickle=True)
    with pytest.raises(WeightsError, match="expected class embeddings"):
        read_exported_text(tmp_path / "a.npy")


class Harmful:
    """Would create a file if it were unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return open, ("harm", "w")


def test_nothing_in_a_pickle_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array({"chair": Harmful()}, dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match=r"names \w+\.open"):
        read_exported_text("a.npy")
    assert not Path("harm").exists()
