"""Records: contents, worker processes, interruptions; nothing is lost, repeated or partial."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.errors import ConfigError, FileFormatError, GeometryError
from basrelief.shapes import write_library
from basrelief.train import Workers, estimate_cost, make_records
from basrelief.train.records import make as making
from basrelief.train.records.make import read_failures, record_key
from basrelief.train.records.read import open_records, read_label, read_manifest, read_picture
from basrelief.train.records.store import MANIFEST, Record, png_bytes
from basrelief.types import Mesh, Shape


def faces_of(shape: Shape, name: str) -> int:
    if "chair/1" in name:
        raise GeometryError("This shape is broken. Use another.")
    return len(shape.faces) if isinstance(shape, Mesh) else 0


@dataclass
class Counting:
    """Writes the number of faces; notes how many are finished at once."""

    batch_size: int = 1
    format: str = "counts 1"
    finished: list[int] = field(default_factory=list)
    breaks_at: int = 10**9

    def manifest(self) -> dict[str, Any]:
        return {"style": {"what": "faces"}}

    @property
    def draw(self) -> Any:
        return faces_of

    def finish(self, drawn: Sequence[tuple[str, int]]) -> list[Record]:
        if sum(self.finished) + len(drawn) > self.breaks_at:
            raise KeyboardInterrupt
        self.finished.append(len(drawn))
        grey = png_bytes(np.zeros((4, 4), np.uint8))
        return [{"count.json": json.dumps([label, count]).encode(), "0.png": grey, "0.depth.png": grey} for label, count in drawn]


@pytest.fixture
def library(tmp_path: Path) -> Benchmark:
    return open_benchmark(write_library(tmp_path / "library", ("chair", "mug"), each=4), "folder")


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["shards", "folders"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_shape_has_its_record(library: Benchmark, layout: str, tmp_path: Path) -> None:
    failed = make_records(library, tmp_path / "out", maker=Counting(), layout=layout)
    assert failed == [("chair/1.glb", "This shape is broken. Use another.")]
    found = open_records(tmp_path / "out", "counts 1")
    assert len(found.keys) == 7
    assert found.labels == library.labels == ("chair", "mug")
    by_key = {record_key(item): item for item in library.items}
    for row, key in enumerate(found.keys):
        item = by_key[key]
        assert found.truth()[row] == item.label
        shape = library.load(item)
        assert isinstance(shape, Mesh)
        assert json.loads(found.read(row, "count.json")) == [library.labels[item.label], len(shape.faces)]


def test_records_are_in_the_order_of_the_library(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=Counting())
    expected = [record_key(item) for item in library.items if item.id != "chair/1.glb"]
    assert list(open_records(tmp_path / "out", "counts 1").keys) == expected


@pytest.mark.parametrize("batch_size", [1, 2, 3, 50])
def test_batch_size_does_not_change_the_result(library: Benchmark, layout: str, batch_size: int, tmp_path: Path) -> None:
    make_records(library, tmp_path / "one", maker=Counting(), layout=layout)
    maker = Counting(batch_size)
    make_records(library, tmp_path / "more", maker=maker, layout=layout)
    assert content(tmp_path / "one") == content(tmp_path / "more")
    assert sum(maker.finished) == 7
    assert max(maker.finished) == min(batch_size, 7)


def test_existing_records_are_kept(library: Benchmark, layout: str, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=Counting(), layout=layout)
    before, maker = content(tmp_path / "out"), Counting()
    told: list[tuple[int, int]] = []
    make_records(library, tmp_path / "out", maker=maker, layout=layout, progress=lambda done, total: told.append((done, total)))
    assert maker.finished == []
    assert content(tmp_path / "out") == before
    assert told[-1] == (8, 8)


def test_a_stop_keeps_every_finished_shape(library: Benchmark, layout: str, tmp_path: Path) -> None:
    """Inside a shard, too: the next run makes only the others."""
    make_records(library, tmp_path / "whole", maker=Counting(), layout=layout)
    first = Counting(breaks_at=5)
    with pytest.raises(KeyboardInterrupt):
        make_records(library, tmp_path / "out", maker=first, layout=layout)
    second = Counting()
    make_records(library, tmp_path / "out", maker=second, layout=layout)
    assert (sum(first.finished), sum(second.finished)) == (5, 2)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")], "nothing half is left behind"


def test_a_second_run_on_the_same_part_is_rejected(library: Benchmark, layout: str, tmp_path: Path) -> None:
    out, told = tmp_path / "out", []

    def meanwhile(done: int, _total: int) -> None:
        if not told:
            with pytest.raises(ConfigError, match="Another run is writing records to "):
                make_records(library, out, maker=Counting(), layout=layout)
            make_records(library, out, maker=Counting(), layout=layout, workers=Workers(rank=8, world_size=9))  # a part without a shape
        told.append(done)

    make_records(library, out, maker=Counting(), layout=layout, progress=meanwhile)
    assert told[-1] == 8
    make_records(library, tmp_path / "alone", maker=Counting(), layout=layout)
    assert content(out) == content(tmp_path / "alone")


def test_shards_hold_a_hundred_shapes(library: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert making.SHAPES_PER_SHARD == 100
    monkeypatch.setattr(making, "SHAPES_PER_SHARD", 3)
    make_records(library, tmp_path / "out", maker=Counting())
    shards = sorted(path.name for path in (tmp_path / "out").glob("*.tar"))
    assert shards == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    assert len(open_records(tmp_path / "out", "counts 1").keys) == 7


@pytest.mark.parametrize("of", [2, 3])
def test_parts_make_the_whole(library: Benchmark, layout: str, of: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several machines share a folder, each with its own part."""
    monkeypatch.setattr(making, "SHAPES_PER_SHARD", 2)
    make_records(library, tmp_path / "whole", maker=Counting(), layout=layout)
    made = []
    for rank in range(of):
        maker = Counting()
        make_records(library, tmp_path / "out", maker=maker, layout=layout, workers=Workers(rank=rank, world_size=of))
        made.append(sum(maker.finished))
    assert sum(made) == 7
    assert all(made), "each part had something to do"
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_folder_of_other_records_is_rejected(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=Counting())
    with pytest.raises(ConfigError, match="Folder 'out' holds other files. Name another folder."):
        make_records(library, tmp_path / "out", maker=Counting(format="counts 2"))
    with pytest.raises(ConfigError, match="holds other files. Name another folder."):
        make_records(library.limited(3), tmp_path / "out", maker=Counting())
    with pytest.raises(FileFormatError, match="Folder 'out' has no valid manifest of 'counts 2'"):
        open_records(tmp_path / "out", "counts 2")
    with pytest.raises(ConfigError, match="Unknown layout 'zip'; expected one of shards, folders"):
        make_records(library, tmp_path / "other", maker=Counting(), layout="zip")


