"""OpenShape's published files in miniature: clouds, the rule that draws images and texts, missing and broken files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from basrelief.errors import ConfigError, FileFormatError
from basrelief.models.shape_input import FRAMES
from basrelief.train.point.published import PublishedTriplets
from basrelief.train.point.triplets import in_frame

DIM = 4


def text(value: float) -> dict[str, np.ndarray]:
    return {"original": np.full((1, DIM), value, np.float32), "prompt_avg": np.full((1, DIM), value + 0.5, np.float32)}


def shape(dataset: str, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    record: dict[str, Any] = {
        "dataset": dataset,
        "xyz": rng.uniform(-1, 1, (20, 3)),
        "rgb": rng.random((20, 3)),
        "image_feat": np.arange(12, dtype=np.float32)[:, None] + np.zeros((12, DIM), np.float32),
        "thumbnail_feat": np.full((1, DIM), 100, np.float32),
        "text": ["a chair", "furniture"],
        "text_feat": [text(1), text(2)],
        "blip_caption": "a red chair",
        "blip_caption_feat": text(3),
        "msft_caption": "chair",
        "msft_caption_feat": text(4),
        "retrieval_text": ["x", "y"],
        "retrieval_text_feat": [text(5), text(6)],
    }
    return record | changes


def write(root: Path, records: dict[str, dict[str, Any]]) -> Path:
    """Files as published, and their list, whose paths are those of another machine; return the list."""
    entries = []
    for name, record in records.items():
        path = root / record["dataset"] / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array(record, dtype=object), allow_pickle=True)
        entries.append(
            {"id": name, "dataset": record["dataset"], "group": "0", "data_path": f"/elsewhere/all/{record['dataset']}/{name}.npy"}
        )
    (root / "split.json").write_text(json.dumps(entries))
    return root / "split.json"


def draws(triplets: PublishedTriplets, row: int = 0, *, images: int = 1, count: int = 400) -> tuple[Counter[float], Counter[float | None]]:
    """How often each image and each text is drawn, by their first number."""
    seen: Counter[float] = Counter()
    texts: Counter[float | None] = Counter()
    for seed in range(count):
        found = triplets.sample(row, np.random.default_rng(seed), images=images)
        assert found.images is not None
        seen.update(found.images[:, 0].tolist())
        texts[None if found.text is None else float(found.text[0])] += 1
    return seen, texts


def test_clouds_are_rotated_to_the_world_and_mirrored_for_openshape(tmp_path: Path) -> None:
    record = shape("ABO")
    triplets = PublishedTriplets(tmp_path, write(tmp_path, {"a": record}))
    cloud = triplets.cloud(0)
    x, y, z = record["xyz"].T
    np.testing.assert_allclose(cloud[:, :3], np.stack([x, -z, y], axis=1), rtol=1e-6)
    np.testing.assert_allclose(cloud[:, 3:], record["rgb"], rtol=1e-6)
    for frame, expected in (("y-up", (x, y, z)), ("z-up-mirrored", (x, z, y))):
        assert frame in FRAMES
        np.testing.assert_allclose(in_frame(cloud, frame, missing_color=0.4)[:, :3], np.stack(expected, axis=1), rtol=1e-6)
    assert (triplets.dim, len(triplets), list(triplets.keys)) == (DIM, 1, ["a"])


def test_objaverse_shows_its_thumbnail_half_of_the_time(tmp_path: Path) -> None:
    triplets = PublishedTriplets(tmp_path, write(tmp_path, {"a": shape("Objaverse"), "b": shape("ShapeNet")}))
    seen, texts = draws(triplets)
    assert 160 < seen[100.0] < 240
    assert len(seen) == 13
    assert set(texts) == {1.5, 3.5, 4.5, 5.0, 6.0}
    assert 100 < texts[1.5] < 170
    assert 100 < texts[3.5] + texts[4.5] < 170
    other, texts = draws(triplets, 1)
    assert 100.0 not in other
    assert set(texts) == {1.5, 2.5, 3.5, 4.5, 5.0, 6.0}


def test_of_several_images_the_first_is_the_thumbnail(tmp_path: Path) -> None:
    triplets = PublishedTriplets(tmp_path, write(tmp_path, {"a": shape("Objaverse"), "b": shape("ShapeNet")}))
    for seed in range(20):
        shown = triplets.sample(0, np.random.default_rng(seed), images=4).images
        assert shown is not None
        assert shown[0, 0] == 100
        assert len(set(shown[:, 0].tolist())) == 4
        rendered = triplets.sample(1, np.random.default_rng(seed), images=4).images
        assert rendered is not None
        assert 100 not in rendered
        assert len(set(rendered[:, 0].tolist())) == 4


def test_useless_texts_are_left_out(tmp_path: Path) -> None:
    split = write(tmp_path, {"a": shape("Objaverse"), "b": shape("ShapeNet")})
    (tmp_path / "filter.json").write_text(json.dumps({"a": {"flag": "N"}, "b": {"flag": "N"}}))
    triplets = PublishedTriplets(tmp_path, split, text_filter=tmp_path / "filter.json")
    assert set(draws(triplets)[1]) == {3.5, 4.5, 5.0, 6.0}
    assert 1.5 in draws(triplets, 1)[1]  # the filter is for Objaverse


def test_a_shape_may_have_no_text(tmp_path: Path) -> None:
    empty = shape("ABO", text_feat=[], blip_caption="", msft_caption="", retrieval_text_feat=[])
    triplets = PublishedTriplets(tmp_path, write(tmp_path, {"a": empty}))
    assert set(draws(triplets, count=5)[1]) == {None}


def test_originals_in_place_of_prompt_averages(tmp_path: Path) -> None:
    triplets = PublishedTriplets(tmp_path, write(tmp_path, {"a": shape("ABO")}), prompt_average=False)
    assert set(draws(triplets)[1]) == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}


def test_missing_files_are_counted(tmp_path: Path) -> None:
    split = write(tmp_path, {"a": shape("ABO"), "b": shape("ABO")})
    (tmp_path / "ABO" / "b.npy").unlink()
    triplets = PublishedTriplets(tmp_path, split)
    assert (len(triplets), triplets.missing) == (1, 1)
    (tmp_path / "ABO" / "a.npy").unlink()
    with pytest.raises(ConfigError, match=r"None of the 2 shapes of split.json is in .*. Unpack them there."):
        PublishedTriplets(tmp_path, split)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xyz": np.zeros((20, 2))}, r"a.npy has no valid array 'xyz'"),
        ({"xyz": np.full((20, 3), np.nan)}, r"'xyz' of a.npy holds NaN or infinity"),
        ({"rgb": np.zeros((19, 3))}, r"a.npy has 20 points and 19 colours"),
        ({"text_feat": ["chair"]}, r"a.npy has a text without features"),
        ({"text_feat": [{"prompt_avg": np.zeros(7)}]}, r"a.npy has features of another kind than 4 finite numbers"),
    ],
)
def test_broken_files_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    triplets = PublishedTriplets(tmp_path, write(tmp_path, {"a": shape("ABO", **changes)}))
    with pytest.raises(FileFormatError, match=message):
        for seed in range(30):
            triplets.cloud(0)
            triplets.sample(0, np.random.default_rng(seed))


def test_a_broken_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("{}")
    with pytest.raises(FileFormatError, match=r"split.json holds a dict; expected a JSON list"):
        PublishedTriplets(tmp_path, tmp_path / "split.json")
    (tmp_path / "split.json").write_text('[{"id": "a"}]')
    with pytest.raises(FileFormatError, match=r"split.json has an entry without id, dataset, data_path"):
        PublishedTriplets(tmp_path, tmp_path / "split.json")
    split = write(tmp_path, {"a": shape("ABO")})
    (tmp_path / "filter.json").write_text("[]")
    with pytest.raises(FileFormatError, match=r"filter.json holds a list; expected a JSON object"):
        PublishedTriplets(tmp_path, split, text_filter=tmp_path / "filter.json")
