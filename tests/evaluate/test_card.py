"""Eval cards: complete, reproducible, readable, compared with the paper."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError, FileFormatError, OutputError
from basrelief.evaluate import EvalCard, EvalOptions, FewShotOptions, published_table, write_evaluation
from basrelief.evaluate.confusion import MAX_CLASSES, confusion_picture
from basrelief.evaluate.page import card_page, card_picture
from basrelief.evaluate.protocol import Protocol, describe_protocol, paper_differences, published_numbers
from basrelief.evaluate.run import card_folder, run_evaluation
from basrelief.models import Embedder, Model, get_recipe
from basrelief.models.embed import _name
from basrelief.testing import FakeEncoder


def protocol(recipe: str, dataset: str = "modelnet40", **data: object) -> Protocol:
    """A protocol in the paper's way, but for what is given."""
    shipped = get_recipe(recipe).for_dataset(dataset)
    model = {"recipe": recipe, "points": shipped.points, "templates": shipped.templates, "pooling": shipped.pooling.rule}
    shapes = {"modelnet40": 2468, "scanobjectnn": 581}[dataset]
    variant = get_recipe(recipe).datasets.get(dataset, {}).get("variant", "")
    return Protocol("zero-shot", model, {"name": dataset, "split": "test", "variant": variant, "shapes": shapes, **data})


def test_two_runs_give_the_same_card_but_for_the_run(warm_embedder: Embedder, benchmark: Benchmark, card: EvalCard) -> None:
    again = run_evaluation(warm_embedder, benchmark).card
    assert replace(again, run=card.run) == card
    fresh = run_evaluation(Embedder(warm_embedder.model), benchmark).card
    assert replace(fresh, run=card.run) == card


