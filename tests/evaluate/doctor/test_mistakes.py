"""Mistakes that users of the original repositories made, in miniature, and how doctor reports them.

The threads are those of the repositories' trackers; `docs/research/doctor.md` has the table.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.datasets import open_benchmark
from basrelief.encoders import encoder_spec
from basrelief.encoders.convert import convert_visual
from basrelief.encoders.state_dict import read_state_dict
from basrelief.errors import ConfigError, FileFormatError, WeightsError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.evaluate.doctor.data import check_benchmark
from basrelief.evaluate.doctor.diagnose import diagnose
from basrelief.evaluate.doctor.files import check_file
from basrelief.evaluate.doctor.models import check_model
from basrelief.evaluate.doctor.weights import check_weights
from basrelief.geometry import rotate, rotation_to_z_up
from basrelief.io import load, save
from basrelief.models import get_recipe, resolve_pose
from basrelief.shapes import make_shape
from basrelief.types import PointCloud
from support import dataset_miniatures

from .conftest import B16, B32, Put, levels, of, published_network, text, vit

NAMES = ("chair", "table", "car", "airplane")


def folder_of_shapes(root: Path, *, axis: str, suffix: str = ".off") -> Path:
    """Four classes of generated shapes, saved as if an axis were up."""
    for name in NAMES:
        (root / name).mkdir(parents=True)
        save(rotate(make_shape(name, seed=7), rotation_to_z_up(axis).T), root / name / f"a{suffix}")
    return root


@pytest.mark.parametrize("axis", ["y", "-y", "x"])
def test_clip2point_3_shapes_turned_the_wrong_way(axis: str, tmp_path: Path) -> None:
    """CLIP2Point #3: 49.38 became 36.71: the clouds were turned another way than in training."""
    finding = of(check_benchmark(open_benchmark(folder_of_shapes(tmp_path / "mine", axis=axis))), "upright")
    assert finding.level == "wrong"
    assert f"have world {axis} up, so" in finding.fact
    assert "then pass --up" in finding.remedy
    mended = diagnose(str(tmp_path / "mine"), data=DataSource(Path(), up=axis))
    assert of(mended, "upright").level == "ok"


def test_clip2point_2_a_few_shot_file_taken_for_the_encoder(weights: Put) -> None:
    """CLIP2Point #2: 8.9 and 0.65 %: the loader took what it found."""
    path = weights("best_test.pth", {"adapter1.fc.0.weight": torch.zeros(4), "ori_model.conv1.weight": torch.zeros(4)})
    findings = check_model(ModelSource("clip2point", weights("clip.safetensors", vit(**B32) | text()), path))
    wrong = [finding for finding in findings if finding.level == "wrong"]
    assert any("a few-shot adapter" in finding.fact for finding in wrong)
    with pytest.raises(WeightsError, match="These weights are a few-shot adapter"):
        convert_visual(read_state_dict(path), encoder_spec("ViT-B-32/openai").config)


def test_clip2point_2_plain_clip_taken_for_the_checkpoint(weights: Put) -> None:
    """CLIP2Point #2."""
    finding = of(diagnose(str(weights("clip.safetensors", vit(**B32))), model=ModelSource("clip2point")), "checkpoint")
    assert finding.level == "wrong"
    assert "needs its pre-trained tower (names begin with point_model.)" in finding.fact


def test_clip2point_2_scanobjectnn_is_read_as_unpacked(tmp_path: Path) -> None:
    """CLIP2Point #2: Its pipeline was absent for a year."""
    found = diagnose(str(dataset_miniatures.scanobjectnn(tmp_path)), model=ModelSource("clip2point"), sample=2)
    assert of(found, "layout").fact.startswith("scanobjectnn: ")
    assert of(found, "variant").fact.startswith("The variant is OBJ_ONLY; others are OBJ_BG, PB_T50_RS")


