"""The picture that explains a prediction: the image, and beside it what each of its pixels did for the answer.

What is drawn is d log P / dx of `predict.pixel_gradient`: orange where more brightness would make the class more
likely, blue where less likely, white where it makes no difference; the outline is that of the image.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw

Array = NDArray[Any]

NARROWEST = 250  # pixels that the words need
PANEL = 336  # pixels: each side of an image is drawn as long as whole multiples allow
MARGIN, GAP, HEAD, FOOT = 28, 36, 68, 96
TITLE, LABEL, NOTE = 22, 14, 12  # type sizes
PAPER, INK, FAINT, LINE = (255, 255, 255), (28, 28, 30), (110, 110, 115), (200, 200, 204)
# blue to orange through white, even in lightness: told apart with every common colour blindness
BLUES = [(5, 62, 122), (33, 113, 181), (107, 174, 214), (198, 219, 239)]
ORANGES = [(253, 208, 162), (253, 141, 60), (217, 72, 1), (140, 45, 4)]
COLOURS = np.array([*BLUES, PAPER, *ORANGES], float)


def explain(x: Array, gradient: Array, name: str, probability: float) -> bytes:
    """A PNG file of image x and its `gradient`, both (1, C, H, W), for class `name` of this `probability`."""
    from PIL import Image, ImageDraw

    image, influence = np.clip(x[0], 0, 1), gradient[0].sum(axis=0)
    height, width = influence.shape
    cell = max(1, PANEL // max(height, width))
    shown_height, shown_width = height * cell, width * cell
    column = max(shown_width, NARROWEST)
    left, right, top = MARGIN, MARGIN + column + GAP, HEAD
    canvas = Image.new("RGB", (right + column + MARGIN, top + shown_height + FOOT), PAPER)
    draw = ImageDraw.Draw(canvas)

    greatest = float(np.abs(influence).max())
    canvas.paste(Image.fromarray(_enlarged(_as_rgb(image), cell)), (left, top))
    canvas.paste(Image.fromarray(_enlarged(coloured(influence, greatest), cell)), (right, top))
    for start in (left, right):
        draw.rectangle((start - 1, top - 1, start + shown_width, top + shown_height), outline=LINE)
    _outline(draw, image.mean(axis=0), right, top, cell)

    draw.text((left, 14), f"{_short(name)}   {100 * probability:.2f} %", INK, _font(TITLE))
    draw.text((left, HEAD - 22), "what the network saw", FAINT, _font(LABEL))
    draw.text((right, HEAD - 22), "what each pixel does", FAINT, _font(LABEL))
    _legend(canvas, draw, right, top + shown_height + 18, column, greatest)
    meaning = f"brighter here makes \u201c{_short(name)}\u201d more likely; blue: less likely"
    _wrapped(draw, f"Orange: {meaning}. Line: edge of the drawing.", left, top + shown_height + 14, column)
    file = BytesIO()
    canvas.save(file, "PNG", optimize=True)
    return file.getvalue()


def coloured(values: Array, greatest: float) -> Array:
    """Values in -greatest .. greatest as uint8 colours (..., 3): blue, white at zero, orange."""
    part = np.zeros_like(values) if greatest == 0 else np.clip(values / greatest, -1, 1)
    position = (part + 1) / 2 * (len(COLOURS) - 1)
    steps = np.arange(len(COLOURS))
    channels = [np.interp(position, steps, COLOURS[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def _as_rgb(image: Array) -> Array:
    pixels = np.round(255 * np.moveaxis(image, 0, -1)).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if pixels.shape[2] == 1 else pixels


def _enlarged(pixels: Array, cell: int) -> Array:
    """Each pixel as a square of `cell` pixels: crisp, nothing invented between them."""
    return np.ascontiguousarray(pixels.repeat(cell, axis=0).repeat(cell, axis=1))


def _outline(draw: ImageDraw, brightness: Array, left: int, top: int, cell: int) -> None:
    """A line along every edge between a pixel above and one below the middle brightness."""
    bright = brightness > (brightness.min() + brightness.max()) / 2
    for row, column in np.argwhere(bright[:, 1:] != bright[:, :-1]).tolist():
        x, y = left + (column + 1) * cell, top + row * cell
        draw.line((x, y, x, y + cell), INK, 1 if cell < 16 else 2)
    for row, column in np.argwhere(bright[1:] != bright[:-1]).tolist():
        x, y = left + column * cell, top + (row + 1) * cell
        draw.line((x, y, x + cell, y), INK, 1 if cell < 16 else 2)


def _legend(canvas: Picture, draw: ImageDraw, left: int, top: int, width: int, greatest: float) -> None:
    """A bar of the colours with the numbers at its ends: by how much log P changes per unit of brightness."""
    from PIL import Image

    bar = coloured(np.linspace(-1, 1, width)[None].repeat(14, axis=0), 1.0)
    canvas.paste(Image.fromarray(bar), (left, top))
    draw.rectangle((left - 1, top - 1, left + width, top + 14), outline=LINE)
    font, y = _font(NOTE), top + 20
    draw.text((left, y), f"{-greatest:.2g}", INK, font)
    draw.text((left + width / 2, y), "0", INK, font, anchor="ma")
    draw.text((left + width, y), f"+{greatest:.2g}", INK, font, anchor="ra")
    draw.text((left + width / 2, y + 18), "d log P / d brightness", FAINT, font, anchor="ma")


def _wrapped(draw: ImageDraw, text: str, left: int, top: int, width: int) -> None:
    font, line = _font(NOTE), ""
    for word in [*text.split(), ""]:
        longer = f"{line} {word}".strip()
        if word and draw.textlength(longer, font) <= width:
            line = longer
            continue
        draw.text((left, top), line, FAINT, font)
        top, line = top + round(NOTE * 1.45), word


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "\u2026"


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
