"""Kernels as large as their input: one transform of everything, by NumPy's FFT, instead of tiles.

With positions for indices, the three roles are one sum over frequencies f of X(f) conj(W(f)) conj(Y(f)): entry i of the
input stands at i, tap k of the weight at k * dilation, output o at o * stride - padding. So each role is the product of
two spectra, and only placing and taking know about geometry. A circle of `length` positions is long enough that nothing
meets what it should not.

Where the spectra would not fit into the workspace, blocks of taps and outputs are computed one after another.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import settings, threads
from ...geometry import Axis, Geometry
from ...machine import Machine
from ...plan import Plan
from ..record import Array

LEAST_TAPS = 4096  # for fewer, along no axis more than `LEAST_SPAN`, tiles are sure to be better
LEAST_SPAN = 96
# of NumPy's FFT, placing and taking, on one core of a Xeon of 2023; of one axis, and of several
FLOPS_PER_SECOND = {(4, False): 2.2e9, (8, False): 2.8e9, (4, True): 4e9, (8, True): 5e9}
CALL_SECONDS = 2e-4
MOST_BLOCKS = 64
PIECES = 16  # into which a transform of rows is cut
SMALL_ENTRIES = 1 << 14  # a transform of fewer runs on the caller's thread


Positions = tuple[int, ...] | range


@dataclass(frozen=True, slots=True)
class Placed:
    """One axis of a block: which taps, outputs and inputs take part, and where on the circle they stand."""

    taps: range
    outs: range
    read: range
    length: int
    inputs: Positions
    kernel: Positions
    outputs: Positions

    @staticmethod
    def of(axis: Axis, taps: range, outs: range) -> Placed | None:
        """None where these outputs read nothing but padding through these taps."""
        first = outs.start * axis.stride + taps.start * axis.dilation - axis.before  # where they begin to read
        last = first + (len(outs) - 1) * axis.stride
        span = (len(taps) - 1) * axis.dilation + 1
        read = range(max(0, first), min(axis.input, last + span))
        if not read:
            return None
        first, last = first - read.start, last - read.start
        length = good_length(max(len(read), len(read) - first, last + span, last - first + 1, span))
        outputs = range(first, last + 1, axis.stride)
        return Placed(
            taps=taps,
            outs=outs,
            read=read,
            length=length,
            inputs=range(len(read)),
            kernel=range(0, span, axis.dilation),
            outputs=outputs if first >= 0 else tuple(position % length for position in outputs),
        )


@dataclass(frozen=True, slots=True)
class Whole:
    """How one image is computed: for each axis, blocks of taps and outputs."""

    role: str
    geometry: Geometry
    axes: tuple[tuple[Placed, ...], ...]

    @property
    def blocks(self) -> int:
        return math.prod(map(len, self.axes))

    @property
    def lengths(self) -> tuple[int, ...]:
        """The longest transforms."""
        return tuple(max(placed.length for placed in axis) for axis in self.axes)

    @property
    def spectrum(self) -> int:
        """Complex numbers of a spectrum."""
        *others, last = self.lengths
        return math.prod(others) * (last // 2 + 1)

    def workspace(self, itemsize: int) -> int:
        """Bytes: spectra of a group's sources, of a weight, their sum; and the rows that are being transformed."""
        g = self.geometry
        if self.role == "weight_grad":
            spectra = 2.0 + (16 / (2 * itemsize) if g.batch > 1 or itemsize == 4 else 0)  # the sum has 64 bits
        else:
            sources = g.in_channels_per_group if self.role == "forward" else g.out_channels_per_group
            spectra = sources + (1.0 if sources == 1 else 2.0)
        rows = max(self.spectrum / PIECES, min(self.spectrum, SMALL_ENTRIES))
        return math.ceil((spectra * self.spectrum + 2 * rows) * 2 * itemsize)

    def seconds(self, itemsize: int) -> float:
        g, points = self.geometry, math.prod(self.lengths)
        pairs = g.out_channels * g.in_channels_per_group
        transforms = 3 * pairs if self.role == "weight_grad" else pairs + g.in_channels + g.out_channels
        flops = 2.5 * points * math.log2(max(2, points)) * transforms + 8 * self.spectrum * pairs
        return self.blocks * (flops / FLOPS_PER_SECOND[itemsize, g.rank > 1] + CALL_SECONDS * transforms)

    def error_bound(self) -> float:
        """Eps times the product of norms, as for tiles; blocks are further terms."""
        g = self.geometry
        depth = sum(math.log2(length) for length in self.lengths)
        summed = {"forward": g.in_channels_per_group, "input_grad": g.out_channels_per_group}.get(self.role, 8)
        transforms = 3 * depth * (1 + math.sqrt(5) + math.sqrt(0.5))
        return 0.5 * (transforms + math.sqrt(5) + summed + 2 + self.blocks) * math.sqrt(self.blocks)

    def __str__(self) -> str:
        size = " x ".join(map(str, self.lengths))
        blocks = f", {self.blocks} blocks" if self.blocks > 1 else ""
        return f"one transform of {size}{blocks}"