@pytest.mark.parametrize(("share", "word"), [(0.05, "sparse"), (0.7, "dense")])
def test_clip2point_6_depth_maps_given_as_input(share: float, word: str, tmp_path: Path) -> None:
    """CLIP2Point #6: Which input is legal, sparse or dense maps? Neither: the cloud is."""
    maps = (np.random.default_rng(0).random((10, 224, 224)) < share).astype(np.float32)
    maps[:, 0, 0] = 0
    np.save(tmp_path / "maps.npy", maps)
    (finding,) = diagnose(str(tmp_path / "maps.npy"))
    assert finding.level == "wrong"
    assert finding.fact.endswith(f"{word}, not a shape.")
    assert "every model renders its own depth" in finding.remedy


def test_pointclip_7_view_weights_searched_on_the_test_set(tmp_path: Path) -> None:
    """PointCLIP #7: 20.18 instead of 19.33 %: `--post-search`."""
    order = ["chair", "table"]
    entry = {"prompts": ["a depth map of a chair", "a depth map of a table"], "view_weights": [0.5] * 10}
    (tmp_path / "p.json").write_text(json.dumps({"class_order": {"mine": order}, "best": {"mine": {"vit_b16": entry}}}))
    finding = of(check_model(ModelSource("pointclip-v2", prompts=tmp_path / "p.json"), labels=order), "view weights")
    assert finding.level == "warning"
    assert "searched on the test set" in finding.fact
    assert finding.remedy == "Report it with the number, or use equal weights."


def test_pointclip_13_another_backbone_has_another_number(weights: Put) -> None:
    """PointCLIP #13: 16 or 7 % with ViT-B/32, where the paper's 20 % is a ResNet-50's."""
    finding = of(diagnose(str(weights("ViT-B-32.safetensors", vit(**B32))), model=ModelSource("pointclip")), "backbone")
    assert finding.level == "wrong"
    assert "pointclip is a ResNet of width 64, 16 blocks (RN50/openai)" in finding.fact
    assert "the file is a ViT of width 768, patch 32" in finding.fact
    paper = of(check_model(ModelSource("pointclip-b32"), dataset="modelnet40"), "paper").fact
    assert paper != of(check_model(ModelSource("pointclip"), dataset="modelnet40"), "paper").fact.replace("pointclip", "pointclip-b32")


def test_pointclip_12_and_17_ulip_21_scanobjectnn_lying_is_seen_and_its_axis_is_said(tmp_path: Path) -> None:
    """PointCLIP #12, PointCLIP #17, ULIP #21: 10.5 instead of 15.4 %: which way do these clouds stand?"""
    import h5py

    root = dataset_miniatures.scanobjectnn(tmp_path)
    clouds = [_points(name, seed, axis="z") for seed in range(5) for name in NAMES]  # ours are +Z up, the files +Y up
    for path in root.rglob("test_objectdataset*.h5"):
        with h5py.File(path, "w") as file:
            file["data"] = np.stack(clouds)
            file["label"] = np.arange(len(clouds), dtype=np.int32) % 15
    found = diagnose(str(root), data=DataSource(Path(), "scanobjectnn"))
    assert of(found, "up axis").fact.startswith("y: ")
    assert of(found, "upright").level == "wrong"
    assert of(diagnose(str(root), data=DataSource(Path(), "scanobjectnn", up="z")), "upright").level == "ok"


def _points(name: str, seed: int, *, axis: str) -> np.ndarray:
    from basrelief.render import sample_points

    return sample_points(rotate(make_shape(name, seed=seed), rotation_to_z_up(axis).T), 1024, seed=seed).points


