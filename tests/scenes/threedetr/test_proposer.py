"""Proposals by 3DETR: sampling, boxes without points, colours, weights on this machine and from the hub."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError, WeightsError, WeightsNotFoundError
from basrelief.models.detectors import detectors
from basrelief.models.fetch import find_detector, plan_fetch
from basrelief.scenes.proposals import propose
from basrelief.scenes.scene import Scene
from basrelief.scenes.threedetr.decode import BoxPredictions
from basrelief.scenes.threedetr.network import ThreeDetr
from basrelief.scenes.threedetr.proposer import network_input, to_proposals
from basrelief.scenes.threedetr.sizes import ThreeDetrSpec, published_sizes
from basrelief.types import PointCloud
from support.hub_server import HubRepository, LocalHub, local_hub
from support.published_threedetr import authors_file, copied_file, small_sizes


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, ThreeDetrSpec]:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "basrelief"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return small_sizes(monkeypatch)


@pytest.fixture
def hub(small: dict[str, ThreeDetrSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    with local_hub() as running:
        for name, detector in detectors().items():
            content = copied_file(network_of(small[name]).state_dict())
            running.repositories[detector.checkpoint.repository] = HubRepository(
                {"model.safetensors": content}, card={"license": "apache-2.0"}
            )
        running.use(monkeypatch, tmp_path / "hub")
        yield running


def network_of(spec: ThreeDetrSpec) -> ThreeDetr:
    with torch.random.fork_rng():
        torch.manual_seed(len(spec.name))
        return ThreeDetr(spec.size).eval()


def weights_of(spec: ThreeDetrSpec, folder: Path) -> Path:
    path = folder / f"{spec.name}.pth"
    path.write_bytes(authors_file(network_of(spec).state_dict()))
    return path


def scene(points: int = 2000, *, colors: bool = False) -> Scene:
    rng = np.random.default_rng(0)
    cloud = (rng.random((points, 3)) * (5, 4, 2.5)).astype(np.float32)
    given = rng.random((points, 3)).astype(np.float32) if colors else None
    return Scene(PointCloud(cloud, given), np.eye(4), np.zeros(points, dtype=np.int8))


@pytest.mark.parametrize("name", ["3detr-scannet", "3detr-m-scannet", "3detr-sunrgbd", "3detr-m-sunrgbd"])
def test_boxes_are_those_of_the_network(name: str, small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    spec = small[name]
    found = propose(scene(600), spec.method, seed=3, limit=None, weights=weights_of(spec, tmp_path))
    rows = scene(600).cloud.points[np.random.default_rng(3).permutation(600)]
    with torch.no_grad():
        predicted = network_of(spec)(torch.from_numpy(rows)[None])
    expected = {name: part[0].numpy() for name, part in vars(predicted).items()}
    assert (found.method, found.class_names) == (spec.method, spec.classes)
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert len(found) >= 2
    for box in range(len(found)):
        query = int(np.linalg.norm(expected["centers"] - found.boxes.centers[box], axis=1).argmin())
        np.testing.assert_allclose(found.boxes.centers[box], expected["centers"][query], atol=1e-5)
        np.testing.assert_allclose(found.boxes.sizes[box], expected["sizes"][query], atol=1e-5)
        np.testing.assert_allclose(found.boxes.yaws[box], expected["yaws"][query], atol=1e-5)
        np.testing.assert_allclose(found.scores[box], expected["objectness"][query], atol=1e-5)
        assert found.class_probs is not None
        np.testing.assert_allclose(found.class_probs[box], expected["class_probs"][query], atol=1e-5)
    assert found.boxes.aligned == (spec.dataset == "scannet")


def test_a_seed_draws_the_same_points(small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    weights = weights_of(small["3detr-m-scannet"], tmp_path)
    first, again, other = (propose(scene(), "3detr-m", seed=seed, limit=None, weights=weights) for seed in (0, 0, 1))
    assert np.array_equal(first.boxes.centers, again.boxes.centers)
    assert not np.array_equal(first.boxes.centers, other.boxes.centers)


@pytest.mark.parametrize("points", [1, 20])
def test_small_scans_are_filled_up(points: int, small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    found = propose(scene(points), "3detr", weights=weights_of(small["3detr-scannet"], tmp_path))
    assert 1 <= len(found) <= 8


def predictions(centers: list[tuple[float, float, float]], objectness: list[float]) -> BoxPredictions:
    count = len(centers)
    probabilities = torch.full((1, count, 18), 0.05)
    return BoxPredictions(
        torch.tensor([centers]).float(),
        torch.ones(1, count, 3),
        torch.zeros(1, count),
        probabilities,
        torch.tensor([objectness]),
        torch.zeros(1, count, 19),
    )


def test_boxes_with_fewer_than_five_points_are_dropped() -> None:
    points = np.array([[0.0, 0, 0]] * 5 + [[10.0, 0, 0]] * 4, dtype=np.float32)
    spec = published_sizes()["3detr-m-scannet"]
    found = to_proposals(predictions([(0, 0, 0), (10, 0, 0), (20, 0, 0)], [0.2, 0.9, 0.8]), points, spec)
    assert found.boxes.centers.tolist() == [[0, 0, 0]]
    assert found.scores == pytest.approx([0.2])
    best = to_proposals(predictions([(10, 0, 0), (20, 0, 0)], [0.7, 0.8]), points, spec)
    assert best.boxes.centers.tolist() == [[20, 0, 0]]


def test_colours_are_scaled_as_in_training() -> None:
    """ScanNet's colours in [0, 255], less their mean, divided by 256; a scan without colours has the mean everywhere."""
    colored, plain = published_sizes()["3detr-m-scannet-color"], published_sizes()["3detr-m-scannet"]
    with_colors, without = scene(10, colors=True).cloud, scene(10).cloud
    rows = network_input(with_colors, colored)
    assert with_colors.colors is not None
    np.testing.assert_allclose(rows[:, 3:] * 256 + (109.8, 97.2, 83.8), with_colors.colors * 255, atol=1e-4)
    assert not network_input(without, colored)[:, 3:].any()
    for rows in (network_input(with_colors, plain), network_input(without, plain)):
        np.testing.assert_array_equal(rows, with_colors.points)


