"""Small data sets in the exact layouts of the real ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from basrelief.datasets.labels import label_set
from basrelief.datasets.layouts.shapenet import synsets
from basrelief.io import save
from basrelief.types import PointCloud
from support.small_models import box

Strings = Sequence[str]
MODELNET40, OMNIOBJECT3D = label_set("modelnet40"), label_set("omniobject3d")


def tall(points: int = 64, *, up: str = "z", seed: int = 0) -> np.ndarray:
    """A cloud three times as tall as it is wide, heavy below, standing along an axis."""
    random = np.random.default_rng(seed)
    cloud = random.uniform(-0.5, 0.5, size=(points, 3))
    cloud[:, 2] = 3 * random.uniform(0, 1, points) ** 2
    if up == "y":
        cloud = cloud @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).T  # z to y, a rotation
    return cloud.astype(np.float32)


def write_off(path: Path, *, seed: int = 0) -> None:
    """A triangle mesh of a tall box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = box(size=(1.0, 1.0 + 0.1 * seed, 3.0))
    lines = [
        "OFF",
        "8 12 0",
        *(f"{x} {y} {z}" for x, y, z in shape.vertices.tolist()),
        *(f"3 {a} {b} {c}" for a, b, c in shape.faces.tolist()),
    ]
    path.write_text("\n".join(lines) + "\n")


def modelnet_off(root: Path, *, classes: Strings = MODELNET40, train: int = 1, test: int = 1) -> Path:
    """`CLASS/{train,test}/CLASS_0001.off`, as unpacked from ModelNet40.zip."""
    for name in classes:
        folder = name.replace(" ", "_")
        for split, count, first in (("train", train, 1), ("test", test, train + 1)):
            (root / folder / split).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                write_off(root / folder / split / f"{folder}_{first + i:04d}.off", seed=i)
    return root