def test_pointclip_v2_8_a_resnet_where_a_vit_was_meant(weights: Put) -> None:
    """PointCLIP V2 #8: 29.78 instead of 50.09 %: the configuration said rn50."""
    state = {"visual.conv1.weight": torch.zeros(32, 3, 3, 3)}
    state |= {f"visual.layer{i}.{j}.conv1.weight": torch.zeros(4) for i, n in ((1, 3), (2, 4), (3, 6), (4, 3)) for j in range(n)}
    finding = of(check_weights(weights("RN50.safetensors", state), get_recipe("pointclip-v2")), "backbone")
    assert finding.level == "wrong"
    assert "pointclip-v2 is a ViT of width 768, patch 16, 12 blocks (ViT-B-16/openai); the file is a ResNet" in finding.fact
    assert finding.remedy.startswith("Choose the model with this backbone")


def test_pointclip_v2_prompts_of_another_backbone(tmp_path: Path) -> None:
    entry = {"prompts": ["a", "b"]}
    (tmp_path / "p.json").write_text(json.dumps({"class_order": {"modelnet40": ["x", "y"]}, "best": {"modelnet40": {"rn50": entry}}}))
    finding = of(check_model(ModelSource("pointclip-v2", prompts=tmp_path / "p.json")), "prompts")
    assert finding.level == "wrong"
    assert "cost 20 points" in finding.remedy


def test_opendlign_3_its_depth_maps_taken_for_a_shape(tmp_path: Path) -> None:
    """OpenDlign #3: Only drawn maps were published; the projection that drew them was not."""
    np.save(tmp_path / "0001+chair_dm.npy", np.random.default_rng(0).random((10, 224, 224, 3)).astype(np.float32))
    (finding,) = check_file(tmp_path / "0001+chair_dm.npy")
    assert finding.level == "wrong"
    assert "depth maps (10, 224, 224, 3)" in finding.fact
    assert "basrelief evaluate" in finding.remedy
    with pytest.raises(FileFormatError):
        load(tmp_path / "0001+chair_dm.npy")


def test_opendlign_without_its_tuned_block(weights: Put) -> None:
    finding = of(diagnose(str(weights("open_clip.safetensors", vit(1280, 14, 32))), model=ModelSource("opendlign-h14")), "tuned block")
    assert finding.level == "wrong"


def test_openshape_4_two_axes_swapped_mirror_a_shape(tmp_path: Path) -> None:
    """OpenShape #4:  "Swap y and z" stands the shape up and makes its left its right; a rotation does not."""
    cloud = PointCloud(np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=np.float32))
    save(cloud, tmp_path / "a.ply")
    turned = load(tmp_path / "a.ply", up="y")
    assert isinstance(turned, PointCloud)
    sides = turned.points[1:] - turned.points[0]
    assert np.linalg.det(sides) == pytest.approx(np.linalg.det(cloud.points[1:] - cloud.points[0]))
    swapped = cloud.points[:, [0, 2, 1]]
    assert np.linalg.det(swapped[1:] - swapped[0]) == pytest.approx(-np.linalg.det(sides))


@pytest.mark.parametrize(
    ("network", "said"),
    [("openshape-pointbert-vitb32", ", +Y up, xyz + rgb"), ("openshape-pointbert", ", +Z up, mirrored, as in their training, xyz + rgb")],
)
def test_openshape_4_the_axes_of_its_checkpoints_differ(network: str, said: str, tmp_path: Path) -> None:
    """OpenShape #4."""
    assert said in of(check_weights(published_network(network, "state_dict", tmp_path)), "clouds").fact


@pytest.mark.parametrize(
    ("thread", "network", "said"),
    [("ULIP #90", "ulip", ", xyz alone."), ("ULIP #66", "ulip2-colored", ", xyz + rgb: a cloud without colour gets 0.4 grey.")],
)
def test_ulip_which_checkpoint_takes_a_cloud_without_colour(thread: str, network: str, said: str, tmp_path: Path) -> None:
    """ULIP #90, ULIP #66."""
    assert said in of(check_weights(published_network(network, "state_dict", tmp_path)), "clouds").fact, thread


