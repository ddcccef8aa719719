"""`Benchmark` validates itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.datasets import Benchmark, Item
from basrelief.errors import ConfigError


def made(labels: tuple[str, ...], *items: Item) -> Benchmark:
    return Benchmark("b", "class-folders", "", "test", Path("b"), labels, items, None, "")


def test_labels_are_checked() -> None:
    with pytest.raises(ConfigError, match="Label 'chair' occurs twice"):
        made(("chair", "chair"), Item("a", 0, "a"))


def test_there_are_items() -> None:
    with pytest.raises(ConfigError, match="'b' has no shapes of the test split. Check the path."):
        made(("chair", "lamp"))


@pytest.mark.parametrize("label", [-1, 2])
def test_items_have_one_of_the_labels(label: int) -> None:
    with pytest.raises(ConfigError, match=f"'a' has label {label}; expected 0 to 1. Check the list of classes."):
        made(("chair", "lamp"), Item("a", label, "a"))


def test_a_limit_takes_classes_in_turn_and_keeps_the_order() -> None:
    items = [Item(f"{label}{i}", label, "") for label in (0, 1) for i in range(5)]
    found = made(("chair", "lamp"), *items).limited(4)
    assert [item.id for item in found.items] == ["00", "01", "10", "11"]


def test_the_fingerprint_of_absent_files_is_defined() -> None:
    one, other = made(("a", "b"), Item("x", 0, "x.ply#1")), made(("a", "b"), Item("x", 1, "x.ply#1"))
    assert len(one.fingerprint()) == 16
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize("name", ["C#/x.ply", "chair#2.ply"])
def test_the_fingerprint_follows_the_size_of_a_file_with_a_hash_in_its_path(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    prints = []
    for content in (b"1", b"12"):
        file.write_bytes(content)
        prints.append(made(("a", "b"), Item("x", 0, str(file))).fingerprint())
    assert prints[0] != prints[1]
