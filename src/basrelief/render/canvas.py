"""A canvas for text, bars and images, with Pillow's built-in font."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

Align = Literal["left", "right"]
Color = tuple[int, int, int]

BACKGROUND: Color = (255, 255, 255)
TEXT: Color = (28, 32, 38)
MUTED: Color = (118, 124, 132)
LINE: Color = (222, 225, 229)
ACCENT: Color = (34, 98, 168)
SECONDARY: Color = (158, 166, 176)

LONGEST = 1000  # characters that are measured at all


class Canvas:
    """A white image to draw on.

    Attributes:
        image: The image, RGB.
    """

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), BACKGROUND)
        self._draw = ImageDraw.Draw(self.image)

    def text(self, at: tuple[int, int], words: str, *, width: int, size: int = 14, color: Color = TEXT, align: Align = "left") -> int:
        """Draw one line of text, shortened with an ellipsis if it is too long.

        Args:
            at: Left end and baseline, pixels.
            words: The text; control characters become spaces.
            width: Available width, pixels.
            size: Font size, pixels.
            color: Text colour.
            align: Side of the available width to align to.

        Returns:
            Width of the drawn text, pixels.
        """
        words = fit(words, size, width)
        taken = round(_font(size).getlength(words))
        self._draw.text((at[0] + (width - taken if align == "right" else 0), at[1]), words, font=_font(size), fill=color, anchor="ls")
        return taken

    def bar(self, at: tuple[int, int], share: float, *, width: int, height: int, color: Color = ACCENT) -> None:
        """Draw a horizontal bar on a track.

        Args:
            at: Left and top, pixels.
            share: Filled fraction; clipped to [0, 1], NaN is empty.
            width: Width of the track, pixels.
            height: Height of the track, pixels.
            color: Colour of the filled part.
        """
        share = min(max(share, 0.0), 1.0) if share == share else 0.0  # noqa: PLR0124
        x, y = at
        self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill=LINE)
        if filled := round(width * share):
            self._draw.rectangle((x, y, x + filled - 1, y + height - 1), fill=color)

    def picture(
        self,
        at: tuple[int, int],
        pixels: Float[np.ndarray, "side side *rgb"],
        *,
        side: int,
        framed: bool = True,
    ) -> None:
        """Paste a square image, resized.

        Args:
            at: Left and top, pixels.
            pixels: (S, S) grey or (S, S, 3) sRGB in [0, 1].
            side: Side on the canvas, pixels.
            framed: Whether to draw a thin border.
        """
        bytes_ = (np.nan_to_num(np.asarray(pixels, dtype=np.float32)).clip(0, 1) * 255 + 0.5).astype(np.uint8)
        self.image.paste(Image.fromarray(bytes_).convert("RGB").resize((side, side), Image.Resampling.LANCZOS), at)
        if framed:
            self._draw.rectangle((at[0], at[1], at[0] + side - 1, at[1] + side - 1), outline=LINE)


def fit(words: str, size: int, width: int) -> str:
    """Shorten a line to a width, with an ellipsis.

    Args:
        words: The text; control characters and line breaks become spaces.
        size: Font size, pixels.
        width: Available width, pixels.

    Returns:
        The longest prefix that fits, or the whole line.
    """
    words = re.sub(r"[\x00-\x1f\x7f]+", " ", words[:LONGEST])
    font = _font(size)
    if font.getlength(words) <= width:
        return words
    low, high = 0, len(words)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if font.getlength(words[:middle].rstrip() + "…") <= width else (low, middle)
    return words[:low].rstrip() + "…"


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
