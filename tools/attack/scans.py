"""Hostile scans and what belongs to them: clouds, saved detections, boxes, folders of annotated scans, weights of 3DETR."""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from checkpoints import checkpoints
from clouds import CLOUDS, changed, odd_arrays, room
from mutations import mutate
from sandbox import Job

_LARGE = ("two million at one place", "between samples", "wide noise", "plates", "blobs")
_WORDS = ("</script><script>alert(1)</script>", '=cmd|"/c calc"!A1', "a\x00b\x1b[31m\x7f", "\u202egnp.exe", "x" * 1_000_000, "\ud800", "")


def scan_jobs(folder: Path, *, seed: int, count: int, short: bool) -> Iterator[Job]:
    """Write hostile files and yield what to do with each.

    Args:
        folder: Where to write.
        seed: The same files for the same seed.
        count: Number of random tries of each kind.
        short: Whether to leave out the slowest clouds.
    """
    rng = np.random.default_rng(seed)
    dice = random.Random(seed)
    yield from _clouds(folder / "clouds", rng, count, short=short)
    yield from _saved(folder / "saved", dice, count)
    yield from _boxes(folder / "boxes", dice, count)
    yield from _sets(folder / "sets", dice, count)
    yield from _weights(folder / "weights", seed, dice, count)


def _clouds(folder: Path, rng: np.random.Generator, count: int, *, short: bool) -> Iterator[Job]:
    folder.mkdir(parents=True)
    for name, make in CLOUDS.items():
        if short and name in _LARGE:
            continue
        with np.errstate(all="ignore"):
            yield _cloud(folder / f"{name}.npy", make(rng))
    for name, array in odd_arrays(rng):
        yield _cloud(folder / f"{name}.npy", array)
    for number in range(count):
        yield _cloud(folder / f"changed {number}.npy", changed(rng))


def _cloud(path: Path, points: np.ndarray) -> Job:
    np.save(path, points)
    return Job(path, reader="scan")


def _saved(folder: Path, dice: random.Random, count: int) -> Iterator[Job]:
    """Saved detections: forged arrays and texts, archives with tricks, and broken copies."""
    folder.mkdir(parents=True)
    good = folder / "good.npz"
    _detections().save(good)
    with np.load(good) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name, forged in _forged(arrays):
        np.savez(folder / f"{name}.npz", **forged)  # type: ignore[arg-type] # no array is called allow_pickle
        yield Job(folder / f"{name}.npz", reader="saved")
    for name, content in _archives(good):
        (folder / f"{name}.npz").write_bytes(content)
        yield Job(folder / f"{name}.npz", reader="saved")
    for number in range(count):
        name = dice.choice(sorted(arrays))
        values = _broken(arrays[name], dice)
        np.savez(folder / f"array {number}.npz", **(arrays | {name: values}))
        yield Job(folder / f"array {number}.npz", reader="saved")
        yield Job(good, seed=number, reader="saved")


def _detections() -> Any:  # noqa: ANN401 - imported late
    from basrelief.geometry.boxes import Boxes
    from basrelief.scenes import Detections, Proposals, Scene
    from basrelief.types import PointCloud

    cloud = PointCloud(room(np.random.default_rng(0), 900), np.full((900, 3), 0.5, dtype=np.float32))
    scene = Scene(cloud, np.eye(4), np.repeat(np.arange(3, dtype=np.int8), 300), floor=0.0, source="room.ply")
    boxes = Boxes(np.arange(9.0).reshape(3, 3), np.ones((3, 3)), np.array([0, 0.5, -1]))
    proposals = Proposals(boxes, np.full(3, 0.5, np.float32), "segments", points=tuple(np.arange(9).reshape(3, 3)))
    views = np.full((3, 2, 4), 0.5, dtype=np.float32)
    ids, scores = np.array([0, 1, -1]), np.full(3, 0.5, np.float32)
    return Detections(scene, proposals, ("chair", "lamp"), np.full((3, 2), 0.4, np.float32), ids, scores, views, model="tiny")