@pytest.mark.parametrize("task", ["zero-shot", "few-shot", "retrieval", "calibration", pytest.param("robustness", marks=pytest.mark.slow)])
def test_every_task_has_a_card_that_survives_its_file(task: str, warm_embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    evaluation = run_evaluation(
        warm_embedder, benchmark, options=EvalOptions(task=task, few_shot=FewShotOptions((1,), 2), command="basrelief evaluate")
    )
    folder = write_evaluation(evaluation, tmp_path / "out")
    assert EvalCard.read(folder / "card.json") == evaluation.card
    assert evaluation.card.task == task
    assert evaluation.card.command == "basrelief evaluate"
    assert (folder / "card.html").read_text().startswith("<!doctype html>")
    with Image.open(folder / "card.png") as picture:
        assert picture.width >= 760
    assert (folder / "answers.csv").exists() == (task == "zero-shot")
    assert (folder / "calibration.json").exists() == (task == "calibration")


def test_the_card_says_how_the_figure_was_made(card: EvalCard) -> None:
    assert card.title == "tiny on generated all, zero-shot"
    assert card.protocol["model"]["weights"]
    assert card.protocol["model"]["points"] == 4096
    assert card.protocol["data"]["shapes"] == 12
    assert card.protocol["data"]["fingerprint"]
    assert set(card.versions) == {"python", "basrelief", "numpy", "torch", "scikit-learn"}
    assert card.device.startswith("cpu")
    assert card.run.seconds > 0
    assert sys.platform == "win32" or (card.run.peak_megabytes is not None and card.run.peak_megabytes > 10)
    assert card.licence == "MIT"
    assert sum(count for _, _, count in card.confusion) == 12


def test_answers_are_a_table_of_shapes(warm_embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    folder = write_evaluation(run_evaluation(warm_embedder, benchmark), tmp_path)
    with (folder / "answers.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["shape", "label", "answers, best first", "probability of the first"]
    assert [row[0] for row in rows[1:]] == [item.id for item in benchmark.items]


def test_a_folder_that_cannot_be_written_is_an_error(warm_embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"Cannot write .*card\.json"):
        write_evaluation(run_evaluation(warm_embedder, benchmark), tmp_path / "file" / "out")


def test_an_unknown_task_is_explained() -> None:
    with pytest.raises(ConfigError, match="Unknown task 'zeroshot'; expected one of zero-shot, .*. Did you mean 'zero-shot'?"):
        EvalOptions(task="zeroshot")


def test_the_hash_changes_with_what_decides_the_figure(tiny: Model, benchmark: Benchmark) -> None:
    base = describe_protocol(tiny, benchmark, task="zero-shot").hash
    others = [
        describe_protocol(tiny.for_dataset("", points=100), benchmark, task="zero-shot"),
        describe_protocol(tiny.for_dataset("", templates="clip"), benchmark, task="zero-shot"),
        describe_protocol(tiny, benchmark.limited(8), task="zero-shot"),
        describe_protocol(tiny, replace(benchmark, labels=benchmark.labels[::-1]), task="zero-shot"),
        describe_protocol(tiny, replace(benchmark, up="y"), task="zero-shot"),
        describe_protocol(tiny, benchmark, task="robustness"),
        describe_protocol(tiny, benchmark, task="zero-shot", seed=1),
        describe_protocol(tiny, benchmark, task="zero-shot", options={"a": 1}),
        describe_protocol(Model(tiny.recipe, FakeEncoder()), benchmark, task="zero-shot"),
    ]
    assert len({base, *(other.hash for other in others)}) == 10
    assert describe_protocol(tiny, benchmark, task="zero-shot").hash == base


def test_a_run_in_the_papers_way_differs_in_nothing() -> None:
    assert paper_differences(protocol("opendlign-h14")) == ()
    assert paper_differences(protocol("opendlign-h14", "scanobjectnn")) == ()
    assert paper_differences(protocol("clip2point")) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"points": 1024}, "points: 10,000 in the paper, 1,024 here"),
        ({"templates": "clip"}, "prompts: opendlign in the paper, clip here"),
        ({"pooling": "mean"}, "pooling: softmax-sum in the paper, mean here"),
    ],
)
def test_settings_of_the_model_that_differ_are_named(changes: dict[str, object], said: str) -> None:
    made = protocol("opendlign-h14")
    assert paper_differences(replace(made, model={**made.model, **changes})) == (said,)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "train"}, "split: test in the paper, train here"),
        ({"shapes": 40}, "shapes: 581 in the paper, 40 here"),
        ({"variant": "PB_T50_RS"}, "variant: OBJ_ONLY in the paper, PB_T50_RS here"),
    ],
)
def test_settings_of_the_data_that_differ_are_named(changes: dict[str, object], said: str) -> None:
    assert paper_differences(protocol("opendlign-h14", "scanobjectnn", **changes)) == (said,)


def test_pointclip_v2_without_its_prompts_is_not_the_papers_way() -> None:
    assert paper_differences(protocol("pointclip-v2")) == ("prompts: published prompt list in the paper, pointclip here",)


def test_only_zero_shot_has_a_number_in_the_paper() -> None:
    made = protocol("opendlign-h14")
    assert {n.metric for n in published_numbers(made)} == {"top1", "top3", "top5"}
    assert published_numbers(replace(made, task="robustness")) == ()
    assert published_numbers(replace(made, data={**made.data, "name": "mine"})) == ()
    assert paper_differences(replace(made, data={**made.data, "name": "mine"})) == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "metrics": 3}', "[" * 100_000])
def test_another_form_of_card_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(FileFormatError, match="The file is no eval card of this version of basrelief: "):
        EvalCard.read(tmp_path / "card.json")


def test_an_absent_card_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="Cannot read card .*Check the path"):
        EvalCard.read(tmp_path / "card.json")


def test_a_figure_that_is_no_number_is_null(card: EvalCard) -> None:
    odd = replace(card, metrics=(replace(card.metrics[0], value=float("nan")),))
    assert json.loads(odd.to_json())["metrics"][0]["value"] is None
    assert np.isnan(EvalCard.from_json(odd.to_json()).metrics[0].value)
    assert "nan" in card_page(odd)


def test_the_page_escapes_untrusted_text(card: EvalCard) -> None:
    evil = "<script>alert(1)</script>"
    page = card_page(replace(card, title=evil, notes=(evil,), command=evil, failures=((evil, evil),), labels=(evil, *card.labels[1:])))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_needs_nothing_else(card: EvalCard) -> None:
    page = card_page(card)
    assert "http:" not in page
    assert "src=" not in page.replace('src="data:', "")