def modelnet_h5(root: Path, *, names: Strings = MODELNET40, rows: int = 41) -> Path:
    """`modelnet40_ply_hdf5_2048`: two test files, one train file, `shape_names.txt`, file lists with the authors' prefix."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "shape_names.txt").write_text("\n".join(name.replace(" ", "_") for name in names) + "\n")
    for split, files in (("train", 1), ("test", 2)):
        lines = []
        for number in range(files):
            with h5py.File(root / f"ply_data_{split}{number}.h5", "w") as file:
                file["data"] = np.stack([tall(up="y", seed=i) for i in range(rows)])
                file["label"] = (np.arange(rows, dtype=np.uint8) % len(names))[:, None]
                file["normal"] = np.zeros((rows, 64, 3), dtype=np.float32)
            lines.append(f"data/modelnet40_ply_hdf5_2048/ply_data_{split}{number}.h5")
        (root / f"{split}_files.txt").write_text("\n".join(lines) + "\n")
    return root


def modelnet_txt(root: Path, *, names: Strings = MODELNET40) -> Path:
    """`modelnet40_normal_resampled`: x, y, z and normal, with commas."""
    root.mkdir(parents=True, exist_ok=True)
    folders = [name.replace(" ", "_") for name in names]
    (root / "modelnet40_shape_names.txt").write_text("\n".join(folders) + "\n")
    (root / "modelnet40_train.txt").write_text("".join(f"{name}_0001\n" for name in folders))
    (root / "modelnet40_test.txt").write_text("".join(f"{name}_0002\n" for name in folders))
    for i, name in enumerate(folders):
        (root / name).mkdir()
        for number in (1, 2):
            points = tall(up="y", seed=i)
            normals = points / np.linalg.norm(points, axis=1, keepdims=True)
            np.savetxt(root / name / f"{name}_{number:04d}.txt", np.hstack([points, normals]), fmt="%.6f", delimiter=",")
    return root


def scanobjectnn(root: Path, *, rows: int = 17) -> Path:
    """`h5_files/{main_split,main_split_nobg,split1}/`, data, label and mask."""
    for folder in ("main_split", "main_split_nobg", "split1_nobg"):
        ends = ("", "_augmentedrot_scale75", "_augmented25rot") if folder == "main_split" else ("",)
        for part in ("training", "test"):
            for end in ends:
                path = root / "h5_files" / folder / f"{part}_objectdataset{end}.h5"
                path.parent.mkdir(parents=True, exist_ok=True)
                count = rows + len(end)
                with h5py.File(path, "w") as file:
                    file["data"] = np.stack([tall(up="y", seed=i) for i in range(count)])
                    file["label"] = np.arange(count, dtype=np.int32) % 15
                    file["mask"] = np.zeros((count, 64), dtype=np.int32)
    return root


def omniobject(root: Path, *, classes: Strings = OMNIOBJECT3D, counts: Strings = ("1024", "4096")) -> Path:
    """`{1024,4096}/CLASS/CLASS_001.ply`."""
    for count in counts:
        for i, name in enumerate(classes):
            folder = root / count / name.replace(" ", "_")
            folder.mkdir(parents=True)
            save(PointCloud(tall(32, seed=i)), folder / f"{folder.name}_001.ply")
    return root


def shapenet_core(root: Path, *, models: int = 1) -> Path:
    """`SYNSET/ID/models/model_normalized.obj`, and the taxonomy file beside."""
    for synset in synsets():
        for number in range(models):
            folder = root / synset / f"{number:032x}" / "models"
            folder.mkdir(parents=True)
            (folder / "model_normalized.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 3 0\nv 0 0 1\nf 1 2 3\nf 1 3 4\nf 1 4 2\nf 2 4 3\n")
    (root / "taxonomy.json").write_text("[]")
    return root


def shapenet55(root: Path) -> Path:
    """`shapenet_pc/SYNSET-ID.npy` and `ShapeNet-55/{train,test}.txt`."""
    (root / "shapenet_pc").mkdir(parents=True)
    (root / "ShapeNet-55").mkdir()
    for split in ("train", "test"):
        names = [f"{synset}-{split}{i}.npy" for i, synset in enumerate(synsets())]
        for name in names:
            np.save(root / "shapenet_pc" / name, tall(up="y"))
        (root / "ShapeNet-55" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


def objaverse(root: Path, *, classes: int = 3, absent: int = 0) -> Path:
    """`glbs/000-xxx/UID.glb` and `lvis-annotations.json.gz`."""
    from support.small_models import box

    lists: dict[str, list[str]] = {}
    for i in range(classes):
        uid = f"{i:032x}"
        folder = root / "glbs" / f"000-{i:03d}"
        folder.mkdir(parents=True)
        save(box(), folder / f"{uid}.glb")
        lists[f"thing_{chr(122 - i)}"] = [uid]
    lists["thing_z"] += [f"{100 + i:032x}" for i in range(absent)]
    with gzip.open(root / "lvis-annotations.json.gz", "wt") as file:
        json.dump(lists, file)
    return root


def openshape_modelnet(root: Path, *, classes: Strings = ("chair", "airplane", "night_stand"), order: bool = False) -> Path:
    """`meta_data/modelnet40/test_pc.npy`, an object array of dicts, and `test_split.json`."""
    folder = root / "meta_data" / "modelnet40"
    folder.mkdir(parents=True)
    clouds = np.empty(len(classes), dtype=object)
    for i in range(len(classes)):
        clouds[i] = {"xyz": tall(up="y", seed=i), "rgb": np.full((64, 3), 100.0)}
    np.save(folder / "test_pc.npy", clouds, allow_pickle=True)
    (folder / "test_split.json").write_text(json.dumps([{"name": f"{name}_0001", "category": name} for name in classes]))
    if order:
        features = {name: {"open_clip_text_feat": np.zeros((1, 4), dtype=np.float32)} for name in reversed(classes)}
        np.save(folder / "cat_name_pt_feat.npy", np.array(features, dtype=object), allow_pickle=True)
    return root


def openshape_scanobjectnn(root: Path, *, rows: int = 30) -> Path:
    """`scanobjectnn/xyz_label.npy`, one dict of stacked clouds."""
    folder = root / "scanobjectnn"
    folder.mkdir(parents=True)
    record = {"xyz": np.stack([tall(up="y", seed=i) for i in range(rows)]), "label": np.arange(rows) % 15}
    np.save(folder / "xyz_label.npy", np.array(record, dtype=object), allow_pickle=True)
    return root


def openshape_lvis(root: Path, *, absent: int = 0) -> Path:
    """`lvis.json` that names `objaverse-processed/merged/000-000/UID.npy` under the authors' prefix."""
    entries = []
    for i, name in enumerate(("zebra", "ax", "ax")):
        path = root / "merged" / "000-000" / f"{i:032x}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        cloud = {"xyz": tall(up="y", seed=i), "rgb": np.random.default_rng(i).random((64, 3)), "text": ["a thing"]}
        np.save(path, np.array(cloud, dtype=object), allow_pickle=True)
        entries.append({"data_path": f"/somewhere/else/merged/000-000/{path.name}", "category": name, "uid": path.stem})
    entries += [{"data_path": f"/somewhere/else/merged/000-000/absent{i}.npy", "category": "ax"} for i in range(absent)]
    (root / "lvis.json").write_text(json.dumps(entries))
    return root


def depth_maps(root: Path) -> Path:
    """`depth_map/ID+CLASS_dm.npy`, ten views."""
    (root / "depth_map").mkdir(parents=True)
    for i, name in enumerate(("chair", "night stand", "chair")):
        np.save(root / "depth_map" / f"{i:04d}+{name}_dm.npy", np.full((10, 8, 8), i, dtype=np.float32))
    np.save(root / "depth_map" / "02691156-abc_dm.npy", np.zeros((10, 8, 8), dtype=np.float32))
    return root


def class_folders(root: Path, *, kind: str = "class") -> Path:
    """Folders of shapes, named `class`, `class/split` or `split/class`."""
    inner = {"class": ("{c}",), "class/split": ("{c}/train", "{c}/test"), "split/class": ("train/{c}", "test/{c}")}[kind]
    for name in ("office_chair", "lamp"):
        for i, form in enumerate(inner):
            folder = root / form.format(c=name)
            folder.mkdir(parents=True)
            for number in range(2 + i):
                save(PointCloud(tall(seed=number)), folder / f"{number}.ply")
    return root


WRITERS: dict[str, Callable[[Path], Path]] = {
    "modelnet-off": modelnet_off,
    "modelnet-h5": modelnet_h5,
    "modelnet-txt": modelnet_txt,
    "scanobjectnn": scanobjectnn,
    "omniobject3d": omniobject,
    "shapenet-core": shapenet_core,
    "shapenet55-npy": shapenet55,
    "objaverse-lvis": objaverse,
    "openshape-modelnet40": openshape_modelnet,
    "openshape-scanobjectnn": openshape_scanobjectnn,
    "openshape-lvis": openshape_lvis,
    "opendlign-depth-maps": depth_maps,
    "class-folders": class_folders,
}
"""Writes the miniature of each layout."""
