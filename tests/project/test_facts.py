"""Tables in the documents agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from basrelief.datasets import dataset_card
from basrelief.datasets.card import list_datasets
from basrelief.datasets.layouts.registry import LAYOUTS
from basrelief.evaluate.run import DETECTION, TASKS
from basrelief.geometry.upright import CUES
from basrelief.models import get_recipe, recipes
from support import REPOSITORY
from support.console_examples import documents

DOCS = REPOSITORY / "docs"


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str, *, after: str) -> list[list[str]]:
    """Cells of the first table after a text, without its head."""
    lines = text[text.index(after) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_every_layout_is_documented_in_its_order() -> None:
    named = [row[0].strip("`") for row in rows(read("research/data-sets.md"), after="Nothing is repacked")]
    assert named == list(LAYOUTS)


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_layout_is_shown_as_messages_show_it(name: str) -> None:
    shown = {row[0].strip("`"): row[1].replace("`", "") for row in rows(read("research/data-sets.md"), after="Nothing is repacked")}[name]
    assert shown.startswith(LAYOUTS[name].shown.split(" and ")[0].split(",")[0]), LAYOUTS[name].shown


def test_every_data_card_is_documented_with_its_counts() -> None:
    table = {row[0].strip("`"): row[1] for row in rows(read("research/data-sets.md"), after="## What is checked")}
    assert sorted(table) == list(list_datasets())
    for name, text in table.items():
        for counts in dataset_card(name).counts.values():
            for count in counts.values():
                assert f"{count:,}" in text, name


def test_every_task_is_documented() -> None:
    assert [row[0].strip("`") for row in rows(read("research/evaluation.md"), after="## Tasks")] == [*TASKS, DETECTION]


def test_every_model_is_documented_with_its_settings() -> None:
    page = read("use/models.md")
    headings = ("# Models and weights", "Models that see colour", "Models that read points")
    listed = {row[0].strip("`"): row[1:] for after in headings for row in rows(page, after=after)}
    assert sorted(listed) == sorted(recipes())
    for name, (encoder, reads, *_, templates, pooling) in listed.items():
        recipe = get_recipe(name)
        assert (encoder, reads, templates, pooling) == (recipe.encoder, recipe.reads, recipe.templates, recipe.pooling.rule), name


def test_every_mistake_of_the_table_has_a_test() -> None:
    tests = (REPOSITORY / "tests" / "evaluate" / "doctor" / "test_mistakes.py").read_text(encoding="utf-8")
    tested = set(re.findall(r"(?:PointCLIP V2|\w+) #\d+", tests))
    for _, threads, _ in rows(read("research/doctor.md"), after="## Mistakes it was built for"):
        for project, numbers in re.findall(r"(PointCLIP V2|\w+) (#\d+(?:, #\d+)*)", threads):
            assert {f"{project} {number}" for number in numbers.split(", ")} <= tested, threads


def test_the_pose_page_counts_the_cues() -> None:
    words = {5: "Five", 6: "Six", 7: "Seven", 8: "Eight"}
    assert f"{words[len(CUES)]} numbers for a direction" in read("use/pose.md")


def test_the_pose_page_names_the_size_of_the_shipped_network() -> None:
    from basrelief.models.upright import SIDE, UprightNet

    weights = sum(parameter.numel() for parameter in UprightNet().parameters())
    assert f"{round(weights, -3):,} weights" in read("use/pose.md")
    assert f"{SIDE}-pixel depth images" in read("use/pose.md")
    (file,) = (REPOSITORY / "src" / "basrelief" / "geometry").glob("upright.safetensors")
    assert f"{file.stat().st_size / 1e6:.2f} MB" in read("use/pose.md")


@pytest.mark.parametrize("script", sorted(path.name for path in (REPOSITORY / "runs").glob("*.sh")))
def test_scripts_say_how_they_are_used(script: str) -> None:
    path = REPOSITORY / "runs" / script
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n# ")
    assert f"# Usage: runs/{script} " in text
    assert path.stat().st_mode & 0o111
    ((module, words),) = re.findall(r"-m (basrelief[\w.]*)((?: [a-z]+)*) ", text)
    if module == "basrelief":
        assert words.split() in [command.split() for command in _commands()]
    else:
        assert Path(REPOSITORY / "src" / (module.replace(".", "/") + ".py")).is_file()


def _commands() -> set[str]:
    """What can be typed after `basrelief`, commands of groups with the group before them."""
    import typer.main

    from basrelief.cli.app import app

    group = typer.main.get_command(app)
    found = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = {f"{name} {inner}" for inner in getattr(command, "commands", {})}
        found |= inner | ({name} if not inner or command.invoke_without_command else set())
    return found


def test_options_that_documents_name_exist() -> None:
    import typer.main

    from basrelief.cli.app import app

    group = typer.main.get_command(app)
    commands = list(group.commands.values())  # type: ignore[attr-defined]
    commands += [inner for command in commands for inner in getattr(command, "commands", {}).values()]
    known = {flag for command in commands for option in command.params for flag in option.opts}
    for document in (
        "research/evaluation.md",
        "research/reproduce.md",
        "research/opendlign-projection.md",
        "research/doctor.md",
        "research/data-sets.md",
        "research/train-point.md",
        "use/models.md",
        "use/points.md",
        "use/pose.md",
    ):
        text = re.sub(r"python benchmarks/\S+[^`]*", "", read(document))
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        assert named <= known, f"{document}: {sorted(named - known)}"


def test_every_ablation_is_documented_in_its_order() -> None:
    from basrelief.train.ablation.tables import ABLATIONS

    assert [row[0].strip("`") for row in rows(read("research/opendlign.md"), after="## Ablations")] == list(ABLATIONS)


def test_the_alignment_page_has_the_settings_of_the_code() -> None:
    from basrelief.train import AlignedSettings, OpenDlignSettings
    from basrelief.train.depth_aligned.read import Thresholds

    text, how, drawn = read("research/opendlign.md"), OpenDlignSettings(), AlignedSettings()
    painted, kept = drawn.diffusion, Thresholds()
    assert f"{painted.steps} DDIM steps, guidance {painted.guidance:g}, strength {painted.strength:g}" in text
    assert f"{painted.size} pixels, kept at {drawn.size}" in text
    assert f"one-cycle rate to {how.lr:.0e}".replace("e-0", "e-") in text
    assert f"{how.epochs} epochs, batch {how.batch_size}" in text
    assert f"label agreement below {kept.label} or contour agreement below {kept.contour}" in text
    assert f"diffusion.reading={painted.reading}" in text


@pytest.mark.parametrize("page", [str(path.relative_to(DOCS)) for path in documents(REPOSITORY) if DOCS in path.parents])
def test_files_that_a_page_names_are_there(page: str) -> None:
    """A table of where each thing is must not point at what was moved."""
    source = REPOSITORY / "src" / "basrelief"
    for name in set(re.findall(r"`((?:\w+/)+\w+\.py)`", read(page))) - {"src/basrelief/cli/NAME.py"}:
        assert (source / name).is_file() or (REPOSITORY / name).is_file(), f"{page} names {name}"


@pytest.mark.parametrize("page", [f"research/{name}.md" for name in ("clip2point", "opendlign", "openshape", "tamm", "ulip", "uni3d")])
def test_names_in_the_tables_of_a_method_exist(page: str) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "src").rglob("*.py"))
    defined = set(re.findall(r"(?:def|class) (\w+)|^ *(\w+)(?:: [^=\n]+)? = |^ +(\w+): ", source, flags=re.MULTILINE))
    known = {name for names in defined for name in names}
    for row in rows(read(page), after="## Where each part is"):
        for name in re.findall(r"`((?:[A-Z_]\w*|\w+_\w+)(?:\.\w+)?)`", row[1]):
            missing = [part for part in name.split(".") if part not in known | {"py", "json"}]
            assert not missing, f"{page} names {name}"


def test_commands_of_the_pages_exist() -> None:
    """What the pages tell people to type is a command of the program."""
    from typer.main import get_command

    from basrelief.cli.app import app

    top = get_command(app)
    groups = {name: set(getattr(command, "commands", ())) for name, command in top.commands.items()}  # type: ignore[attr-defined]
    for path in documents(REPOSITORY):
        text = path.read_text(encoding="utf-8")
        typed = [line for block in re.findall(r"```(?:console)?\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
        typed += re.findall(r"`(basrelief [^`]+)`", text)
        for first, second in re.findall(r"^(?:\$ )?basrelief (\w+)(?: ([a-z][\w-]*))?", "\n".join(typed), flags=re.M):
            assert first in groups, f"{path.name}: basrelief {first}"
            assert not groups[first] or not second or second in groups[first], f"{path.name}: basrelief {first} {second}"
