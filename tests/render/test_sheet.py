"""Contact sheets: contents, no overlaps, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from basrelief.errors import ConfigError
from basrelief.render import sheet
from basrelief.render.cameras import look_at_cameras
from basrelief.render.canvas import ACCENT, BACKGROUND, LINE, SECONDARY, Canvas
from basrelief.render.sheet import MARGIN, WIDTH, camera_captions, contact_sheet, evidence_sheet
from basrelief.render.views import DepthViews
from basrelief.types import Prediction

LONG = "a label that goes on and on, like an office chair with five wheels, two armrests and a headrest"


def views(count: int, *, size: int = 12) -> DepthViews:
    """Views whose grey tells their number."""
    grey = torch.linspace(0.2, 0.8, count)[:, None, None].expand(count, size, size)
    return DepthViews(torch.zeros(count, size, size), grey, look_at_cameras(np.arange(count) * 360 / count, 20.0), "test")


def page_of(seen: DepthViews, **extra: object) -> Image.Image:
    """The contact sheet of some views."""
    return contact_sheet(seen.image, seen.cameras, **extra)  # type: ignore[arg-type]


def prediction(count: int, labels: tuple[str, ...] = ("chair", "table", "lamp"), *, probabilities: bool = False) -> Prediction:
    scores = np.linspace(0.3, 0.2, len(labels)).astype(np.float32)
    each = np.tile(scores, (count, 1))
    each[-1] = each[-1, ::-1]  # the last view votes for the last label
    known = np.float32(scores / scores.sum()) if probabilities else None
    return Prediction(labels, scores, each, known, source="somewhere/seat.glb", model="tiny")


class Recorded:
    """Every box that was drawn on any page, and every line of text asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boxes: list[tuple[int, int, int, int]] = []
        self.words: list[str] = []
        self.shares: list[float] = []
        text, bar, picture = Canvas.text, Canvas.bar, Canvas.picture

        def keep_text(page: Canvas, at: tuple[int, int], words: str, **options: object) -> int:
            taken = text(page, at, words, **options)  # type: ignore[arg-type]
            size, width = int(options.get("size", 14)), int(options["width"])  # type: ignore[call-overload]
            left = at[0] + (width - taken if options.get("align") == "right" else 0)
            if words:
                self.boxes.append((left, at[1] - round(size * 0.75), left + taken, at[1] + round(size * 0.22)))
                self.words.append(words)
            return taken

        def keep_bar(page: Canvas, at: tuple[int, int], share: float, **options: int) -> None:
            self.boxes.append((*at, at[0] + options["width"], at[1] + options["height"]))
            self.shares.append(share)
            bar(page, at, share, **options)  # type: ignore[arg-type]

        def keep_picture(page: Canvas, at: tuple[int, int], pixels: np.ndarray, *, side: int) -> None:
            self.boxes.append((*at, at[0] + side, at[1] + side))
            picture(page, at, pixels, side=side)

        monkeypatch.setattr(Canvas, "text", keep_text)
        monkeypatch.setattr(Canvas, "bar", keep_bar)
        monkeypatch.setattr(Canvas, "picture", keep_picture)

    def assert_apart_and_inside(self, page: Image.Image) -> None:
        for i, (left, top, right, bottom) in enumerate(self.boxes):
            assert left >= MARGIN - 2
            assert right <= WIDTH - MARGIN + 2
            assert top >= MARGIN - 2
            assert bottom <= page.height - MARGIN // 2
            for other in self.boxes[:i]:
                apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
                assert apart, f"{self.boxes[i]} overlaps {other}"


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(monkeypatch)


# captions


def test_captions_hold_number_and_angles() -> None:
    cameras = look_at_cameras([0.0, 135.0, -45.4, 180.0], [20.0, 0.0, -30.2, 89.0])
    assert camera_captions(cameras) == ["0  az 0 el 20", "1  az 135 el 0", "2  az -45 el -30", "3  az 180 el 89"]


