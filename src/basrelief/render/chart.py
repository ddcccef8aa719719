"""A small line chart for benchmarks and documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from basrelief.errors import ConfigError
from basrelief.render.canvas import LINE, MUTED, Canvas

COLORS = ((34, 98, 168), (200, 80, 30), (40, 140, 80), (140, 70, 160), (110, 110, 110), (190, 150, 20))
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 70, 60


def line_chart(
    series: Mapping[str, Sequence[float]], over: Sequence[float], *, title: str, below: str, size: tuple[int, int] = (860, 480)
) -> Image.Image:
    """Draw one line per series, with its name at the end.

    Args:
        series: Values of each line, percent or any numbers; NaN leaves a gap.
        over: Values of the x axis, ascending, e.g. shots; spaced evenly, so that 1, 2, 4, 8, 16 are equally far apart.
        title: Title.
        below: Label of the x axis.
        size: Width and height, pixels.

    Raises:
        ConfigError: If there is no finite value, or a series has another length than `over`.
    """
    for name, values in series.items():
        if len(values) != len(over):
            raise ConfigError(f"Series {name!r} has {len(values)} values; expected {len(over)}. Fill gaps with NaN.")
    finite = [value for values in series.values() for value in values if math.isfinite(value)]
    if not finite or len(over) < 1:
        raise ConfigError(f"None of the {len(series)} series has a finite value. Pass at least one.")
    low, high, step = _scale(min(finite), max(finite))
    plot = _Plot(Canvas(*size), low, high, columns=len(over))
    plot.canvas.text((_LEFT, 34), title, width=size[0] - _LEFT - 20, size=17)
    plot.axes(over, step, below)
    ends = _apart([(plot.place(len(over) - 1, _last(values))[1], name) for name, values in series.items()])
    for number, (name, values) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        plot.line(values, color)
        at = _LEFT + plot.width + 14, round(ends[name]) + 4
        plot.canvas.text(at, name, width=_RIGHT - 20, size=13, color=color)
    return plot.canvas.image


class _Plot:
    """The plot area and its coordinates."""

    def __init__(self, canvas: Canvas, low: float, high: float, *, columns: int) -> None:
        self.canvas, self.low, self.high, self.columns = canvas, low, high, columns
        self.draw = ImageDraw.Draw(canvas.image)
        self.width, self.height = canvas.image.width - _LEFT - _RIGHT, canvas.image.height - _TOP - _BOTTOM

    def place(self, column: int, value: float) -> tuple[float, float]:
        share = column / max(self.columns - 1, 1)
        return _LEFT + share * self.width, _TOP + self.height * (self.high - value) / (self.high - self.low)

    def axes(self, over: Sequence[float], step: float, below: str) -> None:
        for tick in range(round((self.high - self.low) / step) + 1):
            value = self.low + tick * step
            y = self.place(0, value)[1]
            self.draw.line([(_LEFT, y), (_LEFT + self.width, y)], fill=LINE)
            self.canvas.text((10, round(y) + 4), f"{value:g}", width=_LEFT - 20, size=12, color=MUTED, align="right")
        for column, value in enumerate(over):
            words = f"{value:g}"
            at = round(self.place(column, self.low)[0]) - 3 * len(words), _TOP + self.height + 22
            self.canvas.text(at, words, width=60, size=12, color=MUTED)
        self.canvas.text((_LEFT, _TOP + self.height + 44), below, width=self.width, size=12, color=MUTED)

    def line(self, values: Sequence[float], color: tuple[int, int, int]) -> None:
        points = [self.place(column, value) if math.isfinite(value) else None for column, value in enumerate(values)]
        for one, other in pairwise(points):
            if one and other:
                self.draw.line([one, other], fill=color, width=3)
        for x, y in filter(None, points):
            self.draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=color)


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """Return round ends and a round step for an axis from `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if span / (power * factor) <= 6)
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    return first, last if last > first else first + step, step


def _last(values: Sequence[float]) -> float:
    """Return the last finite value."""
    return next((value for value in reversed(values) if math.isfinite(value)), 0.0)


def _apart(ends: Sequence[tuple[float, str]], gap: float = 17.0) -> dict[str, float]:
    """Return heights for names at the ends of lines, moved down where they would overlap."""
    found: dict[str, float] = {}
    below = -math.inf
    for y, name in sorted(ends):
        below = max(y, below + gap)
        found[name] = below
    return found
