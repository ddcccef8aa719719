"""Pairs: contents, storage, interruptions, processes and bad meshes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.datasets import Benchmark, Item, open_benchmark
from basrelief.errors import ConfigError, FileFormatError
from basrelief.train import PairMaker, Workers, estimate_cost, make_records
from basrelief.train.pairs.draw import draw_pair
from basrelief.train.pairs.read import open_pairs
from basrelief.train.records.make import FAILED, record_key

from .conftest import CLASSES, QUICK, pixels, write_library


def digest(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("layout", ["shards", "folders"])
def test_pairs_are_read_back(layout: str, library: Benchmark, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    failed = make_records(
        library, tmp_path / "out", maker=PairMaker(QUICK), layout=layout, progress=lambda done, total: seen.append((done, total))
    )
    assert failed == []
    assert seen[-1] == (6, 6)
    pairs = open_pairs(tmp_path / "out")
    assert len(pairs) == 6
    assert pairs.labels == library.labels
    by_key = {record_key(item): item for item in library.items}
    for row, key in enumerate(pairs.keys):
        item = by_key[key]
        assert pairs.truth[row] == item.label
        drawn = draw_pair(library.load(item), item.id, style=QUICK)
        np.testing.assert_array_equal(pairs.points(row), drawn.points.astype(np.float32))
        np.testing.assert_array_equal(pairs.picture(row, 7), pixels(drawn.pictures[7]))


def test_both_layouts_hold_the_same(library: Benchmark, tmp_path: Path) -> None:
    for layout in ("shards", "folders"):
        make_records(library, tmp_path / layout, maker=PairMaker(QUICK), layout=layout)
    one, other = open_pairs(tmp_path / "shards"), open_pairs(tmp_path / "folders")
    for row, key in enumerate(one.keys):
        again = list(other.keys).index(key)
        np.testing.assert_array_equal(one.points(row), other.points(again))
        np.testing.assert_array_equal(one.picture(row, 3), other.picture(again, 3))


def test_a_shard_is_what_webdataset_reads(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=PairMaker(QUICK))
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as tar:
        names = tar.getnames()
    keys = list(dict.fromkeys(name.partition(".")[0] for name in names))
    assert len(keys) == 6
    assert [name.partition(".")[2] for name in names[:12]] == ["label.json", "points.npy", *(f"{view}.png" for view in range(10))]


def test_the_number_of_processes_does_not_change_the_result(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "one", maker=PairMaker(QUICK))
    make_records(library, tmp_path / "two", maker=PairMaker(QUICK), workers=Workers(2))
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


@pytest.mark.parametrize("layout", ["shards", "folders"])
def test_bad_meshes_are_listed_and_skipped(layout: str, library: Benchmark, tmp_path: Path) -> None:
    Path(library.items[2].path).write_bytes(b"glTF junk")
    for _ in range(2):
        failed = make_records(library, tmp_path / "out", maker=PairMaker(QUICK), layout=layout)
        assert [name for name, _ in failed] == [library.items[2].id]
        assert failed[0][1]
    assert len(open_pairs(tmp_path / "out")) == 5
    assert len((tmp_path / "out" / FAILED).read_text().splitlines()) == 1


SCRIPT = """
import sys
from pathlib import Path
from basrelief.datasets import open_benchmark
from basrelief.train import PairSettings
from basrelief.train import PairMaker, Workers, make_records
library = open_benchmark(sys.argv[1], "folder")
make_records(library, Path(sys.argv[2]), maker=PairMaker(PairSettings(size=32, points=256, supersample=1)), layout=sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["folders", "shards"])
def test_a_killed_run_resumes_with_the_same_result(layout: str, tmp_path: Path) -> None:
    root = write_library(tmp_path / "library", each=5)
    command = [sys.executable, "-c", SCRIPT, str(root), str(tmp_path / "killed"), layout]
    for least in (2, 6):
        process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until and sum(1 for _ in _whole(tmp_path / "killed")) < least:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, timeout=120)
    make_records(open_benchmark(root, "folder"), tmp_path / "whole", maker=PairMaker(QUICK), layout=layout)
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")