def choose_whole(role: str, geometry: Geometry, itemsize: int, workspace_limit: int) -> Whole | None:
    """Transforms whose buffers fit; None where they cannot, or tiles are sure to be better."""
    few = math.prod(geometry.kernel_size) < LEAST_TAPS and max(axis.span for axis in geometry.axes) < LEAST_SPAN
    if few or 0 in geometry.output_size:
        return None
    counts = [[1, 1] for _ in geometry.axes]  # of blocks of taps and of outputs
    while math.prod(taps * outs for taps, outs in counts) <= MOST_BLOCKS:
        axes = tuple(
            tuple(
                placed
                for taps in _blocks(axis.kernel, count[0])
                for outs in _blocks(axis.output, count[1])
                if (placed := Placed.of(axis, taps, outs)) is not None
            )
            for axis, count in zip(geometry.axes, counts, strict=True)
        )
        if not all(axes):
            return None  # nothing is read at all
        found = Whole(role, geometry, axes)
        if found.workspace(itemsize) <= workspace_limit:
            return found
        sizes = {
            (k, part): size / counts[k][part]
            for k, axis in enumerate(geometry.axes)
            for part, size in enumerate((axis.kernel * axis.dilation, axis.output * axis.stride))
        }
        axis, part = max(sizes, key=lambda place: sizes[place])
        counts[axis][part] *= 2
    return None