def _forged(arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for name, values in arrays.items():
        yield f"no {name}", {key: array for key, array in arrays.items() if key != name}
        yield f"empty {name}", arrays | {name: values[:0]}
        yield f"{name} of objects", arrays | {name: np.array([None, {}], dtype=object)}
        yield f"{name} of other precision", arrays | {name: values.astype(np.complex64)}
        yield f"{name} with one more axis", arrays | {name: values[None]}
        if values.dtype.kind == "f":
            for bad in (np.nan, np.inf, 1e300 if values.dtype == np.float64 else 3e38, -1e30, 0.0):
                yield f"{name} of {bad}", arrays | {name: np.full_like(values, bad)}
        elif name != "info":
            yield f"{name} of the largest", arrays | {name: np.full_like(values, np.iinfo(values.dtype).max)}
            yield f"{name} of the smallest", arrays | {name: np.full_like(values, np.iinfo(values.dtype).min)}
    info = json.loads(arrays["info"].tobytes())
    odd: tuple[Any, ...] = (None, {}, [], -1, 1e308, "x", [["a"] * 4] * 3, True, 10**400, [[[]]], {"a": {"b": []}})
    for key in info:
        for number, value in enumerate(odd):
            yield f"info {key} {number}", arrays | {"info": _text(info | {key: value})}
    for number, word in enumerate(_WORDS):
        words = {"labels": [word, word], "source": word, "model": word, "findings": [[word] * 4], "settings": {word: word}}
        yield f"word {number}", arrays | {"info": _text(info | words)}
    yield "deep info", arrays | {"info": np.frombuffer(b"[" * 200_000, dtype=np.uint8)}
    yield "long number", arrays | {"info": np.frombuffer(b'{"version": ' + b"9" * 100_000 + b"}", dtype=np.uint8)}
    many = np.zeros(1_000_000, dtype="<u4")
    yield (
        "a million boxes",
        arrays
        | {
            **{
                name: np.zeros((1_000_000, *arrays[name].shape[1:]), arrays[name].dtype)
                for name in ("centers", "sizes", "yaws", "label_ids")
            },
            **{name: np.zeros((1_000_000, *arrays[name].shape[1:]), np.float32) for name in ("objectness", "scores", "probabilities")},
            "view_embeddings": np.zeros((1_000_000, 0, 0), np.float32),
            "box_point_counts": many,
            "box_points": many[:0],
        },
    )


def _text(info: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(info).encode(), dtype=np.uint8)


def _archives(good: Path) -> Iterator[tuple[str, bytes]]:
    """Archives that unpack to much more than they are, hold a member twice, or are not archives."""
    header = _header("'<f4'", "(1000000000, 3)")
    for name, declared in (("bomb", header), ("short", _header("'<f4'", "(100000, 3)")), ("negative", _header("'<f4'", "(-1, 3)"))):
        out = io.BytesIO()
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for member in old.namelist():
                zeros = bytes(400 << 20) if name == "bomb" else bytes(1000)
                new.writestr(member, declared + zeros if member == "points.npy" else old.read(member))
        yield name, out.getvalue()
    content = good.read_bytes()
    yield "cut", content[: len(content) // 2]
    yield "twice", content + content
    yield "text", b"no archive"
    yield "nothing", b""


def _header(kind: str, shape: str) -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _broken(values: np.ndarray, dice: random.Random) -> np.ndarray:
    rng = np.random.default_rng(dice.randrange(1 << 30))
    broken = values.copy()
    match dice.randrange(5):
        case 0 if broken.size:
            flat = broken.reshape(-1).view(np.uint8)
            flat[rng.integers(0, len(flat), 4)] = rng.integers(0, 256, 4)
        case 1:
            broken = np.repeat(broken, 3, axis=0)
        case 2:
            broken = broken[: len(broken) // 2]
        case 3:
            broken = broken.reshape(len(broken), -1)[:, :1] if broken.ndim > 1 else broken[:1]
        case _:
            broken = np.frombuffer(rng.bytes(broken.nbytes), broken.dtype).reshape(broken.shape)
    return broken


def _boxes(folder: Path, dice: random.Random, count: int) -> Iterator[Job]:
    folder.mkdir(parents=True)
    record = {"center": [1, 1, 0.5], "size": [1, 1, 1], "yaw": 0.3, "score": 0.5, "label": "chair"}
    line = "1,1,0.5,1,1,1,0.3,0.5"
    texts = {"good.json": json.dumps([record] * 4), "good.csv": "x,y,z,width,depth,height,yaw,score\n" + f"{line}\n" * 4}
    bad: list[Any] = [
        None,
        "1e400",
        "nan",
        [1e308] * 3,
        [10**400] * 3,
        [],
        [[[]]],
        {},
        True,
        -1,
        "9" * 10_000,
        [float("nan")] * 3,
        [1e200, 1e-300, 0],
    ]
    for number, value in enumerate(bad):
        for key in record:
            texts[f"{key} {number}.json"] = json.dumps([record, record | {key: value}])
    for number, word in enumerate(("nan", "1e309", "-1", "", "0x10", "1_0", "'", '"', "9" * 200_000, "١", "1e308")):
        texts[f"cell {number}.csv"] = texts["good.csv"] + line.replace("0.5", word) + "\n"
    texts |= {
        "empty.json": "",
        "list.json": "[]",
        "number.json": "5",
        "deep.json": "[" * 1_000_000,
        "deep object.json": '{"boxes":' * 100_000,
        "long number.json": f"[{'9' * 1_000_000}]",
        "bare.csv": "x,y,z\n1,2,3\n",
        "no line.csv": "x,y,z,width,depth,height",
        "long line.csv": "x,y,z,width,depth,height\n" + "1," * 2_000_000,
        "ten million.csv": "x,y,z,width,depth,height\n" + "1,1,1,1,1,1\n" * 10_000_000,
        "many.csv": "x,y,z,width,depth,height\n" + "1,1,1,1,1,1\n" * 5_000_000,
        "many.json": "[" + ",".join([json.dumps({"center": [1, 1, 1], "size": [1, 1, 1]}, separators=(",", ":"))] * 1_500_000) + "]",
        "many lists.json": "[" + "[]," * 15_000_000 + "[]]",
        "all at once.csv": "x,y,z,width,depth,height,yaw\n" + "".join(f"1,1,1,5,5,5,{i / 50_000}\n" for i in range(50_000)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield Job(folder / name, reader="boxes")
    for number in range(count):
        yield Job(folder / dice.choice(("good.json", "good.csv")), seed=number, reader="boxes")


def _sets(folder: Path, dice: random.Random, count: int) -> Iterator[Job]:
    """Folders of annotated scans with one file broken."""
    makers = {"scannet": _scannet, "votenet": _votenet, "sunrgbd": _sunrgbd}
    for name, make in makers.items():
        make(folder / f"{name} good")
        yield Job(folder / f"{name} good", reader="set")
        good = sorted(path for path in (folder / f"{name} good").rglob("*") if path.is_file())
        tries = [(path, content) for path in good for content in _hostile(path)] + [
            (path, mutate(path, number)) for number in range(count) for path in (dice.choice(good),)
        ]
        for number, (path, content) in enumerate(tries):
            target = folder / f"{name} {number}"
            shutil.copytree(folder / f"{name} good", target)
            (target / path.relative_to(folder / f"{name} good")).write_bytes(content)
            yield Job(target, reader="set")


def _hostile(path: Path) -> Iterator[bytes]:
    if path.suffix == ".npy":
        values = np.load(path)
        other = (np.full_like(values, np.iinfo(values.dtype).max),) if values.dtype.kind in "iu" else (values * np.nan, values * 1e38)
        for array in (values[:0], values[:1], values.T, values[None], np.array([None], object), values.astype("U9"), *other):
            out = io.BytesIO()
            np.save(out, array, allow_pickle=True)
            yield out.getvalue()
        yield _header("'<f4'", "(100000000000, 7)")
        yield _header("'<f4'", "(100000000000, 0)")
        yield _header("'<V0'", "(100000000000,)")
    elif path.suffix == ".json":
        yield from (b"", b"{}", b"[" * 1_000_000, b'{"segIndices": [1e400], "segGroups": [1e400]}')
        yield b'{"segIndices": [' + b"1," * 20_000_000 + b"1]}"
        yield path.read_bytes().replace(b"1", b"9" * 5000)
    elif path.suffix == ".tsv":
        yield from (b"", b"\t" * 1_000_000, b"raw_category\tnyu40id\n" + b"a\t1\n" * 3_000_000, b"\x00\xff" * 1000)
    elif path.suffix == ".txt":
        for numbers in ("nan " * 16, "1 " * 16, "1e300 " * 16, "0 " * 16, "1 " * 1_000_000, "9" * 100_000):
            yield f"axisAlignment = {numbers}\n".encode()
        yield b"axisAlignment = 1 0 0 1e38 0 1 0 1e38 0 0 1 1e38 0 0 0 1\n"


def _scannet(root: Path) -> None:
    from basrelief.datasets.scans.split_lists import published_val

    name = published_val()[0]
    scan = root / "scans" / name
    scan.mkdir(parents=True)
    (root / "scannetv2-labels.combined.tsv").write_text("raw_category\tnyu40id\nchair\t5\ncouch\t6\n")
    points = room(np.random.default_rng(1), 60)
    lines = "\n".join(f"{x:.3f} {y:.3f} {z:.3f} 90 90 90 255" for x, y, z in points)
    properties = "".join(
        f"property {kind} {name}\n" for kind, names in (("float", "xyz"), ("uchar", ("red", "green", "blue", "alpha"))) for name in names
    )
    head = f"ply\nformat ascii 1.0\nelement vertex 60\n{properties}element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (scan / f"{name}_vh_clean_2.ply").write_text(f"{head}{lines}\n3 0 1 2\n")
    groups = [{"objectId": 0, "segments": [1, 2], "label": "chair"}, {"objectId": 1, "segments": [3], "label": "couch"}]
    (scan / f"{name}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    (scan / f"{name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": [i // 15 for i in range(60)]}))
    (scan / f"{name}.txt").write_text("axisAlignment = 1 0 0 0.5 0 1 0 0 0 0 1 0 0 0 0 1\n")


def _votenet(root: Path) -> None:
    from basrelief.datasets.scans.split_lists import published_val

    root.mkdir(parents=True)
    name = published_val()[0]
    points = np.column_stack([room(np.random.default_rng(1), 60), np.full((60, 3), 90)]).astype(np.float32)
    for suffix, values in (
        ("vert", points),
        ("ins_label", np.repeat(np.arange(4), 15).astype(np.uint32)),
        ("sem_label", np.full(60, 5, np.uint32)),
        ("bbox", np.array([(1, 1, 1, 9, 9, 9, 5), (2, 2, 1, 9, 9, 9, 6)], dtype=np.float64)),
        ("axis_align_matrix", np.eye(4)),
        ("aligned_bbox", np.array([(1, 1, 1, 9, 9, 9, 5.0)])),
    ):
        np.save(root / f"{name}_{suffix}.npy", values)


def _sunrgbd(root: Path) -> None:
    folder = root / "sunrgbd_pc_bbox_votes_50k_v1_val"
    folder.mkdir(parents=True)
    np.savez_compressed(folder / "000001_pc.npz", pc=np.random.default_rng(1).random((60, 6)))
    np.save(folder / "000001_bbox.npy", np.array([(1, 2, 0.5, 0.4, 0.3, 0.5, -1, 3), (0, 3, 0.3, 1, 0.8, 0.3, 0.25, 0)]))


def _weights(folder: Path, seed: int, dice: random.Random, count: int) -> Iterator[Job]:
    """Checkpoints of any kind, and those of 3DETR with other shapes, names and values."""
    import torch

    from basrelief.scenes.threedetr.sizes import published_sizes

    folder.mkdir(parents=True)
    state = next(iter(published_sizes().values())).empty().state_dict()
    names = list(state)
    one = torch.tensor(0.0)
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "enormous": lambda: {"model": {name: one.expand(1 << 20, 1 << 20) for name in names}},
        "one value": lambda: {"model": {name: one.expand(value.shape) for name, value in state.items()}},
        "not finite": lambda: {"model": {name: torch.full_like(value, float("nan")) for name, value in state.items()}},
        "no tensors": lambda: {"model": dict.fromkeys(names, "x")},
        "nested": lambda: {"model": {"model": {"model": state}}},
        "words": lambda: {"model": {**state, **dict.fromkeys(_WORDS[:4], one)}},
        "both dialects": lambda: {"model": {**state, "pos_embedding.gauss_b": one, "pos_embedding.gauss_B": one}},
        "a list": lambda: {"model": [state]},
        "no axes": lambda: {"model": {name: torch.tensor(1.0) for name in names}},
    }
    for name, make in makers.items():
        torch.save(make(), folder / f"{name}.pt")
        yield Job(folder / f"{name}.pt", reader="weights")
    for number in range(min(count, 40)):
        changed_names = dict(state)
        name = dice.choice(names)
        changed_names[name] = dice.choice([state[name].reshape(-1), state[name][None], state[name].to(torch.int8), one])
        torch.save({"model": changed_names}, folder / f"changed {number}.pt")
        yield Job(folder / f"changed {number}.pt", reader="weights")
    for number, content in enumerate(checkpoints(seed, count)):
        (folder / f"checkpoint {number}.pt").write_bytes(content)
        yield Job(folder / f"checkpoint {number}.pt", reader="weights")