def test_the_page_says_what_the_paper_says_and_what_differs(card: EvalCard) -> None:
    made = protocol("opendlign-h14", shapes=40)
    page = card_page(replace(card, paper=published_numbers(made), differences=paper_differences(made)))
    assert "top1 82.6 % (OpenDlign Table 1" in page
    assert "shapes: 2,468 in the paper, 40 here" in page
    assert "No checked setting differs" in card_page(replace(card, paper=published_numbers(made), differences=()))


def test_many_failures_are_counted_and_the_first_shown(card: EvalCard) -> None:
    page = card_page(replace(card, failures=tuple((f"f{i}", "broken") for i in range(80))))
    assert "(80, the first 50)" in page
    assert "f49: broken" in page
    assert "f50: broken" not in page


def test_the_picture_grows_with_what_it_says(card: EvalCard) -> None:
    plain, more = card_picture(card), card_picture(replace(card, notes=("a", "b")))
    assert more.height == plain.height + 40
    assert plain.width >= 760


def test_the_confusion_of_many_classes_shows_the_worst() -> None:
    labels = [f"class {i}" for i in range(60)]
    confusion = np.diag(np.full(60, 5))
    confusion[50, 3] = 20
    image = np.asarray(confusion_picture(confusion, labels, title="t"))
    small = np.asarray(confusion_picture(confusion[:10, :10], labels[:10], title="t"))
    assert image.shape[0] > small.shape[0]
    assert image.shape[0] < 18 * (MAX_CLASSES + 10)


def test_a_wrong_cell_is_dark_and_a_right_one_blue() -> None:
    pixels = np.asarray(confusion_picture(np.array([[0, 4], [0, 4]]), ["a", "b"], title="t")).reshape(-1, 3).tolist()
    assert [28, 32, 38] in pixels
    assert [34, 98, 168] in pixels