def test_the_manifest_says_what_and_how(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=Counting())
    manifest = read_manifest(tmp_path / "out" / MANIFEST, "counts 1")
    assert manifest["style"] == {"what": "faces"}
    assert manifest["labels"] == ["chair", "mug"]
    assert manifest["data"] == f"{library.name} {library.fingerprint()}"


def test_an_estimate_counts_only_pictures(library: Benchmark) -> None:
    plan = estimate_cost(library, Counting(batch_size=2), sample=8)
    assert (plan.shapes, plan.pictures, plan.sampled, plan.failed) == (8, 8, 8, 1)
    assert plan.draw_seconds > 0
    assert plan.finish_seconds >= 0
    assert plan.bytes > 8 * 3 * 1024, "every file of a tar has a header and is padded"


def test_estimated_hours_are_those_of_the_slower_stage() -> None:
    plan = making.CostEstimate(10, 100, 2, 0, draw_seconds=7200, finish_seconds=3600, bytes=1)
    assert plan.hours(1) == pytest.approx(2)
    assert plan.hours(4) == pytest.approx(1), "finishing goes on beside drawing and does not get quicker"
    assert plan.hours(0) == pytest.approx(2)


SCRIPT = """
from pathlib import Path
import sys
sys.path.insert(0, sys.argv[3])
from test_records import Counting
from basrelief.datasets import open_benchmark
from basrelief.train import Workers, make_records
make_records(open_benchmark(sys.argv[1], "folder"), Path(sys.argv[2]), maker=Counting(), workers=Workers(2))
"""


