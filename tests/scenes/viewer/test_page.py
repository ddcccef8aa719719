"""The page of detections as a file: self-contained, escaped, bounded in size."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import basrelief as br
from basrelief.errors import ConfigError
from basrelief.scenes import Detections
from basrelief.scenes.crops import embed_boxes
from basrelief.scenes.label import label_boxes
from basrelief.scenes.scene import OBJECT
from basrelief.scenes.viewer.viewer import viewer_page
from basrelief.types import PointCloud
from support.made_detections import made_detections
from support.small_scenes import given, planted_scene

HOSTILE = ("</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--<script>", "bell\x07 \u202egnp.exe")


class Elements(HTMLParser):
    """Elements of a page with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag == "script"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts.append(data)
            self.inside = False


def page_of(detections: Detections, *, max_points: int = 150_000, views: int = 3, evidence_bytes: int = 3_000_000) -> str:
    return viewer_page(detections, max_points=max_points, views=views, evidence_bytes=evidence_bytes)


def data_of(page: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(Elements(page).scripts[0])
    return found


@pytest.fixture(scope="module")
def labelled() -> Detections:
    scene, boxes = planted_scene(("chair", "lamp", "mug"))
    return label_boxes(embed_boxes(scene, given(boxes), br.load_model("tiny")), ["chair", "lamp", "mug"])


def test_page_loads_nothing_and_allows_one_script() -> None:
    parsed = Elements(page_of(made_detections()))
    policy = next(a["content"] for tag, a in parsed.elements if tag == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    digest = base64.b64encode(hashlib.sha256(parsed.scripts[1].encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    assert [a.get("type") for tag, a in parsed.elements if tag == "script"] == ["application/json", None]
    assert not [a for _, a in parsed.elements if {"src", "href", "srcset", "style", "onclick"} & a.keys()]
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", "".join(parsed.scripts[1:]))


def test_hostile_labels_and_file_names_stay_text() -> None:
    made = made_detections(labels=HOSTILE)
    made = dataclasses.replace(made, scene=dataclasses.replace(made.scene, source=f"x/{HOSTILE[0].replace('/', '')}"), model=HOSTILE[1])
    page, plain = page_of(made), page_of(made_detections())
    assert [tag for tag, _ in Elements(page).elements] == [tag for tag, _ in Elements(plain).elements]
    boxes = data_of(page)["boxes"]
    assert isinstance(boxes, list)
    assert [box["label"] for box in boxes] == [HOSTILE[0], HOSTILE[1], HOSTILE[1], HOSTILE[2]]
    assert boxes[0]["probabilities"][-1][0] == r"bell\x07 \u202egnp.exe"


def test_points_come_back_within_a_fraction_of_a_millimetre() -> None:
    made = made_detections()
    cloud = data_of(page_of(made))["cloud"]
    assert isinstance(cloud, dict)
    places = np.frombuffer(base64.b64decode(cloud["places"]), "<u2").reshape(-1, 4)
    colors = np.frombuffer(base64.b64decode(cloud["colors"]), "u1").reshape(-1, 4)
    points = np.array(cloud["low"]) + places[:, :3] / 65535 * cloud["extent"]
    order = np.lexsort(points.T)
    expected = made.scene.cloud.points[np.lexsort(np.round(made.scene.cloud.points, 4).T)]
    assert cloud["count"] == len(points) == len(expected)
    assert np.abs(np.sort(points, axis=0) - np.sort(expected, axis=0)).max() < 2e-4
    assert len(order) == len(expected)
    assert np.array_equal(np.bincount(colors[:, 3]), np.bincount(made.scene.structure))
    assert np.array_equal(np.bincount(np.minimum(places[:, 3], 4)), [400, 400, 400, 400, 2000])


def test_large_scans_are_thinned_and_things_kept() -> None:
    made = made_detections(points=4000)
    cloud = data_of(page_of(made, max_points=9000))["cloud"]
    assert isinstance(cloud, dict)
    kinds = np.frombuffer(base64.b64decode(cloud["colors"]), "u1").reshape(-1, 4)[:, 3]
    assert len(kinds) == 9000
    assert np.count_nonzero(kinds == OBJECT) == 6750  # of 16,000; 20,000 points are floor, wall and ceiling


def test_page_of_a_large_scan_is_small(labelled: Detections) -> None:
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.uniform(0, 8, (400_000, 3)), rng.uniform(0, 1, (400_000, 3)))
    scene = dataclasses.replace(labelled.scene, cloud=cloud, structure=np.zeros(400_000, np.int8))
    assert len(page_of(dataclasses.replace(labelled, scene=scene))) < 6_000_000


def test_pictures_show_points_and_the_views_that_fit_best(labelled: Detections) -> None:
    boxes = data_of(page_of(labelled, views=2))["boxes"]
    assert isinstance(boxes, list)
    for box in boxes:
        first, *views = box["evidence"]
        assert first["caption"] == "points"
        assert [view["caption"] for view in views] == [box["label"]] * 2
        assert all(view["source"].startswith("data:image/webp;base64,") for view in views)
        assert all(re.fullmatch(r"\d  (az -?\d+ )?el -?\d+", view["note"]) for view in views)


def test_pictures_are_bounded(labelled: Detections) -> None:
    kept = [[bool(box["evidence"]) for box in data_of(page_of(labelled, views=3, evidence_bytes=size))["boxes"]] for size in (12_000, 0)]  # type: ignore[attr-defined]
    assert kept[0][0]
    assert not kept[0][-1]
    assert kept[1] == [False] * 3
    assert "Pictures of what the model saw were not kept." in page_of(labelled, views=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_points": 0}, "max_points is 0; it must be at least 1. The page shows the points of the scan."),
        ({"views": -1}, "views is -1; it must be at least 0. 0 leaves the pictures out."),
        ({"evidence_bytes": -5}, "evidence_bytes is -5; it must be finite and not negative. views=0 leaves the pictures out."),
    ],
)
def test_wrong_options_are_refused(options: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        made_detections().save(tmp_path / "a.html", **options)
