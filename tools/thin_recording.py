"""Thin a full recording of the original programs to what the tests read, small enough to live in the repository.

    python tools/thin_recording.py RECORDING tests/recorded

No number is rounded. Arrays that follow from ones kept whole (images, second batches, the other turn) keep every third row and column;
an array that another file already holds is a reference to it; token embeddings keep the rows that the recorded texts use;
texts are replaced by their hashes or by placeholders; weights that follow from a seed are left out. `tests/recorded/README.md` says
where the numbers come from.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np

ARRAYS = (
    "clip2point_render_v10 clip2point_render_v6 clip2point_render_aug "
    "pointclip_zs_projection pointclip_fs_projection pointclipv2_projection opendlign_projection "
    "pointclip_logits pointclipv2_logits pointclip_adapter clip2point_adapter clip2point_dpa clip2point_forward clip2point_losses "
    "opendlign_small clip_towers_small pointnet2_ops "
    "ulip1_pointbert_small ulip2_pointbert_colored_small ulip1_pointbert_full ulip2_pointbert_colored_full "
    "uni3d_eva02_packed_small uni3d_eva02_split_small uni3d_eva_g_small uni3d_tiny_full "
    "openshape_pointbert_small openshape_pointbert_relpe_small openshape_pointbert_g14_full "
    "minkowski_layers openshape_spconv_small openshape_spconv_all_full 3detr_iou 3detr_ap_scannet 3detr_ap_sunrgbd "
    "3detr_scannet_small 3detrm_scannet_small 3detrm_sunrgbd_small 3detrm_scannet_color_small 3detrm_scannet_full 3detr_sunrgbd_full"
).split()
SEEDS = {  # of weights that `fill` of tests/support/filled_weights.py draws again, exactly once rounded to float16
    "ulip1_pointbert_small": 20250,
    "ulip2_pointbert_colored_small": 20251,
    "uni3d_eva02_packed_small": 20272,
    "uni3d_eva02_split_small": 20271,
    "uni3d_eva_g_small": 20265,
    "openshape_pointbert_small": 20240,
    "openshape_pointbert_relpe_small": 20241,
    "openshape_spconv_small": 20300,
    "3detr_scannet_small": 20290,
    "3detrm_scannet_small": 20291,
    "3detrm_sunrgbd_small": 20292,
    "3detrm_scannet_color_small": 20293,
}
LAYOUTS = (
    "opendlign_state_dict_layouts.json",
    "clip2point_state_dict_layouts.json",
    "opendlign_trainable.json",
    "ulip_layouts.json",
    "uni3d_layouts.json",
    "openshape_pointbert_layouts.json",
    "openshape_spconv_layouts.json",
    "3detr_ap_metrics.json",
    "3detr_layouts.json",
)
TEXTS = ("labels.json", "templates.json", "prompts_pointclip.json", "prompts_clip2point.json")
MERGES = 48_894
THINNED = re.compile(
    r"img_|upsample224_|batch2_out|batch2_zbuf|zbuf_.*_rot0|maxpool_(?!k)|bilateral_|median_|(pre|enc|interim|proj)/features$|decoder_layers"
)
FILLED = re.compile(
    r"sd/|(tokens|pos|block0|block_last|normed|xyz|sa_centroids|tokens_after_lift|transformer_out)$"
)  # weights, and what lies between the tokens of groups and the output
DERIVED = re.compile(r"(.*/|gt_|pred_)corners\d?$|pred_logits")  # corners of boxes, logits of probabilities that are kept
STEP = 3
POOLED = 400  # bytes from which an array may be a reference


def thin_arrays(source: Path, target: Path, held: dict[str, str]) -> None:
    """Write one `.npz`, packed by LZMA; `held` maps the hash of an array to where it is kept."""
    with np.load(source, allow_pickle=False) as file, zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        arrays = {name: file[name] for name in file.files}
        arrays = {name: array for name, array in arrays.items() if not DERIVED.match(name)}
        if source.stem in SEEDS:
            arrays = {name: array for name, array in arrays.items() if not FILLED.match(name)} | {"fill_seed": np.array(SEEDS[source.stem])}
        for name in arrays:
            array = arrays[name]
            if THINNED.match(name):
                array = np.ascontiguousarray(array[..., ::STEP, ::STEP])
            if source.stem == "opendlign_small" and name.endswith("token_embedding.weight"):
                used = np.unique(arrays["text_tokens"])
                array = np.where(np.isin(np.arange(len(array)), used)[:, None], array, np.zeros(1, array.dtype))
            digest = hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()
            if array.nbytes > POOLED and digest in held:
                array = np.array(f"={held[digest]}")
            elif array.nbytes > POOLED:
                held[digest] = f"{target.name}:{name}"
            content = io.BytesIO()
            np.lib.format.write_array(content, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_LZMA)


def hashed(record: object) -> object:
    """A JSON record with every text, and every list of texts, as its hash."""
    if isinstance(record, str) or (isinstance(record, list) and all(isinstance(part, str) for part in record)):
        return text_hash(record)
    if isinstance(record, dict):
        return {key: hashed(value) for key, value in record.items()}
    return record


def text_hash(texts: str | list[str]) -> str:
    """SHA-256 of the JSON form of a text or a list of texts."""
    return f"sha256:{hashlib.sha256(json.dumps(texts).encode()).hexdigest()}"


def write_json(path: Path, record: object) -> None:
    """Write JSON on one line."""
    path.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")


def thin(recording: Path, out: Path) -> None:
    """Write the thinned copy of a recording and print its size."""
    out.mkdir(parents=True, exist_ok=True)
    held: dict[str, str] = {}
    for name in ARRAYS:
        thin_arrays(recording / f"{name}.npz", out / f"{name}.npz", held)
    for name in LAYOUTS:
        write_json(out / name, json.loads((recording / name).read_text(encoding="utf-8")))
    for name in TEXTS:
        write_json(out / name, hashed(json.loads((recording / name).read_text(encoding="utf-8"))))
    best = json.loads((recording / "prompts_pointclipv2_best.json").read_text(encoding="utf-8"))
    for dataset in best["best"].values():
        for entry in dataset.values():
            entry["prompts"] = [f"prompt {i}" for i in range(len(entry["prompts"]))]
    write_json(out / "prompts_pointclipv2_best.json", {"class_order": best["class_order"], "best": best["best"]})
    sentences = json.loads((recording / "prompts_pointclipv2_gpt_scanobjectnn.json").read_text(encoding="utf-8"))
    write_json(out / "prompts_pointclipv2_gpt_scanobjectnn.json", {label: ["s"] * len(texts) for label, texts in sentences.items()})
    merges = "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress((recording / merges).read_bytes()).split(b"\n")[: MERGES + 1]
    (out / merges).write_bytes(gzip.compress(b"\n".join(lines) + b"\n", 9, mtime=0))
    print(f"{sum(path.stat().st_size for path in out.iterdir()) / 1e6:.1f} MB in {out}")


if __name__ == "__main__":
    thin(Path(sys.argv[1]), Path(sys.argv[2]))
