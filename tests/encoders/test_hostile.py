"""Weights, vocabularies and caches made to harm: refused with a clear message before they use time or memory."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from basrelief.encoders import ClipConfig, ClipEncoder, Tokenizer, VectorCache, load_encoder_folder, save_encoder
from basrelief.encoders.convert import convert
from basrelief.encoders.folder import WEIGHTS_FILE
from basrelief.encoders.state_dict import check_finite, read_state_dict
from basrelief.encoders.vocabulary import FILE, read_vocabulary
from basrelief.errors import ConfigError, WeightsError
from basrelief.limits import limits, use_limits
from support.small_models import small_encoder

SMALL = small_encoder().config.to_json()


def config(part: str, **changes: Any) -> dict[str, Any]:
    return SMALL | ({part: SMALL[part] | changes} if part else changes)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (config("vision", layers=1_000_000), "1000000 layers, more than the limit of 1000"),
        (config("text", layers=1_000_000), "1000000 layers, more than the limit of 1000"),
        (config("vision", kind="resnet", patch_size=None, layers=[1, 1, 1, 10**6]), "1000000 layers"),
        (config("text", vocab_size=10**9, eot=1), r"over 3\.2e\+10 numbers, the limit is 1e\+10"),
        (config("text", context_length=10**9), "numbers, the limit is"),
        (config("vision", width=2**20, heads=1), "numbers, the limit is"),
        (config("text", width=2**30, heads=1), "numbers, the limit is"),
        (config("vision", mlp_width=2**30), "numbers, the limit is"),
        (config("vision", image_size=2**20), "image_size is 1048576, too large"),
        (config("vision", image_size=16000, patch_size=16000), "image_size is 16000, too large"),
        (config("vision", image_size=4096, patch_size=4096, width=2**16, heads=1), "numbers, the limit is"),
        (config("vision", kind="resnet", patch_size=None, layers=[1, 1, 1, 1], width=2**14, heads=1), "numbers, the limit is"),
        (config("vision", stem=[2**20, 2**20]), "numbers, the limit is"),
        (config("vision", stem=[1] * 10**5), "100000 convolutions. Take at most 8"),
        (config("", embed_dim=10**9), "numbers, the limit is"),
        (config("", embed_dim=10**400), "embed_dim is above 2147483647; expected a whole number"),
        (config("", embed_dim=True), "embed_dim is True; expected a whole number"),
        (config("vision", layers="ab"), "layers is "),
        (config("vision", layers=1e400), "Cannot read the configuration"),
        (config("vision", mlp_width="x"), "mlp_width is .*; expected a whole number"),
        (config("text", vocab_size="x", eot=1), "vocab_size is .*; expected a whole number|Cannot read the configuration"),
        (config("text", vocab_size=-1, eot=1), "vocab_size is .*; expected a whole number|eot is "),
        (config("vision", heads=10**6), "heads is 1000000, which does not divide"),
        (config("", activation=[1]), "Unknown activation '.*'; expected one of"),
    ],
)
def test_absurd_architectures_are_refused_at_once(record: dict[str, Any], said: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=said):
        ClipConfig.from_json(record)
    assert time.perf_counter() - start < 1


def test_numbers_are_counted() -> None:
    from basrelief.encoders import encoder_spec
    from basrelief.encoders.registry import list_encoders
    from basrelief.encoders.towers import empty_towers

    for name in ("ViT-B-32/openai", "RN50/openai"):
        if name in list_encoders():
            found = encoder_spec(name).config
            whole = sum(tensor.numel() for tensor in empty_towers(found).parameters())
            assert 0.5 * whole < found.least_parameters <= whole
    own = small_encoder()
    assert 0.8 * sum(p.numel() for p in own.towers.parameters()) < own.config.least_parameters


def test_an_untrusted_folder_is_checked(tmp_path: Path) -> None:
    encoder = small_encoder()
    save_encoder(encoder, tmp_path)
    tensors = {"a": torch.zeros(1)}
    deep = "[" * 100_000
    good = {"config": SMALL, "name": "x", "mean": [0, 0, 0], "std": [1, 1, 1]}
    heads = [deep, json.dumps(good | {"config": config("vision", layers=10**6)})]
    heads += [json.dumps(good | {name: value}) for name in ("mean", "std") for value in ([1, 1], [1, 1, "x"], None, [1e999, 1, 1])]
    heads += [json.dumps(good | {"std": [0, 1, 1]})]
    for head in heads:
        save_file(tensors, tmp_path / WEIGHTS_FILE, metadata={"basrelief": head})
        with pytest.raises(WeightsError, match="has no valid configuration in its header"):
            load_encoder_folder(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused_by_name(value: float, kind: torch.dtype, tmp_path: Path) -> None:
    encoder = small_encoder()
    state = {name: tensor.to(kind).contiguous() for name, tensor in encoder.towers.state_dict().items()}
    assert convert(dict(state), encoder.config)
    state["text_projection.weight"][3, 1] = value
    with pytest.raises(WeightsError, match=r"text_projection\.weight holds NaN or infinity"):
        convert(state, encoder.config)


def test_large_numbers_are_numbers() -> None:
    check_finite("w", torch.full((10,), 6e4, dtype=torch.float16))
    check_finite("w", torch.full((10,), 3e38))


def test_tensors_that_repeat_few_numbers_are_refused(tmp_path: Path) -> None:
    """A kilobyte that says it is four terabytes."""
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").stat().st_size < 3000
    with pytest.raises(WeightsError, match=r"w in w\.pt is no plain tensor that holds its own numbers"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("tensor", [torch.zeros(2, 2).to_sparse(), torch.empty(2, device="meta")])
def test_other_kinds_of_tensors_are_refused(tensor: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"w": tensor}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="w in w.pt is no plain tensor"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64, torch.bool])
def test_weights_of_another_type_are_refused(kind: torch.dtype) -> None:
    encoder = small_encoder()
    state = dict(encoder.towers.state_dict()) | {"logit_scale": torch.ones((), dtype=kind)}
    with pytest.raises(WeightsError, match="logit_scale has dtype .*; expected a type like torch.float32"):
        convert(state, encoder.config)


def test_a_damaged_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "w.pt", "w") as tar:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            (tmp_path / name).write_bytes(b"\x80\x02K\x01.")
            tar.add(tmp_path / name, name)
    with pytest.raises(WeightsError, match="w.pt is a pickle that uses the operation"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(WeightsError, match="Cannot read the weights|is not a regular file"):
            read_state_dict(path)
        with pytest.raises(WeightsError, match="is not a file"):
            Tokenizer.from_file(path)


def test_a_packed_vocabulary_is_unpacked_to_the_limit_only(tmp_path: Path) -> None:
    path = tmp_path / "bpe.txt.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(bytes(3_000_000))
    assert path.stat().st_size < 4000
    with use_limits(type(limits())(list_bytes=2_000_000)), pytest.raises(WeightsError, match=r"holds more than 2,000,000 bytes"):
        Tokenizer.from_file(path)
    (tmp_path / "tokenizer.json").write_bytes(bytes(3000))
    with use_limits(type(limits())(list_bytes=2000)), pytest.raises(WeightsError, match=r"tokenizer\.json holds more than 2,000 bytes"):
        Tokenizer.from_file(tmp_path / "tokenizer.json")


def test_a_vocabulary_with_an_id_beyond_the_table_is_refused(tmp_path: Path) -> None:
    encoder = small_encoder()
    record = json.loads(encoder.tokenizer.save(tmp_path).read_text())
    record["model"]["vocab"]["a</w>"] = 1_000_000
    (tmp_path / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(WeightsError, match="expected at most 514 with"):
        ClipEncoder(encoder.towers, Tokenizer.from_folder(tmp_path))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", "", '{"seen": "a", "text_only": []}', '{"seen": [], "text_only": [], "seen_class_penalty": NaN}']
)
def test_lists_of_words_are_checked(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(WeightsError, match=f"{FILE} is damaged"):
        read_vocabulary(tmp_path)


def test_a_cache_is_for_its_user_alone(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "new" / "text.sqlite")
    cache.put("f", {"a": np.ones(2, np.float32)})
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert cache.get("f", ["a"])["a"].tolist() == [1, 1]


def test_a_cache_that_is_a_link_or_a_pipe_is_passed_over(tmp_path: Path) -> None:
    own = VectorCache(tmp_path / "text.sqlite")
    own.put("f", {"a": np.ones(2, np.float32)})
    before = own.path.read_bytes()
    (tmp_path / "link.sqlite").symlink_to(own.path)
    linked = VectorCache(tmp_path / "link.sqlite")
    linked.put("f", {"b": np.ones(2, np.float32)})
    assert linked.get("f", ["a", "b"]) == {}
    assert own.path.read_bytes() == before
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.sqlite")
        assert VectorCache(tmp_path / "pipe.sqlite").get("f", ["a"]) == {}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_cache_of_another_user_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = VectorCache(tmp_path / "text.sqlite")
    cache.put("f", {"a": np.ones(2, np.float32)})
    os.chown(cache.path, 12345, 12345)
    assert cache.get("f", ["a"]) == {}


@pytest.mark.parametrize("vector", ["text", 7, None, np.float32([np.nan, 1]).tobytes(), b"abc", bytes(1 << 25)])
def test_what_is_no_vector_in_a_cache_is_passed_over(vector: object, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "text.sqlite")
    cache.put("f", {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)})
    with sqlite3.connect(cache.path) as database:
        database.execute("UPDATE text SET vector = ? WHERE rowid = 1", (vector,))
    database.close()
    assert list(cache.get("f", ["a", "b"])) == ["b"]