def _whole(folder: Path) -> Iterable[Path]:
    """Folders of finished shapes; `os.walk` does not mind that they come and go."""
    walked = os.walk(folder)
    return [Path(home) for home, _, files in walked if "9.png" in files and not Path(home).name.startswith(".")]


def test_a_partial_shard_is_not_read(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=PairMaker(QUICK))
    whole = digest(tmp_path / "out")
    shard = tmp_path / "out" / "shard-000000.tar"
    shard.rename(tmp_path / "out" / ".shard-000000.0123456789ab.tar")
    assert len(open_pairs(tmp_path / "out")) == 0
    make_records(library, tmp_path / "out", maker=PairMaker(QUICK))
    assert digest(tmp_path / "out") == whole


def test_a_folder_of_other_pairs_is_rejected(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=PairMaker(QUICK))
    with pytest.raises(ConfigError, match="Folder 'out' holds other files. Name another folder."):
        make_records(library, tmp_path / "out", maker=PairMaker(replace(QUICK, size=40)))
    with pytest.raises(ConfigError, match="Unknown layout 'shard'; expected one of shards, folders"):
        make_records(library, tmp_path / "other", layout="shard", maker=PairMaker())


def test_keys_are_plain_and_different() -> None:
    ids = ["a/b c.glb", "a/b-c.glb", "../x.glb", "é.glb", "x" * 300 + ".glb", "a.glb#3"]
    keys = [record_key(Item(name, 0, name)) for name in ids]
    assert len(set(keys)) == len(ids)
    for key in keys:
        assert "." not in key and "/" not in key and len(key) < 80


def test_an_estimate_counts_and_measures(library: Benchmark) -> None:
    plan = estimate_cost(library, PairMaker(QUICK), sample=3)
    assert (plan.shapes, plan.pictures, plan.sampled, plan.failed) == (6, 60, 3, 0)
    assert plan.draw_seconds > 0
    assert plan.bytes > 6 * 256 * 3 * 2
    assert plan.hours(2) == pytest.approx(plan.hours(1) / 2)


def test_an_estimate_counts_failures(library: Benchmark) -> None:
    for item in library.items:
        Path(item.path).write_bytes(b"junk")
    plan = estimate_cost(library, PairMaker(QUICK), sample=3)
    assert (plan.failed, plan.bytes) == (3, 0)


def original(root: Path, *, shapes: int = 3) -> tuple[Path, Path]:
    """`rendering/SYNSET_ID/{0..9}.png` and ShapeNet55, as the original reads them; one cloud without pictures."""
    clouds, pictures = root / "ShapeNet55", root / "rendering"
    (clouds / "shapenet_pc").mkdir(parents=True)
    (clouds / "ShapeNet-55").mkdir()
    names = [f"02691156-{i:032x}" for i in range(shapes + 1)]
    for i, name in enumerate(names):
        np.save(clouds / "shapenet_pc" / f"{name}.npy", np.random.default_rng(i).normal(size=(64, 3)).astype(np.float32) + [0, 5, 0])
    (clouds / "ShapeNet-55" / "train.txt").write_text("".join(f"{name}.npy\n" for name in names))
    for i, name in enumerate(names[:shapes]):
        folder = pictures / name.replace("-", "_", 1)
        folder.mkdir(parents=True)
        for view in range(10):
            Image.fromarray(np.full((16, 16, 3), 20 * view + i, dtype=np.uint8)).save(folder / f"{view}.png")
    return pictures, clouds


def test_published_renderings_are_read(tmp_path: Path) -> None:
    pictures, clouds = original(tmp_path)
    pairs = open_pairs(pictures, clouds=clouds)
    assert len(pairs) == 3
    assert pairs.labels[pairs.truth[0]] == "airplane"
    assert (pairs.picture(1, 4) == 81).all()
    points = pairs.points(0)
    assert points[:, 2].mean() == pytest.approx(5, abs=0.5), "the +Y of the files is up"


def test_published_clouds_keep_their_frame(tmp_path: Path) -> None:
    """Its training draws clouds as stored (`rot=False`); ours turns them to the world and back."""
    from basrelief.render.rigs import CLIP2POINT_TURN

    pictures, clouds = original(tmp_path)
    stored = np.load(next((clouds / "shapenet_pc").glob("*0.npy")))
    np.testing.assert_allclose(open_pairs(pictures, clouds=clouds).points(0) @ CLIP2POINT_TURN.T, stored, atol=1e-5)


