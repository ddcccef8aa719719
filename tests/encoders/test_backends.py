"""Backends and precisions: requested ones, those chosen by measuring, and what is kept on disk."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, VectorCache, VisionConfig, random_encoder
from basrelief.encoders.backends import choose, deferred, quantize, store
from basrelief.encoders.backends.choose import choose_backend
from basrelief.encoders.backends.compiled import OpenVinoTowers
from basrelief.encoders.backends.graphs import Graphs
from basrelief.encoders.backends.probe import probe_features, probe_images, smallest_cosine
from basrelief.encoders.backends.quantize import Calibration
from basrelief.encoders.backends.store import Decision, recall, recorded_decisions, remember
from basrelief.encoders.clip import cache_key
from basrelief.encoders.kinds import KINDS, TEXT_KINDS, TextKind
from basrelief.encoders.precision import DTYPES
from basrelief.encoders.random_weights import random_towers
from basrelief.errors import ConfigError, MissingExtraError

needs_openvino = pytest.mark.skipif(not choose.has_openvino(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def config() -> ClipConfig:
    """Smaller than in other tests: two image blocks and one text block."""
    return ClipConfig(24, VisionConfig(32, 32, 2, 4, 8), TextConfig(16, 1, 2, context_length=20, vocab_size=514))


@pytest.fixture(scope="module")
def exported(config: ClipConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the graphs of `encoder`."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASRELIEF_CACHE", str(folder))
        if choose.has_openvino():
            graphs = Graphs(random_encoder(config, seed=1).towers)
            graphs.read("image"), graphs.read("text")
    return folder


@pytest.fixture(autouse=True)
def cache(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own for each test, which holds the graphs of `encoder`."""
    shutil.copytree(exported, tmp_path / "cache")
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "backends"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the small encoders of these tests as large ones."""
    monkeypatch.setattr(choose, "SMALL", 0)


def _time(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """State what is measured."""
    monkeypatch.setattr(choose, "_seconds", lambda encoders, **_: list(seconds))


def _no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_measure", lambda *_: pytest.fail("measured"))


def _no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "has_openvino", lambda: False)


def test_small_towers_are_not_measured(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_measuring(monkeypatch)
    found = choose_backend(encoder)
    assert (found.runtime, found.dtype_reason) == ("torch float32", "torch float32: the towers are small")


@pytest.mark.parametrize("name", DTYPES)
def test_a_requested_dtype_is_obeyed(encoder: ClipEncoder, images: Tensor, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = encoder.encode_images(images)
    found = choose_backend(encoder, dtype=name)
    assert found.dtype == DTYPES[name]
    assert found.runtime == f"torch {name}"
    assert "requested" in found.dtype_reason
    assert encoder.dtype == torch.float32
    features = found.encode_images(images)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, atol=0.06, rtol=0)
    _no_measuring(monkeypatch)
    assert choose_backend(encoder, dtype=name).dtype_reason == found.dtype_reason


def test_unknown_names_are_refused(encoder: ClipEncoder) -> None:
    message = r"Unknown dtype 'bf16'; expected one of auto, float32, bfloat16, float16, int8, int8-unchecked\. Did you mean '\w+16'\?"
    with pytest.raises(ConfigError, match=message):
        choose_backend(encoder, dtype="bf16")
    with pytest.raises(ConfigError, match=r"Unknown backend 'onnx'; expected one of auto, torch, openvino\."):
        choose_backend(encoder, backend="onnx")


def test_openvino_must_be_installed(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_openvino(monkeypatch)
    message = r"The backend needs OpenVINO, which is not installed\. Run: pip install 'basrelief\[openvino\]'\."
    with pytest.raises(MissingExtraError, match=message):
        choose_backend(encoder, backend="openvino")


@needs_openvino
def test_openvino_has_no_float16(encoder: ClipEncoder) -> None:
    message = r"OpenVINO runs on the CPU in float32 or bfloat16, not in float16\. Use --backend torch\."
    with pytest.raises(ConfigError, match=message):
        choose_backend(encoder, backend="openvino", dtype="float16")


@pytest.mark.usefixtures("large")
def test_without_openvino_the_faster_dtype_of_torch_is_used(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_openvino(monkeypatch)
    _time(monkeypatch, 2.0, 1.0)
    found = choose_backend(encoder)
    assert found.dtype == torch.bfloat16
    assert found.dtype_reason.startswith(
        "torch bfloat16: measured torch float32 2000 ms, torch bfloat16 1000 ms, cosine to torch float32 0.99"
    )
    assert found.logit_scale == encoder.logit_scale
    assert encoder.dtype == torch.float32, "the measured one is left as it was"


@pytest.mark.usefixtures("large")
def test_times_that_differ_by_noise_alone_leave_the_first(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_openvino(monkeypatch)
    _time(monkeypatch, 1.02, 1.0)
    assert choose_backend(encoder).runtime == "torch float32"


@pytest.mark.usefixtures("large")
def test_a_dtype_that_is_faster_but_wrong_is_not_used(config: ClipConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = random_encoder(config, seed=1)
    with torch.no_grad():
        # All that tells two pictures apart rides on a constant of 1000, below what bfloat16's eight bits can hold; the projection takes it off.
        projection = encoder.towers.visual_projection.weight
        encoder.towers.vision_model.post_layernorm.bias.fill_(1000.0)
        projection.sub_(projection.mean(1, keepdim=True))
    _no_openvino(monkeypatch)
    _time(monkeypatch, 1.0)
    found = choose_backend(encoder)
    assert found.runtime == "torch float32"
    assert found.dtype_reason == "torch float32: measured torch float32 1000 ms, cosine to torch float32 1.00000"
    requested = choose_backend(encoder, dtype="bfloat16")
    assert requested.runtime == "torch bfloat16"
    assert requested.fingerprint != encoder.fingerprint, "its features cannot be compared with those of float32"


@pytest.mark.usefixtures("large")
def test_the_choice_is_made_by_a_measurement_that_leaves_no_trace(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.random.get_rng_state()
    before = encoder.fingerprint
    found = choose_backend(encoder)
    assert found.dtype_reason.startswith(f"{found.runtime}: measured torch float32 ")
    assert encoder.fingerprint == found.fingerprint == before
    assert recorded_decisions(encoder.name)[0].name == found.runtime
    _no_measuring(monkeypatch)
    assert choose_backend(encoder).runtime == found.runtime
    assert torch.equal(torch.random.get_rng_state(), state)
    assert encoder.compiled is None


def test_the_probe_shows_solids_in_grey_and_colour() -> None:
    images = probe_images(32)
    assert images.shape == (4, 3, 32, 32)
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert len({tuple(image.flatten().tolist()) for image in images}) == 4


def test_the_smallest_cosine_with_itself_is_one(encoder: ClipEncoder, config: ClipConfig) -> None:
    own = probe_features(encoder)
    assert smallest_cosine(own, own) == pytest.approx(1, abs=1e-6)
    assert smallest_cosine(own, probe_features(random_encoder(config, seed=5))) < 0.9
    assert smallest_cosine(own, tuple(part * float("nan") for part in own)) == -1


def test_the_probe_does_not_read_from_the_text_cache(encoder: ClipEncoder, tmp_path: Path) -> None:
    encoder.cache = VectorCache(tmp_path / "text.sqlite")
    probe_features(encoder)
    assert not encoder.cache.path.exists()


@needs_openvino
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in ("tuned", "pe-vit", "fastvit") else pytest.mark.slow) for kind in (*KINDS, "tuned")]
)
def test_openvino_agrees_with_torch(kind: str, config: ClipConfig, resnet_config: ClipConfig) -> None:
    encoder = random_encoder(_config(kind, config, resnet_config), seed=3, tuned=2 if kind == "tuned" else 0)
    found = copy.copy(encoder)
    found.compiled = OpenVinoTowers(Graphs(encoder.towers), precision="float32")
    assert found.runtime == "openvino float32"
    side = encoder.image_size
    for count in (1, 3, 40):
        images = torch.rand(count, side, side, generator=torch.Generator().manual_seed(count))
        torch.testing.assert_close(found.encode_images(images), encoder.encode_images(images), atol=2e-5, rtol=1e-4)
        if kind == "tuned":
            rows = torch.arange(count) % 2 == 0
            expected = encoder.encode_images(images, tuned=rows)
            torch.testing.assert_close(found.encode_images(images, tuned=rows), expected, atol=2e-5, rtol=1e-4)
            for got, expected in zip(found.encode_both(images), encoder.encode_both(images), strict=True):
                torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)


def _config(kind: str, config: ClipConfig, resnet_config: ClipConfig) -> ClipConfig:
    if kind == "resnet":
        return resnet_config
    if kind == "fastvit":
        return dataclasses.replace(config, vision=VisionConfig(32, 32, (1, 1, 1, 1), 8, kind="fastvit"))
    chosen: Any = "vit" if kind == "tuned" else kind
    width = 24 if kind == "siglip-vit" else 32  # which has no projection
    return dataclasses.replace(config, vision=dataclasses.replace(config.image_tower, width=width, kind=chosen))


@needs_openvino
@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_openvino_agrees_with_every_text_tower(kind: TextKind, config: ClipConfig) -> None:
    towers = random_towers(dataclasses.replace(config, text=dataclasses.replace(config.text, kind=kind)), seed=4)
    compiled = OpenVinoTowers(Graphs(towers), precision="float32")
    ids = torch.randint(1, 400, (5, config.text.context_length), generator=torch.Generator().manual_seed(0))
    ids[torch.arange(5), torch.tensor([4, 7, 19, 2, 4])] = config.text.eot or 0
    with torch.no_grad():
        for rows in (ids, ids[:1], ids[3:]):
            torch.testing.assert_close(compiled.text_features(rows), towers.text_features(rows), atol=2e-5, rtol=1e-4)


@needs_openvino
@pytest.mark.usefixtures("large")
def test_the_fastest_backend_is_used_and_remembered(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    _time(monkeypatch, 4.0, 3.0, 2.0, 1.0)
    found = choose_backend(encoder)
    assert found.runtime == "openvino bfloat16"
    _no_measuring(monkeypatch)
    monkeypatch.setattr("basrelief.encoders.backends.graphs.export_graph", lambda *_: pytest.fail("exported again"))
    again = choose_backend(encoder)
    assert (again.runtime, again.dtype_reason) == (found.runtime, found.dtype_reason)
    images = torch.rand(2, 32, 32)
    assert torch.equal(again.encode_images(images), found.encode_images(images))


@needs_openvino
@pytest.mark.usefixtures("large")
def test_what_cannot_be_exported_stays_in_torch(encoder: ClipEncoder, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(cache)

    def fail(*_: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr("basrelief.encoders.backends.graphs.export_graph", fail)
    _time(monkeypatch, 1.0, 2.0)
    assert choose_backend(encoder).runtime == "torch float32"
    with pytest.raises(ConfigError, match=r"random cannot run on OpenVINO: no such operation\. Use --backend torch\."):
        choose_backend(encoder, backend="openvino")


@needs_openvino
def test_backends_that_agree_are_one_model_but_have_their_own_caches(encoder: ClipEncoder) -> None:
    found = choose_backend(encoder, backend="openvino", dtype="bfloat16")
    assert found.fingerprint == encoder.fingerprint
    assert cache_key(found) == f"{encoder.fingerprint} openvino bfloat16"
    assert cache_key(encoder) == encoder.fingerprint
    assert found.compiled is not None
    found.compiled.differs = True
    assert found.fingerprint != encoder.fingerprint


@needs_openvino
def test_graphs_of_towers_that_changed_are_not_used(encoder: ClipEncoder, images: Tensor) -> None:
    found = choose_backend(encoder, backend="openvino")
    copied = copy.copy(found)
    copied.towers = copy.deepcopy(found.towers)
    assert copied.runtime == "torch float32"
    with torch.no_grad():
        found.towers.visual_projection.weight.mul_(2)
    assert found.runtime == "torch float32"
    torch.testing.assert_close(found.encode_images(images), encoder.encode_images(images))


@needs_openvino
def test_threads_share_a_graph(encoder: ClipEncoder) -> None:
    found = choose_backend(encoder, backend="openvino")
    images = torch.rand(6, 32, 32)
    expected, wrong = found.encode_images(images), []

    def work() -> None:
        wrong.extend(n for n in range(20) if not torch.equal(found.encode_images(images), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@needs_openvino
def test_damaged_graphs_are_exported_again(encoder: ClipEncoder, cache: Path, images: Tensor) -> None:
    expected = choose_backend(encoder, backend="openvino").encode_images(images)
    entries = sorted((cache / "graphs").iterdir())
    assert len(entries) == 2
    for entry, damage in zip(entries, ("cut", "gone"), strict=True):
        weights = entry / "graph.bin"
        weights.write_bytes(weights.read_bytes()[:100]) if damage == "cut" else weights.unlink()
    found = choose_backend(encoder, backend="openvino")
    assert torch.equal(found.encode_images(images), expected)
    assert sorted((cache / "graphs").iterdir()) == entries
    sizes = json.loads((entries[0] / "entry.json").read_text())
    assert (entries[0] / "graph.bin").stat().st_size == sizes["graph.bin"] > 100


@needs_openvino
def test_links_in_the_cache_are_ignored(encoder: ClipEncoder, cache: Path, tmp_path: Path) -> None:
    choose_backend(encoder, backend="openvino")
    entry = next((cache / "graphs").iterdir())
    elsewhere = entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(elsewhere)
    assert store.load_graph(entry.name) is None
    assert store.load_graph("absent") is None


@needs_openvino
def test_the_oldest_graphs_are_removed(encoder: ClipEncoder, cache: Path) -> None:
    choose_backend(encoder, backend="openvino")
    first, second = (entry.name for entry in (cache / "graphs").iterdir())
    graph = store.load_graph(first)
    assert graph is not None
    size = [sum(path.stat().st_size for path in (cache / "graphs" / name).iterdir()) for name in (first, second)]
    store.store_graph("third", graph, limit=2 * size[0] + size[1] - 1)
    assert (cache / "graphs" / "third").is_dir()
    assert len(list((cache / "graphs").iterdir())) == 2
    store.store_graph("fourth", graph, limit=10)
    assert not (cache / "graphs" / "fourth").exists()
    assert not list((cache / "graphs").glob(".part-*"))


@needs_openvino
def test_a_cache_that_cannot_be_written_does_not_matter(encoder: ClipEncoder, cache: Path, images: Tensor) -> None:
    shutil.rmtree(cache)
    cache.write_text("in the way")
    found = choose_backend(encoder, backend="openvino")
    torch.testing.assert_close(found.encode_images(images), encoder.encode_images(images), atol=2e-5, rtol=1e-4)


def test_decisions_are_kept_and_broken_ones_ignored(cache: Path) -> None:
    assert recall("key") is None
    decision = Decision("name", "openvino", "bfloat16", {"torch float32": 2.5}, {"openvino bfloat16": 0.9995})
    remember("key", decision)
    assert recall("key") == decision
    assert recorded_decisions("name") == [decision]
    assert recorded_decisions("other") == []
    for broken in (
        "",
        "[]",
        "{}",
        '{"encoder": "a", "backend": "torch", "dtype": "float32", "milliseconds": 1, "cosines": {}}',
        "[" * 9999,
    ):
        (cache / "decisions" / "key.json").write_text(broken)
        assert recall("key") is None


def test_the_reason_names_what_was_measured() -> None:
    assert Decision("n", "torch", "float32").reason == "torch float32: requested"
    measured = Decision("n", "openvino", "float32", {"torch float32": 20.4, "openvino float32": 9.6}, {"openvino float32": 0.99999})
    assert measured.reason == "openvino float32: measured torch float32 20 ms, openvino float32 10 ms, cosine to torch float32 0.99999"


def _calibration(side: int = 32) -> Calibration:
    return Calibration("views", lambda: torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(0)))


@needs_openvino
def test_int8_is_reported_remembered_and_another_model(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "_quantized", lambda graph, pixels, **_: graph.clone() if len(pixels) == 6 else pytest.fail("pixels"))
    found = choose_backend(encoder, dtype="int8", calibration=_calibration())
    assert (found.runtime, found.dtype_reason) == ("openvino int8", "openvino int8: requested, cosine to torch float32 1.00000")
    monkeypatch.setattr(quantize, "_quantized", lambda *_, **__: pytest.fail("quantised again"))
    never = Calibration("views", lambda: pytest.fail("drawn again"))
    again = choose_backend(encoder, dtype="int8", calibration=never)
    assert again.dtype_reason == found.dtype_reason
    images = torch.rand(3, 32, 32)
    assert torch.equal(again.encode_images(images), found.encode_images(images))
    assert again.compiled is not None
    again.compiled.differs = True
    assert again.fingerprint != encoder.fingerprint


@needs_openvino
def test_int8_that_changes_too_much_is_refused_unless_forced(
    encoder: ClipEncoder, config: ClipConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Graphs(random_encoder(config, seed=9).towers).read("image")
    monkeypatch.setattr(quantize, "_quantized", lambda *_, **__: other)
    message = (
        r"In int8 a view of random keeps a cosine of -?0\.\d+ only to float32; at least 0\.95 is required\. "
        r"Use --dtype auto, or --dtype int8-unchecked to use it all the same\."
    )
    with pytest.raises(ConfigError, match=message):
        choose_backend(encoder, dtype="int8", calibration=_calibration())
    forced = choose_backend(encoder, dtype="int8-unchecked", calibration=_calibration())
    assert forced.runtime == "openvino int8"
    assert forced.fingerprint != encoder.fingerprint


def test_int8_needs_openvino_and_views(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"int8 runs on OpenVINO on the CPU\. Leave out --backend and --device, or use --dtype auto\."
    with pytest.raises(ConfigError, match=message):
        choose_backend(encoder, backend="torch", dtype="int8", calibration=_calibration())
    message = r"int8 is for image towers that read one view at a time, not for random\. Use --dtype auto\."
    with pytest.raises(ConfigError, match=message):
        choose_backend(encoder, dtype="int8")
    _no_openvino(monkeypatch)
    with pytest.raises(MissingExtraError, match="needs OpenVINO"):
        choose_backend(encoder, dtype="int8", calibration=_calibration())


@needs_openvino
def test_int8_needs_nncf(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"int8 needs NNCF, which is not installed\. Run: pip install nncf\."):
        choose_backend(encoder, dtype="int8", calibration=_calibration())


@needs_openvino
def test_small_towers_switch_after_many_pictures(encoder: ClipEncoder, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "PICTURES", 3 * len(images))
    _time(monkeypatch, 2.0, 1.0)
    found = choose_backend(encoder)
    other = found.with_preprocessing((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    expected = encoder.encode_images(images)
    assert torch.equal(found.encode_images(images), expected)
    other.encode_images(images)
    assert found.runtime == "torch float32"
    torch.testing.assert_close(found.encode_images(images), expected, atol=2e-5, rtol=1e-4)
    assert (found.runtime, other.runtime) == ("openvino float32", "openvino float32")
    assert found.fingerprint == encoder.fingerprint
    assert torch.equal(found.encode_text(["a chair"]), encoder.encode_text(["a chair"]))
    with torch.no_grad():
        encoder.towers.visual_projection.weight.mul_(2)
    assert found.runtime == "torch float32"


def test_small_towers_stay_in_torch_where_that_is_as_fast(encoder: ClipEncoder, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "PICTURES", 1)
    _time(monkeypatch, *([1.0, 1.0] if choose.has_openvino() else [1.0]))
    found = choose_backend(encoder)
    assert torch.equal(found.encode_images(images), encoder.encode_images(images))
    assert found.runtime == "torch float32"
