"""The backend and the precision of the towers, chosen by measuring once for each machine and weights."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import platform
import time
from collections.abc import Sequence
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from basrelief.encoders.backends.compiled import OpenVinoTowers
from basrelief.encoders.backends.deferred import DeferredTowers
from basrelief.encoders.backends.graphs import Graphs
from basrelief.encoders.backends.probe import PROMPTS, probe_features, probe_images, smallest_cosine
from basrelief.encoders.backends.quantize import INT8, Calibration, check_int8, quantized_encoder
from basrelief.encoders.backends.store import Decision, recall, remember
from basrelief.encoders.base import CompiledTowers
from basrelief.encoders.clip import ClipEncoder
from basrelief.encoders.precision import DTYPES, LEAST_COSINE, SMALL, best_seconds
from basrelief.errors import ConfigError, MissingExtraError, unknown_choice

BACKENDS = ("auto", "torch", "openvino")
_FIRST = "torch float32"
_NOISE = 1.05
_LONG_SECONDS = 0.5
_MEMORY_FACTOR = 5  # towers, a copy in bfloat16, and graphs in both precisions with packed weights


def choose_backend(
    encoder: ClipEncoder, *, backend: str = "auto", dtype: str = "auto", calibration: Calibration | None = None
) -> ClipEncoder:
    """Return the encoder on the backend and in the precision that are fastest here, and note the reason in `dtype_reason`.

    Candidates are torch in float32 and bfloat16 and, on a CPU with OpenVINO installed, OpenVINO in both. Each runs the image tower (a
    text tower alone: prompts) on a fixed probe of rendered views, and the fastest wins whose features keep a cosine of at least 0.999 to
    torch in float32, in both towers. The decision is kept in the user's cache folder by processor, threads, versions and weights, so that
    a machine measures once and always chooses the same. Towers of fewer than 20 million numbers start in torch and float32: they are quick
    anyway, and starting OpenVINO would take longer than a few shapes. After 3,000 pictures it is tried for them, too, in float32.

    Args:
        encoder: Loaded in float32, on the device it will run on.
        backend: `auto`, `torch` or `openvino`.
        dtype: `auto`, `float32`, `bfloat16`, `float16` (torch alone), `int8` (OpenVINO alone, the image tower, never chosen by
            `auto`), or `int8-unchecked`, whatever its cosine to float32.
        calibration: For int8, which reads no other pictures.

    Raises:
        ConfigError: If a name is unknown, the towers cannot run so, or int8 costs too much, see `LEAST_INT8_COSINE`.
        MissingExtraError: If OpenVINO is requested and not installed.
    """
    if dtype in INT8:
        return _in_int8(encoder, backend, calibration, check=dtype == "int8")
    candidates = _candidates(encoder, backend, dtype)
    if candidates == [_FIRST]:
        requested = "float32" in dtype or backend == "torch"
        encoder.dtype_reason = "requested" if requested else f"{_FIRST}: the towers are small"
        return encoder if requested or not _may_switch(encoder) else _deferred(encoder)
    return _chosen(encoder, candidates)


def _chosen(encoder: ClipEncoder, candidates: Sequence[str]) -> ClipEncoder:
    """What was decided before, or is measured now."""
    key = _key(encoder, candidates)
    decision = recall(key)
    if decision is None or decision.name not in candidates:
        decision, chosen = _measure(encoder, candidates)
        remember(key, decision)
    else:
        chosen = _built(encoder, decision.name, Graphs(encoder.towers)) or encoder
    return _noted(chosen, decision)


def _deferred(encoder: ClipEncoder) -> ClipEncoder:
    """Small towers that look for a faster backend once they have encoded many pictures."""

    def choose() -> CompiledTowers | None:
        plain = copy.copy(encoder)
        plain.compiled = None
        return _chosen(plain, [_FIRST, "openvino float32"]).compiled

    return encoder.copy_with(DeferredTowers(encoder.towers, choose))


def _in_int8(encoder: ClipEncoder, backend: str, calibration: Calibration | None, *, check: bool) -> ClipEncoder:
    if backend not in ("auto", "openvino") or encoder.device.type != "cpu":
        raise ConfigError("int8 runs on OpenVINO on the CPU. Leave out --backend and --device, or use --dtype auto.")
    if calibration is None or encoder.towers.vision_model is None or encoder.joint_views:
        raise ConfigError(f"int8 is for image towers that read one view at a time, not for {encoder.name}. Use --dtype auto.")
    _check_installed()
    key = _key(encoder, [f"openvino int8 {calibration.name}"])
    decision = recall(key)
    chosen, cosine = quantized_encoder(encoder, calibration, known=None if decision is None else decision.cosines.get("openvino int8"))
    decision = Decision(encoder.name, "openvino", "int8", {}, {"openvino int8": round(cosine, 6)})
    remember(key, decision)
    if check:
        check_int8(encoder, cosine)
    return _noted(chosen, decision)


def _check_installed() -> None:
    if not has_openvino():
        raise MissingExtraError("The backend needs OpenVINO, which is not installed. Run: pip install 'basrelief[openvino]'.")


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def _candidates(encoder: ClipEncoder, backend: str, dtype: str) -> list[str]:
    """Backends and precisions to choose from; the first is the fallback."""
    if backend not in BACKENDS:
        raise ConfigError(unknown_choice("backend", backend, BACKENDS))
    if dtype != "auto" and dtype not in DTYPES:
        raise ConfigError(unknown_choice("dtype", dtype, ("auto", *DTYPES, *INT8)))
    small = sum(p.numel() for p in encoder.towers.parameters()) < SMALL
    dtypes = [dtype] if dtype != "auto" else ["float32"] if small else ["float32", "bfloat16"]
    if backend == "openvino":
        _check_installed()
        if encoder.device.type != "cpu" or dtype == "float16":
            got = "float16" if dtype == "float16" else str(encoder.device)
            raise ConfigError(f"OpenVINO runs on the CPU in float32 or bfloat16, not in {got}. Use --backend torch.")
        return [f"openvino {name}" for name in dtypes]
    found = [f"torch {name}" for name in dtypes]
    if backend == "auto" and not small and _may_switch(encoder):
        found += [f"openvino {name}" for name in dtypes if name != "float16"]
    return found


def _may_switch(encoder: ClipEncoder) -> bool:
    """Whether OpenVINO is worth a try."""
    images = encoder.towers.vision_model is not None and not encoder.joint_views  # views of a shape are encoded by torch alone
    return images and encoder.device.type == "cpu" and has_openvino() and _has_memory(encoder)


def _measure(encoder: ClipEncoder, candidates: Sequence[str]) -> tuple[Decision, ClipEncoder]:
    start = time.perf_counter()
    reference = probe_features(encoder)
    long = time.perf_counter() - start > _LONG_SECONDS
    several = len(candidates) > 1
    built, cosines, graphs = {}, {}, Graphs(encoder.towers)
    for name in candidates:
        other = _built(encoder, name, graphs, required=name == candidates[0])
        if other is None:
            continue
        cosines[name] = 1.0 if name == _FIRST else smallest_cosine(reference, probe_features(other))
        if cosines[name] >= LEAST_COSINE or name == candidates[0]:
            built[name] = other
    seconds = _seconds(list(built.values()), pictures=1 if long else 4, rounds=2 if long else 5) if several else []
    times = dict(zip(built, seconds, strict=False))
    # of times that differ by noise alone, the first candidate counts as the fastest
    name = next(name for name in built if not times or times[name] <= _NOISE * min(times.values()))
    milliseconds = {name: round(1000 * value, 2) for name, value in times.items()}
    backend, dtype = name.split(" ")
    return Decision(encoder.name, backend, dtype, milliseconds, {n: round(c, 6) for n, c in cosines.items()}), built[name]


def _seconds(encoders: Sequence[ClipEncoder], *, pictures: int, rounds: int) -> list[float]:
    """Best time of each encoder for pictures of the probe, or for its prompts."""
    if encoders[0].towers.vision_model is None:
        return best_seconds([partial(each.encode_uncached, PROMPTS) for each in encoders], rounds=rounds)
    images = probe_images(encoders[0].image_size)[:pictures]
    return best_seconds([partial(each.encode_images, images) for each in encoders], rounds=rounds)


def _built(encoder: ClipEncoder, name: str, graphs: Graphs, *, required: bool = True) -> ClipEncoder | None:
    """An encoder on that backend that shares what it can; None if it cannot be exported and need not."""
    backend, dtype = name.split(" ")
    if backend == "torch":
        other = copy.copy(encoder)
        if dtype != "float32":
            other.float32_sample = encoder.sample()
            other.towers = copy.deepcopy(encoder.towers)
            other.towers.cast(DTYPES[dtype])
        return other
    try:
        if encoder.towers.vision_model is not None:
            graphs.read("image")
        graphs.read("text")
    except Exception as error:  # tracing a module can fail in any way
        if not required:
            return None
        raise ConfigError(f"{encoder.name} cannot run on OpenVINO: {str(error)[:300]}. Use --backend torch.") from error
    return encoder.copy_with(OpenVinoTowers(graphs, precision=dtype))


def _noted(chosen: ClipEncoder, decision: Decision) -> ClipEncoder:
    """Write down the decision, and whether features are those of torch in float32 up to the cosine that is required."""
    same = decision.cosines.get(decision.name, 0.0) >= LEAST_COSINE
    if chosen.compiled is not None:
        chosen.compiled.differs = not same
    elif not same:
        chosen.float32_sample = None
    chosen.dtype_reason = decision.reason
    return chosen


def _key(encoder: ClipEncoder, candidates: Sequence[str]) -> str:
    """Changes with whatever a decision depends on."""
    openvino = version("openvino") if any("openvino" in name for name in candidates) else ""
    device = torch.cuda.get_device_name(encoder.device) if encoder.device.type == "cuda" else _processor()
    about = [1, device, os.cpu_count(), torch.get_num_threads(), torch.__version__, openvino, list(candidates), encoder.config.to_json()]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    digest.update(encoder.sample())
    return digest.hexdigest()[:40]


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"


def _has_memory(encoder: ClipEncoder) -> bool:
    """Whether all candidates fit into memory at once, as far as the system tells."""
    needed = _MEMORY_FACTOR * sum(p.numel() * p.element_size() for p in encoder.towers.parameters())
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return needed < next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return True