def test_straight_above_and_below_there_is_no_azimuth() -> None:
    assert camera_captions(look_at_cameras([70.0, -20.0], [90.0, -90.0])) == ["0  el 90", "1  el -90"]


# depth sheets


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 10, 12, 50])
@pytest.mark.parametrize("full", [False, True])
def test_depth_sheets_draw_everything_apart(count: int, full: bool, recorded: Recorded) -> None:
    extra = {"title": LONG * 3, "captions": [LONG] * count, "shares": [0.5] * count} if full else {}
    page = page_of(views(count), **extra)  # type: ignore[arg-type]
    recorded.assert_apart_and_inside(page)
    assert page.width == WIDTH
    assert page.mode == "RGB"
    assert len(recorded.boxes) == (1 + 4 * count if full else 2 * count)


def test_every_view_is_on_the_sheet_in_order(recorded: Recorded) -> None:
    page = np.asarray(page_of(views(7)))
    seen = [box for box in recorded.boxes if box[2] - box[0] == box[3] - box[1]]
    middles = [page[(top + bottom) // 2, (left + right) // 2, 0] for left, top, right, bottom in seen]
    assert np.allclose(middles, np.linspace(0.2, 0.8, 7) * 255, atol=1)
    places = [(top, left) for left, top, _, _ in seen]
    assert places == sorted(places)


def test_cameras_titles_and_captions_are_written(recorded: Recorded) -> None:
    page_of(views(2), title="seat.glb", captions=["chair", "lamp"], shares=[0.1, 0.9])
    assert {"seat.glb", "chair", "lamp", "0  az 0 el 20", "1  az 180 el 20"} <= set(recorded.words)
    assert recorded.shares == [0.1, 0.9]


def test_a_sheet_without_title_is_shorter() -> None:
    assert page_of(views(5)).height < page_of(views(5), title="seat").height


@pytest.mark.parametrize("name", ["captions", "shares"])
def test_lists_must_be_as_long_as_the_views(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} has 2 entries; expected 3, one for each view\. Leave it out for none"):
        page_of(views(3), **{name: ["a", "b"] if name == "captions" else [0.1, 0.2]})  # type: ignore[arg-type]


def test_colours_of_views_are_kept(recorded: Recorded) -> None:
    color = torch.tensor([0.9, 0.5, 0.1])
    page = np.asarray(contact_sheet(color.expand(3, 12, 12, 3), views(3).cameras))
    left, top, right, bottom = next(box for box in recorded.boxes if box[2] - box[0] == box[3] - box[1])
    assert np.abs(page[(top + bottom) // 2, (left + right) // 2] / 255 - color.numpy()).max() < 0.01


# evidence sheets


@pytest.mark.parametrize("count", [1, 3, 6, 10, 12])
@pytest.mark.parametrize("picture", [False, True])
def test_evidence_sheets_draw_everything_apart(count: int, picture: bool, recorded: Recorded) -> None:
    shape = np.full((40, 40, 3), 0.7, np.float32) if picture else None
    answer = prediction(count, tuple(f"{i} {LONG}" for i in range(8)))
    seen = views(count)
    page = evidence_sheet(answer, seen.image.numpy(), captions=camera_captions(seen.cameras), picture=shape, top=6)
    recorded.assert_apart_and_inside(page)
    assert page.width == WIDTH
    squares = [box for box in recorded.boxes if box[2] - box[0] == box[3] - box[1]]
    assert len(squares) == count + picture


def test_each_view_has_its_own_best_label_and_the_ranks_are_below(recorded: Recorded) -> None:
    seen = views(3)
    evidence_sheet(prediction(3), seen.image.numpy(), captions=camera_captions(seen.cameras), top=2)
    for words, times in (("chair", 1 + 1 + 2), ("table", 1), ("lamp", 1), ("0.300", 1), ("0.250", 1), ("0.30", 3)):
        assert recorded.words.count(words) == times, words
    assert "seat.glb   tiny" in recorded.words


def test_bars_run_from_the_lowest_to_the_highest_score(recorded: Recorded) -> None:
    seen = views(2)
    evidence_sheet(prediction(2), seen.image.numpy(), captions=camera_captions(seen.cameras))
    assert recorded.shares == pytest.approx([1.0, 0.5, 0.0, 1.0, 1.0], abs=1e-5)


def test_bars_are_probabilities_where_there_are_some(recorded: Recorded) -> None:
    seen = views(2)
    answer = prediction(2, probabilities=True)
    evidence_sheet(answer, seen.image.numpy(), captions=camera_captions(seen.cameras))
    assert answer.probabilities is not None
    assert recorded.shares[:3] == pytest.approx(answer.probabilities.tolist())
    assert {"40.0%", "33.3%", "26.7%"} <= set(recorded.words)


def test_equal_scores_have_full_bars(recorded: Recorded) -> None:
    seen = views(2)
    answer = Prediction(("a", "b"), np.full(2, 0.5, np.float32), np.full((2, 2), 0.5, np.float32))
    evidence_sheet(answer, seen.image.numpy(), captions=camera_captions(seen.cameras))
    assert recorded.shares == [1.0] * 4


def test_views_that_agree_are_drawn_in_the_accent_colour() -> None:
    """Every view of the second answer votes for the best label, the last view of the first does not."""
    seen = views(3)
    one = prediction(3)
    all_agree = Prediction(one.labels, one.scores, np.tile(one.scores, (3, 1)))
    right = slice(MARGIN + sheet.LEFT + sheet.GAP, None)
    counts = []
    for answer in (one, all_agree):
        page = np.asarray(evidence_sheet(answer, seen.image.numpy(), captions=camera_captions(seen.cameras)))[:, right]
        counts.append([(page == color).all(-1).sum() for color in (ACCENT, SECONDARY)])
    (accent, soft), (accent_all, soft_all) = counts
    assert soft > 300
    assert soft_all == 0
    assert accent_all == pytest.approx(accent + soft, rel=0.01)


def test_no_more_labels_are_ranked_than_there_are(recorded: Recorded) -> None:
    seen = views(3)
    evidence_sheet(prediction(3, ("only one",)), seen.image.numpy(), captions=camera_captions(seen.cameras), top=5)
    assert len(recorded.shares) == 1 + 3


def test_the_page_is_light_and_has_its_margins() -> None:
    seen = views(10)
    page = np.asarray(evidence_sheet(prediction(10), seen.image.numpy(), captions=camera_captions(seen.cameras)))
    assert (page == BACKGROUND).all(-1).mean() > 0.5
    for edge in (page[: MARGIN - 8], page[-MARGIN // 2 :], page[:, : MARGIN - 2], page[:, 2 - MARGIN :]):
        assert (edge == BACKGROUND).all()
    assert (page == LINE).all(-1).any()


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 8, 9), (3, 8), (3, 8, 8, 3, 1)])
def test_images_must_be_one_square_for_each_camera(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"images has shape \(.*; expected \(3, S, S\), one for each caption"):
        evidence_sheet(prediction(3), np.zeros(shape, np.float32), captions=["0", "1", "2"])


def test_view_scores_must_belong_to_the_views() -> None:
    seen = views(3)
    with pytest.raises(ConfigError, match="prediction has scores of 4 views, but there are 3 captions"):
        evidence_sheet(prediction(4), seen.image.numpy(), captions=camera_captions(seen.cameras))


def test_at_least_one_label_is_ranked() -> None:
    seen = views(3)
    with pytest.raises(ConfigError, match="top is 0; it must be at least 1"):
        evidence_sheet(prediction(3), seen.image.numpy(), captions=camera_captions(seen.cameras), top=0)


def test_depths_beyond_one_keep_their_greys() -> None:
    """PointCLIP's images hold bare depths up to 2.6: drawn as they are, near and far would both be white."""
    from basrelief.render import render_depth
    from basrelief.shapes import make_shape

    views = render_depth(make_shape("chair"), "pointclip", points=2000)
    assert float(views.image.max()) > 1
    tile = np.asarray(page_of(views).convert("L"))
    greys = np.unique(tile[tile > 40])
    assert len(greys) > 20
