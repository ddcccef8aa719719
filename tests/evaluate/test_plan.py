"""Plans of published tables: every row with what it needs, and estimates that add up."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from basrelief.datasets import dataset_card
from basrelief.errors import ConfigError
from basrelief.evaluate import plan_table
from basrelief.evaluate.plan import CPU_CORES, GPU_MULTIPLY_ADDS, PlannedRow, TablePlan
from basrelief.evaluate.plan_sections import hours_text, plan_sections
from basrelief.models import model_cost, recipes
from basrelief.train.point.settings import PointSettings


@pytest.fixture(scope="module")
def plan() -> TablePlan:
    return plan_table("1")


def row(plan: TablePlan, method: str, dataset: str, training: str = "ShapeNet") -> PlannedRow:
    return next(row for row in plan.rows if (row.method, row.dataset, row.training) == (method, dataset, training))


def test_every_row_has_a_model_and_commands(plan: TablePlan) -> None:
    assert len(plan.rows) == 22 * 4
    for planned in plan.rows:
        assert planned.recipe in recipes()
        assert planned.commands[0] == f"basrelief models fetch {planned.recipe}"
        assert planned.differs
        assert planned.files
        assert planned.cpu_hours is not None
        assert planned.gpu_hours is not None
    without = {(planned.method, planned.dataset) for planned in plan.rows if planned.paper[0] is None}
    lacking = {method for method in {planned.method for planned in plan.rows} if "+dlign" in method}
    assert without - {(method, "objaverse-lvis") for method in lacking} == {
        *(("TAMM-SparseConv", name) for name in ("omniobject3d", "objaverse-lvis")),
        *((f"{method}", "objaverse-lvis") for method in ("OpenShape-SparseConv", "OpenShape-PointBERT", "TAMM-PointBERT")),
    }


def test_weights_that_nobody_publishes_are_trained_first(plan: TablePlan) -> None:
    trained = {planned.recipe: planned for planned in plan.rows if planned.train}
    assert set(trained) == {name for name, recipe in recipes().items() if recipe.checkpoint and recipe.checkpoint.preset}
    tamm = row(plan, "TAMM-SparseConv", "scanobjectnn", "Ensemble")
    data = (
        "--published data/openshape --split data/openshape/meta_data/split/train_all.json "
        "--text-filter data/openshape/meta_data/gpt4_filtering.json --model tamm-spconv"
    )
    assert tamm.train == (
        f"basrelief train point {data} -o runs/tamm-spconv-images preset=tamm-image-adapter",
        f"basrelief train point {data} -o runs/tamm-spconv preset=tamm-sparseconv "
        "--image-adapter runs/tamm-spconv-images/image_adapter.safetensors",
    )
    assert tamm.commands[1:] == (
        "basrelief doctor tamm-spconv --checkpoint runs/tamm-spconv/point.safetensors",
        "basrelief evaluate tamm-spconv scanobjectnn --root data/h5_files --checkpoint runs/tamm-spconv/point.safetensors",
    )
    aligned = row(plan, "OpenShape-PointBERT (+dlign)", "modelnet40")
    assert [command.split(" --")[0] for command in aligned.train] == [
        f"basrelief train {kind}" for kind in ("pairs", "depth-aligned", "point")
    ]
    assert aligned.train[-1].endswith(" -o runs/openshape-pointbert-shapenet-dlign preset=openshape-pointbert")


def test_commands_of_training_can_be_typed(plan: TablePlan) -> None:
    """Each names options that exist and settings that can be read."""
    import typer

    from basrelief.cli.app import app

    root: Any = typer.main.get_command(app)
    for command in {command for planned in plan.rows for command in planned.train}:
        _, *words = shlex.split(command)
        parsed = root.commands[words[0]].commands[words[1]].make_context(words[1], words[2:]).params
        if words[1] == "point":
            PointSettings.read(None, parsed["overrides"])


def test_the_shapes_are_those_of_the_papers_split(plan: TablePlan) -> None:
    assert {data.name: data.shapes for data in plan.data} == {
        "modelnet40": 2468,
        "scanobjectnn": 581,
        "omniobject3d": 5911,
        "objaverse-lvis": 46832,
    }
    assert {data.name: data.labels for data in plan.data}["objaverse-lvis"] == dataset_card("objaverse-lvis").classes


def test_hours_grow_with_shapes_and_towers(plan: TablePlan) -> None:
    """A GPU at the assumed rate needs at least the time of the multiply-adds."""
    for planned in plan.rows:
        shapes = next(data.shapes for data in plan.data if data.name == planned.dataset)
        least = shapes * model_cost(planned.recipe).multiply_adds / GPU_MULTIPLY_ADDS / 3600
        assert planned.gpu_hours is not None
        assert planned.cpu_hours is not None
        assert least <= planned.gpu_hours + 0.001 <= planned.cpu_hours + 0.002
    large, small = row(plan, "OpenDlign", "modelnet40"), row(plan, "OpenDlign-B32", "modelnet40")
    assert large.cpu_hours is not None
    assert small.cpu_hours is not None
    assert large.cpu_hours > 10 * small.cpu_hours
    assert f"over {CPU_CORES} cores" in plan.estimate


def test_files_are_those_that_fetch_gets(plan: TablePlan) -> None:
    files = [(file.file, file.source, file.megabytes) for file in row(plan, "CLIP2Point", "modelnet40").files]
    assert files[0] == ("open_clip_model.safetensors", "timm/vit_base_patch32_clip_224.openai", pytest.approx(605.1))
    assert files[1][0] == "best_eval.pth"
    assert files[1][1].startswith("https://drive.google.com/")
    tower, network = row(plan, "OpenShape-PointBERT", "modelnet40", "Ensemble").files
    assert (tower.source, tower.megabytes) == ("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", 10158.3)
    assert (network.source, network.megabytes) == ("OpenShape/openshape-pointbert-vitg14-rgb", 388.1)
    (ulip,) = row(plan, "ULIP-PointBERT", "modelnet40").files
    assert ulip.megabytes == pytest.approx(687.5, abs=0.1)  # SLIP's towers and the point network
    own = row(plan, "TAMM-SparseConv", "modelnet40").files[1]
    assert (own.file, own.source, own.licence) == ("point.safetensors", "your own training, see below", "your own")
    (only,) = row(plan, "OpenDlign", "modelnet40").files
    assert (only.source, only.megabytes) == ("OpenDlign/OpenDlign-Models", pytest.approx(4023.1))
    assert "apple-amlr" in only.licence


def test_prompts_are_given_where_they_are_published(plan: TablePlan) -> None:
    commands = {name: row(plan, "PointCLIP V2", name, "none").commands[-1] for name in ("modelnet40", "scanobjectnn", "omniobject3d")}
    assert commands["scanobjectnn"].endswith("--prompts best_param.json#scanobjectnn")
    assert "--prompts" not in commands["omniobject3d"]


def test_sections_name_every_row_once(plan: TablePlan) -> None:
    sections = {section.name: section for section in plan_sections(plan)}
    assert len(sections["runs"].rows) == len(plan.rows)
    assert {cells[:2] for cells in sections["train"].rows} == {(planned.training, planned.method) for planned in plan.rows if planned.train}
    assert all(len(cells) == len(section.columns) for section in sections.values() for cells in section.rows)
    assert [hours_text(hours) for hours in (None, 0.04, 0.1, 9.94, 12.4, 1234.0)] == ["", "below 0.1", "0.1", "9.9", "12", "1,234"]


def test_one_data_set_can_be_planned() -> None:
    assert {planned.dataset for planned in plan_table("1", datasets=["omniobject3d"]).rows} == {"omniobject3d"}
    with pytest.raises(ConfigError, match="Unknown dataset 'omni'; expected one of modelnet40, .*"):
        plan_table("1", datasets=["omni"])
