"""The walks through the code in the contributor documentation: functions exist, each calls the next, no call goes up a layer."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from typing import NamedTuple

import pytest

from support import REPOSITORY

SOURCE = REPOSITORY / "src" / "basrelief"
PAGE = REPOSITORY / "docs" / "develop" / "walks.md"


class Hop(NamedTuple):
    """One function that calls another; both as `file.py:name` or `file.py:Class.name`."""

    caller: str
    callee: str


def walks() -> dict[str, list[Hop]]:
    """Return the hops of each section of the page."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    hops = re.compile(r"^\d+\. `(\S+\.py:\S+)` -> `(\S+\.py:\S+)`", re.MULTILINE)
    return {text.splitlines()[0]: [Hop(*found) for found in hops.findall(text)] for text in sections}


WALKS = walks()


@cache
def layers() -> dict[str, int]:
    """Return the layer of each package, 0 at the top."""
    contract = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
    return {name: depth for depth, layer in enumerate(contract["layers"]) for name in re.findall(r"\w+", layer)}


def layer(place: str) -> int:
    return layers()[re.split(r"[/.]", place)[0]]


def function(place: str) -> ast.AST:
    """Return the syntax tree of a function."""
    file, _, name = place.partition(":")
    node: ast.AST = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
    for part in name.split("."):
        named = [child for child in getattr(node, "body", []) if getattr(child, "name", None) == part]
        assert named, f"{file} has no {name}"
        node = named[0]
    return node


def test_there_are_five_walks() -> None:
    assert len(WALKS) == 5
    assert all(3 <= len(hops) <= 12 for hops in WALKS.values()), {name: len(hops) for name, hops in WALKS.items()}


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_is_connected_and_never_goes_up(walk: str) -> None:
    visited = {WALKS[walk][0].caller}
    for hop in WALKS[walk]:
        assert hop.caller in visited or layer(hop.caller) == layers()["cli"], f"{hop.caller} was not reached before"
        assert layer(hop.callee) >= layer(hop.caller), f"{hop} goes up"
        visited.add(hop.callee)


@pytest.mark.parametrize("hop", [hop for hops in WALKS.values() for hop in hops], ids=lambda hop: hop.callee)
def test_a_hop_is_a_call(hop: Hop) -> None:
    function(hop.callee)
    name = hop.callee.rpartition(":")[2].removesuffix(".__init__").rpartition(".")[2]
    used = {getattr(node, "id", getattr(node, "attr", None)) for node in ast.walk(function(hop.caller))}
    assert name in used, f"{hop.caller} does not use {name}"