def test_weights_of_the_other_network(small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    expected = "3detr-scannet.pth holds the network 3detr-scannet, which makes proposals 3detr, not 3detr-m. Ask for those."
    with pytest.raises(WeightsError, match=re.escape(expected)):
        propose(scene(), "3detr-m", weights=weights_of(small["3detr-scannet"], tmp_path))
    with pytest.raises(WeightsError, match="Cannot read the weights"):
        propose(scene(), "3detr-m", weights=tmp_path / "none.pth")


def test_a_changed_file_is_read_again(small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    path = weights_of(small["3detr-scannet"], tmp_path)
    before = propose(scene(), "3detr", limit=None, weights=path)
    changed = {name: t * 1.5 if t.is_floating_point() else t for name, t in network_of(small["3detr-scannet"]).state_dict().items()}
    path.write_bytes(authors_file(changed))
    assert not np.array_equal(before.boxes.centers, propose(scene(), "3detr", limit=None, weights=path).boxes.centers)


@pytest.mark.parametrize("method", ["3detr", "3detr-m"])
def test_missing_weights_are_named(method: str, small: object) -> None:
    expected = (
        f"Proposals {method} need trained weights, and none are on this machine (licence: Apache-2.0 (trained on ScanNet, whose terms allow "
        f"non-commercial research only)). Run: basrelief models fetch {method}-scannet, or give your file: --proposal-weights FILE."
    )
    with pytest.raises(WeightsNotFoundError, match=f"^{re.escape(expected)}$"):
        propose(scene(), method)


@pytest.mark.parametrize("name", detectors())
def test_from_the_hub_to_boxes(name: str, hub: LocalHub) -> None:
    detector = detectors()[name]
    assert find_detector(detector) is None
    plan = plan_fetch(name)
    assert [(each.repository.name, [file.name for file in each.files]) for each in plan.selections] == [
        (detector.checkpoint.repository, ["model.safetensors"])
    ]
    assert plan.restricted == ()
    assert plan.selections[0].licences.startswith("Apache-2.0 (trained on S")
    plan.fetch()
    assert plan_fetch(name).selections == ()
    assert len(propose(scene(), detector.method)) >= 1


def test_scannet_is_preferred(hub: LocalHub) -> None:
    plan_fetch("3detr-m-sunrgbd").fetch()
    assert len(propose(scene(), "3detr-m").class_names) == 10
    plan_fetch("3detr-m-scannet").fetch()
    assert len(propose(scene(), "3detr-m").class_names) == 18


def test_the_authors_own_file_is_for_a_browser(hub: LocalHub, small: dict[str, ThreeDetrSpec], tmp_path: Path) -> None:
    plan = plan_fetch("3detr-m-scannet", file="scannet_masked_ep1080.pth")
    assert plan.selections == ()
    assert plan.manual is not None
    assert plan.manual.address == "https://dl.fbaipublicfiles.com/3detr/checkpoints/scannet_masked_ep1080.pth"
    assert plan.manual.path == tmp_path / "basrelief" / "checkpoints" / "3detr" / "scannet_masked_ep1080.pth"
    plan.manual.path.parent.mkdir(parents=True)
    weights_of(small["3detr-m-scannet"], tmp_path).rename(plan.manual.path)
    assert find_detector(detectors()["3detr-m-scannet"]) == plan.manual.path
    assert len(propose(scene(), "3detr-m")) >= 1


def test_a_hub_without_the_copy_names_the_other_file(hub: LocalHub) -> None:
    del hub.repositories["torch-pointcloud/3detr-m.scannet.fair"]
    other = "The authors' own file: basrelief models fetch 3detr-m-scannet --file scannet_masked_ep1080.pth"
    with pytest.raises(WeightsNotFoundError, match=rf"torch-pointcloud/3detr-m\.scannet\.fair is not on .* {re.escape(other)}$"):
        plan_fetch("3detr-m-scannet")
    with pytest.raises(ConfigError, match=r"Unknown file 'other\.bin' in torch-pointcloud/3detr\.scannet\.fair"):
        plan_fetch("3detr-scannet", file="other.bin")
    with pytest.raises(ConfigError, match=r"^3detr-scannet has no text tower\. Leave out --without-text\.$"):
        plan_fetch("3detr-scannet", text=False)


def test_figures_have_sources() -> None:
    for name, detector in detectors().items():
        assert {number.metric for number in detector.numbers} == {"AP25", "AP50"}
        assert all(number.source and number.dataset == name.rpartition("-")[2] for number in detector.numbers)
        assert detector.training_data
        assert detector.paper
        assert detector.title
        assert detector.checkpoint.address.endswith(detector.checkpoint.file)


def test_no_torch_before_it_is_used() -> None:
    program = "import sys; from basrelief.scenes.proposals import PROPOSERS; assert '3detr-m' in PROPOSERS; "
    subprocess.run([sys.executable, "-c", f"{program}assert 'torch' not in sys.modules"], check=True)


@pytest.mark.slow
def test_memory_of_a_million_points(tmp_path: Path) -> None:
    """The published size proposes boxes in a million points with less than 600 MB on top of the scene."""
    program = """
import resource, sys
import numpy as np, safetensors.torch
from basrelief.scenes.proposals import propose
from basrelief.scenes.scene import Scene
from basrelief.scenes.threedetr.network import ThreeDetr
from basrelief.scenes.threedetr.sizes import published_sizes
from basrelief.types import PointCloud
path = sys.argv[1]
safetensors.torch.save_file(ThreeDetr(published_sizes()["3detr-m-scannet"].size).state_dict(), path)
points = (np.random.default_rng(0).random((1_000_000, 3)) * (6, 5, 2.5)).astype(np.float32)
scene = Scene(PointCloud(points), np.eye(4), np.zeros(len(points), dtype=np.int8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(propose(scene, "3detr-m", weights=path)) > 0
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "model.safetensors")], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 600, done.stdout