def test_ulip_66_a_cloud_without_colour_is_explained(cloud: Put) -> None:
    finding = of(check_file(cloud()), "colour")
    assert finding.level == "ok"
    assert "Depth models need none; point encoders trained with colour (xyz + rgb) get 0.4 grey instead." in finding.fact


def test_colours_that_were_divided_twice_are_seen(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((500, 6)) * [1, 1, 1, 1 / 255, 1 / 255, 1 / 255]
    np.save(tmp_path / "a.npy", rows.astype(np.float32))
    finding = of(check_file(tmp_path / "a.npy"), "colour")
    assert finding.level == "warning"
    assert finding.fact == "Nearly black, at most 0.004."
    assert "divided by 255 again" in finding.remedy


def test_ulip_40_47_50_which_checkpoint_is_this(weights: Put) -> None:
    """ULIP #40, ULIP #47, ULIP #50: 74.0 and 84.7 % under one file name: contents decide, and a hash names them."""
    one = of(check_weights(weights("pretrained.pt", vit(**B32) | text())), "weights file").fact
    other = of(check_weights(weights("pretrained.pt", vit(**B16) | text())), "weights file").fact
    assert one.split("SHA-256 ")[1][:12] != other.split("SHA-256 ")[1][:12]
    assert "patch 32" in one
    assert "patch 16" in other


def test_every_model_says_what_it_was_trained_on() -> None:
    from basrelief.models import recipes

    for name in recipes():
        assert "Trained on: " in of(check_model(ModelSource(name)), "recipe").fact


def test_open_clip_1068_the_preprocessing_of_other_weights(weights: Put, tmp_path: Path) -> None:
    """open_clip #1068: Offline, another model's mean and std were taken without a word; here they belong to the recipe, and the card names them."""
    ours, theirs = (of(check_model(ModelSource(name)), "normalisation").fact for name in ("opendlign-h14", "clip2point"))
    assert "ImageNet's mean and std" in ours
    assert "the weights' own mean and std" in theirs
    weights("open_clip.safetensors", vit(**B32))
    tokenizer = of(check_model(ModelSource("pointclip-b32", weights=tmp_path)), "tokenizer")
    assert tokenizer.level == "warning"
    assert "otherwise it is downloaded" in tokenizer.remedy
    (tmp_path / "merges.txt").touch()
    assert not [finding for finding in check_model(ModelSource("pointclip-b32", weights=tmp_path)) if finding.check == "tokenizer"]


def test_trimesh_1938_a_gltf_turned_by_its_scene(tmp_path: Path) -> None:
    """trimesh #1938: Transforms of the scene are applied and +Y is up: the shape stands as its maker saw it."""
    import trimesh

    upright = make_shape("chair", seed=7)
    y_up = rotate(upright, rotation_to_z_up("y").T)
    mesh = trimesh.Trimesh(y_up.vertices, y_up.faces, process=False)  # type: ignore[union-attr]
    around = trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])
    mesh.apply_transform(np.linalg.inv(around))
    scene = trimesh.Scene()
    scene.add_geometry(mesh, transform=around)
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    findings = check_file(tmp_path / "a.glb")
    assert of(findings, "up axis").fact == "y of the file: glTF is +Y up by its specification."
    assert of(findings, "upright").level == "ok"
    shape = load(tmp_path / "a.glb")
    assert np.ptp(shape.vertices, axis=0) == pytest.approx(np.ptp(upright.vertices, axis=0), rel=1e-4)  # type: ignore[union-attr]
    assert resolve_pose([shape])[0].up == "z"


def test_a_class_order_of_another_copy_makes_every_label_wrong(tmp_path: Path) -> None:
    from basrelief.datasets.labels import label_set

    names = list(label_set("modelnet40"))[::-1]
    root = dataset_miniatures.modelnet_h5(tmp_path, names=names)
    assert levels(diagnose(str(root), sample=2))["class order"] == "wrong"
    with pytest.raises(ConfigError, match="another class order"):
        open_benchmark(root)
