"""The page that explains one convolution and its gradients: one HTML file, for a browser or a notebook.

What it shows and computes stands in `web/`, in JavaScript; this decides with which setting it opens, and puts the parts
into one file.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import __version__
from ..boundary import check_mode
from ..errors import GeometryError
from ..geometry import Geometry, joined
from ..spelling import parse, spell
from .inline import inlined

FIRST = "i5x5 k3x3 p1"  # what is shown where nothing is asked for

# what fits on the page, by number of axes
MOST_INPUT = {1: 24, 2: 12}
MOST = {"kernel": 7, "stride": 6, "dilation": 6, "before": 6, "after": 6}
MOST_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class Explanation:
    """A page that explains one convolution. A notebook shows it; `html` is the whole file as text."""

    html: str
    height: int

    def _repr_html_(self) -> str:
        # in a frame of its own, so that neither its styles nor the notebook's leak
        return (
            f'<iframe title="convgrad explain" srcdoc="{escape(self.html)}" sandbox="allow-scripts" '
            f'allow="clipboard-write" style="width:100%;height:{self.height}px;border:0"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Explanation: {len(self.html.encode()) >> 10} KiB of HTML; a notebook shows it, .html holds it>"


def explain(
    geometry: Geometry | str = FIRST,
    *,
    x: ArrayLike | None = None,
    w: ArrayLike | None = None,
    gy: ArrayLike | None = None,
    padding_mode: str | None = None,
    flip: bool = False,
    seed: int = 1,
    height: int = 980,
) -> Explanation:
    """A page on which one can touch a convolution and its gradients: six linked grids, their sums, the derivation.

    geometry: a Geometry or its spelling, as in "i7x7 k3x3 s2 p1 mreflect"; small enough to be seen: at most 24
    positions (12 on each of two axes), 7 taps, stride, dilation and padding of 6, 4 channels, one image, one border.
    x, w, gy: arrays to start with, of the geometry's shapes; those left out are small whole numbers.
    padding_mode: what stands in the padding, if not what the geometry says; a word of `conv`'s.
    flip: whether to start with a true convolution, which reads the taps backwards.
    seed: of the numbers, where they are random.   height: of the frame in a notebook, in pixels.
    Returns an Explanation. Notebooks show it; its `html` is one file that needs no network.
    Raises GeometryError for what the page cannot show.

    >>> page = explain("i7x7 k3x3 s2 p1")
    >>> page.html.startswith("<!doctype html>"), len(page.html.encode()) < 300_000
    (True, True)
    """
    g = parse(geometry) if isinstance(geometry, str) else geometry
    _refuse_unshowable(g)
    mode = g.axes[0].mode if padding_mode is None else check_mode("padding_mode", padding_mode)
    arrays = {"x": (x, g.input_shape), "w": (w, g.weight_shape), "gy": (gy, g.output_shape)}
    constant = [f"value={g.fill:.17g}"] if mode == "constant" and g.fill != 0 else []
    start = [_words(g), f"mode={mode}", *constant, *(["flip"] if flip else []), f"random={seed}"]
    start += [f"{name}={_entries(name, array, shape)}" for name, (array, shape) in arrays.items() if array is not None]
    return Explanation(_written("&".join(start)), height)


def tokens() -> str:
    """The stylesheet of colours and type that every page of convgrad shares."""
    return _read("tokens.css")


def _written(start: str) -> str:
    """The file that opens with the setting `start`, spelled as after the # of its links."""
    parts = {
        "{{start}}": escape(start),
        "{{version}}": escape(__version__),
        "{{style}}": tokens() + _read("style.css"),
        "{{script}}": inlined("main", lambda name: _read(f"{name}.js")),
    }
    text = _read("page.html")
    for mark, part in parts.items():
        before, after = text.split(mark)
        text = before + part + after
    return text


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("web", name).read_text("utf-8")


def _words(g: Geometry) -> str:
    """The spelling with dots, as it stands in a link; the one image goes without saying, the border stands beside."""
    return ".".join(word for word in spell(g).split() if word not in ("n1", "ic1", "oc1") and word[0] not in "mv")


def _entries(name: str, array: ArrayLike, shape: tuple[int, ...]) -> str:
    numbers: Any = np.asarray(array)
    if numbers.shape != shape:
        raise GeometryError(f"{name}.shape", numbers.shape, "is not the geometry's", f"{name}.shape = {shape}")
    if numbers.dtype.kind not in "biuf":
        raise GeometryError(f"{name}.dtype", str(numbers.dtype), "holds no real numbers", "integers or floats")
    return ",".join(f"{number:.17g}" for number in numbers.ravel().astype(float))


def _refuse_unshowable(g: Geometry) -> None:
    if g.rank > 2:
        raise GeometryError("input", joined(g.input_size), f"has {g.rank} axes", "one axis or two")
    if g.batch != 1:
        raise GeometryError("batch", g.batch, "images do not see each other, so the page shows one", "batch = 1")
    for channels in ("in_channels", "out_channels"):
        number = getattr(g, channels)
        if not 1 <= number <= MOST_CHANNELS:
            raise GeometryError(channels, number, "does not fit on the page", f"1 to {MOST_CHANNELS}")
    if len({axis.mode for axis in g.axes}) > 1:
        rule = "differs between axes; the page shows one border"
        raise GeometryError("padding_mode", ", ".join(axis.mode for axis in g.axes), rule, "one word")
    if isinstance(g.fill, complex):
        raise GeometryError("padding_value", g.fill, "is not real; the page shows real numbers", "a float")
    for axis in g.axes:
        if min(axis.before, axis.after) < 0:
            raise GeometryError("padding", min(axis.before, axis.after), "cuts the input off", "padding >= 0")
        for name, most in {"input": MOST_INPUT[g.rank], **MOST}.items():
            number = getattr(axis, name)
            if number > most:
                raise GeometryError(name, number, "does not fit on the page", f"{name} <= {most}")
