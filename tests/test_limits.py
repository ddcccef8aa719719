"""`Limits`: defaults, the environment variable, and `use_limits`."""

from __future__ import annotations

import threading

import pytest

from basrelief.errors import ConfigError
from basrelief.limits import VARIABLE, Limits, limits, parse_limits, use_limits


def test_defaults_hold_unless_they_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert limits() == Limits()
    monkeypatch.setenv(VARIABLE, "seconds = 2.5, points=100_000_000")
    assert (limits().seconds, limits().points, limits().faces) == (2.5, 100_000_000, Limits.faces)
    with use_limits(Limits(points=7)):
        assert limits() == Limits(points=7)
    assert limits().points == 100_000_000


def test_a_block_changes_its_own_thread_only() -> None:
    seen: list[Limits] = []
    with use_limits(Limits(points=7)):
        thread = threading.Thread(target=lambda: seen.append(limits()))
        thread.start()
        thread.join()
    assert seen == [Limits()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("point=3", "Did you mean 'points'?"),
        ("points=many", "sets points to 'many'; expected a number"),
        ("points=1.5", "sets points to '1.5'; expected a number"),
        ("points", "sets points to ''; expected a number"),
        ("points=0", "limit points is 0; it must be finite and positive"),
        ("seconds=nan", "limit seconds is nan; it must be finite and positive"),
        ("seconds=inf", "limit seconds is inf; it must be finite and positive"),
    ],
)
def test_wrong_limits_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_limits(text)
    assert message in str(caught.value)
