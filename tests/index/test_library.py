"""`Index` as a whole: late creation, thumbnails, duplicates, the page of hits."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb")

import basrelief as br
from basrelief.errors import FileFormatError
from basrelief.index import Hit, Index, Query, describe_file
from basrelief.index.gallery import gallery_page
from basrelief.io import load, save
from basrelief.models import Model
from basrelief.types import Mesh


def test_index_is_exported(made: Path) -> None:
    assert br.Index is Index
    assert len(br.Index.open(made / "lib.lance")) == 6


def test_library_can_be_opened_before_it_exists(tmp_path: Path) -> None:
    index = Index.open(tmp_path / "new.lance")
    assert not index.exists
    with pytest.raises(FileFormatError, match="is not a basrelief library. Create one with: basrelief index DIR"):
        len(index)


def test_the_model_is_loaded_when_it_is_needed(made: Path, model: Model) -> None:
    asked = []
    index = Index.open(made / "lib.lance", loader=lambda name: asked.append(name) or model)  # type: ignore[func-returns-value]
    index.duplicates()
    index.similar(made / "files" / "car.off")
    assert asked == []
    index.search("car")
    index.search("mug")
    assert asked == ["tiny"]


def test_thumbnail_and_sheet_are_stored_for_each_file(index: Index, made: Path, model: Model) -> None:
    car = str(made / "files" / "car.off")
    thumbnail, sheet = index.thumbnails([car])[car], index.tables.rows("path", [car])[0]["sheet"]
    with Image.open(io.BytesIO(thumbnail)) as picture:
        assert picture.size == (128, 128)
        shown = np.asarray(picture.convert("L"))
    assert 0.1 < (shown < 250).mean() < 0.9
    images = model.prepare([load(car)])[0].numpy()
    with Image.open(io.BytesIO(sheet)) as picture:
        drawn = np.asarray(picture.convert("L")) / 255
    side = images.shape[1]
    assert drawn.shape == (2 * side, 5 * side)
    assert np.abs(drawn[side:, :side] - images[5]).mean() < 0.03


def test_duplicates_are_found_in_any_format_rotation_and_scale(own: Index, made: Path, tmp_path: Path) -> None:
    chair = load(made / "files" / "seats" / "chair_1.glb")
    assert isinstance(chair, Mesh)
    files = tmp_path / "files"
    files.mkdir()
    c, s = np.cos(0.4), np.sin(0.4)
    turned = chair.vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) * 39.37 + 5
    save(Mesh(turned.astype(np.float32), chair.faces), files / "inches.stl")
    save(Mesh(chair.vertices * np.float32(1.3) * np.array([1, 1, 1.2], np.float32), chair.faces), files / "taller.obj")
    assert own.duplicates() == []
    own.add(files)
    group = own.duplicates()
    assert [sorted(Path(path).name for path in paths) for paths in group] == [["chair_1.glb", "inches.stl"]]
    assert own.duplicates(where=["format:glb"]) == []
    assert (files / "inches.stl").exists()


def test_a_library_moves_as_a_folder(made: Path, tmp_path: Path, model: Model) -> None:
    shutil.copytree(made / "lib.lance", tmp_path / "elsewhere.lance")
    hits = Index.open(tmp_path / "elsewhere.lance", model=model).search("mug", top_k=1)
    assert hits[0].metadata["relative_path"] == "kitchen/mug.stl"


def _hit(**metadata: object) -> Hit:
    known = {
        "relative_path": "a/b.glb",
        "format": "glb",
        "kind": "mesh",
        "faces": 1234,
        "points": 9,
        "width": 1.0,
        "depth": 2.0,
        "height": 0.5,
    }
    return Hit("/x/a/b.glb", 0.25, 3, True, {**known, "tags": [], **metadata})


def test_description_is_one_line() -> None:
    assert describe_file(_hit().metadata) == "glb · 1,234 faces · 1 x 2 x 0.5"
    assert describe_file(_hit(kind="cloud", tags=["red", "old"]).metadata) == "glb · 9 points · 1 x 2 x 0.5 · red, old"


def test_the_page_holds_every_hit_and_needs_nothing_else(index: Index) -> None:
    hits = index.search(Query(("chair",)))
    page = gallery_page(hits, index.thumbnails([hit.path for hit in hits]), title="chair")
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    pictures = re.findall(r"base64,([^\"]+)", page)
    assert len(pictures) == 6
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as picture:
        assert picture.size == (128, 128)
    names = re.findall(r"<b>(.*?)</b>", page)
    assert names == [Path(hit.path).name for hit in hits]


def test_text_on_the_page_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    page = gallery_page([_hit(relative_path=f"{evil}.glb", tags=[evil])], {}, title=evil)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
