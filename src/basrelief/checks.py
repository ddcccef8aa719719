"""Checks of numeric options; each message has the value, the valid range and a hint."""

from __future__ import annotations

import math

from basrelief.errors import BasreliefError, ConfigError


def check_at_least(name: str, value: float, low: float, hint: str, *, error: type[BasreliefError] = ConfigError) -> None:
    """Check that a value is not below a minimum.

    Raises:
        ConfigError: If it is below `low`; another class with `error`.
    """
    if value < low:
        raise error(f"{name} is {value}; it must be at least {low}. {hint}")


def check_positive(name: str, value: float, hint: str, *, zero: bool = False) -> None:
    """Check that a value is positive and finite.

    Args:
        name: Name of the option.
        value: Its value.
        hint: What to do instead, a sentence.
        zero: Whether 0 is valid, too.

    Raises:
        ConfigError: If it is not.
    """
    if not 0 <= value < math.inf or (value == 0 and not zero):
        raise ConfigError(f"{name} is {value}; it must be finite and {'not negative' if zero else 'positive'}. {hint}")


def check_range(name: str, value: float, low: float, high: float, hint: str) -> None:
    """Check that a value lies between two bounds, which are valid themselves.

    Raises:
        ConfigError: If it does not.
    """
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; it must lie in [{low:g}, {high:g}]. {hint}")
