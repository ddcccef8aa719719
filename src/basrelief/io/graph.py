"""Scene graphs: count the instances they expand to without expanding them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits


def count_instances(path: Path, children: Mapping[str, Sequence[str]], roots: Sequence[str]) -> int:
    """Count the nodes that a scene graph expands to; errors as for `count_uses`.

    Args:
        path: The file, for messages.
        children: Child nodes of each node; names without an entry are leaves.
        roots: Where the scene starts, repeats allowed.

    Returns:
        The number of instances.
    """
    return sum(count_uses(path, children, roots).values())


def count_uses(path: Path, children: Mapping[str, Sequence[str]], roots: Sequence[str]) -> dict[str, int]:
    """Count the instances of each node in an expanded scene graph, one for each path from a root.

    A few hundred bytes of nested references can describe 2^100 nodes; counting takes time proportional to the bytes.

    Args:
        path: The file, for messages.
        children: Child nodes of each node; names without an entry are leaves.
        roots: Where the scene starts, repeats allowed.

    Returns:
        The number of instances of each node.

    Raises:
        FileFormatError: If there is a cycle, or more than `Limits.instances` nodes, or deeper than `Limits.nesting`.
    """
    parents: dict[str, list[str]] = {name: [] for name in (*roots, *children)}
    for name, below in children.items():
        for child in below:
            parents.setdefault(child, []).append(name)
    try:
        order = list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        raise FileFormatError(f"The scene of {path.name} has a cycle: a node contains itself. Export it again.") from error
    ways, depth = dict.fromkeys(order, 0), dict.fromkeys(order, 0)
    for root in roots:
        ways[root] += 1
    most = limits().instances
    for name in order:
        ways[name] += sum(ways[parent] for parent in parents[name])
        depth[name] = max((depth[parent] + 1 for parent in parents[name]), default=0)
        check_count(path, ways[name], most, of="scene nodes")
    check_count(path, max(depth.values(), default=0), limits().nesting, of="levels of scene nodes")
    check_count(path, sum(ways.values()), most, of="scene nodes")
    return ways
