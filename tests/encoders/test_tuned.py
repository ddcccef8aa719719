"""Files of tuned blocks: alone, for the CLIP they were trained on, or in the published layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipEncoder, is_tuned_file, load_tuned, random_encoder, save_encoder
from basrelief.encoders.convert import convert, layout_of, to_published
from basrelief.encoders.folder import load_encoder_folder
from basrelief.encoders.state_dict import read_metadata, read_state_dict
from basrelief.encoders.towers import empty_towers, tuned_count
from basrelief.encoders.tuned import base_fingerprint, export_published, save_tuned
from basrelief.errors import WeightsError
from support import parity_json


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(3))


def moved(encoder: ClipEncoder, count: int = 1, *, residual: bool = True) -> ClipEncoder:
    """With tuned blocks that say something else than the frozen ones."""
    encoder.towers.add_tuned_blocks(count, residual=residual)
    with torch.no_grad():
        for parameter in encoder.towers.tuned_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    return encoder


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("residual", [True, False])
def test_what_was_saved_is_put_back(encoder: ClipEncoder, pixels: Tensor, count: int, residual: bool, tmp_path: Path) -> None:
    plain = random_encoder(encoder.config, seed=1)
    tuned = moved(encoder, count, residual=residual)
    save_tuned(tuned, tmp_path / "tuned.safetensors", notes={"recipe": "mine"})
    record = load_tuned(plain, tmp_path / "tuned.safetensors")
    assert record["notes"] == {"recipe": "mine"}
    assert plain.towers.tuned_residual is residual
    for one, other in zip(tuned.encode_both(pixels), plain.encode_both(pixels), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    assert plain.fingerprint == tuned.fingerprint


def test_the_file_holds_the_block_alone(encoder: ClipEncoder, tmp_path: Path) -> None:
    path = save_tuned(moved(encoder), tmp_path / "tuned.safetensors", notes={})
    state = read_state_dict(path)
    assert all(name.startswith("tuned_blocks.0.") for name in state)
    width = encoder.config.vision.width
    assert sum(t.numel() for name, t in state.items() if "self_attn" in name) == 4 * width**2 + 4 * width
    assert path.stat().st_size < 4 * sum(p.numel() for p in encoder.towers.parameters())
    assert is_tuned_file(path)


def test_the_head_says_what_it_belongs_to(encoder: ClipEncoder, tmp_path: Path) -> None:
    seen = moved(encoder).with_preprocessing((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    path = save_tuned(seen, tmp_path / "tuned.safetensors", notes={"settings": {"epochs": 3}})
    record = json.loads(read_metadata(path)["tuned"])
    assert (record["mean"], record["std"]) == ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
    assert record["notes"]["settings"]["epochs"] == 3
    assert record["encoder"] == encoder.name
    assert record["base"] == base_fingerprint(encoder)


def test_blocks_replace_those_that_were_there(encoder: ClipEncoder, tmp_path: Path) -> None:
    path = save_tuned(moved(encoder, 2), tmp_path / "two.safetensors", notes={})
    other = moved(random_encoder(encoder.config, seed=1), 1)
    load_tuned(other, path)
    assert len(other.towers.tuned_blocks or ()) == 2


def test_other_weights_are_refused(encoder: ClipEncoder, tmp_path: Path) -> None:
    path = save_tuned(moved(encoder), tmp_path / "tuned.safetensors", notes={})
    with pytest.raises(WeightsError, match=r"tuned.safetensors was trained on other weights \(.*\) than the loaded"):
        load_tuned(random_encoder(encoder.config, seed=2), path)


def test_words_and_scale_are_not_part_of_it(encoder: ClipEncoder) -> None:
    """The block stands on the image tower; another text tower beside it changes nothing."""
    before = base_fingerprint(encoder)
    with torch.no_grad():
        encoder.towers.text_projection.weight.add_(1)
    assert base_fingerprint(encoder) == before
    with torch.no_grad():
        encoder.towers.vision_model.pre_layrnorm.weight.add_(1)
    assert base_fingerprint(encoder) != before


def test_a_file_of_something_else_is_no_tuned_file(encoder: ClipEncoder, tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    save_encoder(encoder, tmp_path)
    assert not is_tuned_file(tmp_path / "junk")
    assert not is_tuned_file(tmp_path / "nowhere")
    assert not is_tuned_file(tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="encoder.safetensors has no valid record of tuned blocks"):
        load_tuned(encoder, tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="junk is not a weights file"):
        load_tuned(encoder, tmp_path / "junk")


@pytest.mark.parametrize("damage", ["base", "residual", "encoder", "notes", "mean", "std"])
def test_a_record_without_a_part_is_refused(encoder: ClipEncoder, damage: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = save_tuned(moved(encoder), tmp_path / "tuned.safetensors", notes={})
    record = json.loads(read_metadata(path)["tuned"])
    del record[damage]
    broken = tmp_path / "broken.safetensors"
    save_file(read_state_dict(path), str(broken), metadata={"format": "basrelief tuned blocks 1", "tuned": json.dumps(record)})
    with pytest.raises(WeightsError, match="has no valid record of tuned blocks"):
        load_tuned(random_encoder(encoder.config, seed=1), broken)


@pytest.mark.parametrize("change", ["missing", "extra", "size"])
def test_blocks_that_do_not_fit_are_refused(encoder: ClipEncoder, change: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = save_tuned(moved(encoder), tmp_path / "tuned.safetensors", notes={})
    state, head = read_state_dict(path), read_metadata(path)
    if change == "missing":
        del state["tuned_blocks.0.layer_norm1.weight"]
    elif change == "extra":
        state["tuned_blocks.0.more"] = torch.zeros(1)
    else:
        state["tuned_blocks.0.layer_norm1.weight"] = torch.zeros(3)
    save_file(state, str(tmp_path / "broken.safetensors"), metadata=head)
    with pytest.raises(WeightsError, match="broken.safetensors does not fit the encoder"):
        load_tuned(random_encoder(encoder.config, seed=1), tmp_path / "broken.safetensors")


def test_more_blocks_than_the_tower_has_are_refused(encoder: ClipEncoder, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = save_tuned(moved(encoder), tmp_path / "tuned.safetensors", notes={})
    state = {f"tuned_blocks.{n}.x": torch.zeros(1) for n in range(9)}
    save_file(state, str(tmp_path / "many.safetensors"), metadata=read_metadata(path))
    with pytest.raises(WeightsError, match="many.safetensors has 9 tuned blocks; expected 1 to 3"):
        load_tuned(random_encoder(encoder.config, seed=1), tmp_path / "many.safetensors")


def test_there_must_be_something_to_save(encoder: ClipEncoder, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="The encoder has no tuned blocks to save"):
        save_tuned(encoder, tmp_path / "tuned.safetensors", notes={})
    with pytest.raises(WeightsError, match="The encoder has no tuned blocks. The published layout"):
        export_published(encoder, tmp_path / "all.pth")
    with pytest.raises(WeightsError, match="The encoder has tuned blocks that replace the frozen ones"):
        export_published(moved(encoder, residual=False), tmp_path / "all.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 2])
def test_the_published_layout_is_read_back(encoder: ClipEncoder, pixels: Tensor, count: int, tmp_path: Path) -> None:
    tuned = moved(encoder, count)
    path = export_published(tuned, tmp_path / "all.pth")
    state = read_state_dict(path)
    assert layout_of(state) == "opendlign"
    again = convert(state, encoder.config)
    assert again.keys() == tuned.towers.state_dict().keys()
    for name, tensor in tuned.towers.state_dict().items():
        assert torch.equal(again[name], tensor), name


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-H-14-quickgelu"])
def test_the_published_layout_has_the_recorded_names_and_sizes(name: str) -> None:
    from basrelief.encoders import ClipConfig, TextConfig, VisionConfig

    recorded = parity_json("opendlign_state_dict_layouts.json")["layouts"][name]
    width, _, patch, _ = recorded["clip_model.visual.conv1.weight"]
    layers = 1 + max(int(key.split(".")[4]) for key in recorded if key.startswith("clip_model.visual.transformer.resblocks."))
    vocabulary, text_width = recorded["clip_model.token_embedding.weight"]
    text_layers = 1 + max(int(key.split(".")[3]) for key in recorded if key.startswith("clip_model.transformer.resblocks."))
    text = TextConfig(text_width, text_layers, 8, vocab_size=vocabulary)
    config = ClipConfig(recorded["clip_model.visual.proj"][1], VisionConfig(224, width, layers, 16 if width > 1000 else 12, patch), text)
    state = {key: torch.empty(tensor.shape, device="meta") for key, tensor in empty_towers(config, tuned=1).state_dict().items()}
    found = {key: list(tensor.shape) for key, tensor in to_published(state).items()}
    assert found == recorded


def test_a_folder_keeps_how_blocks_are_joined(encoder: ClipEncoder, pixels: Tensor, tmp_path: Path) -> None:
    tuned = moved(encoder, 2, residual=False)
    save_encoder(tuned, tmp_path, dtype=torch.float32)
    again = load_encoder_folder(tmp_path)
    assert again.towers.tuned_residual is False
    torch.testing.assert_close(again.encode_both(pixels)[1], tuned.encode_both(pixels)[1], atol=0, rtol=0)
    assert tuned.fingerprint != moved(random_encoder(encoder.config, seed=1), 2).fingerprint, "joined is not alone"


def test_blocks_are_counted_by_their_names() -> None:
    assert tuned_count(["vision_model.x", "tuned_blocks.0.a", "tuned_blocks.0.b", "tuned_blocks.1.a"]) == 2
    assert tuned_count([]) == 0