def test_a_script_without_a_main_guard_is_reported(library: Benchmark, tmp_path: Path) -> None:
    """Started processes run the script again: it must not draw, or each of them would start more."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(library.root), str(tmp_path / "out"), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 1
    assert "In a script, put the call under `if __name__ == '__main__':`, or use jobs=0." in done.stderr
    assert read_failures(tmp_path / "out") == [], "no shape is blamed for it"


def test_pictures_are_read_in_grey_or_colour() -> None:
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(read_picture(io.BytesIO(png_bytes(grey)), "a", mode="L"), grey)
    assert read_picture(io.BytesIO(png_bytes(grey)), "a").shape == (4, 4, 3)


@pytest.mark.parametrize("data", [b"", b"junk", b"\x89PNG\r\n\x1a\n" + b"0" * 50])
def test_invalid_pictures_are_reported(data: bytes) -> None:
    with pytest.raises(FileFormatError, match="Record 'some key' has no readable picture: "):
        read_picture(io.BytesIO(data), "some key")


def test_other_formats_and_huge_pictures_are_rejected(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png", "gif")
    with pytest.raises(FileFormatError, match="has no readable picture: "):
        read_picture(tmp_path / "0.png", "a")
    Image.new("L", (2049, 1)).save(tmp_path / "1.png")
    with pytest.raises(FileFormatError, match=r"Record 'a' has no readable picture: \(2049, 1\) pixels"):
        read_picture(tmp_path / "1.png", "a")


@pytest.mark.parametrize("data", [b"{", b"[]", b"3", b'{"label": "zebra"}', b"{}"])
def test_invalid_labels_are_reported(data: bytes) -> None:
    with pytest.raises(FileFormatError, match="Record 'key' has no label of the manifest"):
        read_label(data, labels=("chair",), key="key")


def test_a_hostile_shard_reads_nothing_outside(tmp_path: Path) -> None:
    """Members are read by their place in the tar; their names are never paths."""
    (tmp_path / "out").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "out" / MANIFEST).write_text(json.dumps({"format": "counts 1", "layout": "shards", "labels": ["chair"]}))
    with tarfile.open(tmp_path / "out" / "shard-000000.tar", "w") as tar:
        for name in ("../secret.label.json", str(tmp_path / "secret.label.json")):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    found = open_records(tmp_path / "out", "counts 1")
    for row in range(len(found.keys)):
        for name in ("label.json", "secret.label.json", "/secret.label.json"):
            try:
                assert b"secret" not in found.read(row, name)
            except FileFormatError:
                continue


def test_a_missing_file_of_a_record_is_reported(library: Benchmark, tmp_path: Path) -> None:
    make_records(library, tmp_path / "out", maker=Counting(), layout="folders")
    found = open_records(tmp_path / "out", "counts 1")
    (tmp_path / "out" / found.keys[0] / "count.json").unlink()
    with pytest.raises(FileFormatError, match=r"Record '.*' has no readable count\.json: No such file"):
        found.read(0, "count.json")


def test_equal_pixels_give_equal_png_bytes() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert png_bytes(picture) == png_bytes(picture.copy())
    assert png_bytes(picture) != png_bytes(picture[::-1].copy())


def test_an_estimate_is_one_line() -> None:
    small = making.CostEstimate(10, 100, 4, 1, draw_seconds=240, finish_seconds=30, bytes=2_400_000)
    assert small.text(2) == "10 shapes, 100 pictures, 2.4 MB, 2.0 minutes with 2 processes (4 shapes measured, 1 failed)"
    large = making.CostEstimate(52_470, 524_700, 4, 0, draw_seconds=40_000, finish_seconds=1_500_000, bytes=31_000_000_000)
    line = large.text(16, gpu=True)
    assert line.startswith("52,470 shapes, 524,700 pictures, 31.0 GB, 416.7 hours of one GPU, 416.7 hours with 16 processes ")
