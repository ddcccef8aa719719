"""Queries: their embedding, pooling, matching of names, and what is rejected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb")

from basrelief.errors import ConfigError, FileFormatError
from basrelief.index import Index, Query, read_image
from basrelief.index.search import Hit, SearchOptions, reciprocal_rank_fusion, search
from basrelief.io import load
from basrelief.limits import Limits, use_limits
from basrelief.models import Model
from basrelief.shapes import make_shape


def _found(hits: list[Hit]) -> list[str]:
    return [hit.metadata["relative_path"] for hit in hits]


@pytest.mark.parametrize(
    ("words", "place"),
    [("mug", "kitchen/mug.stl"), ("a car", "car.off"), ("table", "tables/table.obj"), ("bottle", "kitchen/deep/bottle.glb")],
)
def test_words_find_their_shape_by_its_form_alone(index: Index, words: str, place: str) -> None:
    hits = index.search(Query((words,), match_names=False))
    assert hits[0].metadata["relative_path"] == place
    assert len(hits) == 6
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert not any(hit.name_match for hit in hits)


def test_scores_are_cosines_with_the_pooled_views(index: Index, model: Model) -> None:
    query = Query(("chair",), match_names=False)
    text_mean = np.array(index.tables.info.text_mean, np.float32)
    vector = query.embed(model, text_mean)
    text = model.embed_text(["chair"])[0].numpy() - text_mean
    assert np.allclose(vector, text / np.linalg.norm(text), atol=1e-5)
    hit = index.search(query, top_k=1)[0]
    shape = model.embed_shapes([load(hit.path)])[0].numpy()
    assert hit.score == pytest.approx(float(shape @ vector), abs=2e-3)


def test_the_text_mean_lies_near_everyday_names(index: Index, model: Model) -> None:
    text_mean = np.array(index.tables.info.text_mean)
    assert text_mean.shape == (512,)
    names = model.embed_text(["chair", "car", "apple", "shoe"]).numpy()
    assert (names @ text_mean / np.linalg.norm(text_mean)).min() > 0.5


def test_a_shape_finds_itself_and_its_kind(index: Index, made: Path) -> None:
    hits = index.search(Query(shapes=(load(made / "files" / "seats" / "chair_1.glb"),)), top_k=2)
    assert _found(hits) == ["seats/chair_1.glb", "seats/oldChair2.ply"]
    assert hits[0].score == pytest.approx(1, abs=1e-3)


def test_similar_leaves_the_file_out(index: Index, made: Path, tmp_path: Path) -> None:
    own = made / "files" / "seats" / "chair_1.glb"
    assert _found(index.similar(own, top_k=1)) == ["seats/oldChair2.ply"]
    stranger = tmp_path / "stranger.glb"
    stranger.write_bytes(own.read_bytes())
    assert _found(index.similar(stranger, top_k=1)) == ["seats/chair_1.glb"]
    assert _found(index.similar(own, where=["not under:seats"], top_k=1)) != ["seats/oldChair2.ply"]
    with pytest.raises(FileFormatError):
        index.similar(tmp_path / "nothing.glb")


def test_without_moves_away_from_words(index: Index) -> None:
    chair, table = "seats/chair_1.glb", "tables/table.obj"
    plain = {hit.metadata["relative_path"]: hit.score for hit in index.search(Query(("furniture",), match_names=False))}
    pushed = {
        hit.metadata["relative_path"]: hit.score for hit in index.search(Query(("furniture",), without=("chair",), match_names=False))
    }
    assert pushed[chair] - pushed[table] < plain[chair] - plain[table]


def test_mixtures_are_between_their_parts(index: Index) -> None:
    mug = make_shape("mug", seed=3)
    both = index.search(Query(("car",), shapes=(mug,), match_names=False), top_k=2)
    assert set(_found(both)) <= {"car.off", "kitchen/mug.stl", "kitchen/deep/bottle.glb"}


def test_max_pooling_scores_the_best_view(index: Index, model: Model) -> None:
    (images,) = model.prepare([load(next(iter(index.tables.indexed_files())))])
    assert Query(images=(np.zeros((8, 8, 3)),)).options.pooling == "mean"
    assert Query(("chair",), pooling="max").options.pooling == "max"
    row = index.tables.rows("path", [next(iter(index.tables.indexed_files()))])[0]
    view = np.reshape(row["views"], (len(images), -1)).astype(np.float32)[3]
    hit = search(index.tables, view, SearchOptions(pooling="max"), top_k=1)[0]
    assert (hit.path, hit.view) == (row["path"], 3)
    assert hit.score == pytest.approx(float(np.linalg.norm(view)), abs=1e-3)


def test_names_move_files_up(index: Index) -> None:
    plain, named = (_found(index.search(Query(("old",), match_names=names))) for names in (False, True))
    assert named[0] == "seats/oldChair2.ply"
    assert plain.index("seats/oldChair2.ply") >= named.index("seats/oldChair2.ply")
    hit = index.search(Query(("old",)))[0]
    assert hit.name_match


def test_names_that_match_nothing_change_nothing(index: Index) -> None:
    plain, named = (_found(index.search(Query(("vehicle",), match_names=names))) for names in (False, True))
    assert plain == named


def test_reciprocal_ranks_are_added() -> None:
    assert reciprocal_rank_fusion("abcd", ["d", "b"]) == ["b", "d", "a", "c"]
    assert reciprocal_rank_fusion("abcd", []) == list("abcd")
    assert reciprocal_rank_fusion("ab", ["c"]) == ["a", "c", "b"]
    assert reciprocal_rank_fusion([], []) == []


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_hit_is_the_same_however_it_was_found(index: Index, pooling: str) -> None:
    vector = index.model.embed_text(["a car"])[0].numpy()
    plain, named = (search(index.tables, vector, SearchOptions((), pooling, text), top_k=6) for text in ("", "old"))
    assert {hit.path: (hit.view, hit.metadata) for hit in plain} == {hit.path: (hit.view, hit.metadata) for hit in named}
    assert {hit.path: hit.score for hit in named} == pytest.approx({hit.path: hit.score for hit in plain}, abs=1e-6)
    assert [hit.name_match for hit in plain] == [False] * len(plain)
    assert 0 < sum(hit.name_match for hit in named) < len(named)
    others = search(index.tables, vector, SearchOptions((), pooling, "old"), exclude=named[0].path)
    assert not any(hit.path == named[0].path for hit in others)


def test_filters_hold_for_vectors_and_names(index: Index) -> None:
    hits = index.search(Query(("chair",), where=("not under:seats", "format:glb,obj")))
    assert set(_found(hits)) == {"tables/table.obj", "kitchen/deep/bottle.glb"}


@pytest.mark.parametrize("top_k", [1, 3, 100])
def test_as_many_as_asked(index: Index, top_k: int) -> None:
    assert len(index.search("chair", top_k=top_k)) == min(top_k, 6)


def test_invalid_queries_are_rejected(index: Index) -> None:
    with pytest.raises(ConfigError, match="nothing to search for. Give words, an image or a shape"):
        Query()
    with pytest.raises(ConfigError, match="nothing to search for"):
        Query(without=("chair",))
    with pytest.raises(ConfigError, match="Unknown pooling '.*'; expected one of mean, max"):
        Query(("chair",), pooling="best")
    with pytest.raises(ConfigError, match="top_k is 0; it must be at least 1"):
        index.search("chair", top_k=0)
    with pytest.raises(ConfigError, match="'nonsense' is not a filter"):
        index.search(Query(("chair",), where=("nonsense",)))


def test_images_are_read_and_bad_ones_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGBA", (20, 10), (255, 0, 0, 255)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").mode == "RGB"
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(FileFormatError, match="Image 'b.png' cannot be read: .* Save it as PNG or JPEG"):
        read_image(tmp_path / "b.png")
    with pytest.raises(FileFormatError, match="Image .*c.png' not found. Check its path"):
        read_image(tmp_path / "c.png")
    with (
        use_limits(Limits(picture_pixels=100)),
        pytest.raises(FileFormatError, match="Image 'a.png' has 20 x 10 pixels; the limit is 100 in all. Scale it down"),
    ):
        read_image(tmp_path / "a.png")
