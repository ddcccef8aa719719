"""Colours of surfaces: sRGB and linear light."""

from __future__ import annotations

import numpy as np


def srgb_from_linear(linear: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB (IEC 61966-2-1).

    Args:
        linear: Values in [0, 1].

    Returns:
        Values in [0, 1].
    """
    light = np.clip(linear, 0, 1)
    encoded: np.ndarray = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return encoded


def linear_from_srgb(encoded: np.ndarray) -> np.ndarray:
    """Decode sRGB to linear light (IEC 61966-2-1).

    Args:
        encoded: Values in [0, 1].

    Returns:
        Values in [0, 1].
    """
    value: np.ndarray = np.clip(encoded, 0, 1)
    decoded: np.ndarray = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return decoded
