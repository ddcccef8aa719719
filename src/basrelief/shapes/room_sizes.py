"""Typical sizes of things in rooms, and the space they need, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

TYPICAL_SIZES: Mapping[str, tuple[Literal["height", "length"], float, float]] = {
    "armchair": ("height", 0.75, 1.0),
    "bathtub": ("length", 1.5, 1.8),
    "bed": ("length", 1.95, 2.2),
    "bookshelf": ("height", 1.2, 2.1),
    "bottle": ("height", 0.2, 0.33),
    "bowl": ("length", 0.13, 0.28),
    "bucket": ("height", 0.25, 0.38),
    "cabinet": ("height", 0.75, 1.2),
    "can": ("height", 0.1, 0.16),
    "cardboard box": ("length", 0.3, 0.55),
    "chair": ("height", 0.8, 1.05),
    "clock": ("length", 0.15, 0.3),
    "coat rack": ("height", 1.6, 1.9),
    "computer keyboard": ("length", 0.3, 0.45),
    "cup": ("height", 0.07, 0.12),
    "desk": ("height", 0.72, 0.8),
    "dresser": ("height", 0.7, 1.2),
    "fan": ("height", 0.35, 1.3),
    "glass": ("height", 0.1, 0.16),
    "hammer": ("length", 0.25, 0.35),
    "jar": ("height", 0.1, 0.2),
    "lamp": ("height", 0.3, 0.6),
    "laptop": ("length", 0.3, 0.38),
    "microwave": ("length", 0.45, 0.55),
    "monitor": ("length", 0.45, 0.65),
    "mug": ("height", 0.08, 0.12),
    "nightstand": ("height", 0.45, 0.65),
    "ottoman": ("height", 0.35, 0.5),
    "plate": ("length", 0.18, 0.28),
    "pot": ("length", 0.22, 0.38),
    "potted plant": ("height", 0.25, 1.2),
    "refrigerator": ("height", 1.5, 1.9),
    "scissors": ("length", 0.15, 0.22),
    "shelf": ("height", 0.8, 1.9),
    "sink": ("height", 0.85, 1.05),
    "sofa": ("length", 1.5, 2.3),
    "stool": ("height", 0.4, 0.75),
    "stove": ("height", 0.85, 0.95),
    "table": ("height", 0.4, 0.76),
    "teapot": ("height", 0.13, 0.2),
    "television": ("length", 0.8, 1.4),
    "toilet": ("height", 0.7, 0.85),
    "traffic cone": ("height", 0.45, 0.75),
    "trash can": ("height", 0.3, 0.65),
    "tv stand": ("length", 1.1, 1.9),
    "vase": ("height", 0.2, 0.45),
    "wardrobe": ("height", 1.8, 2.2),
    "washing machine": ("height", 0.82, 0.9),
}
"""Height or longer horizontal side to which a given shape is scaled, metres: rounded sizes of the generated category, which follow common
furniture catalogues; our estimates, measured on no data set."""

FRONT_SPACE: Mapping[str, float] = {
    "bathtub": 0.3,
    "bed": 0.3,
    "bookshelf": 0.4,
    "cabinet": 0.35,
    "desk": 0.65,
    "dresser": 0.4,
    "refrigerator": 0.6,
    "sink": 0.5,
    "sofa": 0.3,
    "stove": 0.5,
    "toilet": 0.45,
    "tv stand": 0.4,
    "wardrobe": 0.5,
    "washing machine": 0.5,
}
"""Space before the front that only chairs and low tables may take, metres."""
