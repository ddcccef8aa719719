"""Plans of published tables: every row with what it needs, and estimates that add up."""

from __future__ import annotations

import pytest

from basrelief.datasets import dataset_card
from basrelief.errors import ConfigError
from basrelief.evaluate import plan_table
from basrelief.evaluate.plan import CPU_CORES, GPU_MULTIPLY_ADDS, PlannedRow, TablePlan
from basrelief.evaluate.plan_sections import hours_text, plan_sections
from basrelief.models import model_cost


@pytest.fixture(scope="module")
def plan() -> TablePlan:
    return plan_table("1")


def row(plan: TablePlan, method: str, dataset: str, training: str = "ShapeNet") -> PlannedRow:
    return next(row for row in plan.rows if (row.method, row.dataset, row.training) == (method, dataset, training))


def test_a_row_can_run_or_says_what_it_needs(plan: TablePlan) -> None:
    assert len(plan.rows) == 22 * 4
    for planned in plan.rows:
        assert bool(planned.needs) != bool(planned.recipe) == bool(planned.commands) == bool(planned.differs), planned
        assert (planned.cpu_hours is None) == (planned.gpu_hours is None) == bool(planned.needs)
        assert planned.paper[0] is not None or planned.needs
    assert len(plan.runs) == 7 * 4


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
    for planned in plan.runs:
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
    (only,) = row(plan, "OpenDlign", "modelnet40").files
    assert (only.source, only.megabytes) == ("OpenDlign/OpenDlign-Models", pytest.approx(4023.1))
    assert "apple-amlr" in only.licence


def test_prompts_are_given_where_they_are_published(plan: TablePlan) -> None:
    commands = {name: row(plan, "PointCLIP V2", name, "none").commands[-1] for name in ("modelnet40", "scanobjectnn", "omniobject3d")}
    assert commands["scanobjectnn"].endswith("--prompts best_param.json#scanobjectnn")
    assert "--prompts" not in commands["omniobject3d"]


def test_sections_name_every_row_once(plan: TablePlan) -> None:
    sections = {section.name: section for section in plan_sections(plan)}
    assert len(sections["runs"].rows) == len(plan.runs)
    assert len(sections["needs"].rows) == 15
    assert ("TAMM-PointBERT (+dlign)", "none") in {(cells[1], cells[3]) for cells in sections["needs"].rows}
    assert all(len(cells) == len(section.columns) for section in sections.values() for cells in section.rows)
    assert [hours_text(hours) for hours in (None, 0.04, 0.1, 9.94, 12.4, 1234.0)] == ["", "below 0.1", "0.1", "9.9", "12", "1,234"]


def test_one_data_set_can_be_planned() -> None:
    assert {planned.dataset for planned in plan_table("1", datasets=["omniobject3d"]).rows} == {"omniobject3d"}
    with pytest.raises(ConfigError, match="Unknown dataset 'omni'; expected one of modelnet40, .*"):
        plan_table("1", datasets=["omni"])
