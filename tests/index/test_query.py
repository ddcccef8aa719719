"""Queries: their direction, how views and names count, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb")

from basrelief.errors import ConfigError, FileFormatError
from basrelief.index import Index, Query, read_picture
from basrelief.index.query import Hit, Look, _fused, search
from basrelief.io import load
from basrelief.limits import Limits, use_limits
from basrelief.models import Model
from basrelief.shapes import make_shape


def _places(hits: list[Hit]) -> list[str]:
    return [hit.about["place"] for hit in hits]


@pytest.mark.parametrize(
    ("words", "place"),
    [("mug", "kitchen/mug.stl"), ("a car", "car.off"), ("table", "tables/table.obj"), ("bottle", "kitchen/deep/bottle.glb")],
)
def test_words_find_their_shape_by_its_form_alone(index: Index, words: str, place: str) -> None:
    hits = index.search(Query((words,), names=False))
    assert hits[0].about["place"] == place
    assert len(hits) == 6
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert not any(hit.by_name for hit in hits)


def test_scores_are_cosines_with_the_pooled_views(index: Index, model: Model) -> None:
    query = Query(("chair",), names=False)
    common = np.array(index.tables.about.common, np.float32)
    vector = query.vector(model, common)
    text = model.embed_text(["chair"])[0].numpy() - common
    assert np.allclose(vector, text / np.linalg.norm(text), atol=1e-5)
    hit = index.search(query, top_k=1)[0]
    shape = model.embed_shapes([load(hit.path)])[0].numpy()
    assert hit.score == pytest.approx(float(shape @ vector), abs=2e-3)


def test_what_words_have_in_common_is_the_mean_of_everyday_names(index: Index, model: Model) -> None:
    common = np.array(index.tables.about.common)
    assert common.shape == (512,)
    names = model.embed_text(["chair", "car", "apple", "shoe"]).numpy()
    assert (names @ common / np.linalg.norm(common)).min() > 0.5


def test_a_shape_finds_itself_and_its_kind(index: Index, made: Path) -> None:
    hits = index.search(Query(shapes=(load(made / "files" / "seats" / "chair_1.glb"),)), top_k=2)
    assert _places(hits) == ["seats/chair_1.glb", "seats/oldChair2.ply"]
    assert hits[0].score == pytest.approx(1, abs=1e-3)


def test_similar_leaves_the_file_out(index: Index, made: Path, tmp_path: Path) -> None:
    own = made / "files" / "seats" / "chair_1.glb"
    assert _places(index.similar(own, top_k=1)) == ["seats/oldChair2.ply"]
    stranger = tmp_path / "stranger.glb"
    stranger.write_bytes(own.read_bytes())
    assert _places(index.similar(stranger, top_k=1)) == ["seats/chair_1.glb"]
    assert _places(index.similar(own, where=["not under:seats"], top_k=1)) != ["seats/oldChair2.ply"]
    with pytest.raises(FileFormatError):
        index.similar(tmp_path / "nothing.glb")


def test_words_that_are_not_wanted_push_away(index: Index) -> None:
    chair, table = "seats/chair_1.glb", "tables/table.obj"
    plain = {hit.about["place"]: hit.score for hit in index.search(Query(("furniture",), names=False))}
    pushed = {hit.about["place"]: hit.score for hit in index.search(Query(("furniture",), without=("chair",), names=False))}
    assert pushed[chair] - pushed[table] < plain[chair] - plain[table]


def test_mixtures_are_between_their_parts(index: Index) -> None:
    mug = make_shape("mug", seed=3)
    both = index.search(Query(("car",), shapes=(mug,), names=False), top_k=2)
    assert set(_places(both)) <= {"car.off", "kitchen/mug.stl", "kitchen/deep/bottle.glb"}


def test_the_best_view_may_count(index: Index, model: Model) -> None:
    images = model.depth_images([load(next(iter(index.tables.known())))])
    assert not Query(pictures=(np.zeros((8, 8, 3)),)).look.best_view
    assert Query(("chair",), views="best").look.best_view
    row = index.tables.rows("path", [next(iter(index.tables.known()))])[0]
    view = np.reshape(row["views"], (images.shape[1], -1)).astype(np.float32)[3]
    hit = search(index.tables, view, Look(best_view=True), top_k=1)[0]
    assert (hit.path, hit.view) == (row["path"], 3)
    assert hit.score == pytest.approx(float(np.linalg.norm(view)), abs=1e-3)


def test_names_move_files_up(index: Index) -> None:
    plain, named = (_places(index.search(Query(("old",), names=names))) for names in (False, True))
    assert named[0] == "seats/oldChair2.ply"
    assert plain.index("seats/oldChair2.ply") >= named.index("seats/oldChair2.ply")
    hit = index.search(Query(("old",)))[0]
    assert hit.by_name


def test_names_that_match_nothing_change_nothing(index: Index) -> None:
    plain, named = (_places(index.search(Query(("vehicle",), names=names))) for names in (False, True))
    assert plain == named


def test_reciprocal_ranks_are_added() -> None:
    assert _fused("abcd", ["d", "b"]) == ["b", "d", "a", "c"]
    assert _fused("abcd", []) == list("abcd")
    assert _fused("ab", ["c"]) == ["a", "c", "b"]
    assert _fused([], []) == []


@pytest.mark.parametrize("best_view", [False, True])
def test_a_hit_is_the_same_however_it_was_found(index: Index, best_view: bool) -> None:
    vector = index.model.embed_text(["a car"])[0].numpy()
    plain, named = (search(index.tables, vector, Look((), best_view, text), top_k=6) for text in ("", "old"))
    assert {hit.path: (hit.view, hit.about) for hit in plain} == {hit.path: (hit.view, hit.about) for hit in named}
    assert {hit.path: hit.score for hit in named} == pytest.approx({hit.path: hit.score for hit in plain}, abs=1e-6)
    assert [hit.by_name for hit in plain] == [False] * len(plain)
    assert 0 < sum(hit.by_name for hit in named) < len(named)
    assert not any(
        hit.path == named[0].path for hit in search(index.tables, vector, Look((), best_view, "old"), unseen_classes=named[0].path)
    )


def test_filters_hold_for_vectors_and_names(index: Index) -> None:
    hits = index.search(Query(("chair",), where=("not under:seats", "format:glb,obj")))
    assert set(_places(hits)) == {"tables/table.obj", "kitchen/deep/bottle.glb"}


@pytest.mark.parametrize("top_k", [1, 3, 100])
def test_as_many_as_asked(index: Index, top_k: int) -> None:
    assert len(index.search("chair", top_k=top_k)) == min(top_k, 6)


def test_what_cannot_be_asked_is_refused(index: Index) -> None:
    with pytest.raises(ConfigError, match="query must hold words, a picture or a shape"):
        Query()
    with pytest.raises(ConfigError, match="query must hold words"):
        Query(without=("chair",))
    with pytest.raises(ConfigError, match="views must be one of mean, best"):
        Query(("chair",), views="max")
    with pytest.raises(ConfigError, match="top_k must be at least 1"):
        index.search("chair", top_k=0)
    with pytest.raises(ConfigError, match="filter must be"):
        index.search(Query(("chair",), where=("nonsense",)))


def test_pictures_are_read_and_bad_ones_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGBA", (20, 10), (255, 0, 0, 255)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").mode == "RGB"
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(FileFormatError, match=r"picture must be readable, but got b\.png"):
        read_picture(tmp_path / "b.png")
    with pytest.raises(FileFormatError, match=r"picture must be readable, but got c\.png"):
        read_picture(tmp_path / "c.png")
    with (
        use_limits(Limits(picture_pixels=100)),
        pytest.raises(FileFormatError, match=r"picture must have at most 100 pixels, but got 20 x 10 in a\.png"),
    ):
        read_picture(tmp_path / "a.png")
