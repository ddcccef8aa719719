"""Guards of the test suite: type checks and no network."""

from __future__ import annotations

import dataclasses
import os
import socket

import jaxtyping
import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError, GeometryError, unknown_choice
from basrelief.tasks import Pooling
from basrelief.tasks.pooling import pool_views
from basrelief.types import PointCloud
from support import type_checks

pytest_plugins = ["pytester"]


def test_a_wrong_number_of_dimensions_is_found() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="pool_views"):
        pool_views(torch.zeros(2, 3, 4, 5), Pooling("mean"))


def test_a_wrong_type_is_found() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="unknown_choice"):
        unknown_choice(3, "x", ["y"])  # type: ignore[arg-type]


def test_a_function_may_refuse_with_its_own_error() -> None:
    with pytest.raises(ConfigError, match="Unknown pooling rule '.*'; expected one of"):
        Pooling(3)  # type: ignore[arg-type]
    with pytest.raises(GeometryError, match="points has shape"):
        PointCloud(points=np.zeros((3, 5)))


def test_a_record_without_checks_of_its_own_is_checked() -> None:
    @jaxtyping.jaxtyped(typechecker=type_checks.check_types)
    @dataclasses.dataclass
    class Pair:
        left: int
        right: str

    assert Pair(1, "a").right == "a"
    with pytest.raises(jaxtyping.TypeCheckError):
        Pair(1, 2)  # type: ignore[arg-type]


def test_one_thread_and_offline_variables() -> None:
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_the_local_machine_is_reachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


SUITE = """
import socket
import pytest

def test_swallowed():
    try:
        socket.create_connection(("203.0.113.1", 80), timeout=0.1)
    except OSError:
        pass

def test_name():
    with pytest.raises(OSError, match="A test called socket.getaddrinfo on 'example.invalid'"):
        socket.getaddrinfo("example.invalid", 80)

@pytest.mark.network
def test_marked():
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", 1), timeout=0.1)

def test_quiet():
    pass
"""


def test_a_test_that_uses_the_network_fails(pytester: pytest.Pytester) -> None:
    from support import REPOSITORY

    pytester.makepyprojecttoml(
        f'[tool.pytest.ini_options]\nmarkers = ["network: x"]\npythonpath = ["{(REPOSITORY / "tests").as_posix()}"]\n'
    )
    pytester.makeconftest((REPOSITORY / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(SUITE)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=4, errors=2)
    done.stdout.fnmatch_lines(
        [
            "*the test reached for the network: socket.*203.0.113.1*",
            "*the test reached for the network: socket.getaddrinfo example.invalid*",
        ]
    )