def test_cards_are_found_and_bad_ones_named(warm_embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    evaluation = run_evaluation(warm_embedder, benchmark)
    write_evaluation(evaluation, tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.json").write_text("{")
    cards, errors = EvalCard.find(tmp_path)
    assert cards == [evaluation.card]
    assert [error.split(":")[0] for error in errors] == ["bad"]
    assert EvalCard.find(tmp_path / "absent") == ([], [])


def test_the_folder_of_a_card_is_a_safe_name(card: EvalCard) -> None:
    odd = replace(card, protocol={**card.protocol, "data": {**card.protocol["data"], "name": "../../x y"}})
    assert card_folder(odd) == f"tiny-..-..-x-y-zero-shot-{card.protocol_hash}"
    assert "/" not in card_folder(odd)


def test_table_1_has_the_papers_numbers_and_no_others() -> None:
    rows = published_table("1")
    assert {row.dataset for row in rows} == {"modelnet40", "scanobjectnn", "omniobject3d", "objaverse-lvis"}
    by_row = {(row.training, row.method, row.dataset): row for row in rows}
    assert by_row["ShapeNet", "OpenDlign", "modelnet40"].paper == (82.6, 96.2, 98.4)
    assert by_row["Ensemble", "TAMM-PointBERT (+dlign)", "omniobject3d"].paper == (37.5, 54.9, 62.1)
    assert by_row["ShapeNet", "TAMM-SparseConv", "omniobject3d"].why == "the paper has no number"
    assert all(row.ours == (None, None, None) and row.why for row in rows)
    assert by_row["ShapeNet", "ULIP-PointBERT", "modelnet40"].why == "weights not on this machine: basrelief models fetch ulip"
    assert by_row["Ensemble", "TAMM-SparseConv", "modelnet40"].why == (
        "nobody publishes its weights: --plan says how to train them; then basrelief evaluate tamm-spconv modelnet40 "
        "--root data/modelnet40_normal_resampled --checkpoint runs/tamm-spconv/point.safetensors"
    )
    assert by_row["ShapeNet", "OpenDlign", "modelnet40"].why == "weights not on this machine: basrelief models fetch opendlign-h14"


def as_run(card: EvalCard, made: Protocol, date: str, top1: float) -> EvalCard:
    """A card as if a published recipe had been run."""
    metrics = tuple(replace(f, value=top1 + i) for i, f in enumerate(card.metrics[:3]))
    run = replace(card.run, date=date)
    return replace(
        card, metrics=metrics, protocol=made.settings(), differences=paper_differences(made), paper=published_numbers(made), run=run
    )


def test_our_cards_fill_their_rows(card: EvalCard) -> None:
    whole = as_run(card, protocol("opendlign-h14"), "2026-01-01", 80.0)
    partial = as_run(card, protocol("opendlign-h14", shapes=40), "2026-02-01", 10.0)
    other = replace(as_run(card, protocol("opendlign-b32"), "2026-01-01", 60.0), task="robustness")
    rows = {row.method: row for row in published_table("1", [partial, whole, other], datasets=["modelnet40"])}
    assert rows["OpenDlign"].ours == (80.0, 81.0, 82.0)
    assert rows["OpenDlign"].why == ""
    assert rows["OpenDlign-B32"].ours == (None, None, None)
    only = {row.method: row for row in published_table("1", [partial], datasets=["modelnet40"])}
    assert only["OpenDlign"].why == "shapes: 2,468 in the paper, 40 here"


def test_unknown_tables_are_explained() -> None:
    with pytest.raises(ConfigError, match="Unknown table '2'; expected one of 1"):
        published_table("2")
    with pytest.raises(ConfigError, match="Unknown dataset 'modelnet4'; expected one of modelnet40, .*"):
        published_table("1", datasets=["modelnet4"])


def test_ready_models_say_which_command_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from basrelief.models import list_models

    ready = [replace(status, ready=True) for status in list_models()]
    monkeypatch.setattr("basrelief.evaluate.table.list_models", lambda: ready)
    rows = published_table("1", datasets=["scanobjectnn"])
    assert next(r.why for r in rows if r.method == "PointCLIP") == "not run: basrelief evaluate pointclip scanobjectnn --root data/h5_files"


def test_both_of_a_confused_pair_are_drawn() -> None:
    from basrelief.evaluate.confusion import _chosen

    confusion = np.diag(np.full(60, 5))
    confusion[58, 59] = 9  # 59 itself is never wrong
    confusion[:50, 0] += 1
    assert {58, 59} <= set(_chosen(confusion).tolist())
    assert len(_chosen(confusion)) == MAX_CLASSES
    assert _chosen(confusion[:10, :10]).tolist() == list(range(10))


def test_speed_counts_what_was_embedded_in_this_run(embedder: Embedder, benchmark: Benchmark) -> None:
    first = run_evaluation(embedder, benchmark).card.run
    assert first.embedded == len(benchmark)
    assert first.shapes_per_second is not None
    assert first.shapes_per_second >= len(benchmark) / first.seconds - 0.01
    again = run_evaluation(embedder, benchmark).card
    assert (again.run.embedded, again.run.shapes_per_second) == (0, None)
    assert again.run.speed == "speed unknown: every shape came from the cache of an earlier run"
    assert '"shapes_per_second": null' in again.to_json()
    assert EvalCard.from_json(again.to_json()).run == again.run
    assert again.run.speed in card_page(again)


def test_a_part_of_a_run_before_is_not_counted(embedder: Embedder, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.models.embed.SHAPES_PER_PASS", 4)
    next(embedder.embed_chunks(benchmark))
    found = run_evaluation(embedder, benchmark).card.run
    assert found.embedded == len(benchmark) - 4
    assert f"over {len(benchmark) - 4} that were not in the cache" in found.speed


def test_vectors_of_another_length_in_the_cache_are_computed_again(embedder: Embedder, benchmark: Benchmark) -> None:
    whole = embedder.embed(benchmark)
    assert embedder.cache is not None
    names = [_name(benchmark, item, None) for item in benchmark.items]
    embedder.cache.put(embedder._fingerprint, {name: np.ones(7, np.float32) for name in names})
    assert np.array_equal(embedder.embed(benchmark).features, whole.features)
