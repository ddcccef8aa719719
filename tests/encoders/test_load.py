"""Loading encoders by name, with weights in every supported place; no network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from basrelief.encoders import (
    ClipConfig,
    ClipEncoder,
    VectorCache,
    choose_device,
    encoder_spec,
    load_encoder,
    random_encoder,
    registry,
    save_encoder,
)
from basrelief.encoders.clip import CLIP_MEAN, CLIP_STD
from basrelief.encoders.preprocessing import ImageFit
from basrelief.encoders.registry import EncoderSpec
from basrelief.encoders.weights import cached_weights, find_tokenizer, find_weights
from basrelief.errors import ConfigError, WeightsError, WeightsNotFoundError
from support.hub_server import HubRepository, LocalHub, local_hub

Layout = Callable[[dict[str, Tensor]], dict[str, Tensor]]
REPOSITORY = "someone/small-clip"


@pytest.fixture
def spec(config: ClipConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EncoderSpec:
    """A small record beside the known ones, and an empty hub folder."""
    own = replace(encoder_spec("ViT-B-32/openai"), name="small/own", repository=REPOSITORY, config=config)
    known = {name: encoder_spec(name) for name in registry.list_encoders()}
    monkeypatch.setattr(registry, "_specs", lambda: {**known, own.name: own})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))
    return own


@pytest.fixture
def folder(encoder: ClipEncoder, openai_layout: Layout, tmp_path: Path) -> Path:
    """Weights as open_clip publishes them, with their tokenizer."""
    place = tmp_path / "weights"
    place.mkdir()
    state = {n: t.contiguous() for n, t in openai_layout(encoder.towers.state_dict()).items()}
    save_file(state, str(place / "open_clip_model.safetensors"))
    encoder.tokenizer.save(place)
    return place


def in_hub(hub: Path, repository: str, files: list[Path]) -> None:
    """Lay files as huggingface_hub does after a download."""
    base = hub / f"models--{repository.replace('/', '--')}"
    snapshot = base / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text("abc123")
    for file in files:
        shutil.copy(file, snapshot / file.name)


def same_features(found: ClipEncoder, encoder: ClipEncoder, images: Tensor) -> bool:
    pairs = ((e.encode_images(images), e.encode_text(["a chair"])) for e in (found, encoder))
    return all(torch.allclose(a, b, atol=1e-6, rtol=0) for a, b in zip(*pairs, strict=True))


def test_from_a_folder(spec: EncoderSpec, folder: Path, encoder: ClipEncoder, images: Tensor) -> None:
    found = load_encoder("small/own", weights=folder, device="cpu", dtype="float32", cache=None)
    assert same_features(found, encoder, images)
    assert (found.name, found.mean, found.std, found.cache) == ("small/own", CLIP_MEAN, CLIP_STD, None)
    assert found.dtype_reason == "requested"


def test_from_a_file(spec: EncoderSpec, folder: Path, encoder: ClipEncoder, images: Tensor) -> None:
    file = folder / "open_clip_model.safetensors"
    assert same_features(load_encoder("small/own", weights=str(file), dtype="float32", cache=None), encoder, images)


def test_a_pickle_is_taken_where_there_is_nothing_better(spec: EncoderSpec, folder: Path, encoder: ClipEncoder, openai_layout: Layout, images: Tensor) -> None:  # fmt: skip
    (folder / "open_clip_model.safetensors").unlink()
    torch.save({"state_dict": openai_layout(encoder.towers.state_dict())}, folder / "open_clip_pytorch_model.bin")
    assert same_features(load_encoder("small/own", weights=folder, dtype="float32", cache=None), encoder, images)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_hugging_face_folders(spec: EncoderSpec, tmp_path: Path, encoder: ClipEncoder, images: Tensor, name: str) -> None:
    state = encoder.towers.state_dict()
    save_file(state, str(tmp_path / name)) if name.endswith("safetensors") else torch.save(state, tmp_path / name)
    encoder.tokenizer.save(tmp_path)
    assert same_features(load_encoder("small/own", weights=tmp_path, dtype="float32", cache=None), encoder, images)


def test_opendligns_checkpoint_brings_its_tuned_block(
    spec: EncoderSpec, tuned_encoder: ClipEncoder, opendlign_layout: Layout, tmp_path: Path, images: Tensor
) -> None:
    state = {f"module.{n}": t for n, t in opendlign_layout(tuned_encoder.towers.state_dict()).items()}
    torch.save({"epoch": 9, "model_state_dict": state, "optimizer_d_visual_state_dict": {}}, tmp_path / "best.pt")
    tuned_encoder.tokenizer.save(tmp_path)
    found = load_encoder("small/own", weights=tmp_path / "best.pt", dtype="float32", cache=None)
    assert found.has_tuned_block
    torch.testing.assert_close(found.encode_both(images)[1], tuned_encoder.encode_both(images)[1], atol=1e-6, rtol=0)


def test_our_own_folder_is_read_by_name_too(spec: EncoderSpec, tuned_encoder: ClipEncoder, tmp_path: Path, images: Tensor) -> None:
    save_encoder(tuned_encoder, tmp_path, dtype=torch.float32)
    found = load_encoder("small/own", weights=tmp_path, dtype="float32", cache=None)
    torch.testing.assert_close(found.encode_both(images)[1], tuned_encoder.encode_both(images)[1], atol=1e-6, rtol=0)


def test_from_the_hubs_local_copy(spec: EncoderSpec, folder: Path, tmp_path: Path, encoder: ClipEncoder, images: Tensor) -> None:
    in_hub(tmp_path / "hub", REPOSITORY, [folder / "open_clip_model.safetensors", folder / "tokenizer.json"])
    assert same_features(load_encoder("small/own", dtype="float32", cache=None), encoder, images)
    found = cached_weights(spec)
    assert found is not None
    assert found.name == "open_clip_model.safetensors"
    assert cached_weights(replace(spec, repository="someone/else")) is None


def test_a_second_best_file_in_the_hubs_copy_will_do(spec: EncoderSpec, folder: Path, tmp_path: Path, encoder: ClipEncoder) -> None:
    torch.save(encoder.towers.state_dict(), folder / "open_clip_pytorch_model.bin")
    in_hub(tmp_path / "hub", REPOSITORY, [folder / "open_clip_pytorch_model.bin"])
    assert find_weights(spec).name == "open_clip_pytorch_model.bin"


@pytest.mark.parametrize("repository", [REPOSITORY, "openai/clip-vit-base-patch32", "timm/vit_base_patch32_clip_224.openai"])
def test_a_tokenizer_that_is_not_beside_comes_from_the_hubs_copy(spec: EncoderSpec, folder: Path, tmp_path: Path, repository: str) -> None:
    in_hub(tmp_path / "hub", repository, [folder / "tokenizer.json"])
    (folder / "tokenizer.json").unlink()
    assert find_tokenizer(spec, folder / "open_clip_model.safetensors").vocab_size == 514


@pytest.fixture
def hub(spec: EncoderSpec, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    """A hub with the weights of `small/own` as a pickle, and their tokenizer."""
    torch.save(load_file(folder / "open_clip_model.safetensors"), folder / "weights.bin")
    files = {
        "open_clip_pytorch_model.bin": (folder / "weights.bin").read_bytes(),
        "tokenizer.json": (folder / "tokenizer.json").read_bytes(),
    }
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with local_hub(someone__small_clip=HubRepository(files)) as running:
        running.repositories[REPOSITORY] = running.repositories.pop("someone/small_clip")
        running.use(monkeypatch, tmp_path / "hub")
        yield running


def test_the_first_use_downloads_open_weights(hub: LocalHub, encoder: ClipEncoder, images: Tensor) -> None:
    assert same_features(load_encoder("small/own", dtype="float32", cache=None), encoder, images)
    fetched = len(hub.requests)
    assert same_features(load_encoder("small/own", dtype="float32", cache=None), encoder, images)
    assert len(hub.requests) == fetched


@pytest.mark.parametrize("card", [{"license": "cc-by-nc-4.0"}, {}])
def test_the_first_use_downloads_nothing_whose_licence_must_be_accepted(hub: LocalHub, card: dict[str, str]) -> None:
    hub.repositories[REPOSITORY].card = card
    stated = card.get("license", "none")
    message = (
        rf"^The weights of small/own are not on this machine \(someone/small-clip, \d+ KB, licence: MIT; the hub states {stated}\)\. "
        r"Run: basrelief models fetch small/own$"
    )
    with pytest.raises(WeightsNotFoundError, match=message):
        load_encoder("small/own")
    assert hub.downloads() == []


def test_the_first_use_downloads_nothing_larger_than_the_weights_can_be(hub: LocalHub) -> None:
    weights = hub.repositories[REPOSITORY].files["open_clip_pytorch_model.bin"]
    entry = {"rfilename": "open_clip_pytorch_model.bin", "lfs": {"sha256": "a" * 64, "size": 1 << 40, "pointerSize": 1}}
    hub.repositories[REPOSITORY].listed["open_clip_pytorch_model.bin"] = entry
    with pytest.raises(
        WeightsNotFoundError, match=r"\(someone/small-clip, 1099\.5 GB, licence: mit\)\. Run: basrelief models fetch small/own$"
    ):
        load_encoder("small/own")
    assert hub.downloads() == []
    assert len(weights) < 1 << 20


def test_preprocessing_comes_with_the_weights(hub: LocalHub) -> None:
    config = {"preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "squash", "interpolation": "bilinear"}}
    hub.repositories[REPOSITORY].files["open_clip_config.json"] = json.dumps(config).encode()
    found = load_encoder("small/own", dtype="float32", cache=None)
    assert (found.mean, found.std, found.image_fit) == ((0.5,) * 3, (0.25,) * 3, ImageFit("squash", "bilinear"))


def test_the_vocabulary_is_fetched_once_for_weights_without_one(hub: LocalHub, spec: EncoderSpec, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    words = hub.repositories[REPOSITORY].files["tokenizer.json"]
    hub.repositories["openai/clip-vit-base-patch32"] = HubRepository({"tokenizer.json": words}, card={})
    for _ in range(2):
        assert find_tokenizer(spec, folder / "open_clip_model.safetensors").vocab_size == 514
    assert len(hub.downloads("tokenizer.json")) == 1


def test_a_vocabulary_that_is_too_large_is_not_fetched(hub: LocalHub, spec: EncoderSpec, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    entry = {"rfilename": "tokenizer.json", "lfs": {"sha256": "a" * 64, "size": 1 << 30, "pointerSize": 1}}
    hub.repositories["openai/clip-vit-base-patch32"] = HubRepository({}, listed={"tokenizer.json": entry})
    with pytest.raises(WeightsNotFoundError, match="CLIP's vocabulary is not on this machine") as caught:
        find_tokenizer(spec, folder / "open_clip_model.safetensors")
    assert str(caught.value.__cause__) == "tokenizer.json of openai/clip-vit-base-patch32 is too large for a vocabulary."
    assert hub.downloads() == []


def test_an_unreachable_hub_is_explained(hub: LocalHub) -> None:
    hub.close()
    with pytest.raises(
        WeightsNotFoundError, match=r"^The weights of small/own are not on this machine\. http://.* did not deliver someone/small-clip: "
    ):
        load_encoder("small/own")


TAIL = (
    r"Run: basrelief models fetch small/own, or put open_clip_model\.safetensors or open_clip_pytorch_model\.bin and tokenizer\.json from "
    r"https://huggingface\.co/someone/small-clip \(licence: MIT\) into a folder and give it: --weights FOLDER\.$"
)


def test_absent_weights_say_what_to_fetch_and_where_to_put_it(spec: EncoderSpec, tmp_path: Path) -> None:
    cannot = r"someone/small-clip cannot be fetched while HF_HUB_OFFLINE is set\."
    with pytest.raises(WeightsNotFoundError, match=rf"^The weights of small/own are not on this machine\. {cannot} {TAIL}"):
        load_encoder("small/own")
    with pytest.raises(WeightsNotFoundError, match=rf" has no weights: no file ends in .*\. {TAIL}"):
        load_encoder("small/own", weights=tmp_path)
    with pytest.raises(WeightsNotFoundError, match=rf"^Folder or file '.*nowhere' not found\. {TAIL}"):
        load_encoder("small/own", weights=tmp_path / "nowhere")


def test_the_licence_is_in_the_message() -> None:
    with pytest.raises(WeightsNotFoundError, match=r"apple/DFN5B-CLIP-ViT-H-14 \(licence: apple-amlr .*research use only\)"):
        find_weights(encoder_spec("ViT-H-14/dfn5b"), "nowhere")


def test_an_absent_tokenizer_says_what_to_fetch(spec: EncoderSpec, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    message = (
        r"^CLIP's vocabulary is not on this machine, which small/own needs to read words\. Run: basrelief models fetch small/own, "
        r"or put tokenizer\.json, merges\.txt or bpe_simple_vocab_16e6\.txt\.gz beside open_clip_model\.safetensors\.$"
    )
    with pytest.raises(WeightsNotFoundError, match=message):
        load_encoder("small/own", weights=folder)


def test_weights_of_another_architecture_are_refused(spec: EncoderSpec, resnet_encoder: ClipEncoder, tmp_path: Path) -> None:
    save_encoder(resnet_encoder, tmp_path)
    with pytest.raises(WeightsError, match=r"encoder\.safetensors is a ResNet of width 4, 5 blocks .*; this model needs a ViT"):
        load_encoder("small/own", weights=tmp_path)


def test_the_activation_can_be_changed(spec: EncoderSpec, folder: Path, encoder: ClipEncoder, images: Tensor) -> None:
    found = load_encoder("small/own", weights=folder, activation="quick_gelu", dtype="float32", cache=None)
    assert found.config.activation == "quick_gelu"
    assert float((found.encode_images(images) - encoder.encode_images(images)).abs().max()) > 1e-3


def test_the_cache_is_the_users_by_default(spec: EncoderSpec, folder: Path, tmp_path: Path) -> None:
    found = load_encoder("small/own", weights=folder, dtype="float32")
    assert isinstance(found.cache, VectorCache)
    assert found.cache.path == tmp_path / "cache" / "text.sqlite"
    own = VectorCache(tmp_path / "own.sqlite")
    assert load_encoder("small/own", weights=folder, dtype="float32", cache=own).cache is own


def test_wrong_choices_say_why(spec: EncoderSpec, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown encoder 'small/onw'; expected one of .*\. Did you mean 'small/own'\?"):
        load_encoder("small/onw")
    with pytest.raises(ConfigError, match="Unknown dtype '.*'; expected one of"):
        load_encoder("small/own", weights=folder, dtype="int4")
    with pytest.raises(
        ConfigError, match=r"Device 'gpu' is not available; expected auto, cpu or a CUDA device of this machine\. Use --device cpu\."
    ):
        load_encoder("small/own", weights=folder, device="gpu")


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="expected auto, cpu or a CUDA device"):
        choose_device("cuda:99")


def test_random_weights_never_stand_in(spec: EncoderSpec) -> None:
    with pytest.raises(WeightsNotFoundError):
        load_encoder("small/own")
    assert random_encoder(spec.config).name == "random"