def _blocks(count: int, blocks: int) -> Iterator[range]:
    step = -(-count // blocks)
    return (range(start, min(start + step, count)) for start in range(0, count, step))


@functools.cache
def good_length(least: int) -> int:
    """The smallest even length without a prime factor above 5.

    >>> good_length(1023), good_length(1025), good_length(2047)
    (1024, 1080, 2048)
    """
    best = 2
    while best < least:
        best *= 2
    fives = 1
    while fives < best:
        odd = fives
        while odd < best:
            length = 2 * odd
            while length < least:
                length *= 2
            best = min(best, length)
            odd *= 3
        fives *= 5
    return best


def run(plan: Plan, whole: Whole, a: Array, b: Array, out: Array) -> list[int]:
    """Compute; the images whose result is not finite, and must be computed otherwise."""
    workers = settings.num_threads() or Machine.here().cores
    out[...] = 0
    with np.errstate(all="ignore"):  # what is not finite is found in the result
        for block in itertools.product(*whole.axes):
            fourier = _Transforms(block, out.dtype, workers)
            if plan.role == "weight_grad":
                _weight(whole.geometry, fourier, a, b, out)
            else:
                _data(plan.role, whole.geometry, fourier, a, b, out)
        if plan.role == "weight_grad":
            return [] if np.isfinite(out.sum()) else [0]
        return [image for image in range(len(out)) if not np.isfinite(out[image].sum())]


def _data(role: str, g: Geometry, fourier: _Transforms, a: Array, w: Array, out: Array) -> None:
    ic, oc = g.in_channels_per_group, g.out_channels_per_group
    sources, results = (ic, oc) if role == "forward" else (oc, ic)
    given, wanted = ("inputs", "outputs") if role == "forward" else ("outputs", "inputs")
    for image, group in itertools.product(range(len(out)), range(g.groups)):
        spectra = [fourier.spectrum(fourier.part(a[image, group * sources + k], given), given) for k in range(sources)]
        for result in range(results):
            total: Array | None = None
            for source, spectrum in enumerate(spectra):
                output, channel = (result, source) if role == "forward" else (source, result)
                taps = fourier.spectrum(fourier.part(w[group * oc + output, channel], "kernel"), "kernel")
                product = _multiply(spectrum, taps, conjugate=role == "forward")
                total = product if total is None else np.add(total, product, out=total)
            if total is not None:
                found = out[image, group * results + result]
                fourier.part(found, wanted)[...] += fourier.take(total, wanted)


def _weight(g: Geometry, fourier: _Transforms, gy: Array, x: Array, gw: Array) -> None:
    oc, ic = g.out_channels_per_group, g.in_channels_per_group
    for output, channel in itertools.product(range(g.out_channels), range(ic)):
        total: Array | None = None
        for image in range(len(gy)):
            first = fourier.spectrum(fourier.part(x[image, output // oc * ic + channel], "inputs"), "inputs")
            second = fourier.spectrum(fourier.part(gy[image, output], "outputs"), "outputs")
            product = _multiply(first, second, conjugate=True)
            if total is None:
                total = product.astype(np.complex128, copy=False)
            else:
                total += product
        if total is not None:
            fourier.part(gw[output, channel], "kernel")[...] += fourier.take(total, "kernel").astype(gw.dtype)


def _multiply(a: Array, b: Array, conjugate: bool) -> Array:
    """Into the memory of b."""
    if conjugate:
        np.conjugate(b, out=b)
    return np.multiply(a, b, out=b)


class _Transforms:
    """Placing, transforming and taking, for one block of taps."""

    def __init__(self, axes: Sequence[Placed], dtype: np.dtype[Any], workers: int) -> None:
        self.axes, self.dtype, self.workers = axes, dtype, workers

    def part(self, values: Array, kind: str) -> Array:
        """What of an input, a weight or an output takes part."""
        ranges = (
            getattr(placed, {"inputs": "read", "kernel": "taps", "outputs": "outs"}[kind]) for placed in self.axes
        )
        taken: Array = values[tuple(slice(found.start, found.stop) for found in ranges)]
        return taken

    def spectrum(self, values: Array, kind: str) -> Array:
        """The transform of `values` at the positions of their kind, which are all others but for zeros."""
        *others, last = range(len(self.axes))
        found = self._along(np.fft.rfft, self._spread(values, kind, last), last, self.axes[last].length // 2 + 1)
        for axis in reversed(others):
            found = self._in_place(np.fft.fft, self._spread(found, kind, axis), axis)
        return found

    def take(self, spectrum: Array, kind: str) -> Array:
        """The values at the positions of a kind."""
        *others, last = range(len(self.axes))
        for axis in others:
            spectrum = self._in_place(np.fft.ifft, spectrum, axis)[self._places(kind, axis)]
        length = self.axes[last].length
        values = self._along(np.fft.irfft, spectrum, last, length, n=length)
        taken: Array = values[self._places(kind, last)]
        return taken

    def _spread(self, values: Array, kind: str, axis: int) -> Array:
        """`values` at their positions along one axis, zeros elsewhere."""
        placed = self.axes[axis]
        shape = list(values.shape)
        shape[axis] = placed.length
        dtype = values.dtype if values.dtype.kind == "c" else self.dtype
        found = np.zeros(shape, dtype)
        found[self._places(kind, axis)] = values
        return found

    def _places(self, kind: str, axis: int) -> Any:
        """The index of the positions of a kind along one axis."""
        positions: Positions = getattr(self.axes[axis], kind)
        if isinstance(positions, range):
            return (*(slice(None),) * axis, slice(positions.start, positions.stop, positions.step))
        return (*(slice(None),) * axis, np.array(positions))

    def _in_place(self, transform: Callable[..., Array], values: Array, axis: int) -> Array:
        return self._rows(lambda rows, out: transform(rows, axis=axis, out=out), values, values, axis)

    def _along(self, transform: Callable[..., Array], values: Array, axis: int, length: int, **given: Any) -> Array:
        """`transform` along one axis, to another length."""
        dtype = values.real.dtype if transform is np.fft.irfft else np.result_type(values.dtype, np.complex64)
        found = np.empty((*values.shape[:axis], length, *values.shape[axis + 1 :]), dtype)
        return self._rows(lambda rows, out: transform(rows, axis=axis, out=out, **given), values, found, axis)

    def _rows(self, transform: Callable[[Array, Array], Any], values: Array, out: Array, axis: int) -> Array:
        """`transform` of some rows at a time, among threads, which changes no bit of them."""
        if values.ndim == 1 or values.size < SMALL_ENTRIES:
            transform(values, out)
            return out
        across = max((k for k in range(values.ndim) if k != axis), key=lambda k: values.shape[k])
        step = -(-values.shape[across] // PIECES)

        def work(start: int) -> None:
            rows = (*(slice(None),) * across, slice(start, start + step))
            transform(values[rows], out[rows])

        _in_turns(work, range(0, values.shape[across], step), self.workers)
        return out


def _in_turns(work: Callable[[int], None], items: range, workers: int) -> None:
    """`work` for every item, on the threads of the pool."""
    left, lock, stopped = iter(items), threading.Lock(), threading.Event()

    def serve(worker: int) -> None:
        while not stopped.is_set():
            with lock:
                item = next(left, None)
            if item is None:
                return
            work(item)

    threads.run(serve, range(workers), lambda: False, stopped.set)