def test_folders_without_pairs_are_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"Folder 'empty' has no pairs \(records.json\)"):
        open_pairs(tmp_path / "empty")
    _, clouds = original(tmp_path)
    with pytest.raises(ConfigError, match="Folder 'empty' has no renderings SYNSET_ID/0.png to 9.png of the shapes in 'ShapeNet55'"):
        open_pairs(tmp_path / "empty", clouds=clouds)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x"}', '{"format": "basrelief pairs 1", "layout": "zip", "labels": []}'])
def test_another_manifest_is_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text(text)
    with pytest.raises(FileFormatError, match="has no valid manifest of 'basrelief pairs 1'"):
        open_pairs(tmp_path)


def test_damaged_checkpoints_are_reported(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=PairMaker(QUICK), layout="folders")
    pairs = open_pairs(tmp_path / "out")
    home = tmp_path / "out" / pairs.keys[0]
    (home / "3.png").write_bytes(b"junk")
    np.save(home / "points.npy", np.zeros((4, 2)))
    with pytest.raises(FileFormatError, match="has no readable picture: "):
        pairs.picture(0, 3)
    with pytest.raises(FileFormatError, match=r"has points of shape \(4, 2\); expected \(N, 3\)"):
        pairs.points(0)
    (tmp_path / "out" / "shard-000000.tar").write_bytes(b"junk")
    (tmp_path / "out" / "records.json").write_text((tmp_path / "out" / "records.json").read_text().replace('"folders"', '"shards"'))
    with pytest.raises(FileFormatError, match="Shard shard-000000.tar is not a valid tar file"):
        open_pairs(tmp_path / "out")


def test_the_manifest_says_how_they_were_drawn(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=PairMaker(QUICK))
    record = json.loads((tmp_path / "out" / "records.json").read_text())
    assert record["rig"] == "clip2point10"
    assert record["style"]["size"] == 32
    assert record["labels"] == sorted(CLASSES)


def test_running_out_of_memory_is_a_failure(library: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from basrelief.train.pairs import make

    real = make.draw_pair

    def short(shape: object, name: str, **options: object) -> object:
        if name.startswith("mug/0"):
            raise RuntimeError("can't allocate memory")
        if name.startswith("mug/1"):
            raise MemoryError
        return real(shape, name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(make, "draw_pair", short)
    failed = make_records(library, tmp_path / "out", maker=PairMaker(QUICK))
    assert [name for name, _ in failed] == ["mug/0.glb", "mug/1.glb"]
    assert all("takes more memory than is available" in reason for _, reason in failed)


def test_a_truncated_line_does_not_damage_the_next(library: Benchmark, tmp_path: Path) -> None:
    Path(library.items[2].path).write_bytes(b"glTF junk")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / FAILED).write_text('{"id": "mug/9.glb", "err')
    failed = make_records(library, tmp_path / "out", maker=PairMaker(QUICK), layout="folders")
    assert [name for name, _ in failed] == [library.items[2].id]


def test_incomplete_pairs_are_reported(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=PairMaker(QUICK))
    shard = tmp_path / "out" / "shard-000000.tar"
    with tarfile.open(shard) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]

    def written(keep: Callable[[str], bool], label: bytes | None = None) -> None:
        with tarfile.open(shard, "w") as tar:
            for member, data in members:
                content = label if label is not None and member.name.endswith(".json") else data
                member.size = len(content)
                if keep(member.name):
                    tar.addfile(member, io.BytesIO(content))

    written(lambda name: not name.endswith(".4.png"))
    with pytest.raises(FileFormatError, match=r"Record '.*' has no 4\.png"):
        open_pairs(tmp_path / "out").picture(0, 4)
    written(lambda name: not name.endswith(".json"))
    with pytest.raises(FileFormatError, match="Record '.*' has no label.json"):
        open_pairs(tmp_path / "out")
    for label in (b"{", b"[]", b'{"label": "zebra"}', b'{"label": 3}'):
        written(lambda _: True, label)
        with pytest.raises(FileFormatError, match="has no label of the manifest: "):
            open_pairs(tmp_path / "out")
