"""Settings of every test: type checks, no network, one thread each, reproducible hypothesis examples."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ[_name] = "1"
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["BASRELIEF_NUMBA"] = "0"  # compiling takes seconds for each cache folder; tests/render/test_fast.py switches it on

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and so the programs under test, ignore Ctrl-C

import support.type_checks  # noqa: E402, F401 - after the variables, which numpy reads once; the hook finds it by name

install_import_hook("basrelief", "support.type_checks.check_types")

for _profile, _examples in {"quick": 25, "thorough": 100}.items():  # make test-all asks for thorough
    settings.register_profile(
        _profile, max_examples=_examples, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("quick")

_LOOPBACK = ("127.", "::1", "localhost")
_watching: list[str] | None = None


def _watch_sockets(event: str, args: tuple[object, ...]) -> None:
    if _watching is None or event not in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        return
    target = args[0] if event == "socket.getaddrinfo" else args[1]
    host = target[0] if isinstance(target, tuple) else target
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if isinstance(host, str) and not host.startswith((*_LOOPBACK, "/", "\0")):
        _watching.append(f"{event} {host}")
        raise OSError(f"A test called {event} on {host!r}. Mark the test with @pytest.mark.network.")


sys.addaudithook(_watch_sockets)


@pytest.fixture(autouse=True)
def offline(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that reaches for another machine, even where the library under test swallows the error."""
    global _watching  # noqa: PLW0603 - an audit hook stays for the life of the process
    if "network" in request.keywords:
        yield
        return
    _watching = []
    try:
        yield
        seen = _watching
    finally:
        _watching = None
    if seen:
        pytest.fail(f"the test reached for the network: {', '.join(seen)}")
